#!/usr/bin/env bash
# Upgrades of portreeved: see upgrade_test.py.
set -euo pipefail
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/integration/upgrade_test.py
