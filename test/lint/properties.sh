#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every property that can change while a migration runs has its row in src/daemon/apply.c, and no other has one.
set -u
source=$DMMFS_SOURCEDIR/src
live=$(awk -F'"' '/^\t\t\.name = /{name = $2} /^\t\t\.when = PROPERTY_LIVE/{print name}' "$source/property/table.c" | sort)
applied=$(sed -n '/^} applications\[\] = {/,/^};/p' "$source/daemon/apply.c" | grep -oE '\{"[a-z]+", apply_' | cut -d'"' -f2 | sort)
[ -n "$live" ] || { echo 'no live property was found: look at this test'; exit 1; }
diff <(echo "$live") <(echo "$applied") || { echo 'live properties (<) and those that are applied (>) differ'; exit 1; }
