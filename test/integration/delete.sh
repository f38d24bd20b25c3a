#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs-admin delete: what stays, what goes and what is told, in every state of a migration; kills at each step, and doing it again.
. "$(dirname "$0")/lib.sh"
export DMMFS_DAEMON=$dmmfs

make_tree source
head -c 3000000 /dev/urandom >source/second
head -c 3000000 /dev/urandom >source/third
head -c 200000 /dev/urandom >source/deep/er/medium
ln source/second source/deep/second-again
ln source/third source/several/third-again
mkdir -p source/many && for i in $(seq 40); do head -c 9000 /dev/urandom >source/many/$i; done
touch -d '2011-11-11 11:11:11' source/many

# json KEY: of what delete --json printed last. deletes ARGUMENTS...: it succeeds.
json() { python3 -c 'import json, sys; print(json.load(open("out.json"))[sys.argv[1]])' "$1"; }
changed() { python3 -c 'import json; print(*sorted(one["path"] for one in json.load(open("out.json"))["changed"]))'; }
deletes() { "$admin" delete --json "$@" >out.json 2>err || { cat out.json err; fail "delete $*"; }; }
gone() { equal "$1: no entry is left" '[]' "$("$admin" list --json | tr -d ' \n')"; }
# begun TARGET: a migration that was made and started, segment by segment, on demand only.
begun()
{
	mkdir -p "$1"
	"$admin" create -p "source=$work/source" -p "target=$work/$1" -p background=off -p segsize=64K -p whole=0 >/dev/null
}

say '--- nothing was begun'
mkdir never
"$admin" create -h -p "source=$work/source" -p "target=$work/never" >/dev/null
touch never/mine
deletes "$work/never"
equal 'never started: nothing is touched' "untouched mine" "$(json data) $(ls -A never)"
gone 'never started'

say '--- unfinished, kept'
begun keep
ls keep keep/deep keep/many >/dev/null                                         # names, no data
cat keep/plain keep/deep/two >/dev/null                                        # whole
dd if=keep/second of=/dev/null bs=64K count=3 status=none                      # in part, by reading
printf changed | dd of=keep/large bs=1 seek=1000000 conv=notrunc status=none   # changed in part
printf changed | dd of=keep/third bs=1 seek=1000000 conv=notrunc status=none   # with two names, one of them not seen yet
mv keep/many/1 keep/moved && ln keep/many/2 keep/another && chmod 600 keep/many/3
echo made >keep/made && mkdir keep/new && echo inside >keep/new/file && echo rewritten >keep/many/4
mkdir outside && echo precious >outside/file && ln -s "$work/outside" keep/out && ln -s "$work/outside/file" keep/new/out
refused 'it runs' 4 'is running' "$admin" delete 2
exec 9<keep/plain
refused 'a file is open' 4 'is in use by 1 process' "$admin" delete -f 2
exec 9<&-
check 'it goes on after that' cat keep/symlink
"$admin" halt 2 >/dev/null
refused 'not everything is there' 4 'is not finished: [0-9]+ files \([0-9.]+ MiB\) and the entries of [0-9]+ directories' "$admin" delete 2
refused 'with the data, without -f' 4 '[0-9]+ files and [0-9]+ directories, [0-9.]+ [KM]iB' "$admin" delete --remove 2
refused 'both' 2 'exclude' "$admin" delete --keep --remove 2
cp -a --sparse=always keep/. before/
times=$(stat -c %Y keep/many keep/deep keep)
deletes -f 2
gone 'kept'
no_trace keep
equal 'what was changed is named' 'large third' "$(changed)"
for one in plain deep/two; do check "whole: $one" cmp source/$one keep/$one; done
for one in large third made new/file many/4; do check "as it was: $one" cmp before/$one keep/$one; done
check 'and of many names' test -s keep/many/4
check 'a changed file has the times that the application gave it' test keep/large -nt source/plain
for one in second deep/second-again moved another many/2 many/3 many/7 holes capable; do
	if [ -e keep/$one ]; then fail "a file without its data is left: $one"; fi
done
if [ -n "$(find keep -type f -size +0 ! -path keep/large ! -path keep/third -exec sh -c 'cmp -s "$1" /dev/zero 2>&1 | grep -q EOF' _ {} \; -print)" ]; then fail 'a file of zeros is left'; fi
equal 'a directory that was not looked into is empty' '' "$(find keep/several keep/deep/er -mindepth 1)"
equal 'directories keep their times' "$times" "$(stat -c %Y keep/many keep/deep keep)"
equal 'nothing outside is touched' precious "$(cat outside/file)"
check 'it counted what lacks' test "$(json files_absent)" -gt 30 -a "$(json files_changed)" -eq 2 -a "$(json dirs_absent)" -ge 3

say '--- everything is there, but it was not finished'
mkdir whole
start one "$work/source" "$work/whole"
await_complete "$work/whole"
echo mine >whole/mine
stop one "$work/whole"
deletes "$work/whole"
rm whole/mine && touch -r source whole
check 'without -f, and the tree is the source' same source whole
no_trace whole
mkdir done
start one "$work/source" "$work/done"
finish one "$work/done"
refused 'a complete one keeps its data' 4 'is complete' "$admin" delete -f --remove "$work/done"
deletes "$work/done"
equal 'a complete one: the entry goes' untouched "$(json data)"
check 'its tree stays' same source "done"

