#!/usr/bin/env bash
# run.sh TEST.py ARGUMENT...: runs a test with Debian's own Python, in namespaces
# of its own: nobody else takes a port there, and it may mount a disk.
set -euo pipefail
stubs=$TEST_TMPDIR/stubs
mkdir -p "$stubs"
cp -rL tests/integration/google tests/integration/portreeve "$stubs"
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONPATH=$stubs PYTHONDONTWRITEBYTECODE=1
export PORTREEVED=${PORTREEVED_BINARY:-server/portreeved}
exec unshare --user --map-root-user --mount --net bash -c '
  ip link set lo up
  test=$1
  shift
  exec /usr/bin/python3 "tests/restart/$test" "$@"
' restart "$@"
