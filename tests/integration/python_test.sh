#!/usr/bin/env bash
# Runs python_test.py with Debian's own Python, whose grpcio it needs.
set -euo pipefail
here=tests/integration
mkdir -p "$TEST_TMPDIR/stubs" "$TEST_TMPDIR/grpc_more"
cp -rL "$here/google" "$here/portreeve" "$TEST_TMPDIR/stubs/"
# Apart: a folder `grpc` in the path would hide the package of that name.
cp -rL "$here/grpc/reflection" "$TEST_TMPDIR/grpc_more/"
PYTHONPATH="$TEST_TMPDIR/stubs" exec /usr/bin/python3 "$here/python_test.py" \
  server/portreeved "$TEST_TMPDIR/grpc_more"
