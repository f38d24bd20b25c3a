#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# Every version of SMB that is promised, with signing and encryption asked for and refused; and what a server calls names that it can
# not show.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"

fresh_fs served 64M
fresh_fs store 64M
mkdir -p served/source/dir
(
	cd served/source
	echo plain >plain
	echo 'Case' >dir/Case
	echo 'case' >dir/case
	echo 'latin' >"$(printf 'lat\xe9in')"
	echo 'colon' >'bad:name'
	echo 'composed' >"$(printf 'e\xcc\x81')"
	echo 'one character' >"$(printf '\xc3\xa9')"
	echo 'emoji' >"$(printf '\xf0\x9f\x98\x80')"
	echo 'wide' >"$(printf '\xe6\x97\xa5%.0s' {1..80})"
	echo 'dots' >'trailing dot.'
	ln -s plain link
	ln -s nowhere dangling
	ln plain hard
)
smb_serve "$work/served/source"
# again LINES: the server anew with further global settings.
again()
{
	smb_kill
	smb_config "$work/served/source" "case sensitive = yes
[global]
$1" >smb.conf
	smb_serve_again
}
# reads NAME OPTIONS: with these mount options.
reads()
{
	mkdir "store/$1"
	start "$1" smb://127.0.0.1/share "$work/store/$1" -o "credentials=$work/credentials,background=off$2"
	equal "$1 reads" plain "$(cat "store/$1/plain")"
	stop "$1" "$work/store/$1"
}
# denied NAME STATUS OPTIONS
denied()
{
	mkdir -p store/denied
	refused "$1" 32 'cannot be reached' timeout 60 "$dmmfs" smb://127.0.0.1/share "$work/store/denied" -o "credentials=$work/credentials$2"
}

# Version 2.1, and signed; 3.0, and encrypted; 3.0.2, and NTLMv2 alone.
again 'server max protocol = SMB2_10
server signing = mandatory'
reads version-2.1 ''
denied 'a version below the lowest that is wanted' ,vers=3.0
denied 'encryption that the version has not' ,seal
again 'server max protocol = SMB3_00
server smb encrypt = required'
reads version-3.0 ''
again 'server max protocol = SMB3_02
ntlm auth = ntlmv2-only'
reads version-3.0.2 ,seal
again 'server min protocol = SMB3_11
server smb encrypt = off'
reads version-3.1.1 ,vers=3.1.1
if grep -q smb2_connect_share "$DMMFS_PLUGINDIR"/dmmfs-smb "$DMMFS_PLUGINDIR"/cifs/dmmfs-smb 2>/dev/null; then
	denied 'encryption that the server refuses' ,seal
fi

say '--- names'
mkdir store/names
start names smb://127.0.0.1/share "$work/store/names" -o "credentials=$work/credentials"
two_wait() { [ "$("$admin" errors --json --state waiting "$work/store/names" | grep -c '"EILSEQ"')" = 2 ]; }
wait_for 30 two_wait
"$admin" losses --paths "$work/store/names" >losses.out
check 'names that the server can not open are told of' grep -q '^name: 2 objects' losses.out
refused 'and nothing is finished without a word on them' 4 '2 files are in error' "$admin" finish "$work/store/names"
"$admin" waive --all "$work/store/names" >/dev/null
finish names "$work/store/names"
equal 'by case' 'Casecase' "$(cat store/names/dir/Case store/names/dir/case | tr -d '\n')"
equal 'one character and two' 'one charactercomposed' \
	"$(cat "store/names/$(printf '\xc3\xa9')" "store/names/$(printf 'e\xcc\x81')" | tr -d '\n')"
equal 'beyond 16 bits' emoji "$(cat "store/names/$(printf '\xf0\x9f\x98\x80')")"
equal 'many bytes' wide "$(cat "store/names/$(printf '\xe6\x97\xa5%.0s' {1..80})")"
equal 'a link that the server follows' plain "$(cat store/names/link)"
equal 'another name' plain "$(cat store/names/hard)"

say '--- the same names, where the server opens them by what it shows'
smb_kill
smb_serve "$work/served/source"
mkdir store/shown
start shown smb://127.0.0.1/share "$work/store/shown" -o "credentials=$work/credentials"
await_complete "$work/store/shown"
equal 'they come over as it shows them' 'colondots' "$(cat store/shown/*~? | tr -d '\n')"
stop shown "$work/store/shown"
