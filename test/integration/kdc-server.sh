# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by tests that need Kerberos: a realm DMMFS.TEST with a KDC of its own, on a network that nobody else sees.
# Set DMMFS_TEST_NET=1 before lib.sh is sourced.
#
#   kdc_make LINES                 a new realm; LINES are questions of kadmin.local(8), for users and services
#   kdc_serve [COMMAND], kdc_kill  starts the KDC, under the command; pid[kdc] for signals
#   kdc_issued WHOM                how many first tickets it has issued to a user
#   with_name NAME...              names of this machine
# shellcheck shell=bash

[ -n "$(command -v krb5kdc)" ] || skip 'needs krb5kdc (package krb5-kdc)'
[ -n "$(command -v kadmin.local)" ] || skip 'needs kadmin.local (package krb5-admin-server)'
[ -n "$(command -v faketime)" ] || skip 'needs faketime'
[ -n "$(command -v kinit)" ] || skip 'needs kinit (package krb5-user)'

# faketime leaves a semaphore named after its process id when it is killed, and does not start where there is one: ids come again here.
case $place in /dev/shm/*) ;; *) mount -t tmpfs tmpfs /dev/shm ;; esac

export KRB5_CONFIG=$work/krb5.conf KRB5_KDC_PROFILE=$work/kdc/kdc.conf

# The lifetime is the KDC's to bound. Without a directory behind it, it has nothing to say in a PAC that Samba would want to hear.
kdc_config()
{
	cat >krb5.conf <<-EOT
	[libdefaults]
		default_realm = DMMFS.TEST
		dns_lookup_kdc = false
		dns_lookup_realm = false
		dns_canonicalize_hostname = false
		rdns = false
	[realms]
		DMMFS.TEST = {
			kdc = 127.0.0.1
		}
	[domain_realm]
		.dmmfs.test = DMMFS.TEST
	EOT
	cat >kdc/kdc.conf <<-EOT
	[kdcdefaults]
		kdc_listen = 127.0.0.1:88
		kdc_tcp_listen = 127.0.0.1:88
	[logging]
		kdc = FILE:$work/kdc/log
	[realms]
		DMMFS.TEST = {
			database_name = $work/kdc/principal
			key_stash_file = $work/kdc/stash
			acl_file = $work/kdc/acl
			disable_pac = true
		}
	EOT
}

kdc_make()
{
	ip link set lo up
	mkdir kdc
	kdc_config
	kdb5_util create -s -P master -r DMMFS.TEST >kdc.out 2>&1 || fail "kdb5_util: $(cat kdc.out)"
	kadmin.local <<<"$1" >kdc.out 2>&1 || fail "kadmin.local: $(cat kdc.out)"
	if grep -q '^[a-z_]*: ' <(grep -v '^kadmin.local: ' kdc.out); then fail "kadmin.local: $(cat kdc.out)"; fi
}

# The command before it may be its parent, so the KDC tells its own process id.
kdc_serve()
{
	rm -f kdc/pid
	"$@" krb5kdc -n -P "$work/kdc/pid" >kdc.log 2>&1 &
	kdc_job=$!
	wait_for 30 kdc_answers
	pid[kdc]=$(<kdc/pid)
}

kdc_answers() { [ -s kdc/pid ] && (exec 3<>/dev/tcp/127.0.0.1/88); }

kdc_kill()
{
	kill -9 "${pid[kdc]}"
	wait "$kdc_job" 2>/dev/null || :
	unset "pid[kdc]"
}

kdc_issued() { grep -c "AS_REQ.*ISSUE.* $1@DMMFS.TEST for krbtgt" kdc/log || :; }

with_name()
{
	echo "127.0.0.1 localhost $*" >hosts
	mount --bind hosts /etc/hosts
}
