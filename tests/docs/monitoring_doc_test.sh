#!/usr/bin/env bash
# Checks that docs/MONITORING.md describes all metrics.
set -euo pipefail
exec /usr/bin/python3 tests/docs/monitoring_doc_test.py
