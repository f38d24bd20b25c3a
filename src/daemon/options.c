/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parsing the command line. libfuse's option parser splits the words; one table says what each option is.
 */
#include "daemon/options.h"

#include "base/size.h"
#include "dmmfs-config.h"

#define FUSE_USE_VERSION 318
#include <ctype.h>
#include <errno.h>
#include <fuse_opt.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct parse {
	struct options *options;
	char *error;
	size_t error_size;
	unsigned positional;
	bool help, version, failed;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parse *parse, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(parse->error, parse->error_size, format, args);
	va_end(args);
	parse->failed = true;
	return -1;
}

/* --- values --- */

typedef int (*set_fn)(struct parse *parse, const char *name, const char *value, size_t offset);

static int set_text(struct parse *parse, const char *name, const char *value, size_t offset)
{
	char **at = (char **)((char *)parse->options + offset);

	if (!*value)
		return fail(parse, "option %s needs a value", name);
	free(*at);
	*at = strdup(value);
	return *at ? 0 : -ENOMEM;
}

static int set_bool(struct parse *parse, const char *name, const char *value, size_t offset)
{
	bool *at = (bool *)((char *)parse->options + offset);

	if (strcmp(value, "on") && strcmp(value, "off"))
		return fail(parse, "option %s=%s: must be on or off", name, value);
	*at = strcmp(value, "on") == 0;
	return 0;
}

static int set_count(struct parse *parse, const char *name, const char *value, size_t offset)
{
	char *end;
	unsigned long number = strtoul(value, &end, 10);

	if (!*value || *end || *value == '-' || number > 1024)
		return fail(parse, "option %s=%s: must be a number from 0 to 1024", name, value);
	*(unsigned *)((char *)parse->options + offset) = (unsigned)number;
	return 0;
}

static int set_size(struct parse *parse, const char *name, const char *value, size_t offset)
{
	uint64_t bytes;

	if (size_parse(value, &bytes) < 0)
		return fail(parse, "option %s=%s: not a size; write N[.N][KMGTP][B], for example 1M", name, value);
	*(uint64_t *)((char *)parse->options + offset) = bytes;
	return 0;
}

static int set_segsize(struct parse *parse, const char *name, const char *value, size_t offset)
{
	uint64_t bytes;

	if (size_parse(value, &bytes) < 0 || bytes < 4096 || bytes > (64u << 20) || bytes % 4096)
		return fail(parse, "option %s=%s: must be a multiple of 4K from 4K to 64M, for example 1M", name, value);
	*(uint64_t *)((char *)parse->options + offset) = bytes;
	return 0;
}

static int set_collision(struct parse *parse, const char *name, const char *value, size_t offset)
{
	static const char *const names[] = {
		[COLLISION_ERROR] = "error", [COLLISION_OVERWRITE] = "overwrite", [COLLISION_RENAME] = "rename"};

	for (size_t i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			*(enum collision *)((char *)parse->options + offset) = (enum collision)i;
			return 0;
		}
	}
	return fail(parse, "option %s=%s: must be error, overwrite or rename", name, value);
}

static const struct {
	const char *name;
	set_fn set;
	size_t offset;
} valued[] = {
	{"target", set_text, offsetof(struct options, target)},
	{"statedir", set_text, offsetof(struct options, statedir)},
	{"confdir", set_text, offsetof(struct options, confdir)},
	{"rundir", set_text, offsetof(struct options, rundir)},
	{"plugindir", set_text, offsetof(struct options, plugin_dir)},
	{"logfile", set_text, offsetof(struct options, logfile)},
	{"protocol", set_text, offsetof(struct options, protocol)},
	{"fsname", set_text, offsetof(struct options, fsname)},
	{"segsize", set_segsize, offsetof(struct options, migrate.segsize)},
	{"collision", set_collision, offsetof(struct options, migrate.collision)},
	{"whole", set_size, offsetof(struct options, migrate.whole_at_open)},
	{"maxnsproc", set_count, offsetof(struct options, migrate.maxnsproc)},
	{"resnsproc", set_count, offsetof(struct options, migrate.resnsproc)},
	{"maxdfproc", set_count, offsetof(struct options, migrate.maxdfproc)},
	{"resdfproc", set_count, offsetof(struct options, migrate.resdfproc)},
	{"errorretries", set_count, offsetof(struct options, migrate.error_retries)},
	{"background", set_bool, offsetof(struct options, migrate.background)},
	{"autofinish", set_bool, offsetof(struct options, autofinish)},
	{"threads", set_count, offsetof(struct options, threads)},
	{"tries", set_count, offsetof(struct options, tries)},
};

