#!/usr/bin/env bash
# Checks that docs/CONFORMANCE.md is whole and names tests that exist.
set -euo pipefail
exec /usr/bin/python3 tests/docs/conformance_doc.py
