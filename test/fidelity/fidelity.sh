#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# What comes over with one protocol: posix, nfs3, nfs4 or cifs. The cases (cases.py) are the same for all. No loss is a silent one, and
# what the run says is what test/fidelity/PROTOCOL.json says, of which docs/FIDELITY.md is made (table.py).
#
#   fidelity.sh PROTOCOL [CASE...]       with cases: these alone, and compared with nothing
protocol=$1
chosen=("${@:2}")
DMMFS_TEST_NET=1
. "$(dirname "$0")/../integration/lib.sh"
here=$DMMFS_SOURCEDIR/test/fidelity
kept=$DMMFS_BUILDDIR/test/fidelity/$protocol # for table.py keep

cases() { python3 "$here/cases.py" "$@" "${chosen[@]}"; }

# --- the source, and its server ------------------------------------------------------------------------------------------------------

closed_export()
{
	nfs_config "$work/open"
	echo "EXPORT { Export_Id = 2; Path = $work/closed; Pseudo = /closed; Access_Type = RO; Squash = Root_Squash;"
	echo '         SecType = sys; FSAL { Name = VFS; } }'
}

serve_nfs()
{
	. "$DMMFS_SOURCEDIR/test/integration/nfs-server.sh"
	nfs_alone
	nfs_export=$work/open
	closed_export >ganesha.conf
	nfs_serve_again
	address=$(nfs_source "$1") options=,nfsvers=$1
	nfs_export=$work/closed
	closed_address=$(nfs_source "$1" | sed 's,/export$,/closed,') closed_options=$options
}

serve_cifs()
{
	. "$DMMFS_SOURCEDIR/test/integration/smb-server.sh"
	smb_serve "$work/open" "case sensitive = yes
		[closed]
		path = $work/closed"
	printf 'secret word\nsecret word\n' | smbpasswd -c "$work/smb.conf" -L -a -s daemon >smbpasswd.out 2>&1
	sed 's/root/daemon/' credentials >credentials.closed
	chmod 600 credentials.closed
	address=smb://127.0.0.1/share options=,credentials=$work/credentials
	closed_address=smb://127.0.0.1/closed closed_options=,credentials=$work/credentials.closed
}

# A request for each entry's security descriptor: SMB has 5,000 of them, not 100,000.
[ "$protocol" != cifs ] || export FIDELITY_ENTRIES=5000
work_on_fresh_fs 3G -N 450000
results=$work/results
mkdir open closed "$results"
cases make open open
cases make closed closed
cases look open open >"$results/open-source.json"
cases look closed closed >"$results/closed-source.json"
closed_address=''
case $protocol in
posix) options='' address=$work/open ;;
nfs3) serve_nfs 3 ;;
nfs4) serve_nfs 4 ;;
cifs) serve_cifs ;;
*) fail "there is no protocol '$protocol'" ;;
esac

# The table tells of these; of others it is printed what they do otherwise, and silent losses fail as ever.
case $protocol in
nfs?) server=$(ganesha.nfsd -v 2>&1 | head -n 1) told_of='= V4.' ;;
cifs) server=$(smbd --version) told_of=' 4.17.' ;;
*) server='' told_of='' ;;
esac
case $server in *"$told_of"*) ;; *) export FIDELITY_OTHER=$server ;; esac

# --- the migrations ------------------------------------------------------------------------------------------------------------------

# What cannot come is accepted: the ledger keeps it.
all_here()
{
	[ "$(figure "$1" files_error) $(figure "$1" dirs_error)" = '0 0' ] || "$admin" waive --all "$1" >waive.out 2>&1 || :
	figure_is "$1" state complete
}

# migrate TREE ADDRESS OPTIONS
migrate()
{
	local m=$work/target-$1 into=$results/$1
	mkdir "$m"
	start "$1" "$2" "$m" -o "background=off,suid,dev,errorretries=0$3"
	cases mount "$1" "$m" >"$into-mount.json"
	[ ! -e "$m/large" ] || rm "$m/large/large" # the rest of it would take long; its ends were read
	check "$1: the background begins" "$admin" set -p background=on "$m"
	wait_for 200 all_here "$m"
	"$admin" losses --json --paths "$m" >"$into-losses.json"
	finish "$1" "$m"
	cases after "$1" "$m" >"$into-after.json"
	no_trace "$m"
}
migrate open "$address" "$options"
[ -z "$closed_address" ] || migrate closed "$closed_address" "$closed_options"

rm -rf "$kept"
mkdir -p "${kept%/*}"
cp -r "$results" "$kept"
check 'no loss is silent, and the table says what the run says' python3 "$here/table.py" judge "$protocol" "$kept" "${chosen[@]}"
cat check.out
