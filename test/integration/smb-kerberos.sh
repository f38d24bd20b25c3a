#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# An SMB server that takes tickets of Kerberos and nothing else: from a keytab, by a password, of somebody else's cache; tickets that end
# while a migration runs, a KDC that is away, and what is told of each thing that can be wrong.
DMMFS_TEST_NET=1
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/smb-server.sh"
. "$(dirname "$0")/kdc-server.sh"

life_s=5 # of the tickets
source=//nas.dmmfs.test/share
kdc_make "
add_principal -pw secret-word -maxlife ${life_s}sec root
add_principal -pw other-word nobody
add_principal -randkey -maxlife 1day cifs/nas.dmmfs.test
ktadd -q -k $work/service.keytab cifs/nas.dmmfs.test
ktadd -q -norandkey -k $work/root.keytab root
ktadd -q -norandkey -k $work/nobody.keytab nobody"
with_name nas.dmmfs.test other.dmmfs.test
kdc_serve

mkdir -p served/source/dir t one two three
(
	cd served/source
	echo plain >plain
	for i in 1 2 3 4 5 6; do head -c 300K /dev/urandom >dir/$i; done
	setfattr -n 'user.DosStream.notes:$DATA' -v '"words\000"' plain
)
smb_global="realm = DMMFS.TEST
kerberos method = dedicated keytab
dedicated keytab file = $work/service.keytab
ntlm auth = disabled" smb_serve "$work/served/source"

# not WHAT REGEX [OPTIONS]: no mount, and that is what is said.
not() { refused "$1" 32 "$2" timeout 60 "$dmmfs" "${address:-$source}" "$work/t" -o "protocol=cifs,retrans=0,timeo=100${3:+,$3}"; }
login() { printf 'username=%s\npassword=%s\n' "$1" "$2" >"$3"; chmod 600 "$3"; }

say '--- what can be wrong'
login root 'secret word' by-password
not 'the server takes no password' 'no passwords wants sec=krb5' credentials="$work/by-password"
not 'nobody has a ticket' 'from .*absent: .*kinit.*keytab=' sec=krb5,ccache="FILE:$work/absent"
address=//127.0.0.1/share not 'an address is no name' 'knows servers by name' sec=krb5
not 'a keytab is for Kerberos' 'add sec=krb5' keytab="$work/root.keytab"
chmod 644 nobody.keytab
not 'a keytab that others may read' 'may be read by others.*chmod 600' sec=krb5,keytab="$work/nobody.keytab"
chmod 600 nobody.keytab
not 'a keytab without the user' 'root@DMMFS.TEST, from the keytab .*[Kk]eytab contains no suitable keys.*check username=' sec=krb5,keytab="$work/nobody.keytab",username=root
login stranger a-word unknown
not 'a user whom the realm does not know' 'not found in Kerberos database.*check username=' sec=krb5,credentials="$work/unknown"
login root not-the-word wrong
not 'a wrong password' 'root@DMMFS.TEST, from the password .*check username=' sec=krb5,credentials="$work/wrong"
if grep -q 'not-the-word' refused.out; then fail 'the password is told'; fi
address=//other.dmmfs.test/share not 'a server that the realm does not know' 'Server .*not found in Kerberos database.*cifs/NAME' sec=krb5,keytab="$work/root.keytab"
KRB5CCNAME=$work/nobodys kinit -k -t nobody.keytab nobody
not 'tickets of somebody else' 'for root@DMMFS.TEST, from .*which has those of nobody@DMMFS.TEST' sec=krb5,ccache="FILE:$work/nobodys",username=root

# Somebody who keeps tickets in a cache, as cron would.
renew()
{
	while :; do
		KRB5CCNAME=$work/cache kinit -k -t root.keytab root || :
		sleep 1
	done >renew.log 2>&1 &
	pid[renew]=$!
	wait_for 30 test -e cache
}
renew_no_more()
{
	kill "${pid[renew]}"
	wait "${pid[renew]}" 2>/dev/null || :
	unset "pid[renew]"
}
declare -A readers
set_all() { for dir in one two; do "$admin" set -p "$1" "$work/$dir" >set.out || fail "$(cat set.out)"; done; }

