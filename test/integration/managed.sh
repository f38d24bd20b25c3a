# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced after lib.sh: daemons under a service manager that keeps descriptors (test/tools/manager). Its directory is $work/manager.
# shellcheck shell=bash

# managed LOG ARGUMENTS...: a daemon under the manager, with a source of the plugin "slow"; returns when it
# serves and the manager has what it needs.
managed()
{
	local log=$1
	shift
	mkdir -p manager
	DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests \
		"$DMMFS_SOURCEDIR/test/tools/manager" "$work/manager" "$dmmfs" "$@" -f >"$log" 2>&1 &
	pid[manager]=$!
	wait_for 60 grep -qs READY=1 manager/told
	wait_for 60 is_stored ^ 4
}

keeper() { cat manager/pid; }
# The names in the manager's store, without what is of one mount.
stored() { sed 's/-[0-9a-f]*$//' manager/store | sort | xargs; }
# is_stored REGEX COUNT
is_stored() { [ "$(grep -c "$1" manager/store)" -eq "$2" ]; }
# said REGEX LOG: how many lines of the log match.
said() { grep -cE "$1" "$2" || :; }
said_more() { [ "$(said "$1" "$2")" -gt "$3" ]; }

# kill_all LOG [HOW]: keeper and worker; returns when others serve, who have taken over or, as HOW says, begun "again".
kill_all()
{
	local before how="event=start .*how=${2:-takeover}"
	before=$(said "$how" "$1")
	kill -9 "$(keeper)"
	wait_for 60 said_more "$how" "$1" "$before"
	wait_for 60 [ -S run/1.sock ]
}
