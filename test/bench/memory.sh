# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: what many objects cost, memory of the daemon (G12), bytes of the state, and the time of a start (G13). The
# source is test/plugins/many.c, whose files exist nowhere, so that nothing but the target's inodes takes room.
# shellcheck shell=bash disable=SC2154
#
# BENCH_OBJECTS (1000000): how many files, 1000 in a directory. Ten million take 50 GiB of BENCH_DIR.

known_objects=${BENCH_OBJECTS:-1000000}

# As fresh_disk, with enough inodes.
roomy_disk()
{
	unmount_all
	rm -rf "$base/image" "$DMMFS_CONFDIR" "$DMMFS_RUNDIR"
	truncate -s 80G "$base/image"
	mkfs.ext4 -q -N $((known_objects + known_objects / 500 + 100000)) -J size=64 -E lazy_itable_init=0,lazy_journal_init=0 "$base/image"
	mkdir -p "$disk"
	mount -o loop "$base/image" "$disk"
	mkdir "$disk/t"
}

# serve_many BYTES OPTIONS: in the background; it returns when the mount serves.
serve_many()
{
	DMMFS_PLUGINDIR=$build/test/plugins "$dmmfs" "many:///$((known_objects / 1000))/1000/$1" "$disk/t" -o "$2" >"$base/daemon.log" 2>&1
}
many_pid() { pgrep -f "^$dmmfs many:///$((known_objects / 1000))/" | head -n 1; }
many_bytes() { "$admin" stat --json 1 | awk -F'[:,]' '$1 ~ /"state_bytes"/ { print $2 + 0 }'; }

# said_memory NAME: resident memory of the daemon, of its own and in all (with the pages of files that it has mapped), at most so far.
said_memory()
{
	local pid
	pid=$(many_pid)
	say "memory-$1-own $(awk '$1 == "RssAnon:" { printf "%.1f", $2 / 1024 }' "/proc/$pid/status") MiB"
	say "memory-$1-most $(awk '$1 == "VmHWM:" { printf "%.1f", $2 / 1024 }' "/proc/$pid/status") MiB"
}

# curve NAME: what is resident while more and more objects are known, every second; curve_end ends it.
curve()
{
	local pid known
	while sleep 1; do
		pid=$(many_pid) && known=$(known_now) || continue
		say "curve-$1-$known $(awk '$1 == "VmRSS:" { printf "%.1f", $2 / 1024 }' "/proc/$pid/status") MiB"
	done >/dev/null 2>&1
}
known_now() { "$admin" stat --json 1 | awk -F'[:,]' '$1 ~ /"files_found"/ { print $2 + 0 }'; }

curve_begin()
{
	curve "$1" &
	beside=$!
}

curve_end()
{
	kill "$beside"
	wait "$beside" || :
	beside=
}

# starts_again NAME BYTES OPTIONS: after an unmount and after a kill; until the mount serves, and until it has answered.
starts_again()
{
	local name=$1 pid
	pid=$(many_pid)
	umount "$disk/t"
	while [ -d "/proc/$pid" ]; do sleep 0.1; done
	say "restart-$name $(seconds_of serve_many "$2" "$3") s"
	say "restart-$name-file $(seconds_of stat "$disk/t/$(printf 'dir%07d' $((known_objects / 2000)))/file0000000") s"
	pid=$(many_pid)
	kill -9 "$pid"
	while [ -d "/proc/$pid" ]; do sleep 0.1; done
	umount -l "$disk/t"
	say "restart-$name-killed $(seconds_of serve_many "$2" "$3") s"
	goal G13 "restart-$name" "$(value_of "restart-$name-killed")" at-most 1
}

# Names only: nothing has come over, all is on record, and the kernel knows everything.
unfinished()
{
	local options=background=off,verify=off
	roomy_disk
	serve_many 5000 "$options"
	said_memory none
	curve_begin unfinished
	say "unfinished-find $(seconds_of find "$disk/t" -size +1M) s"
	curve_end
	said_memory unfinished
	say "unfinished-state $(awk -v b="$(many_bytes)" -v n="$known_objects" 'BEGIN { printf "%.0f", b / n }') bytes-each"
	starts_again unfinished 5000 "$options"
	goal G12 unfinished-memory "$(value_of memory-unfinished-most)" at-most 64
	goal G12 unfinished-state "$(value_of unfinished-state)" at-most 200
}

# All has come over, with digests; then the kernel gets to know everything.
finished()
{
	roomy_disk
	curve_begin finished
	say "finished-all $(seconds_of copy_many) s"
	curve_end
	say "finished-state $(awk -v b="$(many_bytes)" -v n="$known_objects" 'BEGIN { printf "%.0f", b / n }') bytes-each"
	say "finished-find $(seconds_of find "$disk/t" -size +1M) s"
	said_memory finished
	starts_again finished 100 background=on
	goal G12 finished-memory "$(value_of memory-finished-most)" at-most 64
	goal G12 finished-state "$(value_of finished-state)" at-most 64
}
copy_many() { serve_many 100 background=on && await_complete; }

bench_memory()
{
	say "# $known_objects files that are not finished, and as many that are"
	unfinished
	finished
	roomy_disk
}
