#!/usr/bin/env bash
# Fit a model; asked to end (time limit, preemption), the job saves its state and queues again.
#
#   sbatch [--gres=gpu:1] group.sh WORK_DIR BIDS_DIR OUTPUT_DIR [options of bids_synth ...]
#   sbatch --ntasks=4 --gres=gpu:4 group.sh WORK_DIR BIDS_DIR OUTPUT_DIR --distributed [...]
#
# WORK_DIR    holds the state of the fit: keep it on storage that every node sees
# BIDS_SYNTH  the command (default bids_synth), e.g. "apptainer run --nv --cleanenv ..."
#SBATCH --job-name=bids_synth-group
#SBATCH --cpus-per-task=4
#SBATCH --mem=16G
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=USR1@120
set -uo pipefail
work=$1 dataset=$2 output=$3
shift 3

# The step gets the signals, this shell does not; srun waits for it to end by itself.
# shellcheck disable=SC2086
srun --kill-on-bad-exit=0 ${BIDS_SYNTH:-bids_synth} "$dataset" "$output" group \
    --work-dir "$work" --nprocs "${SLURM_CPUS_PER_TASK:-1}" "$@"
code=$?
# 75: asked to end, the state is kept. A requeue by SLURM itself ends this shell before.
if [ "$code" -eq 75 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
