#!/bin/sh
# What a batch over DataLad datasets needs, on Debian and Ubuntu, as root.
#
#   install_tools.sh [FOLDER]   DataLad goes into a virtual environment in FOLDER (default
#                               /opt/datalad), apart from the packages of bids_synth
set -eu
folder=${1:-/opt/datalad}
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends git git-annex python3-venv
"$folder/bin/datalad" --version >/dev/null 2>&1 || python3 -m venv --clear "$folder"
"$folder/bin/pip" install --quiet datalad==1.7.1
ln -sf "$folder"/bin/datalad "$folder"/bin/git-annex-remote-datalad* /usr/local/bin/
