#!/usr/bin/env bash
# run.sh TEST.py ARGUMENT...: runs a test with Debian's own Python, in
# namespaces of its own: there the kernel's tables have nobody else's sockets,
# and TCP takes so little that who sends to somebody who does not read is stalled
# soon, and asks as long as it takes whoever does not answer.
set -euo pipefail
# A unix socket's path has at most 107 bytes.
export TMPDIR=/tmp PYTHONDONTWRITEBYTECODE=1
export PORTREEVED=${PORTREEVED_BINARY:-$PWD/server/portreeved}
export PORTREEVE=${PORTREEVE_BINARY:-$PWD/client/portreeve}
exec unshare --user --map-root-user --net bash -c '
  ip link set lo up
  echo 4096 65536 262144 >/proc/sys/net/ipv4/tcp_wmem
  echo 4096 65536 262144 >/proc/sys/net/ipv4/tcp_rmem
  echo 10 >/proc/sys/net/ipv4/tcp_syn_retries
  ulimit -n "$(ulimit -H -n)"
  test=$1
  shift
  exec /usr/bin/python3 "tests/upgrades/$test" "$@"
' upgrades "$@"
