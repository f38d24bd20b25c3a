#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# From xfs to ext4 and back: all about every kind of object, and ACLs, which xfs shows under two names.
. "$(dirname "$0")/lib.sh"

mkdir old new
truncate -s 320M old.img new.img
mkfs.xfs -q old.img
mkfs.xfs -q new.img
mount -o loop old.img old || skip 'needs xfs and loop devices'
mount -o loop,nouuid new.img new
make_tree old/source
setfacl -m u:1234:rwx,d:g:77:rx old/source/deep
fresh_fs between 64M

start one "$work/old/source" "$work/between"
finish one "$work/between"
check 'no attribute of xfs is left on ext4' test -z "$(getfattr -hRd -m 'SGI_ACL' between 2>/dev/null)"
equal 'the ACL has come over' "$(getfacl -cpn old/source/deep)" "$(getfacl -cpn between/deep)"

start two "$work/between" "$work/new"
finish two "$work/new"
check 'what came back is what went' same old/source new
no_trace new
