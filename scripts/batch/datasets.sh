#!/usr/bin/env bash
# Fill in every DataLad dataset of a list; one that fails does not keep the others from it.
#
#   datasets.sh LIST OUTPUTS MODEL [options of bids_synth participant ...]
#
# LIST  a dataset a line: SOURCE, and after a tab ADDRESS where SOURCE is no https address
#
# The rest is as in dataset.sh. OUTPUTS/batch.tsv gains a line for each dataset: time, source,
# exit code, seconds. In a SLURM array, task N does line N and no other.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
list=$1 outputs=$2
shift
mkdir -p "$outputs"

worst=0 line=0
while IFS=$'\t' read -r source address || [ -n "$source" ]; do
    line=$((line + 1))
    if [ -z "$source" ] || [ "${SLURM_ARRAY_TASK_ID:-$line}" -ne "$line" ]; then
        continue
    fi
    SECONDS=0 code=0
    ADDRESS=${address:-$source} "$here/dataset.sh" "$source" "$@" < /dev/null || code=$?
    printf '%(%FT%T%z)T\t%s\t%s\t%s\n' -1 "$source" "$code" "$SECONDS" >> "$outputs/batch.tsv"
    worst=$((code > worst ? code : worst))
done < "$list"
exit "$worst"
