#!/usr/bin/env bash
# Streams and lists over HTTP of a real daemon: see http_streams_test.py.
set -euo pipefail
# A unix socket's path has at most 107 bytes, and others must be able to go there.
export TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/integration/http_streams_test.py
