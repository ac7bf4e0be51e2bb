#!/usr/bin/env bash
# `portreeve describe` of connections, and `list`: see
# describe_connection_test.py.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
export PORTREEVED=$PWD/server/portreeved PORTREEVE=$PWD/client/portreeve
exec /usr/bin/python3 tests/integration/describe_connection_test.py
