#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Owners, groups and the ids of ACLs as the file of property idmap says.
. "$(dirname "$0")/lib.sh"

mkdir -p source/dir target
echo a >source/one
echo b >source/dir/two
ln -s one source/link
chown 1000:100 source/one
chown 5005:101 source/dir source/dir/two
chown -h 1000:7 source/link
setfacl -m u:1000:rw,g:101:r,u:42:r source/dir/two
cat >map <<'EOT'
uid 1000 2000       # one
uid 5000-5999 15000
gid 101 1101
gid * 65534
uid 0 0
EOT

refused 'a map that is not there' 1 'idmap=.*nowhere: must be a file that can be read: No such file' \
	"$dmmfs" "$work/source" "$work/target" -o idmap="$work/nowhere"
echo 'uid 1' >wrong
refused 'a map with a wrong line' 32 "line 1: write 'uid FROM TO'" "$dmmfs" "$work/source" "$work/target" -o idmap="$work/wrong"
no_trace target

start one "$work/source" "$work/target" -o idmap="$work/map",background=off
equal 'one id' 2000:65534 "$(stat -c %u:%g target/one)"
equal 'a range' 15005:1101 "$(stat -c %u:%g target/dir)"
equal 'a symbolic link' 2000:65534 "$(stat -c %u:%g target/link)"
stop one "$work/target"
start one "$work/source" "$work/target" -o background=on
equal 'the map is remembered' 15005:1101 "$(stat -c %u:%g target/dir/two)"
equal 'an ACL' 'user:42:r--,user:2000:rw-,group:1101:r--' \
	"$(getfacl -ncpE target/dir/two | grep -E '^(user|group):[0-9]' | sort -t: -k1,1r -k2,2n | paste -sd,)"
finish one "$work/target"
equal 'what remains' 15005:1101 "$(stat -c %u:%g target/dir/two)"

say '--- what lets programs run as somebody else, and devices'
mkdir tools plain
install -m 6755 /bin/true tools/set-id
install -m 755 /bin/true tools/capable
setcap cap_net_raw+ep tools/capable
ln tools/set-id tools/linked
mknod tools/null c 1 3
mkfifo tools/fifo
mkdir -m 2755 tools/group
start plain "$work/tools" "$work/plain" -o setid=drop,devices=drop,background=off
equal 'no set-id bits of files, of a directory' '755 755 2755' "$(stat -c %a plain/set-id plain/linked plain/group | paste -sd' ')"
equal 'no capabilities' '' "$(getcap plain/capable)"
equal 'no device' 'capable fifo group linked set-id' "$(ls plain | paste -sd' ')"
"$admin" losses --json "$work/plain" >losses.json
equal 'each is a loss' 'capability 1, device 1, set-id 1' "$(python3 -c 'import json
print(*sorted("%s %d" % (k["kind"], k["objects"]) for k in json.load(open("losses.json"))["kinds"]), sep=", ")')"
check 'the losses are as the schema says' "$DMMFS_SOURCEDIR/test/tools/schema.py" losses losses.json
stop plain "$work/plain"
rm -r plain/.dmmfs/state
DMMFS_DAEMON=$dmmfs "$admin" db rebuild -f 2 >rebuild.out 2>&1 || fail "$(cat rebuild.out)"
start plain "$work/tools" "$work/plain" -o background=on
await_complete "$work/plain"
check 'nor by a state that is made anew' grep -q '"what": "device"' <("$admin" errors --json "$work/plain")
"$admin" verify --full --json "$work/plain" >verify.json || fail 'verify finds something'
equal 'nor misses what was left out' 0 "$(python3 -c 'import json; print(json.load(open("verify.json"))["missing"])')"
finish plain "$work/plain"
equal 'it is remembered' '755' "$(stat -c %a plain/set-id)"
