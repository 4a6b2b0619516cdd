#!/bin/sh
# What the tests of pages and of completion need, on Debian and Ubuntu, as root: a browser and
# the shells.
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium bash-completion zsh fish
