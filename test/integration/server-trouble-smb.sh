#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An SMB server that ends sessions or admits nobody any more, and helper processes that hang or die: who needs the source waits, what is
# here does not, and everything goes on by itself. (server-trouble-nfs has those that hang or are out of reach.)
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"
m=$work/target

fresh_fs served 256M
mkdir -p served/source/here served/source/there served/source/later target
for i in 1 2 3 4 5 6 7 8; do for dir in here there later; do head -c 300K /dev/urandom >served/source/$dir/$i; done; done
smb_serve "$work/served/source"
start one //127.0.0.1/share "$m" -o protocol=cifs,credentials="$work/credentials",background=off,segsize=64K,retrans=1
cat target/here/* >/dev/null
ls target/there >/dev/null

# read_late N: somebody reads there/N, and waits.
read_late() { cat "target/there/$1" >read.out & reader=$!; }
still_waits() { kill -0 $reader || fail 'who needs the source did not wait'; }
comes() { wait $reader || fail "the read of $1 failed"; cmp "served/source/there/$1" read.out || fail "$1 is not the source's"; say "ok: the read of $1 went on"; }
resident_is_fast() { check "$1: what is here is read and written" timeout 60 sh -c "cmp served/source/here/1 target/here/1 && echo more >>target/here/2"; }
helpers() { pgrep -P "$(worker one)" dmmfs-smb; }
signal_helpers() { helpers | xargs -r kill "$1" || :; } # one may be gone by itself

# patience DS: of one attempt, in tenths of a second. Short only while nothing is answered: a slow machine is no fault of the server's.
patience() { "$admin" set -p "timeo=$1" "$m" >set.out || fail "$(cat set.out)"; }

say '--- helpers that hang, helpers that die'
patience 20
before=$(helpers | tr '\n' ' ')
signal_helpers -STOP
check 'a read brings another one' timeout 60 cmp served/source/there/1 target/there/1
[ "$before" != "$(helpers | tr '\n' ' ')" ] || fail 'the same helpers are there'
patience 600
signal_helpers -KILL
check 'and again' timeout 60 cmp served/source/there/2 target/there/2

say '--- sessions that the server ends'
pkill -9 -P "${pid[smbd]}" || fail 'there was no session'
check 'another session' timeout 60 cmp served/source/there/4 target/there/4

say '--- the password is another one'
printf 'new word\nnew word\n' | smbpasswd -c "$work/smb.conf" -L -s root >smbpasswd.out 2>&1 || fail "smbpasswd: $(cat smbpasswd.out)"
pkill -9 -P "${pid[smbd]}" || fail 'there was no session'
read_late 6
wait_for 90 figure_is "$m" source_error EACCES
say 'ok: that is an outage, and its reason is told'
resident_is_fast 'revoked credentials'
still_waits
equal 'no file is in error' '0 0' "$(figure "$m" files_error) $(figure "$m" dirs_error)"
printf 'username=root\npassword=new word\n' >credentials.new
chmod 600 credentials.new
mv credentials.new credentials
comes 6

say '--- nothing is lost, nothing comes twice'
"$admin" set -p background=on "$m" >set.out || fail "$(cat set.out)"
await_complete "$m" 90
echo more >>served/source/here/2
finish one "$m"
check 'all is here' diff -r served/source target
no_trace target
