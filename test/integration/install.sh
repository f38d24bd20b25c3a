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
expect '/sysusers\.d/dmmfs\.conf$'
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

for tool in systemd-analyze systemd-tmpfiles systemd-sysusers; do
	command -v $tool >/dev/null || { echo "skipped: needs $tool (the package systemd)"; exit 77; }
done
# silent WHAT COMMAND...: it succeeds and has nothing to say.
silent()
{
	local what=$1 words
	shift
	words=$("$@" 2>&1) || { echo "$what fails: $words"; exit 1; }
	[ -z "$words" ] || { echo "$what: $words"; exit 1; }
}
# The program stands below $root for the check alone.
unit=$root/dmmfs@7.service
sed "s#^ExecStart=[^ ]*#ExecStart=$root$program#" "$root"/*/*/lib/systemd/system/dmmfs@.service >"$unit"
silent 'the unit' systemd-analyze verify --man=no "$unit"
if grep -q '@' <(grep -v '^#' "$unit"); then echo 'something was not replaced in the unit'; exit 1; fi
lib=$(cd "$root"/*/*/lib/tmpfiles.d/.. && pwd)
mkdir -p "$root/etc" "$root/run" "$root/var/lib"
systemd-sysusers --root="$root" "$lib/sysusers.d/dmmfs.conf" >/dev/null
grep -q '^dmmfs:' "$root/etc/group" || { echo 'the group dmmfs is not made'; exit 1; }
silent 'the directories' systemd-tmpfiles --root="$root" --create "$lib/tmpfiles.d/dmmfs.conf"
group=$(sed -n 's/^dmmfs:[^:]*:\([0-9]*\):.*/\1/p' "$root/etc/group")
[ "$(stat -c '%a %u %g' "$root/run/dmmfs")" = "750 0 $group" ] || { stat "$root/run/dmmfs"; exit 1; }
[ "$(stat -c '%a %u %g' "$root/var/lib/dmmfs")" = '700 0 0' ] || { stat "$root/var/lib/dmmfs"; exit 1; }
