#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# One file, all operations on its data, while its segments arrive beside them: the file is what the oracle says all the time.
#
#     onefile.sh [SEED [SECONDS [OPTIONS OF THE MOUNT [SEGSIZE]]]]      without: the rounds of the suite
. "$(dirname "$0")/../integration/lib.sh"
model=$DMMFS_BUILDDIR/test/model/model
export DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins DMMFS_SLOW=$work/slow

# round SEED SECONDS OPTIONS SEGSIZE
round()
{
	local seed=$1 seconds=$2 options=$3 segsize=$4
	say "--- onefile.sh $seed $seconds $options $segsize"
	fresh_fs disk 256M
	mkdir disk/source disk/target
	head -c $((segsize * 24 + seed % segsize)) /dev/urandom >disk/source/file
	touch -d 2010-10-10 disk/source/file disk/source
	cp -a disk/source disk/plain
	echo 'read delay 20' >slow
	start one "slow://$work/disk/source" "$work/disk/target" -o "segsize=$segsize,whole=0,$options"
	"$model" -s "$seed" -g "$segsize" -o file -t "$seconds" -n 1000000 run disk/plain disk/target || fail 'an operation said something else'
	"$model" compare disk/plain disk/target || fail 'the files differ'
	finish one "$work/disk/target"
	"$model" compare disk/plain disk/target || fail 'the files differ after finish'
	umount disk
	rm -rf disk disk.img conf run
}

if [ $# -gt 0 ]; then
	round "$1" "${2:-60}" "${3:-background=on}" "${4:-65536}"
	exit
fi
random=$(($(date +%s%N) / 1000 % 1000000000))
for seed in 1 2 3 "$random"; do
	round "$seed" 2 background=on 65536
	round "$seed" 2 background=on,nopassthrough 4096
done
