#!/usr/bin/env bash
# The daemon has the core of prometheus-cpp, and not what else is in its package: a
# server of HTTP and a client.  $1: the daemon.
set -euo pipefail
libraries=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
grep -q '^libprometheus-cpp-core\.so' <<<"$libraries" || {
  echo "the core of prometheus-cpp is not linked"
  exit 1
}
if grep -E 'prometheus-cpp-(pull|push)|civetweb|curl' <<<"$libraries"; then
  echo "these are linked"
  exit 1
fi
# Nor does a library bring them along.
if ldd "$1" | grep -E 'civetweb|libcurl'; then
  echo "these are loaded"
  exit 1
fi
