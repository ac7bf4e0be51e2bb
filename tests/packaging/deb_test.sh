#!/usr/bin/env bash
# deb_test.sh PACKAGE VERSION: see deb_test.py.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/packaging/deb_test.py "$@"
