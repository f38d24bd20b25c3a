# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: copies of local trees beside cp -a and rsync -aHAX.
# shellcheck shell=bash disable=SC2154

tree=${BENCH_TREE:-/usr/share}

copy_rsync() { rsync -aHAXS "$1/" "$disk/t/" && sync -f "$disk"; }

measure_copies()
{
	local name=$1 source=$2 who round
	find "$source" -type f -print0 | xargs -0 cat >/dev/null # all from memory: the disk is not what is compared
	for round in $(seq "$rounds"); do
		for who in cp rsync dmmfs; do
			fresh_disk
			say "$name-$who $(seconds_of "copy_$who" "$source") s"
		done
	done
}

bench_small()
{
	say "# small files: $(find "$tree" | wc -l) objects of $tree"
	measure_copies small "$tree"
}

bench_large()
{
	mkdir -p "$base/large"
	for i in 1 2 3 4; do head -c 512M /dev/urandom >"$base/large/$i"; done
	say "# large files: 4 of 512 MiB"
	measure_copies large "$base/large"
	rm -rf "$base/large"
}

bench_sparse()
{
	mkdir -p "$base/sparse"
	for i in 1 2; do
		truncate -s 20G "$base/sparse/$i"
		for at in 1 5000 10000 19999; do
			dd if=/dev/urandom of="$base/sparse/$i" bs=1M count=16 seek=$at conv=notrunc status=none
		done
	done
	say "# sparse files: 2 of 20 GiB with 64 MiB of data each"
	for round in $(seq "$rounds"); do
		for who in cp rsync dmmfs; do
			[ "$who" = rsync ] && [ "$round" -gt 1 ] && continue # it reads all zeros
			fresh_disk
			say "sparse-$who $(seconds_of "copy_$who" "$base/sparse") s"
		done
	done
	rm -rf "$base/sparse"
}

# What the segment size costs and gives: a copy of large files in the background, and the first bytes of a cold one.
bench_segsize()
{
	mkdir -p "$base/segsize"
	head -c 1G /dev/urandom >"$base/segsize/file"
	say "# segment sizes: a 1 GiB file in the background, and 100 first reads of 4 KiB"
	for round in $(seq "$rounds"); do
		for size in 64K 256K 1M 4M 16M; do
			fresh_disk
			say "segsize-$size-copy $(seconds_of copy_dmmfs "$base/segsize" "segsize=$size,whole=0") s"
			fresh_disk
			"$dmmfs" "$base/segsize" "$disk/t" -o "segsize=$size,background=off"
			"$ops" first "$disk/t/file" 100 | with_name "segsize-$size"
		done
	done
	rm -rf "$base/segsize"
}
