#!/bin/sh
# Installs the Debian packages that building, testing and demonstrating need, and
# those that are named. Does nothing, at once, when all of them are there. Debian 12, root.
set -eu

packages='
	acl attr bzip2 ca-certificates cpio fsarchiver gzip libcap2-bin lz4 make tar xz-utils zstd
	protobuf-compiler
	dosfstools btrfs-progs e2fsprogs fdisk gdisk parted util-linux xfsprogs
	iproute2 openssh-client openssh-server procps
	mmdebstrap
	openipmi
	ipxe-qemu ovmf qemu-system-x86 seabios
'
# why, line by line: archives, what they hold, and the build; code made from .proto files; file systems and
# partition tables (tests of the agent); the lab's network, logins, an sshd for tests, a look at processes;
# roots of the mini-OS and of the demo environment; a simulated BMC; the lab's machines and their firmware.

missing=
for package in $packages "$@"; do
	state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) || state=none
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "install-packages: these packages are missing:$missing" >&2
	echo "install-packages: run this script as root to install them" >&2
	exit 1
fi

# The lock of the package lists has no waiting option of its own, hence the loop.
export DEBIAN_FRONTEND=noninteractive
attempt=1
until apt-get update -qq; do
	[ "$attempt" -lt 30 ] || { echo "install-packages: cannot update the package lists" >&2; exit 1; }
	attempt=$((attempt + 1))
	sleep 2
done

echo "install-packages: installing$missing" >&2
# $missing is a list of words.
# shellcheck disable=SC2086
exec apt-get -o DPkg::Lock::Timeout=600 -qq -y --no-install-recommends install $missing
