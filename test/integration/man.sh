#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs(8) describes every option that the command line knows, and no other; the pages are sound.
set -eu
source=$DMMFS_SOURCEDIR/src page=$DMMFS_BUILDDIR/docs/man/dmmfs.8

# Properties that have a place or words of their own on the command line are no options.
valued=$({ echo confdir; echo rundir
	awk -F'"' '/^\t\t\.name = /{name = $2} /^\t\t\.positional = true/{name = ""} /^\t},/{if (name) print name; name = ""}' \
		"$source/property/table.c"; } | sort)
described=$(sed -n 's/^\.BI \([a-z]*\)= .*/\1/p; s/^\\fB\([a-z]*\)=\\fR.*/\1/p' "$page" | sort)
diff <(echo "$valued") <(echo "$described") || { echo 'options of the program (<) and of the page (>) differ'; exit 1; }
for flag in $(sed -n '/^} flags_known\[\] = {/,/^};/s/^\t{ \?"\([a-z]*\)".*/\1/p' "$source/property/mount_flags.c"); do
	[ "$flag" = defaults ] || grep -qw "$flag" "$page" || { echo "$flag is not described"; exit 1; }
done
[ -n "$valued" ] && echo "$(wc -w <<<"$valued") options"

for name in dmmfs.8 dmmfs-admin.8; do
	for word in $(sed -n 's/^\t\t\.name = "\(.*\)",/\1/p' "$source/property/table.c"); do
		[ $name = dmmfs.8 ] || grep -q "^.fB$word=" "$DMMFS_BUILDDIR/docs/man/$name" || { echo "$name does not describe $word"; exit 1; }
	done
	! command -v groff >/dev/null || complaints=$(groff -man -Tutf8 -ww -z "$DMMFS_BUILDDIR/docs/man/$name" 2>&1)
	[ -z "${complaints-}" ] || { echo "$complaints"; exit 1; }
done
