#!/usr/bin/env bash
# Fill in one DataLad dataset: clone it, get what the plan names and no more, synthesise, drop.
#
#   dataset.sh SOURCE OUTPUTS MODEL [options of bids_synth participant ...]
#
# SOURCE   what `datalad clone` takes, an address or a folder; its last part is NAME
# OUTPUTS  gains NAME, a derivative dataset that can be published, and NAME.log, which stays here
# MODEL    folder of a fitted model
#
# ADDRESS     https address by which the output names its source (default SOURCE)
# AT_ONCE     participants whose content is here at a time (default 8)
# SCRATCH     place of the clone and of the work directory (default TMPDIR, else /tmp)
# BIDS_SYNTH  the command (default bids_synth), e.g. "apptainer run --cleanenv ..."
#
# Given again, it goes on with the participants who are not done, of this commit by this model.
# Exit codes are those of bids_synth; 1 also where the output could not be published as it is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=${1%/} model=$(realpath "$3")
mkdir -p "$2"
outputs=$(realpath "$2")
shift 3
address=${ADDRESS:-$source}
name=$(basename "$source" .git)
output=$outputs/$name log=$outputs/$name.log

if ! python3 "$here/finish.py" --check "$address"; then
    exit 2
fi
scratch=$(mktemp -d "${SCRATCH:-${TMPDIR:-/tmp}}/bids_synth-XXXXXX")
# git-annex makes its folders read-only.
trap 'chmod -R u+w "$scratch"; rm -rf "$scratch"' EXIT
clone=$scratch/$name
# git-annex commits to a branch of the clone, and a cluster's account may have no name.
export GIT_AUTHOR_NAME=batch GIT_AUTHOR_EMAIL=batch@localhost
export GIT_COMMITTER_NAME=batch GIT_COMMITTER_EMAIL=batch@localhost
export DATALAD_UI_PROGRESSBAR=none DATALAD_LOG_LEVEL=warning

# Words of BIDS_SYNTH are a command and its options.
# shellcheck disable=SC2086
participant() {
    ${BIDS_SYNTH:-bids_synth} "$clone" "$output" participant --model "$model" \
        --work-dir "$scratch/work" "$@"
}

datalad clone "$source" "$clone"
for table in dataset_description.json participants.tsv participants.json; do
    if [ -L "$clone/$table" ] && [ ! -e "$clone/$table" ]; then
        datalad -C "$clone" get "$table"
    fi
done
commit=$(git -C "$clone" rev-parse HEAD)
mkdir -p "$log"
# Code 1 says that some visits cannot be used; the plan is that of the others.
worst=0
participant --dry-run --json "$@" > "$log/plan.json" || worst=$?
[ "$worst" -le 1 ] || exit "$worst"

weights=$(sha256sum "$model/model.json" | cut -c 1-12)
finished=$log/finished-$(printf %.12s "$commit")-$weights.txt
touch "$finished"
mapfile -t labels < <(python3 "$here/from_plan.py" "$log/plan.json" | grep -vxFf "$finished")
if [ "${#labels[@]}" -eq 0 ] && [ ! -d "$output" ]; then
    echo "$name: nothing to make"
    exit "$worst"
fi

size=${AT_ONCE:-8}
for ((first = 0; first < ${#labels[@]}; first += size)); do
    some=("${labels[@]:first:size}")
    python3 "$here/from_plan.py" "$log/plan.json" "${some[@]}" > "$scratch/files.txt"
    # What could not be fetched, the run names with its visit.
    xargs -r -d '\n' -a "$scratch/files.txt" datalad -C "$clone" get || true
    code=0
    participant --participant-label "${some[@]}" "$@" || code=$?
    xargs -r -d '\n' -a "$scratch/files.txt" datalad -C "$clone" drop --reckless availability \
        || true
    rm -rf "$scratch/work"
    if [ "$code" -eq 0 ]; then
        printf '%s\n' "${some[@]}" >> "$finished"
    elif [ "$code" -gt "$worst" ]; then
        worst=$code
    fi
    # 1: some visit failed. Anything else would befall the next participants too.
    if [ "$code" -gt 1 ]; then
        break
    fi
done

if [ -d "$output" ]; then
    python3 "$here/finish.py" "$output" "$address" "$commit" "$log" "$scratch" "$model" \
        || worst=$((worst > 1 ? worst : 1))
fi
exit "$worst"
