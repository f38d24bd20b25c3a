#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What the attributes of an absent file say, and that they stay as they are while it comes over: blocks, times, links.
. "$(dirname "$0")/lib.sh"

mkdir -p source/dir target
head -c 3000000 /dev/urandom >source/file
truncate -s 100M source/sparse
printf x | dd of=source/sparse bs=1 seek=50000000 conv=notrunc status=none
echo small >source/dir/small
ln source/dir/small source/dir/other
touch -d '2010-10-10 10:10:10.101010101' source/file source/dir
slow
start_slow one "$work/source" "$work/target" -o background=off,segsize=64K,whole=0

blocks() { stat -c %b "$1"; }
equal 'blocks of an absent file' "$(blocks source/file)" "$(blocks target/file)"
equal 'blocks of an absent sparse file' "$(blocks source/sparse)" "$(blocks target/sparse)"
equal 'du agrees' "$(du -sk source | cut -f 1)" "$(du -sk --exclude .dmmfs target | cut -f 1)"
shown() { stat -c '%s %h %Y %Z %y %z %i' target/file target/sparse target/dir/small target/dir; }
before=$(shown)
head -c 100000 target/file >/dev/null
equal 'half here it shows the same' "$before" "$(shown)"
find target -type f -exec cat {} + >/dev/null
equal 'all here it shows the same' "$before" "$(shown)"
sleep 1.2
equal 'and a moment later' "$before" "$(shown)"
equal 'blocks of a file that is here' "$(blocks source/file)" "$(blocks target/file)"
[ "$(blocks target/sparse)" -lt 1000 ] || fail 'the hole was filled'
touch target/file
[ "$before" != "$(shown)" ] || fail 'a change does not show'

say '--- stores through a mapping, while the file is open'
cat >mapped.py <<-'EOT'
	import mmap, os, sys, time
	fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o644)
	if os.fstat(fd).st_size == 0:
	    os.ftruncate(fd, 65536)
	mapping = mmap.mmap(fd, 65536)
	before = os.stat(sys.argv[1]).st_mtime_ns
	end = time.monotonic() + 20
	while os.stat(sys.argv[1]).st_mtime_ns == before:
	    if time.monotonic() > end:
	        sys.exit("the modification time stays as it was")
	    time.sleep(0.2)
	    mapping[0:1] = b"x"
EOT
check 'a file that was just made' python3 mapped.py target/made
cat target/made >/dev/null
stat target/made >stat.out
check 'a file whose attributes the kernel knows' python3 mapped.py target/made
stop one target
