#!/usr/bin/env bash
# reproducible_test.sh VERSION DESTINATION=SOURCE...: the same files make the same
# package, whoever makes it, where, and when.
set -euo pipefail

readonly VERSION=$1
shift
ARCHITECTURE=$(dpkg --print-architecture)
readonly ARCHITECTURE

# make OUT PREFIX ...: of the files below PREFIX.
make() {
  local out=$1 prefix=$2 argument arguments=()
  shift 2
  for argument; do
    case $argument in
    *=) arguments+=("$argument") ;;
    *) arguments+=("${argument%%=*}=$prefix/${argument#*=}") ;;
    esac
  done
  packaging/make_deb.sh "$out" "$VERSION" "$ARCHITECTURE" \
    "$prefix/packaging/debian/control" "${arguments[@]}"
}

(
  umask 022
  TZ=UTC make "$TEST_TMPDIR/one.deb" . "$@"
)

# The same files elsewhere, of another age and mode.
readonly COPY=$TEST_TMPDIR/copy
mkdir "$COPY" "$TEST_TMPDIR/tmp"
cp -rL --parents packaging "$COPY"
for argument; do
  [[ $argument == *= ]] || cp -Lf --parents "${argument#*=}" "$COPY"
done
chmod -R u+w,go-rwx "$COPY"
find "$COPY" -exec touch --date=2001-02-03 {} +
(
  umask 077
  TZ=Asia/Tokyo LANG=tr_TR.UTF-8 LC_ALL=C.UTF-8 TMPDIR=$TEST_TMPDIR/tmp \
    SOURCE_DATE_EPOCH=1 make "$TEST_TMPDIR/two.deb" "$COPY" "$@"
)
cmp "$TEST_TMPDIR/one.deb" "$TEST_TMPDIR/two.deb"
