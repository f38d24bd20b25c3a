#!/bin/bash
# What `meson install` puts where: all that a user needs, nothing of libfuse, and the mount helper where mount(8) looks.
set -eu
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

DESTDIR=$root meson install -C "$DMMFS_BUILDDIR" --no-rebuild --skip-subprojects --quiet
installed=$(cd "$root" && find . ! -type d | sort)

expect()
{
	grep -qE "$1" <<<"$installed" || { printf 'nothing matches %s in:\n%s\n' "$1" "$installed"; exit 1; }
}
expect '/sbin/dmmfs$'
expect '/sbin/dmmfs-admin$'
expect '^\./sbin/mount\.fuse\.dmmfs$'
expect '/dmmfs/plugins/posix\.so$'
expect '/include/dmmfs/plugin\.h$'
expect '/pkgconfig/dmmfs\.pc$'
expect '/systemd/system/dmmfs@\.service$'
expect '/tmpfiles\.d/dmmfs\.conf$'
expect '/bash-completion/completions/dmmfs-admin$'
expect '/man8/dmmfs\.8$'
expect '/man8/dmmfs-admin\.8$'
expect '/man5/dmmfs-admin-json\.5$'
expect '/man3/dmmfs-plugin\.3$'
if grep -E 'libfuse|fuse3' <<<"$installed"; then
	echo 'libfuse is linked statically and must not be installed'
	exit 1
fi

program=$(readlink "$root/sbin/mount.fuse.dmmfs")
[ -x "$root$program" ] || { echo "the mount helper points to $program, which was not installed"; exit 1; }
"$root$program" --version | grep -q '[0-9]' || { echo "$program --version says nothing"; exit 1; }

if command -v systemd-analyze >/dev/null; then
	# The program stands below $root for the check alone.
	sed "s#^ExecStart=[^ ]*#ExecStart=$root$program#" "$root"/*/*/lib/systemd/system/dmmfs@.service >"$root/dmmfs@.service"
	complaints=$(systemd-analyze verify --man=no "$root/dmmfs@.service" 2>&1) || { echo "$complaints"; exit 1; }
	[ -z "$complaints" ] || { echo "$complaints"; exit 1; }
fi
