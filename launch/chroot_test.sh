#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The test of the quick start: a bare Debian in a chroot (debootstrap's minbase and git, nothing
# else), a clean clone of this commit in it, and the two commands of the README, timed. As root, on
# a Debian with debootstrap; apt's mirror and settings are this machine's.
#   launch/chroot_test.sh DIR [--suite bookworm|trixie]    quickstart.sh and test.sh, each twice
#   launch/chroot_test.sh DIR [--suite ...] COMMAND...     this command in the clone instead
# bookworm is Debian 12, the default, and trixie Debian 13.
# DIR is made where it does not exist, and kept: a DIR that is there is used again with a new clone.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

[[ $# -ge 1 && $1 == /* ]] || die "usage: launch/chroot_test.sh /ABSOLUTE/DIR [--suite bookworm|trixie] [COMMAND...]"
[[ $(id -u) == 0 ]] || die "a chroot needs root"
command -v debootstrap > /dev/null || die "debootstrap is missing; apt-get install debootstrap"
root=$1
shift
suite=bookworm
if [[ ${1:-} == --suite ]]; then
  suite=${2:-}
  [[ $suite == bookworm || $suite == trixie ]] || die "--suite $suite: expected bookworm or trixie"
  shift 2
fi

if [[ ! -e $root ]]; then
  say "making $root"
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
    'Origin: Debian' 'Component: main' | head -n 1)
  mirror=${mirror:-http://deb.debian.org/debian}
  # Half of a chroot must not look like one.
  debootstrap --variant=minbase --include=git "$suite" "$root.part" "$mirror" > "$root.log" || {
    tail -n 5 "$root.log"
    die "debootstrap failed; see $root.log and remove $root.part"
  }
  rm -f "$root.log"
  # How this machine reaches its mirror; the sources themselves are debootstrap's.
  cp -a /etc/apt/apt.conf.d/. "$root.part/etc/apt/apt.conf.d/"
  cp -a /etc/apt/auth.conf.d "$root.part/etc/apt/" 2> /dev/null || true
  cp -aL /etc/hosts /etc/resolv.conf "$root.part/etc/"
  mkdir -p "$root.part/etc/ssl/certs" "$root.part/usr/local/share"
  cp -aL /etc/ssl/certs/ca-certificates.crt "$root.part/etc/ssl/certs/" 2> /dev/null || true
  cp -a /etc/pip.conf "$root.part/etc/" 2> /dev/null || true
  mv "$root.part" "$root"
fi

grep -q "^VERSION_CODENAME=$suite$" "$root/etc/os-release" ||
  die "$root is there already, and is not $suite"

mounted=()
unmount() {
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
    umount "${mounted[i]}"
  done
}
trap unmount EXIT
mount -t proc proc "$root/proc"
mounted+=("$root/proc")
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mounted+=("$root/dev/shm")
# Tests of what a terminal shows make pseudo-terminals.
mkdir -p "$root/dev/pts"
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts "$root/dev/pts"
mounted+=("$root/dev/pts")

rm -rf "$root/root/trunkline"
git clone --quiet --no-hardlinks . "$root/root/trunkline"

# A plain environment, but for what says how to reach a proxy or which certificates to trust.
environment=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin "TERM=${TERM:-dumb}")
while IFS= read -r variable; do
  environment+=("$variable")
done < <(env | grep -iE '^(https?_proxy|no_proxy|ssl_cert_file|pip_[a-z_]+)=' || true)
timed() {
  say "$*"
  local start=$SECONDS
  chroot "$root" env -i "${environment[@]}" sh -c 'cd /root/trunkline && exec "$@"' sh "$@"
  printf '== %s took %d s\n' "$*" $((SECONDS - start))
}

if (($#)); then
  timed "$@"
else
  timed launch/quickstart.sh
  timed launch/quickstart.sh
  timed launch/test.sh
  timed launch/test.sh
fi