static const struct {
	const char *name;
	unsigned long set, clear;
} flags[] = {
	{"rw", 0, MS_RDONLY},
	{"ro", MS_RDONLY, 0},
	{"suid", 0, MS_NOSUID},
	{"nosuid", MS_NOSUID, 0},
	{"dev", 0, MS_NODEV},
	{"nodev", MS_NODEV, 0},
	{"exec", 0, MS_NOEXEC},
	{"noexec", MS_NOEXEC, 0},
	{"async", 0, MS_SYNCHRONOUS},
	{"sync", MS_SYNCHRONOUS, 0},
	{"dirsync", MS_DIRSYNC, 0},
	{"atime", 0, MS_NOATIME},
	{"noatime", MS_NOATIME, 0},
	{"diratime", 0, MS_NODIRATIME},
	{"nodiratime", MS_NODIRATIME, 0},
	{"relatime", MS_RELATIME, 0},
	{"strictatime", MS_STRICTATIME, 0},
	{"norelatime", 0, MS_RELATIME},
	{"defaults", 0, 0},
};

/* What fstab lines carry for others: mount(8), systemd, the administrator. */
static bool is_for_others(const char *option)
{
	static const char *const words[] = {"_netdev",
	                                    "nofail",
	                                    "noauto",
	                                    "auto",
	                                    "user",
	                                    "users",
	                                    "nouser",
	                                    "owner",
	                                    "group",
	                                    "allow_other",
	                                    "default_permissions",
	                                    "loud",
	                                    "silent"};
	static const char *const prefixes[] = {"x-", "X-", "comment=", "subtype="};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(option, words[i]) == 0)
			return true;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++)
		if (strncmp(option, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	return false;
}

static bool take_flag(struct parse *parse, const char *option)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (strcmp(option, flags[i].name) == 0) {
			parse->options->mount_flags |= flags[i].set;
			parse->options->mount_flags &= ~flags[i].clear;
			return true;
		}
	}
	return false;
}

/* Options that this program does not know may be the source plugin's; whether they are is checked when all is parsed. */
static int keep_for_plugin(struct parse *parse, const char *name, size_t name_len, const char *value)
{
	struct options *options = parse->options;

	if (options->n_settings == SETTINGS_MAX)
		return fail(parse, "too many options");
	struct dmm_setting *setting = &options->settings[options->n_settings++];
	setting->name = strndup(name, name_len);
	setting->value = strdup(value);
	return setting->name && setting->value ? 0 : -1;
}

static int take_option(struct parse *parse, const char *option)
{
	const char *equals = strchr(option, '=');
	size_t name_len = equals ? (size_t)(equals - option) : strlen(option);

	if (is_for_others(option) || take_flag(parse, option))
		return 0;
	if (strcmp(option, "nopassthrough") == 0) {
		parse->options->no_passthrough = true;
		return 0;
	}
	for (size_t i = 0; equals && i < sizeof(valued) / sizeof(*valued); i++)
		if (strlen(valued[i].name) == name_len && strncmp(option, valued[i].name, name_len) == 0)
			return valued[i].set(parse, valued[i].name, equals + 1, valued[i].offset);
	return keep_for_plugin(parse, option, name_len, equals ? equals + 1 : "");
}

/* --- words --- */

enum { KEY_HELP, KEY_VERSION, KEY_FOREGROUND, KEY_DEBUG, KEY_IGNORE };

