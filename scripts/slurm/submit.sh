#!/usr/bin/env bash
# The whole way in three dependent jobs: prepare (array, CPU), fit (GPU), synthesise (GPU).
#
#   submit.sh WORK_DIR BIDS_DIR OUTPUT_DIR [options of sbatch for the GPU jobs ...]
#
# PREPARE, FIT and FILL are options of bids_synth for each job, BIDS_SYNTH the command.
# Prints the numbers of the three jobs.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$1 dataset=$2 output=$3
shift 3

mkdir -p "$work"
list=$work/participants.txt
(cd "$dataset" && ls -d sub-*/) | tr -d / > "$list"
count=$(wc -l < "$list")
size=${PER_TASK:-1}
tasks=$(((count + size - 1) / size))

# shellcheck disable=SC2086
{
    prepare=$(sbatch --parsable --array="1-$tasks" "$here/participants.sh" "$list" "$dataset" \
        "$output" --preproc-only ${PREPARE:-})
    # afterany: a participant that could not be prepared is left out of the fit, and named.
    fit=$(sbatch --parsable --dependency="afterany:$prepare" "$@" "$here/group.sh" "$work" \
        "$dataset" "$output" ${FIT:-})
    fill=$(PER_TASK=$count sbatch --parsable --dependency="afterok:$fit" --array=1-1 "$@" \
        "$here/participants.sh" "$list" "$dataset" "$output" --synth-only ${FILL:-})
}
echo "$prepare $fit $fill"
