#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A tree of more than 20,000 real files moves while a compiler, tar, git and a database work in it. In the end it is what the same
# work makes of a plain copy.
. "$(dirname "$0")/lib.sh"
for tool in make gcc tar git sqlite3; do command -v $tool >/dev/null || skip "needs $tool"; done
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null HOME=$work
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE=2020-01-01T00:00:00Z GIT_COMMITTER_DATE=2020-01-01T00:00:00Z

# --- what the applications find ---

make_program()
{
	mkdir -p "$1"
	for i in $(seq 150); do
		printf '#include <stdio.h>\n#include <string.h>\nint part%d(int n) { return n + %d; }\n' "$i" "$i" >"$1/part$i.c"
	done
	{
		for i in $(seq 150); do echo "int part$i(int);"; done
		echo '#include <stdio.h>'
		echo 'int main(void) { int n = 0;'
		for i in $(seq 150); do echo "n = part$i(n);"; done
		echo 'printf("%d\n", n); return 0; }'
	} >"$1/main.c"
	printf 'OBJECTS = $(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: $(OBJECTS)\n\tgcc -o $@ $^\n%%.o: %%.c\n\tgcc -O0 -c -o $@ $<\n' >"$1/Makefile"
}

make_repository()
{
	git init -q -b main "$1"
	for i in $(seq 300); do mkdir -p "$1/d$((i % 17))" && seq "$i" $((i * 3)) >"$1/d$((i % 17))/f$i"; done
	git -C "$1" add . && git -C "$1" commit -qm one
	for i in $(seq 1 7 300); do echo changed >>"$1/d$((i % 17))/f$i"; done
	git -C "$1" commit -qam two
	git -C "$1" gc -q
}

make_database()
{
	sqlite3 "$1" 'CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body BLOB);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
		INSERT INTO t SELECT i, "name" || i, printf("%0200d", i * 7919) FROM n;
		CREATE INDEX by_name ON t(name);'
}

# --- what they do ---

compile() { make -s -j2 -C "$1/program" && "$1/program/program"; }

archive()
{
	# "file changed as we read it" is a warning, and status 1.
	tar -cf "$1.tar" --numeric-owner --sort=name -C "$1" 1
	tar -xf "$1.tar" -C "$1/unpacked" --strip-components=2 1/usr/include
}

git_session()
{
	cd "$1/repository"
	git status --porcelain
	git checkout -q -b work HEAD~1
	for i in $(seq 2 7 300); do echo more >>"d$((i % 17))/f$i"; done
	git rm -q d3/f3 && git mv d4/f4 d5/f4moved
	git commit -qam three
	git merge -q --no-edit main
	git clone -q . ../clone
	git fsck --strict --no-progress
	git status --porcelain
	git -C ../clone log --format=%H
}

database()
{
	sqlite3 "$1/database" 'PRAGMA journal_mode=WAL; UPDATE t SET body = body || "x" WHERE id % 3 = 0; DELETE FROM t WHERE id % 100 = 1;'
	sqlite3 "$1/database" 'INSERT INTO t(name, body) SELECT name, body FROM t WHERE id % 10 = 0; PRAGMA journal_mode=DELETE;'
	sqlite3 "$1/database" 'PRAGMA integrity_check; SELECT count(*), sum(length(body)), max(id) FROM t;'
}

export -f compile archive git_session database
# work_in TREE: everything at once; what each says is in its own file.
work_in()
{
	local jobs=() began=$SECONDS what job
	for what in compile archive git_session database; do
		bash -euc "$what '$work/$1'" >"$1.$what" 2>&1 & # a shell of its own, which ends at the first failure
		jobs+=($!)
	done
	for job in "${jobs[@]}"; do
		wait "$job" || { tail -n 20 "$1".{compile,archive,git_session,database}; return 1; }
	done
	echo $((SECONDS - began)) >"$1.seconds"
}

# --- the test ---

work_on_fresh_fs 3G
real_tree source 20000
make_program source/program
make_repository source/repository
make_database source/database
mkdir source/unpacked target
say "a tree of $(find source -type f | wc -l) files, $(du -sm source | cut -f1) MiB"
cp -a source plain
check 'the work succeeds on a plain copy' work_in plain

start one "$work/source" "$work/target"
check 'the work succeeds while the tree moves' work_in target
say "it took $(cat plain.seconds) s on the copy, $(cat target.seconds) s on the mount;" \
	"then $(figure "$work/target" files_pending) files were pending, $(figure "$work/target" demand_requests) requests had waited"
for what in compile archive git_session database; do
	check "$what: the same result as on the copy" diff plain.$what target.$what
done
check 'the archives hold the same' cmp plain.tar target.tar
finish one "$work/target" --wait 10
no_trace target

# git's index and logs know inode numbers and times; its objects are compared by fsck above and by their hashes here.
equal 'the commits are the same' "$(git -C plain/clone rev-parse HEAD)" "$(git -C target/clone rev-parse HEAD)"
equal 'git sees no change' '' "$(git -C target/repository status --porcelain)"
for tree in plain target; do
	sqlite3 "$tree/database" .dump >"$tree.dump"
	rm -rf "$tree/database"
done
check 'the databases hold the same' cmp plain.dump target.dump
check 'the trees are equal' same -x repository/.git -x clone/.git -t program -t repository -t clone -t unpacked -t . plain target
check 'so are the times of all that was not touched' same 'source/1' target/1
