#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Alternate data streams and whole security descriptors from an SMB server, stored so that Samba on the target serves them unchanged.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"

grep -q smb2_connect_share "$DMMFS_PLUGINDIR/dmmfs-smb" 2>/dev/null || grep -q smb2_connect_share "$DMMFS_PLUGINDIR/cifs/dmmfs-smb" ||
	skip 'needs libsmb2 (./bootstrap deps)'
fresh_fs served 64M
mkdir -p served/source/dir
(
	cd served/source
	echo plain >plain
	echo many >many
	echo dir >dir/file
	echo none >none
	echo audited >audited
)
mkdir served/streams
smb_serve "$work/served/source" "vfs objects = acl_xattr streams_depot
streams_depot:directory = $work/served/streams"
smb() { smbclient -s "$work/smb.conf" -A "$work/credentials" //127.0.0.1/share -c "$1" 2>&1; }
acl() { smbcacls -s "$work/smb.conf" -A "$work/credentials" --numeric //127.0.0.1/share "$@" 2>&1; }
sddl() { for one in plain dir none; do acl "$one" --sddl; done; }
head -c 300 /dev/urandom >binary
printf 'notes' >text
: >nothing
head -c 20000 /dev/urandom >large
head -c 100000 /dev/urandom >larger
smb 'put text plain:notes; put binary plain:Zone.Identifier; put nothing many:nothing; put text "dir:of a directory"; put text "many:umläut";
	put large many:large; put larger many:larger' >smb.out || fail "smbclient: $(cat smb.out)"
acl plain -a 'ACL:S-1-5-21-1-2-3-1001:0/0/0x001200a9' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
acl dir -a 'ACL:S-1-5-21-1-2-3-1002:0/11/0x001301bf' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
acl none -I remove >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)" # a flag that words do not tell
sddl >acls
check 'one is protected against what its directory says' grep -q 'D:[A-Z]*P' acls
smb 'allinfo plain; allinfo many; allinfo dir' | grep stream >streams
check 'the server has streams' grep -q 'notes' streams

# A descriptor with an audit list, as Samba keeps it: whoever reads the file is to be noted.
python3 - served/source/audited <<-'EOT'
import os, struct, sys

def sid(authority, *parts):
    return bytes([1, len(parts)]) + authority.to_bytes(6, "big") + b"".join(struct.pack("<I", part) for part in parts)

def acl(*aces):
    entries = b"".join(struct.pack("<BBHI", kind, flags, 8 + len(who), mask) + who for kind, flags, mask, who in aces)
    return struct.pack("<HHHH", 2, 8 + len(entries), len(aces), 0) + entries

owner, group, world = sid(22, 1, 0), sid(22, 2, 0), sid(1, 0)
parts = [owner, group, acl((2, 0x40, 0x1, world)), acl((0, 0, 0x1f01ff, world))]
offsets = [28 + sum(map(len, parts[:n])) for n in range(4)]
os.setxattr(sys.argv[1], "security.NTACL",
            struct.pack("<HHIHHIIII", 1, 1, 0x20000, 1, 0x8014, *offsets) + b"".join(parts))
EOT
net -s "$work/smb.conf" sam rights grant root SeSecurityPrivilege >net.out 2>&1 || fail "net: $(cat net.out)"
for how in '' ',seal'; do
	target=target${how#,}
	fresh_fs "$target" 64M
	start one smb://127.0.0.1/share "$work/$target" -o "credentials=$work/credentials$how"
	await_complete "$work/$target"
	check "${how#,} audit lists can come over" sh -c "! '$admin' losses '$work/$target' | grep '^    sacl:'"
	"$admin" losses --paths "$work/$target" >losses.out
	check "${how#,} a stream that does not fit is a loss" grep -qE '^    many: larger: 100000 bytes' losses.out
	check "${how#,} and one that the target has no room for" grep -qE '^    many  user.DosStream.large:' losses.out
	equal "${how#,} nothing else" 'streams: 1 object.' "$(grep -oE '^[a-z-]+: [0-9]+ objects?\.' losses.out)"
	equal "${how#,} streams can come over" 0 "$(grep -c '^    streams:' losses.out || :)"
	finish one "$work/$target"
	equal "${how#,} a stream as Samba keeps it" "$(printf 'notes\0' | md5sum)" \
		"$(getfattr --only-values -n 'user.DosStream.notes:$DATA' "$target/plain" | md5sum)"
done

audit=0240140001000000010100000000000100000000 # [MS-DTYP] 2.4.4.10, for everybody
check 'an audit list' grep -q "$audit" <(getfattr -e hex -n security.NTACL target/audited)

say '--- what Samba on the target makes of it'
smb_kill
smb_serve "$work/target"
smb 'allinfo plain; allinfo many; allinfo dir' | grep stream >streams.after
check 'the streams' diff <(grep -v large streams | sort) <(sort streams.after)
smb 'get plain:Zone.Identifier got' >/dev/null
check 'their data' cmp binary got
smb 'get many:nothing got; get \"dir:of a directory\" got' >/dev/null
sddl >acls.after
check 'security descriptors, with their flags' diff acls acls.after
