# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: an application beside the background (calm.c tells what it does and which times are taken).
#
# What part of that is the machine's is told by the same application beside a plain copy that is as greedy: as many processes of cp -a
# as there are processors, of the same files, to the same disk, synced several times a second as the background does.
#
#   calm-plain-alone, calm-plain-cp               on the bare file system; the other beside cp
#   calm-mount-alone, calm-mount-cp               on the mount, background off; the other beside cp, which does not go through the mount
#   calm-mount-background                         on the mount, beside the background
#   calm-mount-hogs                               the same beside programs that use all processors and nothing else
#
# BENCH_SECONDS (3) for each; BENCH_FILES (60000) small files and 4 of BENCH_LARGE (128M) are what is copied meanwhile. What came in
# that time is told as well: an application that is not hindered by a background that stands still proves nothing.
# shellcheck shell=bash disable=SC2154

calm=$build/test/bench/calm

# copy_again SOURCE TARGET: until it is ended.
copy_again()
{
	local i=0 copying
	while :; do
		cp -a "$1" "$2.$i" &
		copying=$!
		trap 'kill $copying 2>/dev/null; wait; exit 0' TERM
		while kill -0 "$copying" 2>/dev/null; do
			sync -f "$disk"
			sleep 0.2
		done
		i=$((i + 1))
	done
}

start_greedy()
{
	local i
	beside=
	for i in $(seq "$(nproc)"); do
		if [ $((i % 2)) = 1 ]; then
			copy_again "$base/calm/small" "$disk/greedy$i" &
		else
			copy_again "$base/calm/large" "$disk/greedy$i" &
		fi
		beside="$beside $!"
	done
}

end_greedy()
{
	# shellcheck disable=SC2086
	kill $beside 2>/dev/null || :
	# shellcheck disable=SC2086
	wait $beside || :
	beside=
}

# What only takes processors: the background is to come forward beside it.
start_hogs()
{
	local i
	beside=
	for i in $(seq "$(nproc)"); do
		while :; do :; done &
		beside="$beside $!"
	done
}

# of_application NAME DIR COLD: its figures, with a name.
of_application() { "$calm" app "$2" "${BENCH_SECONDS:-3}" "$3" | with_name "calm-$1"; }

# came NAME: files and bytes that are here.
came()
{
	"$admin" stat --json 1 | python3 -c '
import json, sys
stat = json.load(sys.stdin)
print("background-files", stat["files_migrated"], "files")
print("background-bytes", stat["bytes_migrated"] >> 20, "MiB")' | with_name "calm-$1"
}

# The mount, with the files of the application here and nothing else.
serve_calm()
{
	fresh_disk
	"$dmmfs" "$base/calm" "$disk/t" -o "background=off,order=last '/cold'" >/dev/null 2>&1
	cat "$disk/t/app"/f* >/dev/null
}

calm_round()
{
	fresh_disk
	cp -a "$base/calm/app" "$disk/t/app"
	sync -f "$disk"
	of_application plain-alone "$disk/t/app" "$base/calm/cold"
	start_greedy
	of_application plain-cp "$disk/t/app" "$base/calm/cold"
	end_greedy

	serve_calm
	of_application mount-alone "$disk/t/app" "$disk/t/cold"
	start_greedy
	of_application mount-cp "$disk/t/app" "$disk/t/cold"
	end_greedy

	serve_calm
	"$admin" set -p background=on 1 >/dev/null
	of_application mount-background "$disk/t/app" "$disk/t/cold"
	came mount

	serve_calm
	start_hogs
	"$admin" set -p background=on 1 >/dev/null
	of_application mount-hogs "$disk/t/app" "$disk/t/cold"
	came mount-hogs
	end_greedy
}

# times_as NAME WHAT: how many times as long as alone, by medians.
times_as() { ratio "$(median_of "calm-$1-$2")" "$(median_of "calm-${1%%-*}-alone-$2")"; }

bench_calm()
{
	local i what with
	mkdir -p "$base/calm/large" "$base/calm/small"
	"$calm" make "$base/calm/app"
	make_files "$base/calm/small" "${BENCH_FILES:-60000}" 100 8192
	for i in 1 2 3 4; do head -c "${BENCH_LARGE:-128M}" /dev/urandom >"$base/calm/large/$i"; done
	head -c 256M /dev/urandom >"$base/calm/cold"
	for _ in $(seq "$rounds"); do calm_round; done
	unmount_all
	rm -rf "$base/calm"
	for what in app-p50 app-p99 app-bare-p99 fsync-bare-p99 cold-bare-p99; do
		for with in plain-cp mount-cp mount-background; do say "calm-$with-times-$what $(times_as $with $what)"; done
	done
	goal G11 calm-p99 "$(times_as mount-background app-p99)" at-most 1.5
	goal G11 calm-bare-p99 "$(times_as mount-background app-bare-p99)" at-most 1.5
}
