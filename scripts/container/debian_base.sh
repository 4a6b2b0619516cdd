#!/bin/sh
# Make a base image with Python 3.11 from Debian's packages, where no registry can be reached.
#   debian_base.sh IMAGE [MIRROR]
set -eu
image=$1
mirror=${2:-}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
    bookworm "$root" ${mirror:+"$mirror"}
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$root" -c . | podman import - "$image"
