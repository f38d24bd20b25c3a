# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: operations and jobs on the mount beside the bare file system and libfuse's passthrough_hp, which is built
# from libfuse's own example where its source and a C++ compiler are there, into the bench's directory.
# shellcheck shell=bash disable=SC2154

# --- beside passthrough_hp ----------------------------------------------------------------------------------------------------

peers_of_mount='native dmmfs'

qos=/dev/cpu_dma_latency

# as WHO COMMAND...: as this peer is to be run.
as()
{
	local who=$1
	shift
	case $who in
	*-awake)
		[ -w $qos ] || return 0
		{
			printf '\0\0\0\0' >&9
			"$@"
		} 9>$qos
		;;
	*) "$@" ;;
	esac
}

# Builds the peer; without it the comparison is with the bare file system alone.
find_passthrough()
{
	local fuse=$here/../../subprojects/fuse3 built=$build/subprojects/fuse3
	[ "$peers_of_mount" = 'native dmmfs' ] || return 0
	if [ -f "$fuse/example/passthrough_hp.cc" ] && [ -f "$built/lib/libfuse3.a" ] && command -v g++ >/dev/null &&
		g++ -O2 -std=c++17 -D_FILE_OFFSET_BITS=64 -DHAVE_UTIMENSAT -DHAVE_SYS_XATTR_H -I"$built" -I"$fuse/include" -I"$fuse/lib" \
			"$fuse/example/passthrough_hp.cc" -o "$base/passthrough_hp" "$built/lib/libfuse3.a" -lpthread -ldl 2>/dev/null; then
		peers_of_mount='native passthrough dmmfs'
		# Its own answers as fast as they can be had on this machine: with processors that do not sleep, which dmmfs asks for itself.
		[ ! -w $qos ] || peers_of_mount='native passthrough passthrough-awake dmmfs'
	else
		say '# no passthrough_hp: its source is not unpacked (./bootstrap deps), or there is no C++ compiler'
	fi
}

# serve WHO SOURCE [OPTIONS]: a new disk with the tree, to be used at $served.
serve()
{
	fresh_disk
	served=$disk/t
	case $1 in
	native) copy_cp "$2" ;;
	passthrough*)
		copy_cp "$2"
		mv "$disk/t" "$disk/plain"
		mkdir "$disk/t"
		"$base/passthrough_hp" "$disk/plain" "$disk/t"
		;;
	dmmfs) copy_dmmfs "$2" && sync -f "$disk" ;;
	dmmfs-asleep) copy_dmmfs "$2" awake=off && sync -f "$disk" ;;
	esac
}

# faster_than NUMBER NAME PEER WISHED: how many times as fast as the peer, by the medians of microseconds or seconds.
faster_than() { goal "$1" "$2-against-$3" "$(ratio "$(median_of "$2-$3")" "$(median_of "$2-dmmfs")")" at-least "$4"; }

# What no file system in a process can be faster than (floor.c): asleep between requests, polling for them, on processors that stay awake.
tree_floor()
{
	local how
	unmount_all # or the processors stay awake for dmmfs
	mkdir -p "$base/floor"
	head -c 4096 /dev/zero >"$base/floor.backing"
	for how in floor floor-poll floor-awake; do
		"$build/test/bench/floor" "$base/floor" "$base/floor.backing" $([ $how != floor-poll ] || echo poll)
		for what in stat open+read+close; do
			as $how "$build/test/bench/tree" meta "$base/floor" 1 $what | while read -r name value unit; do say "tree-$name-$how $value $unit"; done
		done
		umount "$base/floor"
	done
}

# What the kernel answers from its memory: nobody is asked, natively or here.
bench_cached()
{
	mkdir -p "$base/cached"
	"$build/test/bench/tree" make "$base/cached" 1 >/dev/null
	for _ in $(seq "$rounds"); do
		serve dmmfs "$base/cached"
		mkdir "$disk/n"
		cp -a "$base/cached/." "$disk/n"
		"$build/test/bench/tree" cached "$disk/n" "$served" | with_name tree
	done
	unmount_all
	rm -rf "$base/cached"
	goal G9 stat-cached-against-native "$(ratio "$(median_of tree-cached-median-native)" "$(median_of tree-cached-median-dmmfs)")" at-least 0.8
}

