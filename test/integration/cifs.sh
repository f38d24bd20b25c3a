#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source on an SMB server: data, names, times, DOS attributes and security descriptors come over, also when the server or the
# helper process dies in between.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"

fresh_fs served 512M
mkdir -p served/source/dir/deep
(
	cd served/source
	echo plain >plain
	: >empty
	head -c 3000000 /dev/urandom >large
	head -c 40M /dev/urandom >dir/larger
	echo 'odd' >"dir/per%cent & name #1"
	echo 'Case' >Case
	echo 'case' >case
	printf 'umlaut' >"dir/$(printf '\xc3\xa4')"
	touch -d '2001-02-03 04:05:06.1234567' plain
	mkdir dir/ro
)
smb_serve "$work/served/source" 'case sensitive = yes'

cp credentials open
chmod 644 open
refused 'credentials that others may read' 32 'may be read by others: .*chmod 600' \
	"$dmmfs" smb://127.0.0.1/share "$(mkdir t && echo "$work/t")" -o credentials="$work/open"
sed 's/secret word/wrong/' credentials >wrong
chmod 600 wrong
refused 'a wrong password' 32 'Permission denied; the server answers and refuses: .*credentials' "$dmmfs" smb://127.0.0.1/share "$work/t" -o credentials="$work/wrong"
refused 'a share that is not there' 32 'the server answers and shows nothing of that name: check the path' \
	"$dmmfs" smb://127.0.0.1/elsewhere "$work/t" -o credentials="$work/credentials"
refused 'a path in it that is not there' 32 'no directory of that path: check it' \
	"$dmmfs" smb://127.0.0.1/share/elsewhere "$work/t" -o credentials="$work/credentials"
refused 'permissions that are none' 32 'octal digits, at most 0777' \
	"$dmmfs" smb://127.0.0.1/share "$work/t" -o plugin.credentials="$work/credentials",file_mode=888
refused 'no share' 32 'write smb://server/share' "$dmmfs" smb://127.0.0.1 "$work/t"
refused 'a version that is none' 32 'the lowest version' "$dmmfs" //127.0.0.1/share "$work/t" -o protocol=cifs,vers=1

smbclient -s "$work/smb.conf" -A "$work/credentials" //127.0.0.1/share -c 'setmode plain +rh; setmode dir/ro +s' >smbclient.out 2>&1 ||
	fail "smbclient: $(cat smbclient.out)"

acl() { smbcacls -s "$work/smb.conf" -A "$work/credentials" --numeric //127.0.0.1/share "$@" 2>&1; }
acl plain -a 'ACL:S-1-5-21-1-2-3-1001:0/0/0x001200a9' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
acl dir -a 'ACL:S-1-5-21-1-2-3-1002:0/11/0x001301bf' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
for one in plain dir Case; do acl $one; done >acls
check 'the ACLs that were set are there' grep -q 'S-1-5-21-1-2-3-1002' acls

mkdir piped
check 'whoever mounts and reads what that says is not kept waiting' \
	timeout 60 sh -c "'$dmmfs' smb://127.0.0.1/share '$work/piped' -o credentials='$work/credentials',background=off 2>&1 | cat"
umount piped

mkdir target
start one smb://127.0.0.1/share "$work/target" -o credentials="$work/credentials",background=off
equal 'a name with special characters reads' odd "$(cat "target/dir/per%cent & name #1")"
equal 'names that differ by case' 'Casecase' "$(cat target/Case target/case | tr -d '\n')"
check 'all data' diff -r served/source target
"$admin" losses "$work/target" >losses.out
check 'nothing that SMB can carry was lost' grep -q '^Nothing' losses.out
equal 'what it can not carry is told once' 1 "$(grep -c '^    hard-link: SMB' losses.out)"
finish one "$work/target"
check 'all data, after the end' diff -r served/source target
no_trace target
equal 'times, to 100 ns' "$(stat -c %y served/source/plain)" "$(stat -c %y target/plain)"
equal 'read-only' 444 "$(stat -c %a target/plain)"
if grep -riq 'secret word' "$work"/*.log "$work/conf" "$work/run" 2>/dev/null; then fail 'the password is in a log or in the configuration'; fi
say 'ok: the password is nowhere'

mkdir wide
start three smb://127.0.0.1/share "$work/wide" -o credentials="$work/credentials",segsize=4M,background=off
ls wide/dir >out
before=$(figure "$work/wide" source_requests)
check 'segments of 4 MiB' cmp served/source/dir/larger wide/dir/larger
asked=$(($(figure "$work/wide" source_requests) - before))
[ $asked -lt 30 ] || fail "$asked requests for 10 segments: more than one for each"
say "ok: $asked requests for 10 of them"
stop three "$work/wide"

# What Samba on the target makes of it.
smb_kill
smb_serve "$work/target" 'case sensitive = yes'
smb() { smbclient -s "$work/smb.conf" -A "$work/credentials" //127.0.0.1/share -c "$1" 2>&1; }
check 'DOS attributes' grep -qE 'attributes: .*RH|attributes: .*HR' <(smb 'allinfo plain')
check 'a system directory' grep -qE 'attributes: .*S' <(smb 'allinfo dir/ro')
for one in plain dir Case; do acl $one; done >acls.after
check 'security descriptors' diff acls acls.after

# The server dies, the helper dies.
smb_kill
smb_serve "$work/served/source" 'case sensitive = yes'
mkdir second
start two //127.0.0.1/share "$work/second" -o protocol=cifs,seal,credentials="$work/credentials",background=off
equal 'an encrypted session' plain "$(cat second/plain)"
pkill -9 -P "$(worker two)" dmmfs-smb
check 'the helper was killed: another one takes over' cmp served/source/large second/large
smb_kill
equal 'what is here is here without the server' plain "$(cat second/plain)"
md5sum <second/dir/larger >sum &
reader=$!
sleep 1
smb_serve_again
check 'a read that waited for the server' wait $reader
equal 'its data' "$(md5sum <served/source/dir/larger)" "$(cat sum)"
stop two "$work/second"
wait_for 10 sh -c '! pgrep -x dmmfs-smb'
