#!/bin/sh
# SLURM and munge for the tests of the scripts here, on Debian and Ubuntu, as root.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm munge
