#!/bin/sh
# The main job from nothing: make phantoms, fit a model on them, fill in what is missing. Where real
# scans lie beside the repository, also the images that a whole head with a T1w alone lacks.
set -eu
demo=${1:-demo}
real=${2:-../shared/data/head}
if [ ! -d "$demo/bids" ]; then
    python -m bids_synth.demo "$demo/bids" --participants 9 --resolution 2 --seed 1
fi
bids_synth "$demo/bids" "$demo/out" group --work-dir "$demo/work" --random-seed 27 \
    --set grid.spacing=2 --set fit.steps=500 --set fit.steps_per_epoch=250 --set fit.test=0.34 \
    --set preparation.registration_spacing=4 --set synthesis.overlap=0.25
bids_synth "$demo/bids" "$demo/out" participant --work-dir "$demo/work"
if [ -d "$real" ]; then
    bids_synth "$real" "$demo/real" participant --work-dir "$demo/work"
fi
echo
echo "Open in a browser:"
for page in "$demo"/out/index.html "$demo"/out/group.html "$demo"/out/sub-*.html "$demo"/real/index.html "$demo"/real/sub-*.html; do
    if [ -e "$page" ]; then echo "  $page"; fi
done
