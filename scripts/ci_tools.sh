#!/bin/sh
# The programs that some tests need and pip has not, on Debian and Ubuntu, as root.
# Tests whose program is not there are skipped and say so: this may fail.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm munge