say '--- from a keytab, of a cache, by a password'
renew
start one "$source" "$work/one" -o protocol=cifs,sec=krb5,keytab="$work/root.keytab",background=off,retrans=1
KRB5CCNAME=$work/cache start two "$source" "$work/two" -o protocol=cifs,sec=krb5,background=off,retrans=1
login root secret-word by-ticket
# Streams and encryption are libsmb2's, which must have been built with Kerberos.
other_library=
if grep -q gss_init_sec_context "$(ls "$DMMFS_PLUGINDIR"/dmmfs-smb "$DMMFS_PLUGINDIR"/cifs/dmmfs-smb 2>/dev/null | head -n 1)"; then
	other_library=yes
fi
start three "$source" "$work/three" -o "protocol=cifs,sec=krb5${other_library:+,seal},credentials=$work/by-ticket"
for dir in one two three; do equal "$dir: a file" plain "$(cat $dir/plain)"; done
if [ "$other_library" ]; then
	equal 'and a stream, by the other library' words "$(getfattr --only-values -n 'user.DosStream.notes:$DATA' one/plain | tr -d '\0')"
fi
await_complete "$work/three"
finish three "$work/three"
check 'what came by a password is all' diff -r served/source three
ls one/dir two/dir >/dev/null

say '--- tickets end, nobody renews them, and the KDC is away'
renew_no_more
kdc_kill
issued=$(kdc_issued root)
sleep $((life_s + 1))
cat one/dir/1 >one.out & readers[one]=$!
cat two/dir/1 >two.out & readers[two]=$!
wait_for 60 figure_is "$work/one" source_error EHOSTUNREACH
wait_for 60 figure_is "$work/two" source_error EKEYEXPIRED
check 'there is no KDC, and that is told' grep -q 'contact any KDC.*check that a KDC of the realm answers' one.log
check 'they have ended, and that is told' grep -q 'root@DMMFS.TEST, from .*cache: .*expired: get some with kinit(1), or give a keytab=' two.log
check 'what is here is read and written' timeout 10 sh -c 'cmp served/source/plain one/plain && echo more >>one/plain'
for reader in "${readers[@]}"; do
	kill "$reader" || fail 'who needs the source did not wait'
	wait "$reader" || :
done
set_all soft=on
refused 'soft: an application gets the error' 1 'cat: one/dir/2: ' timeout 60 cat one/dir/2
set_all soft=off
cat one/dir/3 >one.out & readers[one]=$!
cat two/dir/3 >two.out & readers[two]=$!
not 'no new migration without a KDC' 'contact any KDC' sec=krb5,keytab="$work/root.keytab"

say '--- the clock of the KDC is another one'
sed -i 's/^\[libdefaults\]/&\nkdc_timesync = 0/' krb5.conf
kdc_serve faketime -f +1h
not 'clocks that differ' '[Cc]lock skew too great.*set the clocks' sec=krb5,keytab="$work/root.keytab"

say '--- all goes on by itself'
kdc_kill
kdc_serve
renew
for dir in one two; do
	wait "${readers[$dir]}" || fail "the reader of $dir did not get what it waited for"
	check "$dir: with other tickets it goes on" cmp served/source/dir/3 "$dir.out"
done
[ "$(kdc_issued root)" -gt "$issued" ] || fail 'the KDC has issued none'
set_all background=on
for dir in one two; do
	await_complete "$work/$dir"
	finish "$dir" "$work/$dir"
done
renew_no_more
check 'all is here' diff -r -x plain served/source one
check 'and there' diff -r served/source two
no_trace one
if grep -rq -e secret-word -e not-the-word "$work"/*.log "$work/conf" "$work/run" 2>/dev/null; then fail 'a password is in a log or in the configuration'; fi
say 'ok: no password is told'
