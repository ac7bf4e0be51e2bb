#!/usr/bin/env bash
# `portreeve top` and `describe`: see top_test.py.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
export PORTREEVED=$PWD/server/portreeved PORTREEVE=$PWD/client/portreeve
exec /usr/bin/python3 tests/integration/top_test.py
