#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A write by another user takes set-id bits away in whatever way the file is open and whatever of it is here, as it does on the
# target itself; capabilities go with any write.
. "$(dirname "$0")/lib.sh"

mkdir -p source target plain
ways='write direct append truncate open-trunc allocate copy map'
for way in $ways; do
	for mode in 6777 2767 4777 2666; do
		head -c 200000 /dev/urandom >"source/$way-$mode"
		chmod "$mode" "source/$way-$mode"
	done
done
cp /bin/true source/capable && setcap cap_net_raw+ep source/capable && chmod 777 source/capable

# change TREE: as another user, each file in the way that its name says.
change()
{
	python3 - "$1" <<'END'
import mmap, os, sys
os.chdir(sys.argv[1])
os.setgroups([])
os.setresgid(2001, 2001, 2001)
os.setresuid(2001, 2001, 2001)
for path in sorted(os.listdir('.')):
    way = path.rpartition('-')[0]
    if not way:
        continue
    flags = {'direct': os.O_RDWR | os.O_DIRECT, 'append': os.O_WRONLY | os.O_APPEND, 'open-trunc': os.O_WRONLY | os.O_TRUNC}
    fd = os.open(path, flags.get(way, os.O_RDWR))
    if way == 'direct':
        page = mmap.mmap(-1, 4096)
        os.pwrite(fd, page, 4096)
    elif way == 'truncate':
        os.ftruncate(fd, 1000)
    elif way == 'allocate':
        os.posix_fallocate(fd, 300000, 1000)
    elif way == 'copy':
        os.copy_file_range(fd, fd, 1000, 0, 100000)
    elif way == 'map':
        with mmap.mmap(fd, 4096) as page:
            page[0:1] = b'x'
            page.flush()
    elif way != 'open-trunc':
        os.write(fd, b'x')
    os.close(fd)
END
}

modes() { (cd "$1" && stat -c '%n %a' *-*); }

for options in background=off,whole=0 background=off,whole=0,nopassthrough background=off,whole=64M; do
	cp -a source/. plain/
	start one "$work/source" "$work/target" -o "suid,segsize=64K,$options"
	change plain
	change target
	equal "set-id bits with $options" "$(modes plain)" "$(modes target)"
	echo >>target/capable
	equal "capabilities with $options" '' "$(getcap target/capable)"
	sleep 1.1
	equal "set-id bits later with $options" "$(modes plain)" "$(modes target)"
	stop one target
	rm -rf target plain conf run && mkdir target plain
done
