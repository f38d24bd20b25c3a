#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source on an NFS server, with either version: all that NFS carries comes over, also when the server dies in between.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nfs-server.sh"

fresh_fs served 512M
make_tree served/source
(
	cd served/source
	mkdir many
	(cd many && seq -f 'file %g' 3000 | xargs -d '\n' touch)
	printf 'x' >"$(printf 'latin \xe9\xff')"
	mkdir -p "$(printf 'd/%.0s' {1..300})"
	echo bottom >"$(printf 'd/%.0s' {1..300})file"
	head -c 40M /dev/urandom >big
	touch -d '1965-01-01 00:00:00.5' old
	chown 4000000000:4000000001 old
)
nfs_serve "$work/served/source"

refused 'an export that is not there' 32 'No such file|not found|denied|cannot be' \
	"$dmmfs" nfs://127.0.0.1/nowhere "$work" -o target="$(mkdir -p t && echo "$work/t")",nfsvers=3
refused 'an address without a path' 32 'write nfs://server/path' "$dmmfs" oldnas: "$work/t" -o protocol=nfs
refused 'a version that is none' 32 'must be 3, 4' "$dmmfs" "$(nfs_source 3)" "$work/t" -o nfsvers=2

for version in 3 4; do
	mkdir "target$version"
	start "v$version" "$(nfs_source $version)" "$work/target$version" -o nfsvers=$version,background=off,suid,dev
	check "version $version: the mount shows the source at once" same -a served/source "target$version"
	finish "v$version" "$work/target$version"
	check "version $version: what remains is the source" same -a served/source "target$version"
	no_trace "target$version"
done

mkdir negotiated
start any 127.0.0.1:/export "$work/negotiated" -o protocol=nfs,background=off,retrans=49
check 'version 4 is spoken where nothing is said' grep -q 'NFS version 4' any.log
equal 'a file reads' bottom "$(cat "negotiated/$(printf 'd/%.0s' {1..300})file")"
nfs_kill
equal 'what is here is here without the server' bottom "$(cat "negotiated/$(printf 'd/%.0s' {1..300})file")"
md5sum negotiated/big >sum &
reader=$!
sleep 1
nfs_serve_again
check 'a read that waited for the server' wait $reader
equal 'its data' "$(md5sum <served/source/big)" "$(md5sum <negotiated/big)"
stop any "$work/negotiated"
