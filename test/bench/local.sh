# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: copies of local trees beside cp -a, rsync -aHAX and a program that keeps no state (ceiling-local.c).
#
# small, dir   BENCH_FILES (60000) files of 200 bytes to 16 KiB, 100 in a directory; 100000 small files in one directory
# small-cold   the same from a real disk (BENCH_COLD_DIR, /var/tmp) and to it, after the caches were dropped
# usr          BENCH_TREE (/usr/share), whatever is in it
# large        4 files of BENCH_LARGE (512M); sparse: 2 of 10 GiB with 256 MiB of data each; reflink: on one file system that shares blocks
#
# shellcheck shell=bash disable=SC2154

# A disk of its own for the source, beside that of the target: small files in memory are reread from an image as fast as from caches.
source_disk=$base/source

make_source_disk()
{
	umount "$source_disk" 2>/dev/null || :
	rm -f "$base/source-image"
	truncate -s 10G "$base/source-image"
	mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$base/source-image"
	mkdir -p "$source_disk"
	mount -o loop "$base/source-image" "$source_disk"
}

drop_source_disk()
{
	unmount_all
	umount "$source_disk"
	rm -f "$base/source-image"
}

# make_files DIR FILES PER-DIRECTORY MOST-BYTES: of a user, with a link for every twentieth.
make_files()
{
	python3 - "$@" <<-'EOT'
	import os, random, sys
	top, files, each, most = sys.argv[1], *map(int, sys.argv[2:])
	random.seed(1)
	data = random.randbytes(most)
	for i in range(files):
	    where = os.path.join(top, f"part{i // each // 20}", f"dir{i // each}") if each < files else os.path.join(top, "dir")
	    if i % each == 0:
	        os.makedirs(where)
	    with open(os.path.join(where, f"file{i}"), "wb") as file:
	        file.write(data[:random.randint(min(200, most), most)])
	        os.fchown(file.fileno(), 1000, 1000)
	    if i % 20 == 0:
	        os.symlink(f"file{i}", os.path.join(where, f"link{i}"))
	EOT
	sync -f "$1"
}

warm() { find "$1" -type f -print0 | xargs -0 cat >/dev/null; }

copy_rsync() { rsync -aHAXS "$1/" "$disk/t/" && sync -f "$disk"; }
copy_ceiling() { "$build/test/bench/ceiling-local" copy "$1" "$disk/t" "${ceiling_threads:-$(nproc)}" >/dev/null && sync -f "$disk"; }
copy_unverified() { copy_dmmfs "$1" verify=off; }

# copies NAME SOURCE PREPARE WHO...: rounds in which each of them copies the source to a new disk.
copies()
{
	local name=$1 source=$2 prepare=$3 who round
	shift 3
	for round in $(seq "$rounds"); do
		for who; do
			fresh_disk
			"$prepare" "$source"
			measure "$name-$who" "copy_$who" "$source"
		done
	done
	unmount_all
}

# faster NUMBER NAME PEER RATIO: how many times as fast as the peer; cheaper: which part of its processor time.
faster() { goal "$1" "$2-against-$3" "$(ratio "$(median_of "$2-$3")" "$(median_of "$2-dmmfs")")" at-least "$4"; }
cheaper() { goal "$1" "$2-processor-against-$3" "$(ratio "$(median_of "$2-dmmfs-cpu")" "$(median_of "$2-$3-cpu")")" at-most "$4"; }

bench_small()
{
	make_source_disk
	make_files "$source_disk/s" "${BENCH_FILES:-60000}" 100 16384
	say "# small files: $(find "$source_disk/s" | wc -l) objects, warm; dmmfs with digests, and without"
	copies small "$source_disk/s" warm cp rsync ceiling dmmfs unverified
	faster G1 small rsync 2.0
	faster G1 small cp 1.5
	faster G1 small ceiling 0.7
	cheaper G14 small rsync 0.5
	drop_source_disk
}

drop_caches() { sync && echo 3 >/proc/sys/vm/drop_caches; }

