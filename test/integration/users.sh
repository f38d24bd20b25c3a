#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Unprivileged users on the mount: rights, ACLs, owners, set-id bits, devices.
. "$(dirname "$0")/lib.sh"
command -v setpriv >/dev/null || skip 'needs setpriv'
as() { local id=$1; shift; setpriv --reuid "$id" --regid "$id" --clear-groups --inh-caps=-all -- "$@"; }

mkdir -p source/{mine,open,acl,sticky} target
echo secret >source/secret && chmod 600 source/secret
echo public >source/public
chown 2001:2001 source/mine
chmod 1777 source/sticky && echo other >source/sticky/other
mkdir -m 2775 source/setgid && chown 0:2002 source/setgid && chmod 2777 source/setgid
setfacl -m u:2001:rwx -d -m u:2003:r source/acl
echo acl >source/acl/only && chmod 600 source/acl/only && setfacl -m u:2001:r source/acl/only
cp /usr/bin/id source/id && chown 2009:2009 source/id && chmod 6755 source/id
mknod -m 666 source/null c 1 3

start one "$work/source" "$work/target" -o background=off,suid,dev
m=$work/target
equal 'a public file' public "$(as 2001 cat "$m/public")"
refused 'a private one' 1 'Permission denied' as 2001 cat "$m/secret"
equal 'an ACL opens a file' acl "$(as 2001 cat "$m/acl/only")"
refused 'to those it names' 1 'Permission denied' as 2002 cat "$m/acl/only"
refused 'a directory of others' 1 'Permission denied' as 2002 mkdir "$m/mine/x"
check 'one of its own' as 2001 mkdir "$m/mine/x"
equal 'what a user makes is the user'"'"'s' 2001:2001 "$(stat -c %u:%g "$m/mine/x")"
check 'umask' as 2001 sh -c "umask 027; echo new >$m/mine/new"
equal 'umask is heeded' 640 "$(stat -c %a "$m/mine/new")"
check 'in a set-group-id directory' as 2001 sh -c "echo new >$m/setgid/new"
equal 'the group is the directory'"'"'s' 2001:2002 "$(stat -c %u:%g "$m/setgid/new")"
check 'in a directory with a default ACL' as 2001 sh -c "echo new >$m/acl/new"
equal 'it is inherited' user:2003:r-- "$(getfacl -cpE "$m/acl/new" | grep 2003)"
refused 'the sticky bit' 1 'Operation not permitted' as 2001 rm -f "$m/sticky/other"
refused 'the owner alone changes the mode' 1 'Operation not permitted' as 2001 chmod 777 "$m/public"
equal 'set-user-id programs' 2009 "$(as 2001 "$m/id" -u)"
check 'device nodes' as 2001 dd if=/dev/zero of="$m/null" count=1 status=none
check 'a write takes the set-id bits away' sh -c "chown 2001 $m/id && chmod 6755 $m/id"
as 2001 sh -c "echo >>$m/id"
equal 'which it did' 755 "$(stat -c %a "$m/id")"
stop one "$m"

start one "$work/source" "$m" -o nosuid,nodev,background=on
refused 'nodev' 1 'Permission denied' as 2001 dd if=/dev/zero of="$m/null" count=1 status=none
cp -p /usr/bin/id "$m/id2" && chown 2009:2009 "$m/id2" && chmod 4755 "$m/id2"
equal 'nosuid' 2001 "$(as 2001 "$m/id2" -u)"
finish one "$m"
