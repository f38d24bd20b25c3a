# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: dmmfs beside the raw libraries on the same server in the same run. The servers (nfs-ganesha, smbd) run
# in name spaces of the bench.
#
# What is printed, for each of nfs3, nfs4 and smb:
#   large-*    a file of BENCH_LARGE (1G): the raw library reading it, the same writing it to the disk of the target, dmmfs bringing
#              it in the background until it is on record, and a reader on the mount
#   tree-*     BENCH_FILES (20000) small files: the raw library listing, reading and writing them, dmmfs until all is on record
#   first-*    4 KiB at 50 places of a cold file, 20 ms apart: medians
#   *-ratio    of dmmfs to the raw library, of rates and of times; what is wished for is told with the goals at the end
#
# bench_far measures small files and first bytes over NFS from 1 ms and 20 ms away, bench_rclone the first bytes of a local file beside
# those of rclone's mount, of a FUSE file system that does nothing (floor.c), and of a source that the disk has to be asked for.
#
# BENCH_CONNS (4): connections to the NFS server, or processes. BENCH_DELAY (0): microseconds to the NFS server one way. BENCH_CALLS
# (4000): files that the synchronous client reads.
# BENCH_NET (nfs3 nfs4 smb): which of them.
# shellcheck shell=bash disable=SC2034,SC2154

connections=${BENCH_CONNS:-4}
where=net # what the names of figures begin with
declare -A pid=()

skip() { printf 'bench: %s\n' "$*" >&2; exit 1; }

wait_for()
{
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -le $end ] || skip "waited in vain for: $*"
		sleep 0.1
	done
}

stop_servers()
{
	local one
	for one in "${pid[@]}"; do
		pkill -9 -P "$one" || :
		kill -9 "$one" || :
	done 2>/dev/null
}

# Files of 200 bytes to 16 KiB, 100 in a directory, in two levels.
make_small_files()
{
	python3 - "$1" "$2" <<-'EOT'
	import os, random, sys
	random.seed(1)
	data = random.randbytes(16384)
	for i in range(int(sys.argv[2])):
	    where = os.path.join(sys.argv[1], f"part{i // 2000}", f"dir{i // 100}")
	    if i % 100 == 0:
	        os.makedirs(where)
	    with open(os.path.join(where, f"file{i}"), "wb") as file:
	        file.write(data[:random.randint(200, 16384)])
	EOT
}

make_sources()
{
	mkdir -p "$base/export/large" "$base/export/tree"
	head -c "${BENCH_LARGE:-1G}" /dev/urandom >"$base/export/large/file"
	make_small_files "$base/export/tree" "${BENCH_FILES:-20000}"
	find "$base/export" -type f -print0 | xargs -0 cat >/dev/null
}

# The addresses of one part of the export, for us and for the raw library.
net_source()
{
	case $1 in
	nfs3) echo "nfs://127.0.0.1$base/export/$2" ;;
	nfs4) echo "nfs://127.0.0.1/export/$2" ;;
	smb) echo "smb://127.0.0.1/share/$2" ;;
	esac
}
raw_source()
{
	case $1 in
	nfs3) echo "$(net_source nfs3 "$2")?version=3${far:+&nfsport=$far&mountport=$(mount_port)}" ;;
	nfs4) echo "nfs://127.0.0.1/export/$2?version=4${far:+&nfsport=$far}" ;;
	smb) echo "smb://127.0.0.1/share/$2" ;;
	esac
}
net_options()
{
	case $1 in
	nfs3) echo "nfsvers=3,conns=$connections${far:+,port=$far,mountport=$(mount_port)}" ;;
	nfs4) echo "nfsvers=4,conns=$connections${far:+,port=$far}" ;;
	smb) echo "credentials=$base/credentials" ;;
	esac
}

mount_port() { rpcinfo -p | awk '$5 == "mountd" && $3 == "tcp" && $2 == 3 { print $4; exit }'; }

raw() { "$build/test/bench/ceiling-${1%[34]}" "${@:2}"; }

# mounted PROTOCOL PART [OPTIONS]: with the background off, the root's names known.
mounted()
{
	fresh_disk
	start_dmmfs "$(net_source "$1" "$2")" "background=off,$(net_options "$1")${3:+,$3}"
	logged serving
}

# Seconds from here until everything has come over.
background()
{
	local start end
	start=$(date +%s.%N)
	"$admin" set -p background=on "$disk/t" >/dev/null
	logged event=complete
	end=$(date +%s.%N)
	awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }'
}

