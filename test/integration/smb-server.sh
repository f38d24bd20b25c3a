# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by tests that need an SMB server: smbd with a configuration and a user of its own, on a network that nobody else sees.
# Set DMMFS_TEST_NET=1 before lib.sh is sourced.
#
#   smb_serve DIR [LINES]    shares it as //127.0.0.1/share; further lines of smb.conf for the share; $smb_global: for the server
#   smb_kill, smb_serve_again; pid[smbd] for signals
#   $work/credentials        of the user root
# shellcheck shell=bash

[ -n "$(command -v smbd)" ] || skip 'needs smbd (package samba)'

smb_config()
{
	cat <<-EOT
	[global]
	server role = standalone server
	interfaces = lo
	bind interfaces only = yes
	smb ports = 445
	disable netbios = yes
	private dir = $work/smb
	lock directory = $work/smb
	state directory = $work/smb
	cache directory = $work/smb
	pid directory = $work/smb
	ncalrpc dir = $work/smb/ncalrpc
	log file = $work/smbd.log
	passdb backend = tdbsam:$work/smb/passdb.tdb
	server min protocol = SMB2_10
	load printers = no
	printcap name = /dev/null
	${smb_global:-}
	[share]
	path = $1
	read only = no
	vfs objects = acl_xattr streams_xattr
	store dos attributes = yes
	map archive = no
	${2:-}
	EOT
}

smb_serve()
{
	ip link set lo up
	mkdir -p smb/ncalrpc
	chmod 700 smb
	smb_config "$@" >smb.conf
	printf 'secret word\nsecret word\n' | smbpasswd -c "$work/smb.conf" -L -a -s root >smbpasswd.out 2>&1 ||
		skip "smbpasswd fails: $(cat smbpasswd.out)"
	printf 'username=root\npassword=secret word\n' >credentials
	chmod 600 credentials
	smb_serve_again
}

smb_serve_again()
{
	smbd -F --no-process-group -s "$work/smb.conf" >smbd.said.log 2>&1 &
	pid[smbd]=$!
	wait_for 30 smb_answers
}

smb_answers() { (exec 3<>/dev/tcp/127.0.0.1/445) && [ -S "$work/smb/ncalrpc/np/lsarpc" ] || (exec 3<>/dev/tcp/127.0.0.1/445); }

# With the processes of its sessions, and its helpers, which outlive it.
smb_kill()
{
	kill -STOP "${pid[smbd]}" # or it might take another session, or end for want of a child, and its process group with it
	pkill -9 -P "${pid[smbd]}" || :
	kill -9 "${pid[smbd]}"
	smb_kill_helpers
	wait "${pid[smbd]}" 2>/dev/null || :
	unset "pid[smbd]"
}

# They are gone when this returns: who still dies keeps locks and sockets.
smb_kill_helpers()
{
	while pkill -9 -f -- "--configfile=$work/smb.conf"; do sleep 0.1; done
}
