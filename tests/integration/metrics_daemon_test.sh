#!/usr/bin/env bash
# Runs metrics_daemon_test.py with Debian's own Python.
set -euo pipefail
here=tests/integration
mkdir -p "$TEST_TMPDIR/stubs"
cp -rL "$here/google" "$here/portreeve" "$TEST_TMPDIR/stubs/"
export PYTHONPATH=$TEST_TMPDIR/stubs PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$here/metrics_daemon_test.py" server/portreeved
