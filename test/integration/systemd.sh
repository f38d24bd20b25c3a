#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
# dmmfs-admin where systemd runs the machine: units of the machine's own migrations, by a systemctl that plays its part.
. "$(dirname "$0")/lib.sh"
m=$work/target

# What systemd would run is what the unit says, in the machine's own places, which are ours for the eyes of this test.
mount -t tmpfs none /run && mkdir -p /run/systemd/system
mount -t tmpfs none /var/lib
unset DMMFS_CONFDIR DMMFS_RUNDIR
line=$(sed -n 's/^ExecStart=[^ ]*//p' "$DMMFS_SOURCEDIR/data/dmmfs@.service.in")
mkdir -p bin source target other upper
ln -s "$dmmfs" upper/dmmfs
sbin=$(sed -n 's/^#define DMM_SBINDIR "\(.*\)"/\1/p' "$DMMFS_BUILDDIR/dmmfs-config.h")
mount -t overlay overlay -o "lowerdir=$work/upper:$sbin" "$sbin" || skip "needs overlay file systems, and $sbin"
cat >bin/systemctl <<END
#!/bin/bash
echo "\$*" >>"$work/asked"
unit=\${2#dmmfs@} unit=\${unit%.service}
case \$1 in
start)
	[ ! -e "$work/broken" ] || { echo "Job for \$2 failed because the control process exited with error code." >&2; exit 1; }
	set -- $line
	"$dmmfs" "\${@//%i/\$unit}" >>"$work/unit.log" 2>&1 &
	for i in {1..600}; do [ -S "/run/dmmfs/\$unit.sock" ] && exit 0; sleep 0.1; done
	exit 1
	;;
esac
END
chmod +x bin/systemctl
PATH=$work/bin:$PATH
asked() { equal "systemctl was asked: $*" "$*" "$(tail -n 1 asked)"; }

make_tree source
check 'create starts a unit' "$admin" create -p "source=$work/source" -p "target=$m"
asked 'start dmmfs@1.service'
check 'it serves' cmp source/plain target/plain
check 'halt' "$admin" halt 1
asked 'stop dmmfs@1.service'
equal 'unmounted' '' "$(findmnt -rno FSTYPE -M "$m" || :)"
touch broken
refused 'a start that fails says where to look' 1 'journalctl -u dmmfs@1' "$admin" start 1
rm broken
check 'start' "$admin" start 1
await_complete "$m"
check 'finish' "$admin" finish 1
check 'the tree is the source' same source target
check 'a unit that is left over ends well' "$dmmfs" -f --migid 1
check 'delete' "$admin" delete 1
asked 'disable dmmfs@1.service'
lines=$(wc -l <asked)
export DMMFS_CONFDIR=$work/conf DMMFS_RUNDIR=$work/run DMMFS_DAEMON=$dmmfs
check 'another configuration is no business of its' "$admin" create -p "source=$work/source" -p "target=$work/other"
check 'nor its end' "$admin" delete -f 1
equal 'systemctl was not asked' "$lines" "$(wc -l <asked)"
