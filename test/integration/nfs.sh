#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source on an NFS server: addresses, versions, and a server that dies in between. What comes over: test/fidelity.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nfs-server.sh"

fresh_fs served 512M
mkdir -p served/source/dir
echo small >served/source/dir/file
head -c 40M /dev/urandom >served/source/big
nfs_serve "$work/served/source"

refused 'an export that is not there' 32 'the server answers and (refuses|shows nothing)' \
	"$dmmfs" nfs://127.0.0.1/nowhere "$work" -o target="$(mkdir -p t && echo "$work/t")",nfsvers=3
refused 'an address without a path' 32 'write nfs://server/path' "$dmmfs" oldnas: "$work/t" -o protocol=nfs
refused 'a version that is none' 32 'must be 3, 4' "$dmmfs" "$(nfs_source 3)" "$work/t" -o nfsvers=2

mkdir negotiated
start any 127.0.0.1:/export "$work/negotiated" -o protocol=nfs,background=off,retrans=49
check 'version 4 is spoken where nothing is said' grep -q 'NFS version 4' any.log
equal 'a file reads' small "$(cat negotiated/dir/file)"
wait_for 60 figure_is "$work/negotiated" files_migrated 1 # on record
nfs_kill
equal 'what is here is here without the server' small "$(cat negotiated/dir/file)"
kill -9 "$(worker any)"
equal 'also from a daemon that begins meanwhile' small "$(cat negotiated/dir/file)"
md5sum negotiated/big >sum &
reader=$!
sleep 1
nfs_serve_again
check 'a read that waited for the server' wait $reader
equal 'its data' "$(md5sum <served/source/big)" "$(md5sum <negotiated/big)"
stop any "$work/negotiated"
