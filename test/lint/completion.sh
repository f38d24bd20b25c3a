#!/bin/bash
# What bash offers after dmmfs-admin, with a dmmfs-admin that knows two migrations.
set -u
# shellcheck disable=SC2317 # called by what is sourced
dmmfs-admin()
{
	[ "$*" = 'list --json' ] && echo '[{"migid": "a1b2", "state": "running"}, {"state":"paused","migid":"c3d4"}]'
}
# shellcheck disable=SC2317
compopt() { :; }
# shellcheck source=/dev/null
. "$DMMFS_BUILDDIR/data/dmmfs-admin"
failed=0

# offers WORDS EXPECTED: the last of WORDS is being typed.
offers()
{
	IFS=' ' read -ra COMP_WORDS <<<"$1"
	[ "${1: -1}" != ' ' ] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_dmmfs_admin
	[ "${COMPREPLY[*]-}" = "$2" ] || { echo "after '$1': '${COMPREPLY[*]-}' instead of '$2'"; failed=1; }
}

# The commands that there are, in the order of --help.
commands=$(sed -n 's/^\t&command_\(.*\),$/\1/p' "$DMMFS_SOURCEDIR/src/cli/main.c" | paste -sd' ')
offers 'dmmfs-admin ' "$commands"
offers 'dmmfs-admin s' 'start show stat set'
offers 'dmmfs-admin --' '--json --confdir --rundir --help --version'
offers 'dmmfs-admin --confdir /us' '/usr'
offers 'dmmfs-admin --confdir /usr li' 'list'
offers 'dmmfs-admin stat ' 'a1b2 c3d4'
offers 'dmmfs-admin errors a' 'a1b2'
offers 'dmmfs-admin errors --state wait' 'waiting'
offers 'dmmfs-admin waive --a' '--all'
offers 'dmmfs-admin losses --kind s' 'set-id sacl streams skipped'
offers 'dmmfs-admin retry c' 'c3d4'
offers 'dmmfs-admin finish --lazy c' 'c3d4'
offers 'dmmfs-admin stat -' '--json --confdir --rundir --help --watch -w'
offers 'dmmfs-admin stat -w ' ''
offers 'dmmfs-admin finish --l' '--lazy'
offers 'dmmfs-admin finish --w' '--wait'
offers 'dmmfs-admin log -' '--json --confdir --rundir --help --follow -f --lines -n'
offers 'dmmfs-admin list --j' '--json'
offers 'dmmfs-admin set -p maxn' 'maxnsproc='
offers 'dmmfs-admin get -p maxn' 'maxnsproc'
offers 'dmmfs-admin get --d' '--describe'
offers 'dmmfs-admin where /us' '/usr'
offers 'dmmfs-admin db ' 'check dump export rebuild'
offers 'dmmfs-admin db check a' 'a1b2'
offers 'dmmfs-admin db dump --database l' 'links links-ino'
offers 'dmmfs-admin halt ' 'a1b2 c3d4'
offers 'dmmfs-admin delete --r' '--rundir --remove'
offers 'dmmfs-admin create -p sou' 'source='
offers 'dmmfs-admin plan --q' '--quick'
exit $failed
