#!/usr/bin/env bash
# chroot.sh TEST.py PACKAGE ARGUMENT...: runs a test that has a Debian of its own. As root, and
# with a mirror of Debian in reach.
set -euo pipefail
((EUID == 0)) || {
  echo "it makes a chroot, for which it has to be root" >&2
  exit 1
}
export PORTREEVE_DEB=$PWD/$2 PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH=$PWD/tests/integration
exec /usr/bin/python3 "tests/packaging/$1" "${@:3}"
