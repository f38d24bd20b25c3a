#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Owners, permissions and ACLs from an SMB server by SIDs: those in the map of ids become ids here, the others are told of.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"

fresh_fs served 64M
fresh_fs store 64M
mkdir -p served/source/dir store/target store/second
(
	cd served/source
	echo own >own && chown 1234:4321 own && chmod 640 own
	echo shared >shared && chown 1234:4321 shared
	echo unknown >unknown && chown 1234:4321 unknown
	echo root >root
	echo inside >dir/inside
	chown -R 1234:4321 dir .
	chown 0:0 root
)
smb_serve "$work/served/source"
acl() { smbcacls -s "$work/smb.conf" -A "$work/credentials" --numeric //127.0.0.1/share "$@" 2>&1; }
for change in 'shared -a ACL:S-1-5-21-1-2-3-1001:0/0/0x00120089' 'dir -a ACL:S-1-5-21-1-2-3-1002:0/3/0x001301bf' \
	'unknown -a ACL:S-1-5-21-9-9-9-7:0/0/0x00120089'; do
	# shellcheck disable=SC2086
	acl $change >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
done
acl root >smbcacls.out
machine=$(sed -n 's/^OWNER:\(S-1-5-21-.*\)-[0-9]*$/\1/p' smbcacls.out)

printf '%s\n' 'uid 1234 5678' 'sid S-1-5-21-1-2-3-* 200000' >map
start one smb://127.0.0.1/share "$work/store/target" -o credentials="$work/credentials",idmap="$work/map"
equal 'a user of the server, by the lines for ids' '5678 4321 640' "$(stat -c '%u %g %a' store/target/own)"
getfacl -np store/target/shared >acl.out 2>/dev/null
check 'a user of a domain, by its relative id' grep -q '^user:201001:r--' acl.out
check 'who is a user may be a group' grep -q '^group:201001:r--' acl.out
getfacl -np store/target/dir >acl.out
check 'an entry for a directory' grep -q '^user:201002:rwx' acl.out
check 'and for what will be made in it' grep -q '^default:user:201002:rwx' acl.out
await_complete "$work/store/target"
"$admin" losses --paths "$work/store/target" >losses.out
check 'a SID that the map does not know is a loss' \
	grep -q '^    unknown.*S-1-5-21-9-9-9-7 is in no line' losses.out
if [ -n "$machine" ]; then
	check 'so is an owner' grep -q "^    root.*its owner $machine-[0-9]* is in no line" losses.out
	equal 'who is not quietly another one' 0 "$(stat -c %u store/target/root)"
else
	say 'the server gives root no SID of its own'
fi
check 'what is known is none' sh -c '! grep -q "^    own " losses.out'
finish one "$work/store/target"
equal 'after the end' '5678 4321 640' "$(stat -c '%u %g %a' store/target/own)"

say '--- a map without SIDs changes nothing'
echo 'uid 5 6' >map
start two smb://127.0.0.1/share "$work/store/second" -o credentials="$work/credentials",idmap="$work/map",uid=5,gid=7,file_mode=600,background=off
equal 'the options say whose it is' '6 7 600' "$(stat -c '%u %g %a' store/second/own)"
stop two "$work/store/second"
