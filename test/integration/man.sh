#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs(8) describes every option that the command line knows, and no other.
set -eu
source=$DMMFS_SOURCEDIR/src/daemon/options.c page=$DMMFS_SOURCEDIR/docs/man/dmmfs.8

valued=$(sed -n 's/^\t{ \?"\([a-z]*\)", set_.*/\1/p' "$source" | sort)
described=$(sed -n 's/^\.BI \([a-z]*\)= .*/\1/p' "$page" | sort)
diff <(echo "$valued") <(echo "$described") || { echo 'options of the program (<) and of the page (>) differ'; exit 1; }
for flag in $(sed -n '/^} flags\[\] = {/,/^};/s/^\t{ \?"\([a-z]*\)".*/\1/p' "$source"); do
	[ "$flag" = defaults ] || grep -qw "$flag" "$page" || { echo "$flag is not described"; exit 1; }
done
[ -n "$valued" ] && echo "$(wc -w <<<"$valued") options"
