# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run before the benches: the disk that is measured on, results, ratios.
# shellcheck shell=bash disable=SC2034,SC2154

rounds=${BENCH_ROUNDS:-3}
dmmfs=$build/src/daemon/dmmfs
admin=$build/src/cli/dmmfs-admin
ops=$build/test/bench/ops

base=$(mktemp -d "${BENCH_DIR:-/var/tmp}/dmmfs-bench.XXXXXX")
disk=$base/disk
results=$base/results
export DMMFS_CONFDIR=$base/conf DMMFS_RUNDIR=$base/run

stop_servers() { :; } # net.sh has some

unmount_all()
{
	if mountpoint -q "$disk/t" 2>/dev/null; then umount "$disk/t" || umount -l "$disk/t"; fi
	while mountpoint -q "$disk" 2>/dev/null; do umount "$disk" 2>/dev/null || sleep 0.2; done
}

clean_up()
{
	cd /
	unmount_all
	stop_servers
	rm -rf "$base"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# A new file system for each measurement: a used one makes creating files up to twelve times slower.
fresh_disk()
{
	unmount_all
	rm -rf "$base/image" "$DMMFS_CONFDIR" "$DMMFS_RUNDIR"
	truncate -s 10G "$base/image"
	mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$base/image"
	mkdir -p "$disk"
	mount -o loop "$base/image" "$disk"
	mkdir "$disk/t"
}

# --- results: "NAME VALUE UNIT" for each measurement -------------------------------------------------------------------------

say() { printf '%s\n' "$*" | tee -a "$results"; }

# with_name PREFIX: the lines of a program, with a prefix, to the results.
with_name()
{
	while read -r name value unit; do say "$1-$name $value $unit"; done
}

# value_of NAME: of the last line that was said with this name.
value_of() { awk -v name="$1" '$1 == name { value = $2 } END { print value }' "$results"; }

# median_of NAME: of all lines that were said with this name.
median_of() { awk -v name="$1" '$1 == name { print $2 }' "$results" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f ratio", (b + 0 ? a / b : 0) }'; }

# goal NUMBER NAME VALUE at-least|at-most WISHED: what the report compares.
goal() { say "goal-$1-$2 $3 $4-$5"; }

seconds_of()
{
	local start end
	start=$(date +%s.%N)
	"$@" >&2 || kill -s TERM $$ # no figure of what failed
	end=$(date +%s.%N)
	awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }'
}

# Until everything is here and on record, which means durable.
await_complete()
{
	until "$admin" stat --json 1 | grep -q '"state": *"complete"'; do sleep 0.02; done
}
copy_dmmfs() { "$dmmfs" "$1" "$disk/t" ${2:+-o "$2"} && await_complete; }
copy_cp() { cp -a --sparse=always "$1/." "$disk/t/" && sync -f "$disk"; }

summary()
{
	printf '\n%-28s %12s %12s %12s\n' name median minimum maximum
	grep -v '^#' "$results" | sort -k1,1 -k2,2n | awk '
		function out() { if (n) printf "%-28s %12s %12s %12s %s\n", name, v[int((n + 1) / 2)], v[1], v[n], unit }
		$1 != name { out(); n = 0; name = $1; unit = $3 }
		{ v[++n] = $2 }
		END { out() }'
}
