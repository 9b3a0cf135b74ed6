#!/bin/sh
# Fill the virtual environment: `tools/install.sh VENV PYTHON`, called by `make venv`.
#
# torch goes first and by itself, because it is the one package whose build matters: on Linux, pip
# left alone may choose a build with several gigabytes of CUDA, which gossipd never uses. What pip
# would choose is asked before anything is downloaded.
#
# $TORCH_INDEX: where the CPU build is (docs/dependencies.md), if pip's own settings do not say it.
# $TORCH_CUDA=yes: a CUDA build is welcome.
set -eu

venv=$1
python=$2

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
pip="$venv/bin/python -m pip --disable-pip-version-check"

# `--dry-run --report` with small downloads: pip 23.2. Debian 12 brings 23.0.
$pip install --quiet "pip>=23.2"

set -- --constraint constraints.txt torch
[ -z "${TORCH_INDEX:-}" ] || set -- --index-url "$TORCH_INDEX" "$@"

if [ "${TORCH_CUDA:-no}" != yes ]; then
    plan=$($pip install --quiet --dry-run --report - "$@")
    if printf '%s\n' "$plan" | grep -Eqi '"name": "(nvidia|cuda|triton)'; then
        {
            echo "Stopped before the download: pip would install torch's CUDA build (several GB)."
            echo "gossipd trains on the CPU. Type:  make venv TORCH_INDEX=<torch's index of CPU builds>"
            echo "(docs/dependencies.md tells where to find it), or:  make venv TORCH_CUDA=yes"
        } >&2
        exit 1
    fi
fi

$pip install --quiet "$@"
$pip install --quiet --constraint constraints.txt --editable '.[lab,dashboard,dev,images,tables]'
