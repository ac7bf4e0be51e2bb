#!/usr/bin/env bash
# make_deb.sh OUT VERSION ARCHITECTURE CONTROL DESTINATION=SOURCE...
# Makes the package OUT of the files, and of what lies beside CONTROL: changelog,
# postinst, prerm and postrm. A DESTINATION of /usr/bin is a program, and is
# stripped; one that ends in .gz is compressed; one without a SOURCE is an empty
# folder. What is below /etc is the administrator's to change. @NAME@ in control
# and changelog is replaced. The same input makes the same bytes.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

fail() {
  echo "make_deb.sh: $*" >&2
  exit 1
}

readonly OUT=$1 VERSION=$2 ARCHITECTURE=$3 CONTROL=$4
shift 4
[[ $(dpkg --print-architecture) == "$ARCHITECTURE" ]] ||
  fail "this machine makes no package for $ARCHITECTURE"
PACKAGE=$(sed -n 's/^Package: //p' "$CONTROL")
readonly PACKAGE BESIDE=${CONTROL%/*}

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
readonly TREE=$folder/tree
mkdir -p "$TREE/DEBIAN"

# What was changed last is as old as the newest entry of the changelog.
sed "1,/^ --/s/@VERSION@/$VERSION/" "$BESIDE/changelog" >"$folder/changelog"
SOURCE_DATE_EPOCH=$(dpkg-parsechangelog -l "$folder/changelog" -STimestamp)
export SOURCE_DATE_EPOCH

place() {
  local source=$1 target=$TREE$2
  mkdir -p "${target%/*}"
  case $target in
  "$TREE"/usr/bin/*)
    strip --strip-all --remove-section=.comment --remove-section=.note \
      -o "$target" "$source"
    chmod 755 "$target"
    programs+=("$target")
    ;;
  *.gz) gzip -9n <"$source" >"$target" ;;
  *) cat "$source" >"$target" ;;
  esac
}

programs=()
for argument; do
  case $argument in
  *=) mkdir -p "$TREE${argument%=}" ;;
  *) place "${argument#*=}" "${argument%%=*}" ;;
  esac
done
place "$folder/changelog" "/usr/share/doc/$PACKAGE/changelog.gz"

# Which packages have the libraries; it wants to be where a source package is.
mkdir "$folder/debian"
printf 'Source: %s\n\nPackage: %s\nArchitecture: any\n' "$PACKAGE" "$PACKAGE" \
  >"$folder/debian/control"
libraries=$(cd "$folder" &&
  dpkg-shlibdeps -O "${programs[@]/#/-e}" 2>"$folder/shlibdeps") ||
  fail "dpkg-shlibdeps: $(cat "$folder/shlibdeps")"
[[ $libraries == shlibs:Depends=?* ]] || fail "no libraries in '$libraries'"

# In KiB, as dpkg-gencontrol counts.
size=$(find "$TREE" -mindepth 1 -path "$TREE/DEBIAN" -prune -o \
  -type f -printf '%s\n' -o -mindepth 1 -printf '1\n' |
  awk '{ sum += int(($1 + 1023) / 1024) } END { print sum }')
sed -e "s/@VERSION@/$VERSION/" -e "s/@ARCHITECTURE@/$ARCHITECTURE/" \
  -e "s/@INSTALLED_SIZE@/$size/" \
  -e "s/@LIBRARIES@/${libraries#shlibs:Depends=}/" \
  "$CONTROL" >"$TREE/DEBIAN/control"

for script in postinst prerm postrm; do
  cat "$BESIDE/$script" >"$TREE/DEBIAN/$script"
  chmod 755 "$TREE/DEBIAN/$script"
done
(
  cd "$TREE"
  find etc -type f -printf '/%p\n' | sort >DEBIAN/conffiles
  find . -path ./DEBIAN -prune -o -path ./etc -prune -o -type f -printf '%P\n' |
    sort | xargs -d '\n' md5sum >DEBIAN/md5sums
)

find "$TREE" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group --threads-max=1 -Zxz --build "$TREE" "$OUT" >/dev/null
