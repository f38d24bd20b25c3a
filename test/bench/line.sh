# SPDX-License-Identifier: GPL-3.0-or-later
# Sourced by test/bench/run: a large file over a line that is slower than the machine, as that of a migration is. On loopback the processors
# are the limit, and whoever does more with the bytes than another one is slower; here it counts whether the line is kept full.
#
#   line-*    a file of BENCH_LARGE (512M) through a line of BENCH_MBITS ("1000 2500") Mbit/s whose round trip takes BENCH_AWAY ("1 20") ms,
#             for each of BENCH_NET (nfs3 nfs4 smb): the raw library reading it, the same writing it to the disk of the target, and dmmfs until
#             it is on record; the connections (processes) are those of net.sh. BENCH_SEGSIZE (1M) is what dmmfs asks for at a time, and the
#             library of SMB
#   near-*    the same without a line, on loopback, and the library that writes once more after dmmfs (last)
#   *-busy    seconds of processor time of the whole machine (server, kernel and all) for a GiB: where no line is the limit they are, and two
#             programs that use all processors are as fast as these say
#
# What is timed begins when the connections stand and (of dmmfs) the root is known: a migration pays for these once. It ends
# when all is on the disk, and for dmmfs on record. So the first round trips of a file, the time until the line is full, and the last commit count.
# shellcheck shell=bash disable=SC2034,SC2154

line_next=12050

# lay_line PROTOCOL MBITS MS: the server of this protocol behind such a line, on the port line_port.
lay_line()
{
	local server=2049
	[ "$1" != smb ] || server=445
	line_next=$((line_next + 1))
	line_port=$line_next
	"$build/test/bench/delay" $line_port $server $(($3 * 500)) "$2" &
	pid[line]=$!
	wait_for 10 line_answers
}

line_answers() { (exec 3<>"/dev/tcp/127.0.0.1/$line_port"); }

take_line()
{
	kill "${pid[line]}"
	wait "${pid[line]}" 2>/dev/null || :
	unset "pid[line]"
}

line_raw()
{
	case $1 in
	smb) SMB_PIECE=$(numfmt --from=iec "${BENCH_SEGSIZE:-1M}") SMB_PORT=$line_port raw smb large "$(raw_source smb large)" "$connections" file ${2:+"$2"} ;;
	*) raw "$1" large "$(raw_source "$1" large)" "$connections" /file ${2:+"$2"} ;;
	esac
}

line_options()
{
	case $1 in
	smb) echo "credentials=$base/credentials,port=$line_port" ;;
	*) net_options "$1" ;;
	esac
}

# Processor time of everybody so far, in hundredths of a second.
machine_busy() { awk '$1 == "cpu" { print $2 + $3 + $4 + $7 + $8; exit }' /proc/stat; }

# say_busy NAME BEFORE BYTES: since then, for a GiB.
say_busy() { say "$1-busy $(awk -v a="$2" -v b="$(machine_busy)" -v n="$3" 'BEGIN { printf "%.2f", (b - a) / 100 / (n / 2 ^ 30) }') s/GiB"; }

# One round. The library first: whoever is first pays for memory that nobody has used before.
line_large()
{
	local name=$1 protocol=$2 bytes before
	bytes=$(stat -c %s "$base/export/large/file")
	before=$(machine_busy)
	line_raw "$protocol" | with_name "$name-raw"
	say_busy "$name-raw" "$before" "$bytes"
	fresh_disk
	before=$(machine_busy)
	line_raw "$protocol" "$disk/t" | with_name "$name-raw-written"
	say_busy "$name-raw-written" "$before" "$bytes"
	fresh_disk
	start_dmmfs "$(net_source "$protocol" large)" "background=off,whole=0,segsize=${BENCH_SEGSIZE:-1M},$(line_options "$protocol")"
	logged serving
	ls "$disk/t" >/dev/null
	sleep 1 # its other connections are made meanwhile
	before=$(machine_busy)
	say "$name-dmmfs-rate $(awk -v b="$bytes" -v s="$(background)" 'BEGIN { printf "%.0f", b / 1048576 / s }') MiB/s"
	say_busy "$name-dmmfs" "$before" "$bytes"
	say "$name-dmmfs-cpu $(processor_of "$daemon") s"
	say "$name-ratio $(ratio "$(value_of "$name-dmmfs-rate")" "$(value_of "$name-raw-rate")")"
	say "$name-written-ratio $(ratio "$(value_of "$name-dmmfs-rate")" "$(value_of "$name-raw-written-rate")")"
}

# What had memory that nobody has used before to pay for and what had not differ more than what is measured.
line_last()
{
	fresh_disk
	line_raw "$2" "$disk/t" | with_name "$1-raw-written-last"
	say "$1-written-last-ratio $(ratio "$(value_of "$1-dmmfs-rate")" "$(value_of "$1-raw-written-last-rate")")"
}

bench_near()
{
	local protocol round far= line_port BENCH_FILES=1
	BENCH_LARGE=${BENCH_LARGE:-1G} make_sources
	say "# a file of ${BENCH_LARGE:-1G} on loopback, $connections connections"
	for protocol in ${BENCH_NET:-nfs3 nfs4 smb}; do
		serve_for "$protocol"
		line_port=445
		for round in $(seq "$rounds"); do
			line_large "near-$protocol" "$protocol"
			line_last "near-$protocol" "$protocol"
		done
		median_large "near-$protocol" "$protocol"
	done
	end_sources
}

# median_large NAME PROTOCOL
median_large()
{
	local goal=G4
	[ "$2" != smb ] || goal=G6
	goal $goal "$1-large" "$(median_of "$1-ratio")" at-least 0.95
	goal $goal "$1-large-written" "$(median_of "$1-written-ratio")" at-least 0.95
}

bench_line()
{
	local protocol mbits ms round name far= line_port BENCH_FILES=1
	BENCH_LARGE=${BENCH_LARGE:-512M} make_sources
	say "# a file of ${BENCH_LARGE:-512M} through a line, $connections connections"
	for protocol in ${BENCH_NET:-nfs3 nfs4 smb}; do
		serve_for "$protocol"
		for mbits in ${BENCH_MBITS:-1000 2500}; do
			for ms in ${BENCH_AWAY:-1 20}; do
				name=line-$protocol-${mbits}mbit-${ms}ms
				lay_line "$protocol" "$mbits" "$ms"
				far=$line_port
				for round in $(seq "$rounds"); do line_large "$name" "$protocol"; done
				far=
				take_line
				median_large "$name" "$protocol"
			done
		done
	done
	end_sources
}
