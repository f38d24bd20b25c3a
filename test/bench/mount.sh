# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: single operations on the mount beside the bare file system.
# shellcheck shell=bash disable=SC2154

# A file that has not come over, in 4 KiB reads far apart, beside the same reads at the source.
bench_first()
{
	mkdir -p "$base/first"
	head -c 1G /dev/urandom >"$base/first/file"
	say "# first 4 KiB at 200 places of a cold 1 GiB file"
	for round in $(seq "$rounds"); do
		"$ops" first "$base/first/file" 200 | with_name native
		fresh_disk
		"$dmmfs" "$base/first" "$disk/t" -o background=off
		ls "$disk/t" >/dev/null
		"$ops" first "$disk/t/file" 200 | with_name dmmfs
	done
	rm -rf "$base/first"
}

# Single operations on a migrated tree, beside the same on the bare file system.
bench_ops()
{
	mkdir -p "$base/ops/meta"
	head -c 256M /dev/urandom >"$base/ops/file"
	cp -a /usr/include "$base/ops/list"
	for round in $(seq "$rounds"); do
		fresh_disk
		copy_cp "$base/ops" # and synced, as the other is
		for what in "meta meta" "list list" "data file"; do
			"$ops" "${what% *}" "$disk/t/${what#* }" | with_name native
		done
		fresh_disk
		copy_dmmfs "$base/ops"
		for what in "meta meta" "list list" "data file"; do
			"$ops" "${what% *}" "$disk/t/${what#* }" | with_name dmmfs
		done
	done
	rm -rf "$base/ops"
}
