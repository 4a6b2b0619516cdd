# The image of bids_synth. Build arguments:
#   BASE        Debian or Ubuntu with Python 3.11 as `python3` and its venv module
#   TORCH       cpu or cuda: which build of torch, by requirements-torch-$TORCH.lock
#   CPU_WHEELS  index of torch's CPU builds, as PyTorch's installation page names it; empty where
#               pip's own configuration has them
#   TEMPLATES   templates of TemplateFlow that the image carries where the network allows
# Targets: runtime (default), and test: the same with the test requirements and the tests.
ARG BASE=python:3.11-slim-bookworm

# pip stays in these first stages; nothing that is run needs it.
FROM ${BASE} AS tools
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/bids_synth
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PIP_PYTHON=/opt/bids_synth/bin/python \
    PATH=/opt/pip/bin:$PATH
WORKDIR /build

FROM tools AS dependencies
ARG TORCH=cpu
ARG CPU_WHEELS=
COPY requirements-torch-${TORCH}.lock torch.lock
# What only developers of torch use goes in the layer that brings it: its tests, headers, protoc.
RUN pip install --no-deps --require-hashes ${CPU_WHEELS:+--extra-index-url "$CPU_WHEELS"} \
        -r torch.lock && \
    cd /opt/bids_synth/lib/python3.11/site-packages/torch && \
    find bin -type f ! -name torch_shm_manager ! -path '*/upgrader_models/*' -delete && \
    rm -rf test include share lib/*.a
COPY requirements.lock .
# setuptools goes before what has to be built with it, so that no build fetches its own, unhashed.
RUN sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock > setuptools.lock && \
    pip install --no-deps --require-hashes -r setuptools.lock && \
    pip install --no-deps --require-hashes --no-build-isolation -r requirements.lock && \
    find /opt/bids_synth -type d \( -name tests -o -name testdata \) -prune -exec rm -rf {} +

FROM tools AS package
COPY requirements-build.lock .
RUN pip --python /opt/pip/bin/python install --no-deps --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY bids_synth bids_synth
RUN pip --python /opt/pip/bin/python wheel --no-deps --no-build-isolation --wheel-dir dist . && \
    pip install --no-deps --no-index --root /package dist/*.whl

FROM tools AS templates
ARG TEMPLATES="MNI152NLin2009cAsym"
COPY scripts/fetch_templates.py .
RUN python3 fetch_templates.py /opt/templateflow $TEMPLATES

FROM ${BASE} AS assembled
COPY --from=dependencies /opt/bids_synth /opt/bids_synth
COPY --from=templates /opt/templateflow /opt/templateflow
COPY --from=package /package/ /

FROM assembled AS bill
COPY scripts/sbom.py /build/
RUN /opt/bids_synth/bin/python /build/sbom.py /build/sbom.cdx.json

# Nothing is run in this stage, so nothing of the machine that builds is left in it.
FROM assembled AS runtime
COPY --from=bill /build/sbom.cdx.json /opt/bids_synth/
# The templates lie outside HOME, which Apptainer replaces by the user's own.
ENV PATH=/opt/bids_synth/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONNOUSERSITE=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    TEMPLATEFLOW_HOME=/opt/templateflow \
    TEMPLATEFLOW_AUTOUPDATE=0 \
    NO_ET=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
# The default work directory is ./work, and /tmp is what a read-only container can write.
WORKDIR /tmp
ARG VERSION=unknown
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="bids_synth" \
      org.opencontainers.image.description="BIDS App that synthesises the brain images a dataset lacks" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
ENTRYPOINT ["/opt/bids_synth/bin/bids_synth"]

FROM tools AS test
COPY --from=dependencies /opt/bids_synth /opt/bids_synth
COPY requirements-test.lock .
RUN pip install --no-deps --require-hashes -r requirements-test.lock
COPY --from=package /package/ /
COPY . /src
ENV PATH=/opt/bids_synth/bin:$PATH NO_ET=1 HOME=/tmp
WORKDIR /src
ENTRYPOINT ["/opt/bids_synth/bin/python", "-m", "pytest", "-p", "no:cacheprovider"]

FROM runtime
