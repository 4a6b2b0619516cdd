#!/usr/bin/env bash
# The wheels that a CUDA machine with torch, Lightning and pandas lacks, into .wheels of this
# checkout, at the versions of requirements.lock. Run it where there is a network, then carry the
# folder along; scripts/gpu/run.sh installs it. Usage: bash scripts/gpu/wheels.sh [PYTHON_VERSION]
set -euo pipefail
cd "$(dirname "$0")/../.."
version=${1:-3.12}
names=(annotated-types monai nibabel pydantic pydantic-core tomli-w typing-inspection)
mapfile -t pins < <(for name in "${names[@]}"; do grep -oE "^$name==[^ ]+" requirements.lock; done)
[ "${#pins[@]}" -eq "${#names[@]}" ] || { echo "requirements.lock pins only: ${pins[*]}" >&2; exit 1; }
rm -rf .wheels
platforms=()
for glibc in 17 24 27 28 31 34; do platforms+=(--platform "manylinux_2_${glibc}_x86_64"); done
python3 -m pip download --quiet --no-deps --only-binary=:all: --implementation cp \
  --python-version "$version" "${platforms[@]}" --platform manylinux2014_x86_64 \
  --dest .wheels "${pins[@]}"
size=$(du -sm .wheels | cut -f1)
echo ".wheels: ${#pins[@]} wheels, $size MB"
[ "$size" -le 64 ] || { echo ".wheels is larger than 64 MB" >&2; exit 1; }
