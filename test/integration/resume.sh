#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A migration goes on after umount, after SIGTERM and after kill -9, whose dead mount is detached; what was finished is not walked again.
. "$(dirname "$0")/lib.sh"

work_on_fresh_fs 1G
real_tree source 3000
make_tree source/special
head -c 200M /dev/zero | tr '\0' 'x' >source/large
mkdir target
cp -a source plain
migid_of() { "$admin" list --json | sed -n 's/^ *"migid": \([0-9]*\).*/\1/p' | xargs; }

say '--- umount'
start one "$work/source" "$work/target" -o background=off
find target/1/usr/include -maxdepth 1 -type f -exec cat {} + >/dev/null
echo changed >>target/special/plain
echo changed >>plain/special/plain
stop one "$work/target"
if [ -e target/special ]; then equal 'the plain tree is under the mount' changed "$(tail -n 1 target/special/plain)"; fi

say '--- SIGTERM'
start one "$work/source" "$work/target" -o background=off
equal 'what was written is there' changed "$(tail -n 1 target/special/plain)"
kill -TERM "${pid[one]}"
reap one
check 'SIGTERM unmounts' sh -c "! findmnt -rn -M '$work/target'"

say '--- kill -9, three times'
for round in 1 2 3; do
	start one "$work/source" "$work/target" -o background=on
	mkdir "target/new$round" "plain/new$round"
	gone=$(cd plain/1/usr/include && find . -mindepth 1 -maxdepth 1 -type d | sort | sed -n "${round}p")
	rm -r "target/1/usr/include/$gone" "plain/1/usr/include/$gone"
	sync target/new$round
	kill_hard one
	refused 'the dead mount shows no placeholders' 2 'not connected' ls target/special
done
"$dmmfs" "$work/source" "$work/target" -o "logfile=$work/background.log" || fail 'the dead mount was not replaced'
check 'its mount was detached' grep -q 'has died' background.log
equal 'it is the same migration' 1 "$(migid_of)"
await_complete "$work/target"
equal 'as many were migrated as found' "$(figure "$work/target" dirs_found) $(figure "$work/target" files_found)" \
	"$(figure "$work/target" dirs_migrated) $(figure "$work/target" files_migrated)"

say '--- after completion'
umount target
wait_for 10 test ! -e "$DMMFS_RUNDIR/1.sock"
start one "$work/source" "$work/target"
await_complete "$work/target"
if [ "$(figure "$work/target" source_requests)" -gt 5 ]; then fail 'finished parts are walked again'; fi
say "ok: finished parts are not walked again"
finish one "$work/target"
check 'nothing was lost' same -t . -t 1/usr/include -t special/plain -t new1 -t new2 -t new3 plain target
no_trace target
