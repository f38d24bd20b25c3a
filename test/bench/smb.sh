# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: dmmfs beside libsmbclient on the same smbd in the same run, near and far away.
#
#   smb-large-*      a file of BENCH_LARGE (1G): libsmbclient reading it, the same writing it to the disk of the target, and dmmfs
#   smb-tree-*       BENCH_FILES (20000) small files: libsmbclient listing, reading and writing them; dmmfs, which reads security
#                    descriptors, streams and the attributes after the reading as well
#   smb-first-*      4 KiB at 50 places of a cold file, 20 ms apart, by libsmbclient, on the mount, and on that of rclone
#   smb-1ms-*, smb-20ms-*   the same over a network whose round trip takes so long; libsmbclient is one process there, which gets
#                    as far as BENCH_FEW (200) files
#
# libsmbclient has as many processes as dmmfs had helpers for the tree, and BENCH_CONNS (4) for the large file. BENCH_PARTS (large tree first far): which of them.
# shellcheck shell=bash disable=SC2034,SC2154

smb_mounted()
{
	fresh_disk
	start_dmmfs "smb://127.0.0.1/share/$1" "background=off,credentials=$base/credentials,port=$smb_port${2:+,$2}"
	logged serving
}

smb_raw() { SMB_PORT=$smb_port "$build/test/bench/ceiling-smb" "$1" "smb://127.0.0.1/share/$2" "${@:3}"; }

# Those of dmmfs, at the moment.
smb_helpers() { pgrep -c -x dmmfs-smb || :; }

# The library first: whoever is first pays for memory that nobody has used before.
smb_large()
{
	local bytes
	bytes=$(stat -c %s "$base/export/large/file")
	smb_raw large large "$connections" file | with_name "$1-raw"
	fresh_disk
	smb_raw large large "$connections" file "$disk/t" | with_name "$1-raw-written"
	smb_mounted large whole=0
	ls "$disk/t" >/dev/null
	say "$1-dmmfs-rate $(awk -v b="$bytes" -v s="$(background)" 'BEGIN { printf "%.0f", b / 1048576 / s }') MiB/s"
	say "$1-helpers $(smb_helpers) processes"
	say "$1-ratio $(ratio "$(value_of "$1-dmmfs-rate")" "$(value_of "$1-raw-rate")")"
	say "$1-written-ratio $(ratio "$(value_of "$1-dmmfs-rate")" "$(value_of "$1-raw-written-rate")")"
}

# smb_tree NAME PROCESSES PART: dmmfs with all small files, libsmbclient with so many processes (0: as many as dmmfs has) on that part
# of the export.
smb_tree()
{
	local seconds helpers
	smb_mounted tree
	seconds=$(background)
	helpers=$(smb_helpers)
	say "$1-helpers $helpers processes"
	say "$1-dmmfs-objects-per-second $(awk -v n="$(find "$base/export/tree" -mindepth 1 | wc -l)" -v s="$seconds" 'BEGIN { printf "%.0f", n / s }') /s"
	fresh_disk
	[ "$2" = 0 ] || helpers=$2
	smb_raw tree "$3" "$helpers" "$disk/t" | with_name "$1-raw"
	say "$1-ratio $(ratio "$(value_of "$1-dmmfs-objects-per-second")" "$(value_of "$1-raw-objects-per-second")")"
}

# The other mount that fetches on demand.
smb_rclone()
{
	local remote=":smb,host=127.0.0.1,port=$smb_port,user=$SMB_USER,pass=$(rclone obscure "$SMB_PASSWORD"):share/large"
	mkdir -p "$base/rclone"
	rclone mount "$remote" "$base/rclone" --vfs-cache-mode full --cache-dir "$base/cache" --config /dev/null --daemon 2>/dev/null
	"$ops" first "$base/rclone/file" 50 20 | with_name "$1-rclone"
	umount "$base/rclone"
	rm -rf "$base/cache"
}

smb_first()
{
	smb_raw first large file 50 | with_name "$1-raw"
	smb_mounted large
	ls "$disk/t" >/dev/null
	"$ops" first "$disk/t/file" 50 20 | with_name "$1-dmmfs"
	say "$1-ratio $(ratio "$(value_of "$1-dmmfs-first-byte-p50")" "$(value_of "$1-raw-open-and-first-read-p50")")"
	smb_rclone "$1"
	say "$1-rclone-ratio $(ratio "$(value_of "$1-dmmfs-first-byte-p50")" "$(value_of "$1-rclone-first-byte-p50")")"
	say "$1-p99-ratio $(ratio "$(value_of "$1-dmmfs-first-byte-p99")" "$(value_of "$1-raw-open-and-first-read-p99")")"
}

smb_far()
{
	local ms=$1
	smb_port=$((10000 + ms))
	if [ -z "${pid[delay$ms]:-}" ]; then
		"$build/test/bench/delay" "$smb_port" 445 $((ms * 500)) &
		pid[delay$ms]=$!
	fi
	smb_tree "smb-${ms}ms-tree" 1 few
	smb_first "smb-${ms}ms-first"
	smb_port=445
}

bench_smb()
{
	local round part far smb_port=445
	make_sources
	mkdir "$base/export/few"
	make_small_files "$base/export/few" "${BENCH_FEW:-200}"
	say "# smbd: a file of ${BENCH_LARGE:-1G}, ${BENCH_FILES:-20000} small files"
	serve_for smb
	for round in $(seq "$rounds"); do
		for part in ${BENCH_PARTS:-large tree first far}; do
			case $part in
			large) smb_large smb-large ;;
			tree) smb_tree smb-tree 0 tree ;;
			first) smb_first smb-first ;;
			far) smb_far 1 && smb_far 20 ;;
			esac
		done
	done
	goal G6 smb-large "$(median_of smb-large-ratio)" at-least 0.95
	goal G6 smb-large-written "$(median_of smb-large-written-ratio)" at-least 0.95
	goal G6 smb-small "$(median_of smb-tree-ratio)" at-least 0.8
	goal G6b smb-1ms "$(median_of smb-1ms-tree-ratio)" at-least 16
	goal G6b smb-20ms "$(median_of smb-20ms-tree-ratio)" at-least 16
	for far in '' -20ms; do
		goal G7 "smb$far-first" "$(median_of "smb$far-first-ratio")" at-most 1.3
		goal G7 "smb$far-first-p99" "$(median_of "smb$far-first-p99-ratio")" at-most 2
		goal G7 "smb$far-first-against-rclone" "$(median_of "smb$far-first-rclone-ratio")" at-most 1
	done
	end_sources
}
