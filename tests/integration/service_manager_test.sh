#!/usr/bin/env bash
# portreeved under systemd: see service_manager_test.py.
set -euo pipefail
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/integration/service_manager_test.py