bench_small-cold()
{
	local cold ceiling_threads=16
	cold=$(mktemp -d "${BENCH_COLD_DIR:-/var/tmp}/dmmfs-bench-cold.XXXXXX")
	base=$cold disk=$cold/disk # and clean_up knows of it
	make_files "$cold/s" "${BENCH_FILES:-60000}" 100 16384
	say "# small files, cold: $(find "$cold/s" | wc -l) objects, from and to $(findmnt -no SOURCE,FSTYPE -T "$cold" | tr -s ' ')"
	copies small-cold "$cold/s" drop_caches cp ceiling dmmfs
	faster G1 small-cold cp 3.0
	rm -rf "$cold"
	base=$made disk=$made/disk
}

bench_usr()
{
	say "# a tree: $(find "${BENCH_TREE:-/usr/share}" | wc -l) objects of ${BENCH_TREE:-/usr/share}"
	copies usr "${BENCH_TREE:-/usr/share}" warm cp rsync ceiling dmmfs
}

# Until the names of a directory that nobody has seen yet are listed, and no data has come.
first_ls()
{
	start_dmmfs "$1" background=off
	logged serving
	measure dir-ls-dmmfs list "$disk/t/dir"
}
list() { ls -U "$1" | wc -l >/dev/null; }

bench_dir()
{
	local round
	make_source_disk
	make_files "$source_disk/s" "${BENCH_FILES:-100000}" 1000000 1024
	say "# one directory: $(find "$source_disk/s" | wc -l) objects"
	copies dir "$source_disk/s" warm cp rsync ceiling dmmfs
	for round in $(seq "$rounds"); do
		fresh_disk
		warm "$source_disk/s"
		mkdir "$disk/t/dir"
		measure dir-ls-ceiling "$build/test/bench/ceiling-local" names "$source_disk/s/dir" "$disk/t/dir"
		fresh_disk
		warm "$source_disk/s"
		first_ls "$source_disk/s"
	done
	faster G2 dir rsync 1.8
	goal G2 first-ls-against-ceiling "$(ratio "$(median_of dir-ls-dmmfs)" "$(median_of dir-ls-ceiling)")" at-most 1.5
	drop_source_disk
}

bench_large()
{
	local i
	make_source_disk
	for i in 1 2 3 4; do head -c "${BENCH_LARGE:-512M}" /dev/urandom >"$source_disk/$i"; done
	say "# large files: 4 of ${BENCH_LARGE:-512M}"
	copies large "$source_disk" warm cp rsync dmmfs unverified
	faster G3 large cp 1.0
	cheaper G14 large rsync 0.5
	drop_source_disk
}

make_sparse()
{
	local i at
	mkdir -p "$1"
	for i in 1 2; do
		truncate -s 10G "$1/$i"
		for at in 1 2500 5000 9999; do
			dd if=/dev/urandom of="$1/$i" bs=1M count=64 seek=$at conv=notrunc status=none
		done
	done
}

bench_sparse()
{
	make_source_disk
	make_sparse "$source_disk/s"
	say "# sparse files: 2 of 10 GiB with 256 MiB of data each"
	copies sparse "$source_disk/s" : cp dmmfs
	faster G3 sparse cp 1.0
	drop_source_disk
}

used_mib() { df -B1M --output=used "$disk" | tail -1 | tr -d ' '; }

# Source and target on one file system that shares blocks: what is copied takes no room.
bench_reflink()
{
	local round who before i
	say "# reflink: 4 files of ${BENCH_LARGE:-512M} on one xfs"
	for round in $(seq "$rounds"); do
		for who in cp dmmfs unverified; do
			fresh_disk
			unmount_all
			mkfs.xfs -q -f -m reflink=1 "$base/image"
			mount -o loop "$base/image" "$disk"
			mkdir "$disk/s" "$disk/t"
			for i in 1 2 3 4; do head -c "${BENCH_LARGE:-512M}" /dev/urandom >"$disk/s/$i"; done
			sync -f "$disk"
			before=$(used_mib)
			measure "reflink-$who" "copy_$who" "$disk/s"
			say "reflink-$who-used $(($(used_mib) - before)) MiB"
		done
	done
	unmount_all
	# cp shares and reads nothing; the digests are of bytes that were read. So what counts is the room.
	goal G3 reflink-room-in-mib "$(median_of reflink-dmmfs-used)" at-most 8
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