say '--- killed'
begun killed
"$admin" halt "$work/killed" >/dev/null
DMMFS_FAULT=populate-entry:20 launch one "$work/source" "$work/killed" -o background=on # half of a directory is made
wait_for 20 ended one
wait "${pid[one]}" || :
unset "pid[one]"
umount -l killed 2>/dev/null || : # if it came so far
check 'an interrupted directory left something' test "$(find killed -mindepth 1 ! -path '*/.dmmfs*' | wc -l)" -gt 5
deletes -f "$work/killed"
no_trace killed
equal 'none of it is left' '' "$(find killed -mindepth 1 -type f)"

say '--- halted, and used nevertheless'
begun past
ls past >/dev/null
"$admin" halt "$work/past" >/dev/null
echo 'by others' >past/large # a placeholder
echo 'new' >past/deep/new    # in a directory that has not come over
deletes -f "$work/past"
equal 'what others wrote past the mount stays' 'by others new' "$(cat past/large past/deep/new | tr '\n' ' ' | sed 's/ $//')"

say '--- kept, killed at each step, done again'
for point in delete-begin:1 delete-name:1 delete-name:7 delete-tree:1 delete-cleared:1; do
	target=keep-${point/:/-}
	begun "$target"
	ls "$target" "$target/many" >/dev/null
	cat "$target/plain" >/dev/null
	printf changed | dd "of=$target/large" bs=1 seek=1000000 conv=notrunc status=none
	"$admin" halt "$work/$target" >/dev/null
	DMMFS_FAULT=$point "$admin" delete -f "$work/$target" >out.json 2>&1 && fail "$point: it was not killed"
	equal "$point: it is shown" deleting "$(figure "$work/$target" state)"
	refused "$point: it cannot be started" 4 'is being deleted' "$admin" start "$work/$target"
	if [ "$point" != delete-cleared:1 ]; then
		refused "$point: nor mounted" 32 'being deleted' "$dmmfs" "$work/source" "$work/$target"
		mv conf conf.kept # nor when the configuration is lost
		[ "$point" = delete-begin:1 ] && refused "$point: nor by another configuration" 32 'being deleted' "$dmmfs" "$work/source" "$work/$target"
		rm -rf conf && mv conf.kept conf
	fi
	deletes "$work/$target"
	gone "$point"
	no_trace "$target"
	[ "$point" = delete-cleared:1 ] || equal "$point: what was changed is named again" large "$(changed)"
	check "$point: whole" cmp source/plain "$target/plain"
	equal "$point: only what is whole or changed" 'large plain' "$(cd "$target" && find . -type f -size +0 | sort | sed 's,^./,,' | tr '\n' ' ' | sed 's/ $//')"
done

say '--- removed, in a file system of its own'
fresh_fs own 64M
mkdir own/lost+found
for point in none delete-begin:1 delete-name:5 delete-tree:1 delete-cleared:1; do
	"$admin" create -p "source=$work/source" -p "target=$work/own" -p background=off -p segsize=64K >/dev/null
	ls own/deep/er own/many >/dev/null
	mkdir own/mine && echo mine >own/mine/file && ln -s "$work/outside" own/mine/out && mkfifo own/mine/fifo
	chattr +i own/mine/file && chattr +a own/mine
	(cd own && python3 -c 'import os
for _ in range(60): os.mkdir("d" * 70); os.chdir("d" * 70)') # a longer path than any system call takes
	"$admin" halt "$work/own" >/dev/null
	if [ $point != none ]; then
		DMMFS_FAULT=$point "$admin" delete --remove -f "$work/own" >out.json 2>&1 && fail "$point: it was not killed"
		if [ $point != delete-cleared:1 ] && [ $point != delete-tree:1 ]; then
			refused "$point: not half of it is kept" 4 'with its data' "$admin" delete --keep -f "$work/own"
		fi
	else
		mkdir -p own/deep/er && mount -t tmpfs none own/deep/er
		refused 'something is mounted there' 4 'is mounted below' "$admin" delete --remove -f "$work/own"
		umount own/deep/er
	fi
	deletes --remove -f "$work/own"
	gone "remove, $point"
	no_trace own
	equal "remove, $point: lost+found is left" lost+found "$(ls -A own)"
	equal "remove, $point: nothing outside is touched" precious "$(cat outside/file)"
done

say '--- whose is it'
fresh_fs other 64M
"$admin" create -p "source=$work/source" -p "target=$work/other" -p background=off >/dev/null
ls other >/dev/null
"$admin" halt "$work/other" >/dev/null
umount other
echo underneath >other/file
refused 'its target is not there' 4 'is its file system mounted' "$admin" delete "$work/other"
deletes -f --remove "$work/other"
equal 'not mounted: only the entry goes' 'untouched underneath' "$(json data) $(cat other/file)"
mount -o loop other.img other
start one "$work/source" "$work/other"
check 'the migration is still there' cat other/plain
stop one "$work/other"
