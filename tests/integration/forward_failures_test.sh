#!/usr/bin/env bash
# Runs forward_failures_test.py in namespaces of its own, where it is the name
# server, and where there is no route.
set -euo pipefail
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1
exec unshare --user --map-root-user --mount --net bash -c '
  ip link set lo up
  exec /usr/bin/python3 tests/integration/forward_failures_test.py "$@"
' failures server/portreeved client/portreeve
