#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What things cost, counted and not timed: system calls, syncs and source requests for each file and each MiB that comes over, and
# for each operation on what has come over. A bound is what was counted plus a little: raise it only on purpose.
. "$(dirname "$0")/lib.sh"
work_on_fresh_fs 1G # counted there

files=2000 directories=20

make_small_files()
{
	local d f
	for d in $(seq $directories); do
		mkdir -p "$1/dir$d"
		for f in $(seq $((files / directories))); do head -c $((200 + f * 20)) /dev/urandom >"$1/dir$d/file$f"; done
	done
}

# counted NAME COMMAND...: runs it while the system calls of all threads of the daemon NAME are counted, into calls.
counted()
{
	local name=$1 tracer
	shift
	strace -f -c -U calls,name -o calls -p "$(worker "$name")" 2>tracer.log &
	tracer=$!
	pid[tracer]=$tracer
	wait_for 30 all_traced "$name" $tracer
	"$@"
	kill -INT $tracer
	wait $tracer || :
	unset 'pid[tracer]'
}

all_traced()
{
	local thread
	for thread in "/proc/$(worker "$1")"/task/*; do
		[ "$(awk '/^TracerPid/ { print $2 }' "$thread/status")" = "$2" ] || return 1
	done
}

# calls NAME...: how many of these calls were counted.
calls() { awk -v names=" $* " 'index(names, " " $2 " ") { n += $1 } END { print n + 0 }' calls; }

# migrate TARGET
migrate() { "$admin" set -p background=on "$work/$1" >out && await_complete "$work/$1" 200; }

# The bounds are those of a kernel with passthrough and listxattrat(2); before Linux 6.13 more is asked.
slack=1
[ "$(printf '%s\n' 6.13 "$(uname -r)" | sort -V | head -n 1)" = 6.13 ] || slack=3

# at_most WHAT BOUND NAME...: so many of these calls for each of $per.
at_most()
{
	local what=$1 bound found
	bound=$(awk -v a="$2" -v b=$slack 'BEGIN { print a * b }')
	shift 2
	found=$(awk -v n="$(calls "$@")" -v ahead="$(calls fadvise64)" -v each="$(printf '%s\n' "$@" | grep -cxE 'openat|close')" -v per=$per \
		'BEGIN { printf "%.2f", (n - ahead * each) / per }')
	awk -v a="$found" -v b="$bound" 'BEGIN { exit !(a <= b) }' || { cat calls; fail "$what: $found, more than $bound"; }
	say "ok: $what: $found of at most $bound"
}

# own_at_most WHAT BOUND FIGURE MOUNTPOINT: what the daemon counts itself, since it was started, for each of $per.
own_at_most()
{
	local found
	found=$(awk -v n="$(figure "$4" "$3")" -v per=$per 'BEGIN { printf "%.3f", n / per }')
	awk -v a="$found" -v b="$2" 'BEGIN { exit !(a <= b) }' || fail "$1: $found, more than $2"
	say "ok: $1: $found of at most $2"
}

# Not those by which threads wait for each other: their number is chance. Nor what is read ahead while some of the source is not in
# memory, or the kernel is busy with it: each file is opened and closed for it once more.
every=$(echo openat open_by_handle_at name_to_handle_at close statx newfstatat fstat lseek ftruncate pread64 pwrite64 preadv2 pwritev2 \
	read write writev copy_file_range ioctl utimensat fchownat fchown fchmod fchmodat getxattr setxattr flistxattr llistxattr fgetxattr lgetxattr \
	fsetxattr lsetxattr linkat renameat renameat2 unlinkat mkdirat mknodat symlinkat readlinkat getdents64 fallocate fdatasync \
	fsync syncfs sync_file_range setfsuid setfsgid setresuid setresgid setgroups capset umask fstatfs)

# ops KIND: one operation on each of the files.
ops()
{
	python3 - "$1" target $directories $((files / directories)) <<-'EOT'
	import os, sys
	kind, top, directories, files = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
	def read(path):
	    fd = os.open(path, os.O_RDONLY)
	    os.read(fd, 4096)
	    os.close(fd)
	def create(path):
	    fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
	    os.write(fd, b"x" * 4096)
	    os.close(fd)
	does = {"stat": os.lstat, "read": read, "create": create, "rename": lambda path: os.rename(path + ".new", path + ".old"),
	        "unlink": lambda path: os.unlink(path + ".old")}[kind]
	for d in range(1, directories + 1):
	    for f in range(1, files + 1):
	        does(f"{top}/dir{d}/file{f}")
	EOT
}

# op KIND REQUESTS CALLS: what the kernel asks, and all that the daemon calls for it.
op()
{
	counted one ops "$1"
	at_most "$1: requests of the kernel" "$2" read
	at_most "$1: system calls" "$3" $every
}

list() { find target -printf '%s\n' >out; }

say '--- small files in the background'
make_small_files source
mkdir target
start one "$work/source" "$work/target" -o background=off
counted one migrate target
per=$files
at_most 'system calls for a file' 13.9 $every
at_most 'syncs for a file' 0.05 syncfs fdatasync fsync

say '--- operations on what has come over'
op stat 1.1 4.4
op read 2.1 7.2
op create 5.1 20.2
op rename 3.1 12.2
op unlink 3.1 10.2
ops stat
say '--- known to the kernel'
op stat 0.05 0.1
counted one list
at_most 'list: requests of the kernel' 0.1 read
at_most 'list: system calls' 2.3 $every
finish one "$work/target"

say '--- what the source is asked'
mkdir asked
slow
start_slow three "$work/source" "$work/asked" -o background=on
await_complete "$work/asked"
per=$files
own_at_most 'commits for a file' 0.06 state_commits "$work/asked"
own_at_most 'requests for a file' 4.3 source_requests "$work/asked"
finish three "$work/asked"
for kind in open attr xattrs read close; do
	found=$(requests $kind)
	[ "$found" -le $((files + directories + 5)) ] || fail "$found requests '$kind' for $files files"
	say "ok: $kind: $found requests"
done

say '--- a large file in the background'
mkdir source2 target2
head -c 128M /dev/urandom >source2/file
start two "$work/source2" "$work/target2" -o background=off
ls target2 >out
counted two migrate target2
per=128
# shellcheck disable=SC2046 # a list; without those by which the governor looks at the threads, whose number is time
at_most 'system calls for a MiB' 6.5 $(printf '%s\n' $every | grep -vxE 'openat|read|close')
at_most 'syncs for a MiB' 0.5 syncfs fdatasync fsync
own_at_most 'commits for a MiB' 0.5 state_commits "$work/target2"
own_at_most 'requests for a MiB' 1.3 source_requests "$work/target2"
finish two "$work/target2"
