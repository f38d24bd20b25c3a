/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The table of properties. A property is added here together with what it does: with a field of struct options that
 * daemon/options.c binds it to, or with a row of daemon/apply.c, or both.
 */
#include "property/property.h"

#include "property/measure.h"
#include "property/mount_flags.h"
#include "property/rules.h"
#include "property/schedule.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLACES "Places"
#define TROUBLE "Source trouble"
#define MOVING "Moving"
#define WORKERS "Workers"
#define MOUNT "The mount"

#define WORKERS_MAX 1024
#define FILES_MAX 1000000000

/* In the order of enum collision. */
static const char *const collisions[] = {"error", "overwrite", "rename", NULL};

/* In the order of enum drift. */
static const char *const drift[] = {"report", "refetch", "fail", NULL};

/* Keep comes first: whether something is dropped is a switch. */
static const char *const keeping[] = {"keep", "drop", NULL};

/* Off comes first: whether digests are kept is a switch. */
static const char *const verify[] = {"off", "copy", NULL};

/* In the order of enum awake_when. */
static const char *const awake[] = {"auto", "off", "on", NULL};

static int check_readable(const char *path, char *error, size_t error_size)
{
	if (access(path, R_OK) == 0)
		return 0;
	snprintf(error, error_size, "a file that can be read: %s", strerror(errno));
	return -EINVAL;
}

static int check_share(const char *text, char *error, size_t error_size)
{
	if (strstr(text, "://") || strncmp(text, "//", 2) == 0)
		return 0;
	snprintf(error, error_size, "a share, written smb://server/share or //server/share");
	return -EINVAL;
}

