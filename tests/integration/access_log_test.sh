#!/usr/bin/env bash
# Runs access_log_test.py with Debian's own Python, whose grpcio it needs, in
# namespaces of its own, where it may mount.
set -euo pipefail
here=tests/integration
mkdir -p "$TEST_TMPDIR/stubs"
cp -rL "$here/google" "$here/portreeve" "$TEST_TMPDIR/stubs/"
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$TEST_TMPDIR/stubs"
exec unshare --user --map-root-user --mount --net bash -c '
  ip link set lo up
  exec /usr/bin/python3 tests/integration/access_log_test.py "$@"
' access_log server/portreeved client/portreeve
