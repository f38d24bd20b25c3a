#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Names of one file in several directories stay one file, also when some are renamed, removed or written through before the others
# were seen.
. "$(dirname "$0")/lib.sh"

mkdir -p source/{a,b,c} target
for i in $(seq 40); do
	echo "file $i" >"source/a/$i"
	ln "source/a/$i" "source/b/$i"
	ln "source/a/$i" "source/c/$i"
done
cp -a source plain

# change TREE: in a and b only; c is not looked into.
change()
{
	mv "$1/a/1" "$1/a/moved"
	rm "$1/a/2"
	rm "$1/a/3" "$1/b/3"
	echo more >>"$1/a/4"
	truncate -s 0 "$1/b/5"
	ln "$1/a/6" "$1/b/new6"
	rm "$1/a/7" && echo other >"$1/a/7"
	chmod 600 "$1/b/8"
	mv "$1/a/9" "$1/b/other9"
	mv "$1/b/10" "$1/renamed10"
	ls "$1/a" >/dev/null
}

start one "$work/source" "$work/target" -o background=off
equal 'the link count is that of the source before all names were seen' 3 "$(stat -c %h target/a/20)"
change plain
change target
check 'what was written through one name is read through the one not seen before' cmp plain/c/4 target/c/4
stop one "$work/target"

start one "$work/source" "$work/target" -o background=on
finish one "$work/target"
check 'the trees are equal, links and all' same -t a/moved -t a -t b -t c -t . plain target
no_trace target