static const struct property table[] = {
	{
		.name = "source",
		.group = PLACES,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_AT_CREATE,
		.argument = "SOURCE",
		.without = "none, it must be given",
		.positional = true,
		.help = "The tree that is to move: a directory, or a URL that a source plugin knows. It is only ever read.",
	},
	{
		.name = "target",
		.group = PLACES,
		.type = PROPERTY_PATH,
		.when = PROPERTY_AT_CREATE,
		.argument = "DIR",
		.without = "the directory under the mount point",
		.help = "Where the tree is to be. Its file system must have file handles (ext4, xfs, btrfs, tmpfs do).",
	},
	{
		.name = "mountpoint",
		.group = PLACES,
		.type = PROPERTY_PATH,
		.when = PROPERTY_HALTED,
		.argument = "DIR",
		.without = "the target",
		.positional = true,
		.help = "Where applications use the tree.",
	},
	{
		.name = "statedir",
		.group = PLACES,
		.type = PROPERTY_PATH,
		.when = PROPERTY_HALTED,
		.argument = "DIR",
		.without = ".dmmfs/state in the target, which the mount does not show",
		.help = "Where the state of the migration is kept. To name another place does not move it there.",
	},
	{
		.name = "protocol",
		.group = PLACES,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_AT_CREATE,
		.argument = "NAME",
		.allowed = "the name of a source plugin: posix, nfs, cifs, or another that is installed",
		.without = "what the form of the source tells",
		.help = "The source plugin.",
	},
	{
		.name = "cifs",
		.group = PLACES,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_AT_CREATE,
		.argument = "SHARE",
		.allowed = "a share, for example smb://server/share/directory",
		.without = "none: all comes from the source",
		.check = check_share,
		.help = "The same tree as an SMB server shows it: security descriptors, DOS attributes, creation times and "
			"alternate streams come from there, all else from the source. See TWO PROTOCOLS in dmmfs(8).",
	},
	{
		.name = "plugindir",
		.group = PLACES,
		.type = PROPERTY_PATH,
		.when = PROPERTY_HALTED,
		.argument = "DIR",
		.without = "DMMFS_PLUGINDIR, or where they were installed",
		.help = "Where source plugins are looked for.",
	},
	{
		.name = "logfile",
		.group = PLACES,
		.type = PROPERTY_PATH,
		.when = PROPERTY_LIVE,
		.argument = "FILE",
		.without = "the system log alone; in the foreground, standard error",
		.help = "Where to log as well. The file may be rotated. See LOG.",
	},
	{
		.name = "collision",
		.group = MOVING,
		.type = PROPERTY_CHOICE,
		.when = PROPERTY_HALTED,
		.choices = collisions,
		.standard = "error",
		.help = "What to do with a target that is not empty: error refuses; overwrite replaces what has the name of an "
			"object "
			"of the source, while a directory that is not empty and has the name of a file moves aside instead; "
			"rename "
			"moves everything aside that has the name of an object of the source, to NAME.collision-N. Directories "
			"of "
			"the same name become one directory, and what the source does not have stays in any case.",
	},
	{
		.name = "setid",
		.group = MOVING,
		.type = PROPERTY_CHOICE,
		.when = PROPERTY_HALTED,
		.choices = keeping,
		.standard = "keep",
		.help = "Whether files keep what lets a program run with the rights of somebody else: set-user-ID and "
			"set-group-ID "
			"bits and capabilities. drop leaves them out, each is then listed as a loss. The mount flag nosuid keeps "
			"them from working through the mount alone; on the target they are there after finish.",
	},
	{
		.name = "devices",
		.group = MOVING,
		.type = PROPERTY_CHOICE,
		.when = PROPERTY_HALTED,
		.choices = keeping,
		.standard = "keep",
		.help = "Whether device nodes come over. drop leaves them out, each is then listed as a loss. The mount flag "
			"nodev "
			"keeps them from working through the mount alone.",
	},
	{
		.name = "idmap",
		.group = MOVING,
		.type = PROPERTY_PATH,
		.when = PROPERTY_HALTED,
		.argument = "FILE",
		.without = "owners and groups stay as they are",
		.check = check_readable,
		.help = "A map of owners and groups, for servers whose users have other numbers. Its lines are uid FROM TO and "
			"gid FROM "
			"TO, where FROM is an id, a range such as 1000-1999, or * for all others, and TO the id, or the first of "
			"the "
			"range, that it becomes; a # begins a comment. Ids in POSIX ACLs are mapped as well. Lines sid SID TO "
			"are for "
			"servers of Windows and Samba, see dmmfs-plugin-cifs(7). Where the source has names (NFSv4), user NAME "
			"ID and "
			"group NAME ID give one an id, before anything else does, and user * ID all names that nothing else "
			"knows; a "
			"blank in a name is written \\040. What has come over already keeps its owner when the file changes.",
	},
	{
		.name = "segsize",
		.group = MOVING,
		.type = PROPERTY_SIZE,
		.when = PROPERTY_LIVE,
		.standard = "1M",
		.min = 4096,
		.max = 64 << 20,
		.multiple = 4096,
		.help = "How much of a file is fetched at a time. Larger ones fill a fast line to an SMB server far away, where a connection "
			"asks for one of them in each round trip, for 4M at most; smaller ones answer random reads of what is not here "
			"sooner. A change is for the files of directories that come over from then on; a file keeps the size with which "
			"it was found.",
	},
	{
		.name = "whole",
		.group = MOVING,
		.type = PROPERTY_SIZE,
		.when = PROPERTY_LIVE,
		.standard = "1M",
		.help = "Files up to this size are fetched whole when they are opened.",
	},
	{
		.name = "background",
		.group = MOVING,
		.type = PROPERTY_BOOL,
		.when = PROPERTY_LIVE,
		.standard = "on",
		.help = "Whether what nobody asks for comes over as well.",
	},
	{
		.name = "bandwidth",
		.group = MOVING,
		.type = PROPERTY_RATE,
		.when = PROPERTY_LIVE,
		.standard = "none",
		.help = "What the background may read of the source in a second. See SCHEDULES AND LOAD in dmmfs(8).",
	},
	{
		.name = "schedule",
		.group = MOVING,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_LIVE,
		.argument = "RULE[;RULE...]",
		.standard = "none",
		.check = schedule_check,
		.allowed = "a schedule, for example \"mon-fri 08:00-18:00 limit=20MB/s workers=1; * limit=none workers=max\"",
		.help = "What the background may take at which hours of the week. See SCHEDULES AND LOAD in dmmfs(8).",
	},
	{
		.name = "latency",
		.group = MOVING,
		.type = PROPERTY_DURATION,
		.when = PROPERTY_LIVE,
		.standard = "off",
		.also = "off",
		.min = LATENCY_MIN_US * 1000ull,
		.max = LATENCY_MAX_US * 1000ull,
		.help = "The background yields when applications wait longer than this. See SCHEDULES AND LOAD in dmmfs(8).",
	},
	{
		.name = "order",
		.group = MOVING,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_LIVE,
		.argument = "CLAUSE[;CLAUSE...]",
		.standard = "found",
		.check = rules_check,
		.allowed = "clauses, for example \"first '/projects/apollo'; last size>1G; skip '/scratch'; small\"",
		.help = "What comes first, what last, and what not at all. See ORDER.",
	},
	{
		.name = "learn",
		.group = MOVING,
		.type = PROPERTY_BOOL,
		.when = PROPERTY_LIVE,
		.standard = "on",
		.help = "Whether what lies beside what applications wait for comes over sooner.",
	},
	{
		.name = "autofinish",
		.group = MOVING,
		.type = PROPERTY_BOOL,
		.when = PROPERTY_LIVE,
		.standard = "off",
		.help = "Finish by itself when everything has come over, as dmmfs-admin finish does, as soon as no file on the "
			"mount "
			"is open.",
	},
	{
		.name = "verify",
		.group = MOVING,
		.type = PROPERTY_CHOICE,
		.when = PROPERTY_HALTED,
		.choices = verify,
		.standard = "copy",
		.help = "copy keeps a digest of what is read from the source, against which dmmfs-admin verify compares the "
			"target. off keeps none, and lets the kernel copy by itself where it can, which shares blocks between "
			"a source and a target on one file system that can do so.",
	},
	{
		.name = "highwater",
		.group = MOVING,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "100000",
		.min = 1,
		.max = FILES_MAX,
		.help = "With so many files under way the background looks for no others, so that the state of the migration "
			"stays "
			"small.",
	},
	{
		.name = "lowwater",
		.group = MOVING,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "50000",
		.max = FILES_MAX,
		.help = "When no more than so many of these are left it goes on.",
	},
	{
		.name = "errorretries",
		.group = MOVING,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "5",
		.max = 1024,
		.help = "How often the background tries again what failed, at growing intervals, before an error waits for the "
			"administrator.",
	},
	{
		.name = "maxentries",
		.group = TROUBLE,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "10000000",
		.min = 1000,
		.max = FILES_MAX,
		.help = "The most entries that a directory of the source may have. One that lists more is taken for a fault of "
			"the "
			"source, which would go on without end, and is in error until this is raised and it is retried.",
	},
	{
		.name = "drift",
		.group = TROUBLE,
		.type = PROPERTY_CHOICE,
		.when = PROPERTY_LIVE,
		.choices = drift,
		.standard = "report",
		.help = "What happens to a file that changed at the source after it was listed, although the source must be "
			"read-only. "
			"report keeps what came and tells of it; refetch brings the file anew, unless an application has "
			"changed it; fail puts the file in error until it is retried, which takes the source as it is then.",
	},
	{
		.name = "soft",
		.group = TROUBLE,
		.type = PROPERTY_BOOL,
		.when = PROPERTY_LIVE,
		.standard = "off",
		.help = "What happens while the source cannot be reached: off, everybody who needs it waits until it is back, as "
			"with a "
			"hard mount of NFS; on, applications get the error after all attempts. The words soft and hard stand for "
			"on "
			"and off on a mount line.",
	},
	{
		.name = "timeo",
		.group = TROUBLE,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "600",
		.min = 1,
		.max = 36000,
		.help = "How long one attempt of a request to the source may take, in tenths of a second.",
	},
	{
		.name = "retrans",
		.group = TROUBLE,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "2",
		.max = 1000,
		.help = "How often a request to the source that got no answer is tried again before it has failed (soft), or "
			"before "
			"the source counts as unreachable (hard).",
	},
	{
		.name = "maxnsproc",
		.group = WORKERS,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "8",
		.min = 1,
		.max = WORKERS_MAX,
		.help = "Workers for directories.",
	},
	{
		.name = "resnsproc",
		.group = WORKERS,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "2",
		.max = WORKERS_MAX - 1,
		.help = "How many of these only serve applications that wait.",
	},
	{
		.name = "maxdfproc",
		.group = WORKERS,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "16",
		.min = 1,
		.max = WORKERS_MAX,
		.help = "Workers for the data of files.",
	},
	{
		.name = "resdfproc",
		.group = WORKERS,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_LIVE,
		.standard = "4",
		.max = WORKERS_MAX - 1,
		.help = "How many of these only serve applications that wait.",
	},
	{
		.name = "threads",
		.group = WORKERS,
		.type = PROPERTY_COUNT,
		.when = PROPERTY_HALTED,
		.standard = "4",
		.min = 1,
		.max = WORKERS_MAX,
		.help = "Threads that receive requests of the kernel.",
	},
	{
		.name = "awake",
		.group = WORKERS,
		.type = PROPERTY_CHOICE,
		.when = PROPERTY_HALTED,
		.choices = awake,
		.standard = "auto",
		.help = "Whether idle processors are kept awake while applications ask much of the mount, by "
			"/dev/cpu_dma_latency, since to wake one takes longer than most operations. It is for the whole machine "
			"and costs power; auto does it where there are up to 4 processors. It takes 3 threads or more.",
	},
	{
		.name = "passthrough",
		.group = MOUNT,
		.type = PROPERTY_BOOL,
		.when = PROPERTY_HALTED,
		.standard = "on",
		.help = "Whether the kernel reads and writes files that have come over by itself. It does so from Linux 6.9 on, "
			"and "
			"where it can not this is in the log.",
	},
	{
		.name = "keeper",
		.group = MOUNT,
		.type = PROPERTY_BOOL,
		.when = PROPERTY_HALTED,
		.standard = "on",
		.help = "Whether a small process holds the mount while the daemon dies or is replaced, so that programs go on "
			"without "
			"an error. It needs Linux 6.9.",
	},
	{
		.name = "fsname",
		.group = MOUNT,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_HALTED,
		.argument = "NAME",
		.without = "the source",
		.help = "What the table of mounts shows as the device.",
	},
	{
		.name = "mountflags",
		.group = MOUNT,
		.type = PROPERTY_TEXT,
		.when = PROPERTY_HALTED,
		.argument = "FLAG[,FLAG...]",
		.without = "none",
		.allowed = "flags of mount(8), with commas between",
		.check = mount_flags_check,
		.positional = true,
		.help = "Flags of mount(8), such as nosuid,nodev,noexec, for a start that is not by mount(8). A mount command "
			"and a "
			"line in fstab give all flags anew.",
	},
};

#define N_PROPERTIES (sizeof(table) / sizeof(table[0]))
_Static_assert(N_PROPERTIES <= PROPERTY_MAX, "PROPERTY_MAX is too small");

const struct property *property_find(const char *name)
{
	for (size_t i = 0; i < N_PROPERTIES; i++)
		if (strcmp(name, table[i].name) == 0)
			return &table[i];
	return NULL;
}

const struct property *property_at(size_t index)
{
	return index < N_PROPERTIES ? &table[index] : NULL;
}

size_t property_index(const struct property *property)
{
	return (size_t)(property - table);
}