static const struct fuse_opt words[] = {
	FUSE_OPT_KEY("-h", KEY_HELP),           FUSE_OPT_KEY("--help", KEY_HELP),   FUSE_OPT_KEY("-V", KEY_VERSION),
	FUSE_OPT_KEY("--version", KEY_VERSION), FUSE_OPT_KEY("-f", KEY_FOREGROUND), FUSE_OPT_KEY("--foreground", KEY_FOREGROUND),
	FUSE_OPT_KEY("-d", KEY_DEBUG),          FUSE_OPT_KEY("--debug", KEY_DEBUG), FUSE_OPT_KEY("-s", KEY_IGNORE),
	FUSE_OPT_KEY("-n", KEY_IGNORE),         FUSE_OPT_KEY("-v", KEY_IGNORE),     FUSE_OPT_END,
};

static int take_positional(struct parse *parse, const char *word)
{
	char **at = parse->positional == 0 ? &parse->options->source : &parse->options->mountpoint;

	if (parse->positional++ >= 2)
		return fail(parse, "what is \"%s\"? usage: dmmfs SOURCE MOUNTPOINT [-o options]", word);
	*at = strdup(word);
	return *at ? 0 : -1;
}

static int take_word(void *data, const char *word, int key, struct fuse_args *args)
{
	struct parse *parse = data;

	(void)args;
	switch (key) {
	case KEY_HELP:
		parse->help = true;
		return 0;
	case KEY_VERSION:
		parse->version = true;
		return 0;
	case KEY_FOREGROUND:
		parse->options->foreground = true;
		return 0;
	case KEY_DEBUG:
		parse->options->foreground = parse->options->debug = true;
		return 0;
	case KEY_IGNORE:
		return 0;
	case FUSE_OPT_KEY_NONOPT:
		return take_positional(parse, word);
	default:
		if (word[0] == '-')
			return fail(parse, "unknown option %s; see dmmfs --help", word);
		return take_option(parse, word);
	}
}

static void print_help(void)
{
	printf("usage: dmmfs SOURCE MOUNTPOINT [-o option[,option...]] [-f] [-d]\n"
	       "\n"
	       "Mounts MOUNTPOINT and moves the tree at SOURCE there while it is in use.\n"
	       "\n"
	       "    SOURCE             a directory, or an URL that a source plugin knows (file:///path)\n"
	       "    -o target=DIR      where the tree is to be; default: MOUNTPOINT itself\n"
	       "    -o statedir=DIR    where the state of the migration is kept; default: .dmmfs in the target\n"
	       "    -o segsize=SIZE    how much of a file is fetched at a time; default: 1M\n"
	       "    -o collision=WHAT  error (default), overwrite or rename, when the target is not empty\n"
	       "    -o autofinish=on   end by itself when everything is here\n"
	       "    -f                 stay in the foreground, log to standard error\n"
	       "    -d                 the same, with a trace of all requests\n"
	       "    -V, --version      print the version\n"
	       "\n"
	       "All options are in dmmfs(8). Progress: dmmfs-admin stat.\n");
}

/* --- the whole --- */

/* Of what need not be there yet: the daemon leaves the directory that it was started in. */
static void from_here(char **path)
{
	char here[PATH_MAX], *absolute;

	if (!*path || **path == '/' || !getcwd(here, sizeof(here)))
		return;
	if (asprintf(&absolute, "%s/%s", here, *path) < 0)
		abort();
	free(*path);
	*path = absolute;
}

static int make_absolute(struct parse *parse, char **path, const char *what)
{
	char *resolved = realpath(*path, NULL);
	struct stat st;

	if (!resolved) {
		snprintf(parse->error, parse->error_size, "%s %s: %s", what, *path, strerror(errno));
		return -errno;
	}
	free(*path);
	*path = resolved;
	if (stat(resolved, &st) == 0 && !S_ISDIR(st.st_mode)) { /* a dead mount cannot tell; it is dealt with later */
		snprintf(parse->error, parse->error_size, "%s %s: Not a directory", what, resolved);
		return -ENOTDIR;
	}
	return 0;
}

/* file:///path, with percent-encoded bytes, names the same source as the path: it becomes the path. One that is no sound URL stays
 * as it is; the plugin says what is wrong with it. */
