#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Memory runs out, and the kernel ends the daemon: another one goes on, programs notice nothing (oom.py), the log tells the likely cause, and
# the keeper is not among those that may be chosen.   usage: oom.sh [KILLS [SECONDS THE GROUP STAYS FULL]]; 100 is the long form
. "$(dirname "$0")/lib.sh"
kills=${1:-3} full_s=${2:-1}
m=$work/target

# In a control group of our own with a limit.
pids=
if [ -f /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
	top=/sys/fs/cgroup/memory limit=memory.limit_in_bytes told=memory.oom_control
	top+=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
	pids=/sys/fs/cgroup/pids$(sed -n 's/^[0-9]*:pids://p' /proc/self/cgroup)/${place##*/}
elif grep -qsw memory /sys/fs/cgroup/cgroup.subtree_control; then
	top=/sys/fs/cgroup limit=memory.max told=memory.events
else
	skip 'needs control groups for memory below /sys/fs/cgroup'
fi
group=$top/${place##*/} pids=${pids:-$top/${place##*/}}
end_group()
{
	local status=$?
	trap - EXIT
	set +e
	while [ -d "$group" ] || [ -d "$pids" ]; do
		rmdir "$group" "$pids" && continue
		xargs -r kill -9 <"$group/cgroup.procs"
		sleep 0.1
	done 2>/dev/null
	(exit $status)
	clean_up
}
trap end_group EXIT
mkdir -p "$group" "$pids" || skip "needs to make control groups: $group $pids"
echo 64M >"$group/$limit"
[ ! -f "$group/memory.swap.max" ] || echo 0 >"$group/memory.swap.max"
[ ! -f "$group/memory.swappiness" ] || echo 0 >"$group/memory.swappiness"
[ ! -f "$group/memory.memsw.limit_in_bytes" ] || echo 64M >"$group/memory.memsw.limit_in_bytes"
printf '#!/bin/sh\necho 0 >"%s/cgroup.procs" && exec "%s" "$@"\n' "$group" "$dmmfs" >inside
chmod +x inside

# CAP_SYS_RESOURCE, without which a keeper cannot take itself out of the choice
may_be_spared=
[ $((0x$(sed -n 's/^CapEff:\t*//p' /proc/self/status) >> 24 & 1)) = 0 ] || may_be_spared=yes

keeper_was_killed()
{
	local status=0
	grep -qs '^State:.[^Z]' "/proc/${pid[one]}/status" && return 1
	wait "${pid[one]}" || status=$?
	[ $status -eq 137 ]
}

# runs_out WHAT KILLS SECONDS
runs_out()
{
	local status=0
	python3 "$DMMFS_SOURCEDIR/test/integration/oom.py" "$2" "$3" "${SEED:-$RANDOM}" "${pid[one]}" one.log "$m" "$work/wanted" \
		"$group" "$limit" "$told" >programs.log 2>&1 || status=$?
	if [ $status -ne 0 ] && [ ! $may_be_spared ] && keeper_was_killed; then
		skip 'the kernel has chosen the keeper, which has no right to be spared here (CAP_SYS_RESOURCE)'
	fi
	[ $status -eq 0 ] || fail "$1"
	say "ok: $1"
	cat programs.log
	rm -rf "$m"/{names,held,removed,opener,writer,reader,mapper}-* # for the next
	cp "$m/coming" wanted/coming
}

mkdir -p source/many target
for i in {001..100}; do mkdir "source/many/$i"; head -c "$((RANDOM * 3))" /dev/urandom >"source/many/$i/file"; done
head -c 8M /dev/urandom >source/coming
cp -r source wanted # what programs find, who change a file of the source
program=$dmmfs
dmmfs=$work/inside
start one "$work/source" "$m" -o segsize=64K,whole=64K,background=off,passthrough=off
dmmfs=$program
runs_out "programs go on while memory runs out $kills times" "$kills" 0
check 'the log tells the likely cause, and what to do' grep -q 'most likely ended the daemon.*raise MemoryMax=' one.log

say '--- whom the kernel may choose'
if [ $may_be_spared ]; then
	equal 'not the keeper' -1000 "$(cat "/proc/${pid[one]}/oom_score_adj")"
	equal 'its worker as before' "$(cat /proc/self/oom_score_adj)" "$(cat "/proc/$(worker one)/oom_score_adj")"
	runs_out 'programs go on when the group is full for a while' 2 "$full_s"
	check 'the migration is upgraded' "$admin" upgrade "$m"
	equal 'not the new keeper' -1000 "$(cat "/proc/${pid[one]}/oom_score_adj")"
	equal 'its worker as before' "$(cat /proc/self/oom_score_adj)" "$(cat "/proc/$(worker one)/oom_score_adj")"
else
	say 'not looked at: this needs CAP_SYS_RESOURCE'
	equal 'the worker, as before' "$(cat /proc/self/oom_score_adj)" "$(cat "/proc/$(worker one)/oom_score_adj")"
	check 'the log says that it may be the keeper' grep -q 'no right to be spared (CAP_SYS_RESOURCE)' one.log
fi

say '--- no process can be started'
echo "${pid[one]}" >"$pids/cgroup.procs"
echo 1 >"$pids/pids.max"
kill -9 "$(worker one)"
wait_for 30 grep -q 'no process can be started.*raise TasksMax=' one.log
echo max >"$pids/pids.max"
check 'another one serves as soon as it can' cmp wanted/coming "$m/coming"
stop one "$m"
