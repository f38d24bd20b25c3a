# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: dmmfs beside the raw libraries on the same server in the same run. The servers (nfs-ganesha, smbd) run
# in name spaces of the bench.
#
# What is printed, for each of nfs3, nfs4 and smb:
#   large-*    a file of BENCH_LARGE (1G): the raw library reading it, the same writing it to the disk of the target, dmmfs bringing
#              it in the background until it is on record, and a reader on the mount
#   tree-*     BENCH_FILES (20000) small files: the raw library listing, reading and writing them, dmmfs until all is on record
#   first-*    4 KiB at 50 places of a cold file, 20 ms apart: medians
#   *-ratio    of dmmfs to the raw library: of rates at least 0.9 (large) and 0.7 (tree) are wished for, of first-* at most 1.5
#
# BENCH_CONNS (4): connections to the NFS server, or processes. BENCH_DELAY (0): microseconds to the server one way; NFS version 4.
# BENCH_NET (nfs3 nfs4 smb): which of them.
# shellcheck shell=bash disable=SC2034,SC2154

connections=${BENCH_CONNS:-4}
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
	nfs4) echo "nfs://127.0.0.1${far:+:$far}/export/$2" ;;
	smb) echo "smb://127.0.0.1/share/$2" ;;
	esac
}
raw_source()
{
	case $1 in
	nfs3) echo "$(net_source nfs3 "$2")?version=3" ;;
	nfs4) echo "nfs://127.0.0.1/export/$2?version=4${far:+&nfsport=$far}" ;;
	smb) echo "smb://127.0.0.1/share/$2" ;;
	esac
}
net_options()
{
	case $1 in
	nfs*) echo "nfsvers=${1#nfs},conns=$connections" ;;
	smb) echo "credentials=$base/credentials" ;;
	esac
}

raw() { "$build/test/bench/ceiling-${1%[34]}" "${@:2}"; }

# mounted PROTOCOL PART [OPTIONS]: with the background off, the root's names known.
mounted()
{
	fresh_disk
	"$dmmfs" "$(net_source "$1" "$2")" "$disk/t" -o "background=off,$(net_options "$1")${3:+,$3}" 2>>"$base/daemon.log"
}

# Seconds from here until everything has come over.
background()
{
	local start end
	start=$(date +%s.%N)
	"$admin" set -p background=on "$disk/t" >/dev/null
	until "$admin" stat --json 1 | grep -q '"state": *"complete"'; do sleep 0.05; done
	end=$(date +%s.%N)
	awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }'
}

net_large()
{
	local name=net-$1-large bytes
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
	local name=net-$1-tree
	fresh_disk
	raw "$1" tree "$(raw_source "$1" tree)" "$connections" "$disk/t" | with_name "$name-raw"
	mounted "$1" tree
	say "$name-dmmfs-seconds $(background) s"
	say "$name-ratio $(ratio "$(value_of "$name-raw-seconds")" "$(value_of "$name-dmmfs-seconds")")"
}

net_first()
{
	local name=net-$1-first
	raw "$1" first "$(raw_source "$1" large)" "$2file" 50 | with_name "$name-raw"
	mounted "$1" large
	ls "$disk/t" >/dev/null
	"$ops" first "$disk/t/file" 50 20 | with_name "$name-dmmfs"
	say "$name-ratio $(ratio "$(value_of "$name-dmmfs-first-byte-p50")" "$(value_of "$name-raw-open-and-first-read-p50")")"
	say "$name-read-ratio $(ratio "$(value_of "$name-dmmfs-first-read-p50")" "$(value_of "$name-raw-first-read-p50")")"
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

bench_net()
{
	local protocol round slash far=
	make_sources
	say "# servers: a file of ${BENCH_LARGE:-1G}, ${BENCH_FILES:-20000} small files, $connections connections, ${BENCH_DELAY:-0} us away"
	for protocol in ${BENCH_NET:-nfs3 nfs4 smb}; do
		serve_for "$protocol"
		case $protocol in nfs*) slash=/ ;; *) slash= ;; esac
		if [ "${BENCH_DELAY:-0}" -gt 0 ]; then
			far=12049
			"$build/test/bench/delay" $far 2049 "$BENCH_DELAY" &
			pid[delay]=$!
		fi
		for round in $(seq "$rounds"); do
			net_large "$protocol" "$slash"
			net_tree "$protocol"
			net_first "$protocol" "$slash"
		done
	done
	rm -rf "$base/export"
}
