#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# 10,000 readers that wait for the source hold up nobody else, cost the daemon little, and all get their bytes.
. "$(dirname "$0")/lib.sh"

count=${1:-10000}
work_on_fresh_fs 600M -N 60000
mkdir -p source/many source/other target
python3 -c "
for n in range($count): open(f'source/many/{n}', 'w').write(f'{n}\n')
open('source/other/resident', 'w').write('here\n')
open('source/other/absent', 'w').write('not here\n')"
slow
start_slow one "$work/source" "$work/target" -o background=off,whole=0
stat target/many/1 >/dev/null
cat target/other/resident >/dev/null
before=$(awk '/^VmRSS/ { print $2 }' "/proc/$(worker one)/status")
slow 'read hang -'
"$DMMFS_BUILDDIR/test/integration/readers" target/many "$count" >readers.out &
readers=$!
wait_for 60 grep -q parked readers.out
sleep 1
equal 'as many wait' "parked $count" "$(cat readers.out)"
grown=$(($(awk '/^VmRSS/ { print $2 }' "/proc/$(worker one)/status") - before))
say "the daemon has grown by $grown KiB"
[ $grown -lt 200000 ] || fail 'the daemon has grown too much'

start=$(date +%s%N)
for n in $(seq 50); do
	equal 'a resident file is read' here "$(cat target/other/resident)" >/dev/null
	stat target/other/absent >/dev/null
	echo "$n" >target/other/new
done
took=$((($(date +%s%N) - start) / 1000000))
say "50 rounds beside them: $took ms"
[ $took -lt 60000 ] || fail 'they hold up others'
slow
wait_for 100 grep -q right readers.out
wait $readers || { cat readers.out; fail "not all had their bytes"; }
equal 'all have their bytes' "right $count" "$(tail -n 1 readers.out)"
stop one target
