#!/bin/bash
# System headers are visible to every target, so the build does not see a stray
# include: //lib knows neither gRPC nor protobuf, //client not //lib, neither of
# them //bench, and //bench only what a client of the daemon knows.  Runs where
# the sources of all are.
set -u

failures=0

# absent PATTERN FOLDER: no source in FOLDER contains PATTERN.
absent() {
  local files
  mapfile -t files < <(find -L "$2" -name '*.h' -o -name '*.cc')
  if [ "${#files[@]}" -lt 10 ]; then
    echo "FAIL: only ${#files[@]} sources in $2"
    failures=$((failures + 1))
  elif grep -nE "$1" "${files[@]}"; then
    echo "FAIL: $2 must not contain $1"
    failures=$((failures + 1))
  fi
}

absent 'grpcpp|google/protobuf|\.pb\.h|"(proto|server|client|bench)/' lib
absent '"(lib|server|bench)/' client
absent '"(lib|server|client)/' bench

exit "$((failures > 0))"
