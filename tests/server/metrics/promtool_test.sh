#!/usr/bin/env bash
# What Prometheus's own tool says of the text: it parses, and is as the
# conventions of its metrics want it.
set -euo pipefail
exec promtool check metrics <tests/server/metrics/all_metrics.prom