net_large()
{
	local name=$where-$1-large bytes
	bytes=$(stat -c %s "$base/export/large/file")
	raw "$1" large "$(raw_source "$1" large)" "$connections" "$2file" | with_name "$name-raw"
	fresh_disk
	raw "$1" large "$(raw_source "$1" large)" "$connections" "$2file" "$disk/t" | with_name "$name-raw-written"
	mounted "$1" large whole=0
	ls "$disk/t" >/dev/null
	say "$name-dmmfs-rate $(awk -v b="$bytes" -v s="$(background)" 'BEGIN { printf "%.0f", b / 1048576 / s }') MiB/s"
	say "$name-ratio $(ratio "$(value_of "$name-dmmfs-rate")" "$(value_of "$name-raw-rate")")"
	say "$name-written-ratio $(ratio "$(value_of "$name-dmmfs-rate")" "$(value_of "$name-raw-written-rate")")"
	mounted "$1" large whole=0
	"$ops" whole "$disk/t/file" | with_name "$name-mount"
}

net_tree()
{
	local name=$where-$1-tree
	fresh_disk
	raw "$1" tree "$(raw_source "$1" tree)" "$connections" "$disk/t" | with_name "$name-raw"
	mounted "$1" tree
	say "$name-dmmfs-seconds $(background) s"
	say "$name-ratio $(ratio "$(value_of "$name-raw-seconds")" "$(value_of "$name-dmmfs-seconds")")"
	case $1 in nfs*) net_calls "$1" ;; esac
}

# As many small files as one synchronous client of the library reads in some seconds; dmmfs brings all of them.
net_calls()
{
	local name=$where-$1-tree
	raw "$1" calls "$(raw_source "$1" tree)" "${BENCH_CALLS:-4000}" | with_name "$name-calls"
	say "$name-dmmfs-files-per-second $(awk -v n="${BENCH_FILES:-20000}" -v s="$(value_of "$name-dmmfs-seconds")" 'BEGIN { printf "%.1f /s", n / s }')"
	say "$name-calls-ratio $(ratio "$(value_of "$name-dmmfs-files-per-second")" "$(value_of "$name-calls-files-per-second")")"
}

net_first()
{
	local name=$where-$1-first
	raw "$1" first "$(raw_source "$1" large)" "$2file" 50 | with_name "$name-raw"
	mounted "$1" large
	ls "$disk/t" >/dev/null
	"$ops" first "$disk/t/file" 50 20 | with_name "$name-dmmfs"
	say "$name-ratio $(ratio "$(value_of "$name-dmmfs-first-byte-p50")" "$(value_of "$name-raw-open-and-first-read-p50")")"
	say "$name-p99-ratio $(ratio "$(value_of "$name-dmmfs-first-byte-p99")" "$(value_of "$name-raw-open-and-first-read-p99")")"
	say "$name-read-ratio $(ratio "$(value_of "$name-dmmfs-first-read-p50")" "$(value_of "$name-raw-first-read-p50")")"
}

# median_goal GOAL NAME WHAT HOW WISHED: of the ratios that were said in all rounds.
median_goal() { goal "$1" "$2" "$(median_of "$where-$3")" "$4" "$5"; }

net_goals()
{
	local tree=0.8
	case $1 in nfs4) tree=0.75 ;; esac
	median_goal G4 "$1-large" "$1-large-ratio" at-least 0.95
	median_goal G5 "$1-tree" "$1-tree-ratio" at-least "$tree"
	median_goal G5 "$1-tree-against-calls" "$1-tree-calls-ratio" at-least 8
	first_goals "$1"
}

# The library's own open and read of the same bytes.
first_goals()
{
	median_goal G7 "$1-first" "$1-first-ratio" at-most 1.3
	median_goal G7 "$1-first-p99" "$1-first-p99-ratio" at-most 2
}

serve_for()
{
	local work=$base
	cd "$base"
	case $1 in
	nfs*)
		. "${BASH_SOURCE[0]%/*}/../integration/nfs-server.sh"
		[ -n "${pid[ganesha]:-}" ] || nfs_serve "$base/export"
		;;
	smb)
		. "${BASH_SOURCE[0]%/*}/../integration/smb-server.sh"
		[ -n "${pid[smbd]:-}" ] || smb_serve "$base/export"
		export SMB_USER=root SMB_PASSWORD='secret word'
		;;
	esac
}

# The NFS server goes as well: it would take the next sources, which have the same names, for those that are gone.
end_sources()
{
	unmount_all
	[ -z "${pid[ganesha]:-}" ] || nfs_kill
	rm -rf "$base/export"
}

# go_far MICROSECONDS: from now on the NFS server is so far away, one way.
go_far()
{
	[ -z "${pid[delay]:-}" ] || { kill "${pid[delay]}"; wait "${pid[delay]}" 2>/dev/null || :; }
	far=12049
	"$build/test/bench/delay" $far 2049 "$1" &
	pid[delay]=$!
}

