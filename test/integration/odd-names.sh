#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Names of any bytes, trees deeper than PATH_MAX, files beyond 4 GiB; our own directory is not to be seen or made.
. "$(dirname "$0")/lib.sh"

work_on_fresh_fs 400M
mkdir -p source/bytes target
python3 - <<'END'
import os
for byte in range(1, 256):
    if byte != ord('/'):
        open(b'source/bytes/' + bytes([byte, 0x41, byte]), 'wb').write(bytes([byte]) * byte)
os.mkdir(b'source/bytes/' + b'\xff' * 255)
open(b'source/bytes/' + b'\xff' * 255 + b'/' + b'\x80' * 255, 'wb').write(b'long')
os.chdir('source')
for depth in range(120):
    os.mkdir('a-directory-with-a-name-of-no-special-length-but-many')
    os.chdir('a-directory-with-a-name-of-no-special-length-but-many')
open('bottom', 'w').write('deep')
END
truncate -s 6G source/sparse
for at in 0 4294967295 5000000000 6442450943; do printf '\125' | dd of=source/sparse bs=1 seek=$at conv=notrunc status=none; done
cat >look.py <<'END'
import os, sys
os.chdir(sys.argv[1])
with open('sparse', 'rb') as file:
    for at in (6442450943, 4294967295, 0, 5000000000):
        file.seek(at)
        assert file.read(1) == b'U', at
    file.seek(4294967295 - 100000)
    assert file.read(100000) == bytes(100000)
assert sum(len(open(entry.path, 'rb').read()) for entry in os.scandir(b'bytes') if entry.is_file()) == sum(range(256)) - 47
assert open(b'bytes/' + b'\xff' * 255 + b'/' + b'\x80' * 255).read() == 'long'
while os.path.isdir('a-directory-with-a-name-of-no-special-length-but-many'):
    os.chdir('a-directory-with-a-name-of-no-special-length-but-many')
assert open('bottom').read() == 'deep'
open('made-here', 'w').write('x')
os.rename('made-here', 'renamed-here')
os.unlink('renamed-here')
END
start one "$work/source" "$work/target" -o background=off
check 'all of it through the mount' python3 look.py target
equal 'our directory is not listed' '' "$(find target -maxdepth 1 -name .dmmfs)"
refused 'nor found' 2 'No such file' ls target/.dmmfs
refused 'nor made' 1 'not permitted' mkdir target/.dmmfs
refused 'nor a goal of a rename' 1 'not permitted' mv target/bytes target/.dmmfs
check 'the name is free elsewhere' mkdir target/bytes/.dmmfs
rmdir target/bytes/.dmmfs
[ "$(stat -c %b target/sparse)" -lt 100000 ] || fail 'the sparse file was filled'
stop one target
start one "$work/source" "$work/target" -o background=on
finish one "$work/target"
check 'all of it after finish' python3 look.py target
[ "$(stat -c %b target/sparse)" -lt 100000 ] || fail 'the sparse file was filled'
no_trace target
