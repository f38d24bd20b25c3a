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
made=$base
beside= # processes that a bench has started to use the machine, or to look at it
export DMMFS_CONFDIR=$base/conf DMMFS_RUNDIR=$base/run

stop_servers() { :; } # net.sh has some

unmount_all()
{
	if mountpoint -q "$disk/t" 2>/dev/null; then umount "$disk/t" || umount -l "$disk/t"; fi
	while mountpoint -q "$disk" 2>/dev/null; do umount "$disk" 2>/dev/null || sleep 0.2; done
}

clean_up()
{
	trap '' INT TERM # a server may end its whole process group
	cd /
	# shellcheck disable=SC2086 # what runs beside the application, and asks for figures, goes on at ^C
	[ -z "$beside" ] || kill $beside 2>/dev/null || :
	unmount_all
	umount "$base"/* 2>/dev/null || : # what a bench has mounted of its own
	stop_servers
	rm -rf "$made" "$base"
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
median_of() { awk -v name="$1" '$1 == name && NF > 1 { print $2 }' "$results" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# Nothing when one of them was not measured.
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (a + 0 > 0 && b + 0 > 0) printf "%.2f ratio", a / b }'; }

# goal NUMBER NAME VALUE at-least|at-most WISHED: what the report compares.
goal()
{
	if [ -n "$3" ]; then
		say "goal-$1-$2 ${3% ratio} $4-$5"
	else
		say "# goal $1 $2: not measured"
	fi
}

seconds_of()
{
	local start end
	start=$(date +%s.%N)
	"$@" >&2 || kill -s TERM $$ # no figure of what failed
	end=$(date +%s.%N)
	awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }'
}

# Seconds of processor time of a process, its children and theirs so far: keeper, worker, helpers.
processor_of()
{
	local one children
	children=$(pgrep -d, -P "$1" || :)
	for one in "$1" ${children//,/ } $([ -z "$children" ] || pgrep -P "$children"); do cat "/proc/$one/stat" 2>/dev/null || :; done |
		awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); sum += $12 + $13 } END { printf "%.2f", sum / hz }'
}

# measure NAME COMMAND...: NAME seconds, and NAME-cpu seconds of processor time: of the command, or of the daemon that it leaves.
measure()
{
	local name=$1 start end before after
	shift
	daemon=
	before=$(children_processor)
	start=$(date +%s.%N)
	"$@" >&2
	end=$(date +%s.%N)
	after=$(children_processor)
	say "$name $(awk -v a="$start" -v b="$end" 'BEGIN { printf "%.3f", b - a }') s"
	if [ -n "$daemon" ]; then
		say "$name-cpu $(processor_of "$daemon") s"
	else
		say "$name-cpu $(awk -v a="$before" -v b="$after" 'BEGIN { printf "%.2f", b - a }') s"
	fi
}

# Seconds of processor time of all that this shell has waited for. Of its own children alone, so not in a subshell.
children_processor()
{
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.2f", ($14 + $15) / hz }' "/proc/$$/stat"
}

# Until everything is here and on record, which means durable. Asks again and again, which costs processor time of its own.
await_complete()
{
	until "$admin" stat --json 1 | grep -E "\"state\": *\"complete\"" >/dev/null; do sleep 0.02; done
}

# start_dmmfs SOURCE [OPTIONS]: in the foreground of a job of ours, so that its log is in $base/log and its number in $daemon.
start_dmmfs()
{
	rm -f "$base/log"
	: >"$base/log"
	"$dmmfs" -f "$1" "$disk/t" ${2:+-o "$2"} >/dev/null 2>>"$base/log" &
	daemon=$!
}

# logged TEXT: waits until the daemon says so, at no cost to it.
logged()
{
	grep -q -m 1 -e "$1" < <(exec tail -n +1 -f --pid="$daemon" "$base/log" 2>/dev/null) && return
	echo "bench: dmmfs has ended before it said \"$1\"; the end of what it said:" >&2
	tail -n 5 "$base/log" >&2
	return 1
}

copy_dmmfs() { start_dmmfs "$@" && logged event=complete; }
copy_cp() { cp -a --sparse=always "$1/." "$disk/t/" && sync -f "$disk"; }

summary()
{
	printf '\n%-28s %12s %12s %12s\n' name median minimum maximum
	grep -v '^#' "$results" | sort -k1,1 -k2,2n | awk '
		function out() { if (n) printf "%-28s %12s %12s %12s %s\n", name, v[int((n + 1) / 2)], v[1], v[n], unit }
		$1 != name { out(); n = 0; name = $1; unit = $3 }
		{ v[++n] = $2 }
		END { out() }'
	printf '\n'
	python3 "$here/report.py" "$results"
	[ -z "${BENCH_KEEP:-}" ] || cat "$results" >>"$BENCH_KEEP"
}
