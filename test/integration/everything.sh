#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# All about every kind of object comes over, is seen through the mount at once, and is what remains after finish.
. "$(dirname "$0")/lib.sh"

make_tree source
cp -a source before
fresh_fs target 64M

start one "$work/source" "$work/target" -o background=off,suid,dev
check 'the mount shows the source at once' same source target
check 'the source is as it was' same source before
if printf '6.9\n%s\n' "$(uname -r)" | sort -VC; then
	equal 'the kernel reads and writes by itself what has come over' true "$(figure "$work/target" passthrough)"
fi
stop one "$work/target"

start one "$work/source" "$work/target" -o background=on
finish one "$work/target"
check 'what remains is the source' same source target
check 'the source is as it was' same source before
no_trace target
equal 'holes are kept' "$(stat -c %b source/holes)" "$(stat -c %b target/holes)"
equal 'a fast symlink stays one' 0 "$(stat -c %b target/symlink)"
