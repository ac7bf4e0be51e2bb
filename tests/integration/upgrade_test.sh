#!/usr/bin/env bash
# Upgrades of portreeved: runs the program $1 of this folder.
set -euo pipefail
stubs=$TEST_TMPDIR/stubs
mkdir -p "$stubs"
cp -rL tests/integration/google tests/integration/portreeve "$stubs"
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONPATH=$stubs PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "tests/integration/$1"
