#!/bin/sh
# What builds and runs images without a daemon, on Debian and Ubuntu, as root.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends buildah podman runc debootstrap
