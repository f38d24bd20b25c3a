#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# One tree, served by an NFS and an SMB server: POSIX from the one, NT from the other, and what they say otherwise is told.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nfs-server.sh"
. "$(dirname "$0")/smb-server.sh"

fresh_fs served 64M
mkdir -p served/source/dir/deep served/source/vetoed/below served/extra served/shown served/other
(
	cd served/source
	echo plain >plain
	echo several >dir/one
	ln dir/one dir/deep/two
	ln -s dir/one link
	ln -s dir dirlink
	ln -s /nowhere dangling
	mkfifo fifo
	mknod null c 1 3
	head -c 3000000 /dev/urandom >large
	echo Case >Case
	echo case >case
	echo colon >'bad:name'
	echo latin >"$(printf 'lat\xe9')"
	echo below >vetoed/below/file
	chown 1234:4321 plain dir
	chmod 2751 dir
	chmod 640 plain
	touch -d '2001-02-03 04:05:06.123456789' plain
	touch -d '2011-11-11 11:11:11.111111111' dir dir/deep
)
echo alone >served/extra/alone
echo unlike >served/other/unlike

# The DOS attributes and ACLs that clients of SMB gave.
smb_serve "$work/served" 'case sensitive = yes
	veto files = /vetoed/'
acl() { smbcacls -s "$work/smb.conf" -A "$work/credentials" --numeric "//127.0.0.1/share" "$@" 2>&1; }
smb() { smbclient -s "$work/smb.conf" -A "$work/credentials" //127.0.0.1/share -c "$1" 2>&1; }
smb 'setmode source/plain +rh; setmode source/dir/deep +s' >smbclient.out || fail "smbclient: $(cat smbclient.out)"
acl source/plain -a 'ACL:S-1-5-21-1-2-3-1001:0/0/0x001200a9' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
acl source/dir -a 'ACL:S-1-5-21-1-2-3-1002:0/11/0x001301bf' >smbcacls.out || fail "smbcacls: $(cat smbcacls.out)"
for one in plain dir dir/deep large; do acl source/$one; done >acls
check 'the ACLs that were set are there' grep -q 'S-1-5-21-1-2-3-1002' acls

# What the SMB server shows has a file more.
mount -t overlay none served/shown -o lowerdir=served/extra:served/source || skip 'needs overlayfs'
nfs_serve "$work/served/source"
share=cifs=//127.0.0.1/share/shown,credentials=$work/credentials

mkdir target
refused 'a share of another tree' 32 'do not show the same tree: of [0-9]+ .* 0 are the same.*"unlike" on the second alone' \
	"$dmmfs" "$(nfs_source 4)" "$work/target" -o "cifs=smb://127.0.0.1/share/other,credentials=$work/credentials"
refused 'a directory that the share does not have' 32 'No such file' \
	"$dmmfs" "$(nfs_source 4)" "$work/target" -o "cifs=smb://127.0.0.1/share/nowhere,credentials=$work/credentials"
refused 'an option of neither' 1 'unknown option cifs.conns' "$dmmfs" "$(nfs_source 4)" "$work/target" -o "$share,cifs.conns=3"
check 'nothing is left of what was refused' test -z "$(ls -A target)"

start one "$(nfs_source 4)" "$work/target" -o "$share,conns=2,cifs.vers=3.0,background=off,suid,dev"
ls target >/dev/null
smb_kill
check 'data comes while the SMB server is away' cmp served/source/large target/large
ls -lR target/dir >listed &
reader=$!
wait_for 30 grep -q 'event=unreachable.*plugin=cifs' one.log
check 'names wait for it' kill -0 $reader
smb_serve_again
check 'and come when it is back' wait $reader
"$admin" set -p background=on "$work/target" >set.out
wait_for 60 grep -q event=complete one.log

"$admin" errors --json "$work/target" >errors
told() { check "told: $1" python3 -c '
import json, sys
found = [e for e in json.load(open("errors")) if e["path"] == sys.argv[1]]
sys.exit(not any(e["state"] == sys.argv[2] and sys.argv[3] in e["detail"] for e in found))' "$@"; }
told vetoed waived 'it is not on the SMB side'
told 'lat\xe9' waived 'SMB can not show its name'
told 'bad:name' waived SMB
told alone waiting 'it is on the SMB side alone'
# Nothing but an ACL that the NFS server made of what Samba set: nfs-ganesha 6 gives it, 4 does not.
equal 'and nothing else' 4 "$(python3 -c 'import json; print(len({e["path"] for e in json.load(open("errors")) if e["what"] != "system.nfs4_acl"}))')"
refused 'what only SMB has keeps it from finishing' 4 'in error' "$admin" finish "$work/target"
check 'it is waived' "$admin" waive alone "$work/target"
finish one "$work/target"
no_trace target

for dir in served/source target; do
	(cd $dir && find . -mindepth 1 -printf '%p %y %m %U %G %n %l %T@ %i\n' | sort | awk '
		{ if ($2 == "f" && $6 > 1) { n[$NF]++; $NF = "linked" } else $NF = ""; if ($2 == "d") $6 = ""; print }') >"$(basename $dir).list"
done
check 'owner, mode, links, times are those of NFS' diff source.list target.list
check 'all data' diff -r --no-dereference --exclude=fifo --exclude=null served/source target
check 'the time of birth that SMB showed' test -n "$(getfattr --only-values -n user.DOSATTRIB target/plain | tr -d '\0')"
if getfattr -n user.DOSATTRIB target/vetoed/below/file 2>/dev/null; then fail 'an attribute of what SMB does not show'; fi
say 'ok: what SMB does not show has none of it'

# What Samba on the target makes of it.
smb_kill
smb_serve "$work/target" 'case sensitive = yes'
for one in plain dir dir/deep large; do acl $one; done >acls.after
check 'security descriptors' diff acls acls.after
check 'DOS attributes' grep -qE 'attributes: .*(RH|HR)' <(smb 'allinfo plain')
check 'a system directory' grep -qE 'attributes: .*S' <(smb 'allinfo dir/deep')
