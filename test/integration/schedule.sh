#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# The background keeps to its limit and to its schedule, also when they are edited while it runs, and yields to applications.
# Demand is not held back by any of that.
. "$(dirname "$0")/lib.sh"

mkdir -p source/many source/one target
head -c 80M /dev/urandom >source/one/large
echo other >source/one/other
for n in {1..30}; do head -c 2M /dev/zero >source/many/$n; done

moved() { figure "$mnt" background_bytes; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# The limits are low, so that a file lasts however often a busy machine makes us measure again.
# rate_is WHAT BYTES_PER_S MILLISECONDS: what comes over in the background in that time is never more than 1.3 of that, however
# long it took to ask, and more than 0.6 of it as soon as the machine has time for us.
rate_is()
{
	local bytes before from
	for _ in {1..6}; do
		before=$(now_ms) bytes=$(moved) from=$(now_ms)
		sleep "$(($3 / 1000)).$(printf %03d $(($3 % 1000)))"
		bytes=$(($(moved) - bytes))
		say "$1: $bytes bytes in $(($(now_ms) - from)) ms, the limit is $2 bytes/s"
		[ $((bytes * 1000)) -lt $(($2 * 13 / 10 * ($(now_ms) - before))) ] || fail "$1: too fast"
		[ $((bytes * 1000)) -lt $(($2 * 6 / 10 * ($(now_ms) - from))) ] || return 0
	done
	fail "$1: too slow"
}

stands_still()
{
	wait_for 10 not_moved # what was under way may come
	[ "$(figure "$mnt" bytes_pending)" -gt 0 ] || fail "$1: all has come over"
	say "ok: $1"
}

not_moved()
{
	local bytes
	bytes=$(moved)
	sleep 0.7
	[ "$bytes" = "$(moved)" ]
}

# --- a limit ---

mnt=$work/target
start one "$work/source/one" "$mnt" -o 'segsize=256K,schedule=mon-fri limit=2MB/s; sat\,sun limit=2MB/s'
wait_for 10 figure_is "$mnt" files_found 2
rate_is 'a limit from the start' $((2 << 20)) 1500
measured()
{
	for n in {1..20}; do : >"$mnt/new" && rm "$mnt/new"; done
	[ "$(figure "$mnt" served_p90_us)" -gt 0 ]
}
wait_for 3 measured
say 'ok: operations are measured'
equal 'stat has the limit' $((2 << 20)) "$(figure "$mnt" limit_bytes_per_s)"
check 'another one is set' "$admin" set -p schedule=none -p bandwidth=6M "$mnt"
rate_is 'the new limit' $((6 << 20)) 1000

# --- a schedule ---

from=$(($(date +%s) / 3600 * 3600))
until=$((from + 7200))
check 'a schedule is set' "$admin" set -p "schedule=$(date -d "@$from" +%H:00)-$(date -d "@$until" +%H:00) workers=0; * limit=8M" -p bandwidth=none "$mnt"
equal 'its first rule is in force' 1 "$(figure "$mnt" rule)"
equal 'until it ends' "$until" "$(figure "$mnt" rule_until)"
equal 'for people, too' 1 "$("$admin" stat "$mnt" | grep -cE '^Background +rule 1, until [-0-9: ]+: \* ..:00-..:00 limit=none workers=0$')"
stands_still 'no workers, no background'
equal 'demand goes on' other "$(cat "$mnt/other")"
dd if="$mnt/large" of=tail.out bs=1M skip=79 status=none
check 'with the right bytes' cmp tail.out <(tail -c 1M source/one/large)
refused 'a schedule that is wrong' 2 'rule 2, word 1, .*mon-fry.*days are written' "$admin" set -p 'schedule=workers=1;mon-fry limit=1M' "$mnt"
equal 'it changed nothing' 1 "$(figure "$mnt" rule)"
check 'the rule is edited' "$admin" set -p 'schedule=* limit=4M workers=1' "$mnt"
equal 'one worker' 1 "$(figure "$mnt" data_workers)"
rate_is 'the limit of the rule' $((4 << 20)) 1000
check 'no schedule' "$admin" set -p schedule=none "$mnt"
finish one "$mnt"
check 'all of it came over' cmp source/one/large target/large
equal 'each rule that was in force is in the log' 5 "$(grep -c 'event=rule' one.log)"

# --- load ---

mkdir busy
mnt=$work/busy
slow 'read delay 150'
start_slow two "$work/source/many" "$mnt" -o segsize=64K,whole=0,latency=20ms
wait_for 10 figure_is "$mnt" files_found 30
equal 'it takes all when nobody is there' '100 12' "$(figure "$mnt" share_pct) $(figure "$mnt" data_workers)"
for reader in 1 2; do
	for ((n = reader; n < 600; n += 2)); do
		[ ! -e enough ] || exit 0
		dd if="$mnt/$((n % 30 + 1))" of=/dev/null bs=64K skip=$((31 - n / 30)) count=1 status=none
	done &
	readers[reader]=$!
done
yields() { figure_is "$mnt" yields_to demand && [ "$(figure "$mnt" data_workers)" -le 3 ]; }
wait_for 10 yields
told_so() { grep -q '^ *yields, down to [0-9]* %: waits for the source took' <("$admin" stat "$mnt"); }
wait_for 10 told_so
say 'ok: it yields to demand, and people are told'
touch enough
wait "${readers[@]}"
wait_for 20 figure_is "$mnt" share_pct 100
say 'ok: it takes all back when nobody is there'
stop two "$mnt"
