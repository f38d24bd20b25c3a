#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# A source that lies (test/plugins/hostile.c): each lie is an error of the object that it is about, and of nothing else. When the
# source is honest again, what an administrator has tried again comes over as it is.
. "$(dirname "$0")/lib.sh"
m=$work/target

start_hostile()
{
	local evil=$1
	DMMFS_PLUGINDIR=$DMMFS_BUILDDIR/test/plugins start one "hostile://$work/source" "$m" \
		-o "evil=$evil,segsize=64K,errorretries=0,timeo=20,retrans=0,soft,maxentries=5000"
}
# settled: what is pending is in error, and waits for the administrator.
settled()
{
	"$admin" stat --json "$m" >stat.out && "$admin" errors --json "$m" >errors.out && python3 - <<-'END'
	import json, sys
	stat, errors = json.load(open("stat.out")), json.load(open("errors.out"))
	stat = stat[0] if isinstance(stat, list) else stat
	kinds = [e["kind"] for e in errors]
	sys.exit(any(e["state"] == "retrying" for e in errors) or stat["dirs_pending"] != kinds.count("directory")
	         or stat["files_pending"] != kinds.count("file"))
	END
}

# Every name but those below honest/ is a lie of hostile.c.
dirs='bad-names twice round endless broken loop ours not-a-file'
lost='no-handle long-handle no-owner bad-nsec huge vast bad-xattr fat-xattr xattrs' # are not made at all
unread='larger too-much nonsense stubborn'                                          # are made, and cannot be read
harmless='far-past many-links no-links crumbs completes-twice bad-extents restless'
mkdir -p source/honest target
for dir in $dirs; do
	mkdir -p "source/$dir/again"
	echo "$dir" >"source/$dir/file"
	echo "$dir" >"source/$dir/again/file"
done
for file in $lost $unread $harmless not-a-dir same-id.1 same-id.2 honest/one honest/two; do
	head -c 300K /dev/urandom >"source/$file"
done
truncate -s 100K source/same-id.2
truncate -s 10M source/bad-extents
for link in long-link nul-link no-link-text; do ln -s somewhere "source/$link"; done
touch -d '2001-02-03 04:05:06' source/*/* source/* source

start_hostile on
wait_for 120 settled
python3 - >found <<'END'
import json
for e in json.load(open("errors.out")):
    path = e["path"] if len(e["path"]) < 200 else e["path"][:15] + "..."
    if e["kind"] != "drift": print(path, e["what"], e["error"])
END
# Of two names of what cannot be one object, the one that is listed first is there.
listed_later=$(sed -n 's/^\(same-id\.[12]\) link .*/\1/p' found)
sort found -o found
sort >wanted <<END
.dmmfs create EBUSY
bad-names/(empty name) create EBADMSG
bad-names/..\x2F..\x2Fescape create EBADMSG
bad-names/\x2E create EBADMSG
bad-names/\x2E\x2E create EBADMSG
bad-names/\x2Fetc\x2Fpasswd create EBADMSG
bad-names/a\x2Fb create EBADMSG
bad-names/nul\x00inside create EBADMSG
bad-names/unterminated create EBADMSG
bad-names/xxxxx... create ENAMETOOLONG
bad-nsec create EBADMSG
bad-xattr create EBADMSG
broken list EIO
endless list EIO
fat-xattr create EBADMSG
huge create EBADMSG
larger read EIO
long-handle create EBADMSG
long-link create EBADMSG
loop/again create ELOOP
no-handle create EBADMSG
no-link-text create EBADMSG
no-owner create EBADMSG
nonsense read EBADMSG
not-a-dir list ENOTDIR
not-a-file read EISDIR
nul-link create EBADMSG
round list EIO
${listed_later:-one of same-id} link EBADMSG
stubborn read ETIMEDOUT
too-much read EBADMSG
twice/again create EEXIST
twice/file create EEXIST
vast create EFBIG
xattrs create E2BIG
END
check 'each lie is an error of its own object' diff wanted found
check 'an endless directory and one that goes round are told apart' \
	sh -c 'grep -q "more entries than maxentries" errors.out && grep -q "the same names again and again" errors.out'
check 'the source that does not hold still is told of' grep -q '"drift"' errors.out
for file in $harmless honest/one honest/two same-id.$((3 - ${listed_later#*.})) loop/file twice/file twice/again/file bad-names/file; do
	cmp "source/$file" "target/$file" || fail "$file"
done
say 'ok: all else came over'
refused 'what is in error is an error for applications, too' 2 'Input/output' ls target/endless
stop one "$m"

say '--- the source is honest again'
start_hostile off
check 'all is tried again' "$admin" retry "$m"
# Three were made as what they are not, and are left as that.
left() { "$admin" errors --json "$m" | python3 -c 'import json,sys; print(*sorted(e["path"] for e in json.load(sys.stdin) if e["kind"] in ("file", "directory", "name")))'; }
left_is() { [ "$(left)" = "$1" ]; }
wait_for 120 left_is 'larger not-a-dir not-a-file'
check 'waived' "$admin" waive --all "$m"
finish one "$m"
rm -r source/larger source/not-a-dir source/not-a-file source/ours
check 'of a directory that is none its name stays' rmdir target/not-a-dir
# Times that were lies when they were told, and of directories that got their names later.
for one in far-past restless loop .; do touch -r "source/$one" "target/$one"; done
check 'all the rest is the source' same source target
no_trace target
