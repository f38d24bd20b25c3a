#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An NFSv4 server that gives the names of owners: by the name service where the domain is ours, by the administrator's map, or reported.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/nfs-server.sh"

mkdir served
sed '/^alice:/d; /^bob:/d' /etc/passwd >passwd
printf '%s\n' 'alice:x:7001:7001::/:/bin/sh' 'bob:x:7003:7001::/:/bin/sh' >>passwd
sed '/^makers:/d' /etc/group >group
echo 'makers:x:7001:' >>group
printf '%s\n' '[General]' 'Domain = corp.example' '[Translation]' 'Method = nsswitch' >idmapd.conf
for file in passwd group; do mount --bind $file /etc/$file; done # of this test's name space alone
nfs_numeric=false
for name in alice bob nameless; do echo $name >served/$name; done
chown 7001:7001 served/alice
chown 7003:7001 served/bob
chown 7777:7001 served/nameless
ln served/nameless served/linked
chmod 6755 served/nameless
nfs_serve "$work/served"

owners() { stat -c %u:%g "$1"/{alice,bob,nameless} | paste -sd' '; }
details() { "$admin" errors --json "$1" | python3 -c 'import json,sys
print(*sorted({e["what"] + " " + e["detail"] for e in json.load(sys.stdin) if e["kind"] == "loss"}), sep="\n")'; }
# migrate NAME OPTIONS
migrate()
{
	mkdir "$1"
	start "$1" "$(nfs_source 4)" "$work/$1" -o "nfsvers=4,background=off,suid,$2"
	ls -R "$1" >/dev/null 2>&1 || :
}

migrate ours domain=Corp.Example
equal 'the domain is ours: as the name service says, and no owner for nobody' '7001:7001 7003:7001 0:7001' "$(owners ours)"
equal 'the set-user-ID bit of nobody is not root'"'"'s' 2755 "$(stat -c %a ours/nameless)"
check 'it is a loss, with the remedy' grep -q '^owner "nobody" has no id here.*user nobody ID' <<<"$(details ours)"
equal 'it is logged once' 1 "$(grep -c 'the source names a user' ours.log)"
stop ours "$work/ours"

migrate theirs domain=other.example
equal 'of another domain nobody is the same' '0:0 0:0 0:0' "$(owners theirs)"
check 'each name is told, of root as well' test "$(grep -c 'the source names' theirs.log)" = 6
check 'by its name' grep -q 'owner "alice@corp.example" has no id' <<<"$(details theirs)"
stop theirs "$work/theirs"

cat >map <<'EOT'
user alice@corp.example 10042
user nobody 10099   # what the server has no name for
group * 20000
uid 7003 17003
EOT
migrate mapped "domain=corp.example,idmap=$work/map"
equal 'the map goes first, then the name service and its lines for ids' '10042:7001 17003:7001 10099:7001' "$(owners mapped)"
equal 'nothing is lost' '' "$(details mapped)"
stop mapped "$work/mapped"
migrate rest "domain=other.example,idmap=$work/map"
equal 'the group of all that nobody knows' '10042:20000 0:20000 10099:20000' "$(owners rest)"
stop rest "$work/rest"

if grep -q HAVE_NFSIDMAP "$DMMFS_BUILDDIR/compile_commands.json" && [ -e /etc/idmapd.conf ]; then
	mount --bind idmapd.conf /etc/idmapd.conf
	migrate library rsize=65536
	equal 'the domain of idmapd.conf' '7001:7001 7003:7001 0:7001' "$(owners library)"
	stop library "$work/library"
fi

say '--- root is squashed'
nfs_kill
nfs_squash=Root_Squash
mkdir -m 700 served/closed
echo secret >served/closed/file
echo secret >served/secret
chmod 600 served/secret
nfs_serve "$work/served"
migrate squashed background=on
wait_for 30 sh -c "'$admin' errors --json '$work/squashed' | grep -q '\"path\": \"secret\"'"
wait_for 30 sh -c "'$admin' errors --json '$work/squashed' | grep -q '\"path\": \"closed\"'"
equal 'the remedy is said, for a file and for a directory' 2 "$("$admin" errors --json "$work/squashed" | grep -c 'without squashing root (no_root_squash)')"
stop squashed "$work/squashed"
