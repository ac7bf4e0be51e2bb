#!/usr/bin/env bash
# Runs the tour of README.md against the real programs.
set -euo pipefail
exec /usr/bin/python3 tests/tour/tour.py \
  --readme README.md --daemon server/portreeved --client client/portreeve
