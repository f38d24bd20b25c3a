#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Random operations in the mount and in a plain copy of its source say the same, and both trees are the same in the end, before
# and after finish.
#
#     walk.sh [SEED [SECONDS [OPTIONS OF THE MOUNT [SEGSIZE]]]]      without: the rounds of the suite
. "$(dirname "$0")/../integration/lib.sh"
model=$DMMFS_BUILDDIR/test/model/model

# round SEED SECONDS OPTIONS SEGSIZE
round()
{
	local seed=$1 seconds=$2 options=$3 segsize=$4
	say "--- walk.sh $seed $seconds $options $segsize"
	fresh_fs disk 1G
	mkdir disk/source disk/target
	chmod 755 disk
	"$model" -s "$seed" -g "$segsize" make disk/source
	cp -a disk/source disk/plain
	"$model" compare disk/plain disk/source || fail 'the copy is not one'
	start one "$work/disk/source" "$work/disk/target" -o "dev,suid,segsize=$segsize,$options"
	"$model" -s "$seed" -g "$segsize" -t "$seconds" -n 1000000 run disk/plain disk/target || fail 'an operation said something else'
	"$model" compare disk/plain disk/target || fail 'the trees differ'
	if [[ $options != *background=off* ]]; then
		finish one "$work/disk/target"
		"$model" compare disk/plain disk/target || fail 'the trees differ after finish'
		no_trace disk/target
	else
		stop one "$work/disk/target"
	fi
	umount disk
	rm -rf disk disk.img conf run
}

if [ $# -gt 0 ]; then
	round "$1" "${2:-60}" "${3:-background=on}" "${4:-65536}"
	exit
fi
random=$(($(date +%s%N) / 1000 % 1000000000))
round 1 6 background=off 65536
round 2 6 background=on 4096
round 3 6 background=off,nopassthrough 4096
round "$random" 10 background=on,nopassthrough 65536
