#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A directory of 100,000 entries: one name, all names, and names that come and go while it is listed.
. "$(dirname "$0")/lib.sh"

work_on_fresh_fs 600M -N 250000
mkdir -p source/many target
python3 - source/many <<'END'
import os, sys
os.chdir(sys.argv[1])
for i in range(100000):
    with open(f'entry-{i:06}', 'w') as file:
        if i % 10 == 0:
            file.write(f'content of {i}\n')
END
start one "$work/source" "$work/target" -o background=off
equal 'one name in it' 'content of 4710' "$(cat target/many/entry-004710)"
equal 'all names' 100000 "$(find target/many -name 'entry-*' | wc -l)"
check 'names that stay are listed once while others come and go' python3 - target/many <<'END'
import os, sys
many = sys.argv[1]
seen = []
with os.scandir(many) as entries:
    for n, entry in enumerate(entries):
        seen.append(entry.name)
        if n % 50 == 0 and n < 50000:
            os.unlink(f'{many}/entry-{99999 - n // 50:06}')
            open(f'{many}/new-{n}', 'w').close()
stay = {f'entry-{i:06}' for i in range(99000)}
missing, twice = stay - set(seen), len(seen) - len(set(seen))
assert not missing and not twice, (len(missing), twice)
for n in range(0, 50000, 50):
    os.unlink(f'{many}/new-{n}')
END
stop one "$work/target"
start one "$work/source" "$work/target" -o background=on
finish one "$work/target"
for i in $(seq 99000 99999); do echo "source/many/entry-0$i"; done | xargs rm
check 'the trees are equal' same -t many source target
