#!/usr/bin/env bash
# A watch and a worker behind nginx: see nginx_test.py.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/integration/nginx_test.py
