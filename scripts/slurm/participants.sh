#!/usr/bin/env bash
# Prepare and synthesise participants in an array: one task for each PER_TASK lines of a list.
#
#   sbatch --array=1-N participants.sh LIST BIDS_DIR OUTPUT_DIR [options of bids_synth ...]
#
# LIST      a participant label a line, with or without `sub-`
# PER_TASK  participants of one task (default 1); above 1 they share one loaded model
# BIDS_SYNTH  the command (default bids_synth), e.g. "apptainer run --cleanenv --containall ..."
# SCRATCH   fast folder of the node (default SLURM_TMPDIR, else TMPDIR, else /tmp)
#SBATCH --job-name=bids_synth
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=04:00:00
set -euo pipefail
list=$1 dataset=$2 output=$3
shift 3

size=${PER_TASK:-1}
last=$((SLURM_ARRAY_TASK_ID * size))
mapfile -t labels < <(sed -n "$((last - size + 1)),${last}p" "$list")
if [ "${#labels[@]}" -eq 0 ]; then
    echo "$list: has no line for task $SLURM_ARRAY_TASK_ID of $size participants each" >&2
    exit 2
fi

work=$(mktemp -d "${SCRATCH:-${SLURM_TMPDIR:-${TMPDIR:-/tmp}}}/bids_synth-XXXXXX")
trap 'rm -rf "$work"' EXIT
# Words of BIDS_SYNTH are a command and its options.
# shellcheck disable=SC2086
${BIDS_SYNTH:-bids_synth} "$dataset" "$output" participant --work-dir "$work" \
    --nprocs "${SLURM_CPUS_PER_TASK:-1}" --participant-label "${labels[@]}" "$@"
