#!/usr/bin/env bash
# The alerts and the dashboard: see deploy_test.py.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 tests/deploy/deploy_test.py
