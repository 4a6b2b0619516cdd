#!/usr/bin/env bash
# The GPU run on a machine with a CUDA card, its own Python with torch, and no network: installs
# .wheels (scripts/gpu/wheels.sh) into a temporary folder and writes gpu.json, gpu.md and gpu.log
# into $OUT in less than nine minutes. Usage: OUT=FOLDER bash scripts/gpu/run.sh [--only PART ...]
set -uo pipefail
cd "$(dirname "$0")/../.."
out=${OUT:?the folder for the figures: set OUT}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
if [ -d .wheels ]; then
  python3 -m pip install --quiet --no-index --no-deps --no-compile --no-cache-dir \
    --target "$site" .wheels/*.whl || exit 1
fi
mkdir -p "$out"
export PYTHONPATH="$site:$PWD" PYTHONUNBUFFERED=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
export PYTORCH_NVML_BASED_CUDA_CHECK=1  # A look at the card must not take hold of it.
timeout --kill-after=5 535 python3 -m benchmarks.gpu "$out" "$@" 2>&1 | tee "$out/gpu.log"
exit "${PIPESTATUS[0]}"
