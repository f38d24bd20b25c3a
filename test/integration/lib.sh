# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by integration tests: a private place, daemons, file systems, checks, and an end without traces.
#
#   . "$(dirname "$0")/lib.sh"
#   make_tree source; mkdir target
#   start one "$work/source" "$work/target" -o segsize=64K
#   await_complete "$work/target"
#   check 'the trees are equal' same source target
#   stop one "$work/target"
#
# The test runs in name spaces of its own for mounts and processes: whatever happens, they end with it, and the machine is never
# touched. $work is its directory and the current one; DMMFS_CONFDIR and DMMFS_RUNDIR lie in it.
# shellcheck shell=bash
set -euo pipefail

DMMFS_SOURCEDIR=${DMMFS_SOURCEDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
DMMFS_BUILDDIR=${DMMFS_BUILDDIR:-$DMMFS_SOURCEDIR/build}
export DMMFS_SOURCEDIR DMMFS_BUILDDIR DMMFS_PLUGINDIR=${DMMFS_PLUGINDIR:-$DMMFS_BUILDDIR/plugins}
dmmfs=$DMMFS_BUILDDIR/src/daemon/dmmfs
admin=$DMMFS_BUILDDIR/src/cli/dmmfs-admin

skip() { echo "skipped: $*"; exit 77; }

if [ -z "${DMMFS_TEST_INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || skip 'needs root'
	[ -c /dev/fuse ] || skip 'needs /dev/fuse'
	inside=(unshare --mount --propagation slave --pid --fork --kill-child --mount-proc ${DMMFS_TEST_NET:+--net})
	"${inside[@]}" true || skip 'needs name spaces for mounts and processes'
	exec env DMMFS_TEST_INSIDE=1 "${inside[@]}" "$BASH" "$0" "$@"
fi
unset DMMFS_TEST_INSIDE
# The copy of somebody else's mount would keep it alive here after its end.
{ findmnt -rno TARGET -t fuse.dmmfs || :; } | while IFS= read -r mount; do umount -l "$(printf "%b" "$mount")"; done

# --- the private place -----------------------------------------------------------------------------------------------------------

place=$(realpath "$(mktemp -d "${TMPDIR:-/tmp}/dmmfs-test.XXXXXX")")
readonly place # it is removed at the end
work=$place
export DMMFS_CONFDIR=$work/conf DMMFS_RUNDIR=$work/run LC_ALL=C TZ=UTC
cd "$work"
chmod 755 . # for unprivileged users
umask 022
declare -A pid=()

clean_up()
{
	status=$?
	trap - EXIT
	set +e
	cd /
	[ $status -eq 0 ] || [ $status -eq 77 ] || tell_why "$BASH_COMMAND"
	for one in "${pid[@]}"; do kill -9 "$one"; done 2>/dev/null
	unmount_all
	rm -rf --one-file-system "$place"
	exit $status
}
trap clean_up EXIT
trap 'exit 143' TERM INT HUP

# tell_why COMMAND: the ends of all logs, and then what was not so: of a long output the last hundred lines are shown.
tell_why()
{
	local logs=() log calls=("${BASH_LINENO[@]:2}")
	unset 'calls[-1]' # of the first command of all
	for log in "$work"/*.log; do [ ! -s "$log" ] || logs+=("$log"); done
	for log in "${logs[@]}"; do
		echo "--- ${log##*/}"
		tail -n $((${#logs[@]} > 2 ? 80 / ${#logs[@]} : 40)) "$log"
	done
	echo "--- status $status of: ${failure:-$1}${calls[*]:+, called in lines ${calls[*]}}"
}

unmount_all()
{
	findmnt -rno TARGET | grep -F "$place/" | sort -r | while IFS= read -r mount; do
		umount -l "$(printf '%b' "$mount")"
	done 2>/dev/null
}

# fresh_fs DIR SIZE [MKFS OPTIONS]: a new ext4 file system of that size, mounted at DIR; its loop device goes with the mount.
fresh_fs()
{
	local dir=$1 size=$2
	shift 2
	mkdir -p "$dir"
	truncate -s "$size" "$dir.img"
	mkfs.ext4 -q -F "$@" "$dir.img"
	mount -o loop "$dir.img" "$dir" || skip 'needs loop devices'
	rmdir "$dir/lost+found"
}

# work_on_fresh_fs SIZE [MKFS OPTIONS]: $work and the current directory lie on one from now on. For large trees: where many files
# were removed shortly before, ext4 is slow to make new ones.
work_on_fresh_fs()
{
	fresh_fs "$place/fs" "$@"
	work=$place/fs
	cd "$work"
}

# --- checks -----------------------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*"; }
fail() { failure=${*%%$'\n'*}; say "FAILED: $*"; exit 1; }

# check WHAT COMMAND...: the command succeeds.
check()
{
	local what=$1 status=0
	shift
	"$@" >check.out 2>&1 || status=$?
	[ $status -eq 0 ] || { cat check.out; fail "$what (status $status of: $*)"; }
	say "ok: $what"
}

# refused WHAT STATUS REGEX COMMAND...: the command ends with this status and says something that matches.
refused()
{
	local what=$1 wanted=$2 regex=$3 status=0
	shift 3
	"$@" >refused.out 2>&1 || status=$?
	[ $status -eq "$wanted" ] || { cat refused.out; fail "$what: status $status, not $wanted, of: $*"; }
	grep -qE -- "$regex" refused.out || { cat refused.out; fail "$what: the message does not match: $regex"; }
	say "ok: $what: $(head -n 1 refused.out)"
}

# equal WHAT WANTED FOUND
equal() { [ "$2" = "$3" ] || fail "$1: '$3', not '$2'"; say "ok: $1"; }

# wait_for SECONDS COMMAND...: until the command succeeds. The seconds are what an idle machine may need at the very most; a busy one
# has several times as many, since the limit is for what never comes.
wait_for()
{
	local end=$((SECONDS + 4 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -le $end ] || fail "waited in vain for: $*"
		sleep 0.1
	done
}

# lines_of LINES FILE COMMAND...: what a command that goes on until it is ended prints, until there are so many whole lines of it.
lines_of()
{
	local lines=$1 file=$2 running
	shift 2
	: >"$file"
	"$@" >"$file" 2>lines.err &
	running=$!
	wait_for 30 sh -c "[ \$(wc -l <'$file') -ge $lines ] || ! kill -0 $running"
	kill $running 2>/dev/null || :
	wait $running || [ $? -eq 143 ] || fail "status $? of: $*: $(cat lines.err)"
	[ -z "$(tail -c 1 "$file")" ] || sed -i '$d' "$file" # the end cut it off
}

# same [OPTIONS OF treecmp] ONE OTHER
same() { "$DMMFS_SOURCEDIR/test/tools/treecmp" "$@"; }

# --- daemons ----------------------------------------------------------------------------------------------------------------------

# launch NAME ARGUMENTS...: a daemon in the foreground; its log is NAME.log, its process ${pid[NAME]}.
launch()
{
	local name=$1
	shift
	[ ! -e "$name.log" ] || mv "$name.log" "$name.before.log"
	[ -z "${DMMFS_FAULT:-}" ] || set -- "$@" -o keeper=off # it is to end there
	"$dmmfs" "$@" -f >"$name.log" 2>&1 &
	pid[$name]=$!
}

serves() { grep -qE '(^| )event=start .*mountpoint=' "$1.log"; }
ended() { ! kill -0 "${pid[$1]}" 2>/dev/null; }
serves_or_ended() { serves "$1" || ended "$1"; }

# start NAME SOURCE MOUNTPOINT [OPTIONS]: the same, and waits until it serves.
start()
{
	launch "$@"
	wait_for 60 serves_or_ended "$1"
	serves "$1" || fail "the daemon did not start: $(cat "$1.log")"
}

# reap NAME: waits for the end of the daemon, which must be a good one.
reap()
{
	local status=0
	wait "${pid[$1]}" || status=$?
	unset "pid[$1]"
	[ $status -eq 0 ] || fail "the daemon $1 ended with status $status"
}

# stop NAME MOUNTPOINT: unmounts; the migration halts.
stop()
{
	umount "$2"
	reap "$1"
}

# worker NAME: the process that serves; the daemon's own is its keeper.
worker() { pgrep -P "${pid[$1]}" -f "$dmmfs|^dmmfs " || echo "${pid[$1]}"; }

# Has this process ended?
gone() { ! kill -0 "$1" 2>/dev/null; }

# kill_hard NAME: kill -9 of the worker and its keeper. The mount stays, dead.
kill_hard()
{
	local worker
	worker=$(worker "$1")
	kill -9 "${pid[$1]}"
	wait "${pid[$1]}" 2>/dev/null || :
	wait_for 60 gone "$worker"
	unset "pid[$1]"
}

# figure MIGRATION KEY: one of the figures of stat --json; a migration is named by its mount point.
figure() { "$admin" stat --json "$1" | sed -n "s/^ *\"$2\": \"\{0,1\}\([^\",]*\).*/\1/p"; }
figure_is() { [ "$(figure "$1" "$2")" = "$3" ]; }
await_complete() { wait_for "${2:-60}" figure_is "$1" state complete; }
# finish NAME MOUNTPOINT [OPTIONS]: what was ours is gone.
finish()
{
	local name=$1 mountpoint=$2
	shift 2
	await_complete "$mountpoint"
	"$admin" finish "$mountpoint" "$@" >finish.out 2>&1 || { cat finish.out; fail "finish $mountpoint"; }
	reap "$name"
}

# no_trace DIR: nothing of ours is left there (I9).
no_trace()
{
	if [ -e "$1/.dmmfs" ]; then fail "$1/.dmmfs is left"; fi
	if [ -n "$(find "$1" -exec getfattr -h --absolute-names -m dmmfs {} + 2>/dev/null)" ]; then fail "an attribute of ours is left in $1"; fi
	if findmnt -rno FSTYPE -M "$1" | grep -q fuse; then fail "$1 is still mounted"; fi
}

# --- trees ------------------------------------------------------------------------------------------------------------------------

# real_tree DIR FILES: at least so many real files of this machine, with their attributes.
real_tree()
{
	local dir=$1 files=$2 round=0
	while [ "$files" -gt 0 ]; do
		round=$((round + 1))
		mkdir -p "$dir/$round"
		find /usr/include /usr/share/perl /usr/share/doc /usr/share/man /usr/share /usr/lib/python3 /usr/lib/gcc /usr/lib -xdev -type f \
			-size -2M -print0 2>/dev/null | awk -v RS='\0' -v ORS='\0' -v max="$files" '!seen[$0]++ && ++n <= max' >list
		tar -C / -c --null --verbatim-files-from -T <(tr '\0' '\n' <list | sed 's,^/,,' | tr '\n' '\0') | tar -C "$dir/$round" -x
		files=$((files - $(tr -dc '\0' <list | wc -c)))
	done
	rm -f list
}

# make_tree DIR: a small tree with one of everything.
make_tree()
{
	mkdir -p "$1/deep/er/est" "$1/empty" "$1/several"
	(
		cd "$1"
		printf 'first\nsecond\n' >plain
		: >nothing
		head -c 3000000 /dev/urandom >large
		truncate -s 5M holes
		printf 'island' | dd of=holes bs=1 seek=2500000 conv=notrunc status=none
		echo deep >deep/er/est/file
		echo linked >several/one
		ln several/one deep/two
		ln several/one three
		ln -s plain symlink
		ln -s /does/not/exist dangling
		ln -s "$(printf 'x%.0s' {1..200})" long-symlink
		mkfifo fifo
		mknod null c 1 3
		mknod block b 7 99
		python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
		echo "odd" >"$(printf 'odd \n\\ \xff\xfe name')"
		echo "longest" >"$(printf 'n%.0s' {1..255})"
		cp plain setuid && chown 1234:4321 setuid && chmod 6751 setuid
		chmod 1777 several
		chmod 0 nothing
		setfattr -n user.colour -v green plain
		setfattr -n trusted.secret -v 0x00ff00 large
		setfattr -h -n trusted.ofalink -v yes symlink
		cp /bin/true capable && setcap cap_net_raw+ep capable
		setfacl -m u:1234:rw,g:4321:r plain
		setfacl -m u:1234:rwx -d -m u:1234:rx deep
		touch -h -d '2001-02-03 04:05:06.123456789' symlink plain large
		touch -d '1965-01-01 00:00:00.5' holes
		touch -d '2011-11-11 11:11:11.111111111' deep/er/est deep/er deep several empty .
	)
}

# --- a source that misbehaves (test/plugins/slow.c) -----------------------------------------------------------------------------

# start_slow NAME SOURCE MOUNTPOINT [OPTIONS]: start, with the source behind the plugin "slow".
start_slow()
{
	local name=$1 source=$2
	shift 2
	DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow DMMFS_SLOW_LOG=$work/requests start "$name" "slow://$source" "$@"
}

# slow RULE...: the rules from now on; none: the source is well.
slow() { printf '%s\n' "$@" >slow.new && mv slow.new slow; }

# requests KIND [PATTERN]: how many requests of this kind were made, of files whose path ends in PATTERN (a regex).
requests() { grep -cE "^$1 .*${2:-}\$" requests || :; }