static void strip_url(char *source)
{
	char *to = source, *from = source + strlen("file://");

	if (strncmp(source, "file:///", strlen("file:///")))
		return;
	for (const char *at = strchr(from, '%'); at; at = strchr(at + 3, '%'))
		if (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]) || memcmp(at, "%00", 3) == 0)
			return;
	while (*from) {
		if (*from == '%') {
			*to++ = (char)strtoul((char[]){from[1], from[2], '\0'}, NULL, 16);
			from += 3;
		} else {
			*to++ = *from++;
		}
	}
	*to = '\0';
}

/* A path; anything with a scheme belongs to a plugin. */
static int resolve_source(struct parse *parse)
{
	struct options *options = parse->options;

	strip_url(options->source);
	const char *scheme = strstr(options->source, "://");

	options->source_is_path = !scheme && (!options->protocol || strcmp(options->protocol, "posix") == 0);
	return options->source_is_path ? make_absolute(parse, &options->source, "source") : 0;
}

static int check_plugin_options(struct parse *parse)
{
	struct options *options = parse->options;

	for (size_t i = 0; i < options->n_settings; i++)
		if (source_option_known(options->plugin_dir, options->protocol, options->source, options->settings[i].name) != 1)
			return fail(parse, "unknown option %s; see dmmfs(8) for those there are", options->settings[i].name);
	return 0;
}

static int check_workers(struct parse *parse)
{
	const struct migrate_options *migrate = &parse->options->migrate;

	if (migrate->maxnsproc <= migrate->resnsproc)
		return fail(parse, "maxnsproc must be greater than resnsproc");
	if (migrate->maxdfproc <= migrate->resdfproc)
		return fail(parse, "maxdfproc must be greater than resdfproc");
	if (parse->options->threads == 0 || parse->options->tries == 0)
		return fail(parse, "threads and tries must be at least 1");
	return 0;
}

static int complete(struct parse *parse)
{
	struct options *options = parse->options;

	if (!options->source || !options->mountpoint)
		return fail(parse, "usage: dmmfs SOURCE MOUNTPOINT [-o options]; see dmmfs --help");
	if (!options->plugin_dir)
		options->plugin_dir = strdup(getenv("DMMFS_PLUGINDIR") ? getenv("DMMFS_PLUGINDIR") : DMM_PLUGINDIR);
	char **const paths[] = {&options->statedir, &options->confdir, &options->rundir, &options->plugin_dir, &options->logfile};
	for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
		from_here(paths[i]);
	int result = resolve_source(parse);
	if (result >= 0)
		result = make_absolute(parse, &options->mountpoint, "mount point");
	if (result >= 0 && !options->target)
		options->target = strdup(options->mountpoint);
	else if (result >= 0)
		result = make_absolute(parse, &options->target, "target");
	if (result >= 0)
		result = check_plugin_options(parse);
	return result < 0 ? result : check_workers(parse);
}

int options_parse(int argc, char **argv, struct options *options, char *error, size_t error_size)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	struct parse parse = {.options = options, .error = error, .error_size = error_size};

	*options = (struct options){.allow_other = true, .threads = 4, .tries = 3};
	migrate_default_options(&options->migrate);
	*error = '\0';
	int result = fuse_opt_parse(&args, &parse, words, take_word);
	fuse_opt_free_args(&args);
	if (result < 0) {
		if (!*error)
			snprintf(error, error_size, "the command line cannot be read; see dmmfs --help");
		return -EINVAL;
	}
	if (parse.help)
		print_help();
	if (parse.version)
		printf("dmmfs %s\n", DMM_VERSION);
	if (parse.help || parse.version)
		return 1;
	return complete(&parse);
}

void options_free(struct options *options)
{
	char *const all[] = {options->source, options->mountpoint, options->target,   options->statedir,   options->confdir,
	                     options->rundir, options->logfile,    options->protocol, options->plugin_dir, options->fsname};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
	for (size_t i = 0; i < options->n_settings; i++) {
		free((char *)options->settings[i].name);
		free((char *)options->settings[i].value);
	}
}
