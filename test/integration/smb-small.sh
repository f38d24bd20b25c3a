#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Small files from an SMB server come many in one question, which is counted: sizes around the pieces that are read, with streams and
# descriptors, plain, encrypted and over a network on which answers come in pieces; and all the same when helpers are killed meanwhile, or
# one cannot be asked that way.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"
command -v strace >/dev/null || skip 'needs strace'
grep -q smb2_connect_share "$DMMFS_PLUGINDIR/dmmfs-smb" 2>/dev/null || grep -q smb2_connect_share "$DMMFS_PLUGINDIR/cifs/dmmfs-smb" ||
	skip 'needs libsmb2 (./bootstrap deps)'

files=400
fresh_fs served 256M
mkdir -p served/source/{dir1,dir2,sizes}
for i in $(seq $files); do head -c $((i * 37)) /dev/urandom >served/source/dir$((i % 2 + 1))/file$i; done
for size in 0 1 65535 65536 65537 131072 196608 262143 262144 262145 1048576 1048577; do
	head -c $size /dev/urandom >served/source/sizes/$size
done
smb_serve "$work/served/source"
smb() { smbclient -s "$work/smb.conf" -A "$work/credentials" //127.0.0.1/share -c "$1" 2>&1; }
acl() { smbcacls -s "$work/smb.conf" -A "$work/credentials" --numeric //127.0.0.1/share "$@" 2>&1; }
printf 'notes' >text
smb 'put text dir1/file2:notes; put text sizes/131072:notes; setmode dir2/file3 +rh' >smb.out || fail "smbclient: $(cat smb.out)"
acl dir2/file3 -a 'ACL:S-1-5-21-1-2-3-1001:0/0/0x001200a9' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"

touch -d '2001-02-03 04:05:06.1234567' served/source/dir1/file2 served/source/sizes/65537

# begun NAME TARGET [OPTIONS]
begun()
{
	mkdir "$2"
	start "$1" //127.0.0.1/share "$work/$2" -o "protocol=cifs,credentials=$work/credentials,background=off${3:+,$3}"
}

# Streams as Samba's vfs_streams_xattr has them; descriptors; times; data.
all_is_there()
{
	check "$1: all data" diff -r served/source "$1"
	equal "$1: times, to 100 ns" "$(stat -c %y served/source/dir1/file2 served/source/sizes/65537)" \
		"$(stat -c %y "$1"/dir1/file2 "$1"/sizes/65537)"
	equal "$1: streams" '66' "$(for one in dir1/file2 sizes/131072; do
		getfattr --only-values -n 'user.DosStream.notes:$DATA' "$1/$one" 2>/dev/null | wc -c; done | tr -d '\n')"
	check "$1: descriptors" [ "$(getfattr -R -n security.NTACL --absolute-names -e hex "$work/$1" 2>/dev/null | grep -c '^security')" -ge $files ]
	check "$1: that descriptor" grep -q e9030000 <(getfattr -n security.NTACL -e hex "$1/dir2/file3")
	equal "$1: read-only" 444 "$(stat -c %a "$1/dir2/file3")"
	equal "$1: nothing is in error" '0 0' "$(figure "$work/$1" files_error) $(figure "$work/$1" dirs_error)"
}

begun one target
strace -f -c -U calls,name -e trace=sendto -o calls -p "$(worker one)" 2>tracer.log &
pid[tracer]=$!
wait_for 30 grep -q attached tracer.log
"$admin" set -p background=on "$work/target" >set.out || fail "$(cat set.out)"
await_complete "$work/target" 120
kill -INT "${pid[tracer]}"
wait "${pid[tracer]}" || :
unset 'pid[tracer]'
sent=$(awk '$2 == "sendto" { print $1 }' calls)
[ "${sent:-0}" -gt 0 ] && [ "$sent" -lt $files ] || fail "$sent messages to the helpers for $files small files: $(cat calls)"
say "ok: $sent messages to the helpers for $files small files"
all_is_there target
stop one "$work/target"

begun two sealed seal
"$admin" set -p background=on "$work/sealed" >set.out || fail "$(cat set.out)"
await_complete "$work/sealed" 120
all_is_there sealed
stop two "$work/sealed"

say '--- answers that come in pieces'
"${DMMFS_SOURCEDIR:?}/test/integration/pieces.py" 10445 127.0.0.1 445 1448 &
pid[pieces]=$!
wait_for 30 bash -c ': </dev/tcp/127.0.0.1/10445'
begun four pieces port=10445
"$admin" set -p background=on "$work/pieces" >set.out || fail "$(cat set.out)"
await_complete "$work/pieces" 120
all_is_there pieces
equal 'sessions that were lost' 0 "$(grep -c 'connection to the source is lost' four.log)"
stop four "$work/pieces"

say '--- helpers that die meanwhile'
begun three killed
"$admin" set -p background=on "$work/killed" >set.out || fail "$(cat set.out)"
for _ in 1 2 3; do
	sleep 0.1
	pkill -9 -P "$(worker three)" dmmfs-smb || : # or all is over by now
done
await_complete "$work/killed" 120
all_is_there killed
stop three "$work/killed"