# Single operations by one thread and by two, each in a directory of its own.
bench_tree()
{
	local threads who i what
	find_passthrough
	bench_cached
	for threads in 1 2; do
		mkdir -p "$base/tree/list"
		"$build/test/bench/tree" make "$base/tree" "$threads" >/dev/null
		for i in $(seq 0 $((threads - 1))); do cp -a /usr/include/linux "$base/tree/list/$i"; done
		for _ in $(seq "$rounds"); do
			for who in $peers_of_mount dmmfs-asleep; do
				serve "$who" "$base/tree"
				{
					as "$who" "$build/test/bench/tree" list "$served/list" "$threads"
					as "$who" "$build/test/bench/tree" meta "$served" "$threads"
				} | while read -r what value unit; do say "tree-$what-$who $value $unit"; done
			done
			[ "$threads" != 1 ] || tree_floor
		done
		unmount_all
		rm -rf "$base/tree"
		[ "$peers_of_mount" != 'native dmmfs' ] || continue
		for what in stat create+write+close rename unlink; do faster_than G9 "tree-$what-$threads" passthrough 1.3; done
		faster_than G9 "tree-open+read+close-$threads" passthrough 2.5
		faster_than G9 "tree-readdir+stat-$threads" passthrough 3
	done
}

# Reads and writes of a large file that has come over: writes as it was left, then all else with nothing of it in memory to begin with.
# cp leaves the file there, dmmfs does not, and the size of what the kernel has read or kept in one piece tells in small writes.
bench_data()
{
	local who what
	mkdir -p "$base/data"
	head -c "${BENCH_LARGE:-256M}" /dev/urandom >"$base/data/file"
	for _ in $(seq "$rounds"); do
		for who in native dmmfs; do
			serve "$who" "$base/data"
			{
				"$ops" written "$served/file"
				drop_caches
				"$ops" data "$served/file"
			} | while read -r what value unit; do say "data-$what-$who $value $unit"; done
		done
	done
	unmount_all
	rm -rf "$base/data"
	for what in read-1M read-mmap; do
		goal G8 "data-$what-against-native" "$(ratio "$(median_of "data-$what-dmmfs")" "$(median_of "data-$what-native")")" at-least 0.96
	done
	faster_than G8 data-read-4K-random native 0.85
	faster_than G8 data-write-4K-random native 0.90
}

# --- jobs ---------------------------------------------------------------------------------------------------------------------

make_job_tree()
{
	local i
	mkdir -p "$1/compile" "$1/repository"
	for i in $(seq "${BENCH_SOURCES:-60}"); do
		printf '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n#include <math.h>\n' >"$1/compile/f$i.c"
		printf 'int f%d(int x) { char text[64]; snprintf(text, sizeof(text), "%%d", x); return (int)strlen(text) + %d; }\n' "$i" "$i" \
			>>"$1/compile/f$i.c"
	done
	# shellcheck disable=SC2016
	printf 'all: $(patsubst %%.c,%%.o,$(wildcard *.c))\n' >"$1/compile/Makefile"
	cp -a /usr/include/linux "$1/repository/linux"
	git -C "$1/repository" init -q
	git -C "$1/repository" add .
	git -C "$1/repository" -c user.name=bench -c user.email=bench@localhost commit -qm all
	tar -C /usr/include -cf "$1/linux.tar" linux
}

job_compile() { make -s -j2 -C "$served/compile"; }
job_status() { git -C "$served/repository" -c safe.directory='*' status --porcelain; }
job_grep() { grep -rc BENCH_FINDS_NOTHING "$served/repository/linux" >/dev/null || :; }
job_untar() { mkdir "$served/untar" && tar -C "$served/untar" -xf "$served/linux.tar"; }
job_sqlite()
{
	{
		echo 'create table t (a integer primary key, b text);'
		seq 200 | sed "s/.*/insert into t values (&, hex(randomblob(100)));/"
	} | sqlite3 "$served/db"
}

all_jobs() { # all_jobs WHO
	local job
	for job in compile status grep untar sqlite; do
		command -v sqlite3 >/dev/null || [ $job != sqlite ] || continue
		say "job-$job-$1 $(seconds_of job_$job) s"
	done
}

# What people do on the mount while nothing, half and all of it is here.
bench_jobs()
{
	local who here_now job
	find_passthrough
	make_job_tree "$base/jobs"
	for _ in $(seq "$rounds"); do
		for who in $peers_of_mount; do
			serve "$who" "$base/jobs"
			as "$who" all_jobs "$who"
		done
		for here_now in nothing half; do
			fresh_disk
			served=$disk/t
			"$dmmfs" "$base/jobs" "$disk/t" -o background=off
			[ $here_now = nothing ] || find "$disk/t" -type f | awk 'NR % 2' | tr '\n' '\0' | xargs -0 cat >/dev/null
			all_jobs "dmmfs-$here_now"
		done
	done
	unmount_all
	rm -rf "$base/jobs"
	faster_than G10 job-compile native 0.9
	[ "$peers_of_mount" != 'native dmmfs' ] || return 0
	for job in status grep untar; do faster_than G10 "job-$job" passthrough 1.5; done
	! command -v sqlite3 >/dev/null || faster_than G10 job-sqlite passthrough 1.5
}
