#!/usr/bin/env bash
# run.sh SECONDS [SEED]: runs night_test.py with Debian's own Python, in
# namespaces of its own: there it may mount a disk, and is the name server.
set -euo pipefail
stubs=$TEST_TMPDIR/stubs
mkdir -p "$stubs"
cp -rL tests/integration/google tests/integration/portreeve "$stubs"
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONPATH=$stubs PYTHONDONTWRITEBYTECODE=1
exec unshare --user --map-root-user --mount --net bash -c '
  ip link set lo up
  exec /usr/bin/python3 tests/night/night_test.py "$@"
' night "${PORTREEVED_BINARY:-server/portreeved}" tests/night/heap_probe.so "$@"