# What latency hides: small files and first bytes from 1 ms and from 20 ms away (there and back).
bench_far()
{
	local protocol away where far=
	make_sources
	for protocol in ${BENCH_NET:-nfs3 nfs4}; do
		serve_for "$protocol"
		for away in 1 20; do
			go_far $((away * 500))
			where=far-${away}ms
			say "# $away ms away: ${BENCH_FILES:-20000} small files, a file of ${BENCH_LARGE:-1G}, $connections connections"
			far_rounds "$protocol" $((4000 / (away + 1)))
		done
	done
	end_sources
}

# far_rounds PROTOCOL FILES: so many for the client that waits for each answer.
far_rounds()
{
	local round name=$where-$1-tree BENCH_CALLS=$2
	for round in $(seq "$rounds"); do
		mounted "$1" tree
		say "$name-dmmfs-seconds $(background) s"
		net_calls "$1"
		net_first "$1" /
	done
	median_goal G6b "$1-tree-$where" "$1-tree-calls-ratio" at-least 16
	median_goal G7 "$1-first-$where" "$1-first-ratio" at-most 1.3
	median_goal G7 "$1-first-p99-$where" "$1-first-p99-ratio" at-most 2
}

bench_net()
{
	local protocol round slash far=
	make_sources
	say "# servers: a file of ${BENCH_LARGE:-1G}, ${BENCH_FILES:-20000} small files, $connections connections, ${BENCH_DELAY:-0} us away"
	for protocol in ${BENCH_NET:-nfs3 nfs4 smb}; do
		serve_for "$protocol"
		case $protocol in nfs*) slash=/ ;; *) slash= ;; esac
		[ "${BENCH_DELAY:-0}" = 0 ] || go_far "$BENCH_DELAY"
		for round in $(seq "$rounds"); do
			net_large "$protocol" "$slash"
			net_tree "$protocol"
			net_first "$protocol" "$slash"
		done
		case $protocol in nfs*) net_goals "$protocol" ;; esac
	done
	end_sources
}

# 50 first reads of a file that is on this machine: at the source, by dmmfs, and by the other mount that fetches on demand.
bench_rclone()
{
	local round which mount=$base/rclone
	mkdir -p "$base/first" "$mount"
	head -c "${BENCH_LARGE:-1G}" /dev/urandom >"$base/first/file"
	for round in $(seq "$rounds"); do
		"$ops" first "$base/first/file" 50 20 | with_name local-first-native
		mkdir -p "$base/floor"
		"$build/test/bench/floor" "$base/floor" "$base/first/file"
		"$ops" first "$base/floor/file" 50 20 | with_name local-first-floor
		umount "$base/floor"
		fresh_disk
		start_dmmfs "$base/first" background=off
		logged serving
		ls "$disk/t" >/dev/null
		"$ops" first "$disk/t/file" 50 20 | with_name local-first-dmmfs
		rclone mount "$base/first" "$mount" --vfs-cache-mode full --cache-dir "$base/cache" --config /dev/null --daemon 2>/dev/null
		"$ops" first "$mount/file" 50 20 | with_name local-first-rclone
		umount "$mount"
		rm -rf "$base/cache"
		sync -f "$base"
		echo 3 >/proc/sys/vm/drop_caches
		"$ops" first "$base/first/file" 50 20 | with_name local-first-cold-native
		fresh_disk
		start_dmmfs "$base/first" background=off
		logged serving
		ls "$disk/t" >/dev/null
		echo 3 >/proc/sys/vm/drop_caches
		"$ops" first "$disk/t/file" 50 20 | with_name local-first-cold-dmmfs
	done
	for which in p50 p99; do
		say "local-first-to-floor-$which $(ratio "$(median_of local-first-dmmfs-first-byte-$which)" "$(median_of local-first-floor-first-byte-$which)")"
		say "local-first-floor-to-native-$which $(ratio "$(median_of local-first-floor-first-byte-$which)" "$(median_of local-first-native-first-byte-$which)")"
	done
	goal G7 local-first-cold "$(ratio "$(median_of local-first-cold-dmmfs-first-byte-p50)" "$(median_of local-first-cold-native-first-byte-p50)")" at-most 1.3
	goal G7 local-first-cold-p99 "$(ratio "$(median_of local-first-cold-dmmfs-first-byte-p99)" "$(median_of local-first-cold-native-first-byte-p99)")" at-most 2
	goal G7 local-first-against-rclone "$(ratio "$(median_of local-first-dmmfs-first-byte-p50)" "$(median_of local-first-rclone-first-byte-p50)")" at-most 1
	goal G7 local-first-p99 "$(ratio "$(median_of local-first-dmmfs-first-byte-p99)" "$(median_of local-first-native-first-byte-p99)")" at-most 2
	goal G7 local-first "$(ratio "$(median_of local-first-dmmfs-first-byte-p50)" "$(median_of local-first-native-first-byte-p50)")" at-most 1.3
	rm -rf "$base/first"
}
