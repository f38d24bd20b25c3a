# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by tests that need an NFS server: nfs-ganesha with a portmapper of its own, on a network that nobody else sees. Set
# DMMFS_TEST_NET=1 before lib.sh is sourced.
#
#   nfs_serve DIR            exports it with versions 3 and 4, and waits until it answers
#   nfs_source 3|4           the address of that export
#   nfs_kill, nfs_serve_again; pid[ganesha] for signals
# shellcheck shell=bash

for program in ganesha.nfsd rpcbind; do
	[ -n "$(command -v $program)" ] || skip "needs $program (packages nfs-ganesha, nfs-ganesha-vfs, rpcbind)"
done

# In name spaces of its own a server may think that it is alone on the machine.
nfs_alone()
{
	ip link set lo up
	mount -t tmpfs none /run
	mkdir -p /run/rpcbind /run/ganesha
	mount -t tmpfs none /var/lib/nfs
	mkdir -p /var/lib/nfs/ganesha
	mkdir -p "$DMMFS_RUNDIR"
	rpcbind -f -w >rpcbind.log 2>&1 &
	pid[rpcbind]=$!
	wait_for 10 test -S /run/rpcbind.sock
}

# A newer one wants to be told that it may run where CAP_SYS_RESOURCE is missing; an older one does not know the word.
nfs_flusher() { case $(ganesha.nfsd -v 2>&1) in *' V'[1-5].*) ;; *) echo 'Allow_Set_Io_Flusher_Fail = true;' ;; esac }

nfs_config()
{
	cat <<-EOT
	NFS_CORE_PARAM { Protocols = 3,4; Enable_NLM = false; Enable_RQUOTA = false; $(nfs_flusher) }
	NFSv4 { Grace_Period = 1; Lease_Lifetime = 10; Only_Numeric_Owners = ${nfs_numeric:-true};
	        Allow_Numeric_Owners = ${nfs_numeric:-true}; DomainName = corp.example; UseGetpwnam = true; }
	EXPORT { Export_Id = 1; Path = $1; Pseudo = /export; Access_Type = RO; Squash = ${nfs_squash:-No_Root_Squash};
	         SecType = sys; FSAL { Name = VFS; } }
	EOT
}

nfs_serve()
{
	[ -n "${pid[rpcbind]:-}" ] || nfs_alone
	nfs_export=$1
	nfs_config "$1" >ganesha.conf
	nfs_serve_again
}

nfs_serve_again()
{
	ganesha.nfsd -F -f "$PWD/ganesha.conf" -L "$PWD/ganesha.log" -p "$PWD/ganesha.pid" >ganesha.said.log 2>&1 &
	pid[ganesha]=$!
	wait_for 30 nfs_answers
}

# Both versions and MOUNT are registered, and the grace period is over.
nfs_answers() { [ "$(rpcinfo -p | awk '$4 == 2049 || $5 == "mountd"' | wc -l)" -ge 3 ] && rpcinfo -t 127.0.0.1 nfs 4; }

nfs_kill()
{
	kill -9 "${pid[ganesha]}"
	wait "${pid[ganesha]}" 2>/dev/null || :
	unset "pid[ganesha]"
}

nfs_source()
{
	case $1 in
	3) echo "nfs://127.0.0.1$nfs_export" ;;
	4) echo "nfs://127.0.0.1/export" ;;
	esac
}
