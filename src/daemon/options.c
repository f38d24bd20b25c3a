/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Parsing the command line. libfuse's option parser splits the words; the table of properties says what each option is.
 */
#include "daemon/options.h"

#include "dmmfs-config.h"
#include "property/mount_flags.h"

#define FUSE_USE_VERSION 318
#include <errno.h>
#include <fuse_opt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parse {
	struct options *options;
	char *error;
	size_t error_size;
	unsigned positional;
	bool help, version;
};

__attribute__((format(printf, 2, 3))) static int fail(struct parse *parse, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(parse->error, parse->error_size, format, args);
	va_end(args);
	return -1;
}

/* --- values --- */

/* Takes over `value`. */
static int give(struct parse *parse, const struct property *property, char *value)
{
	struct options *options = parse->options;
	size_t index = property_index(property);
	char why[1024];

	free(options->values.text[index]);
	options->values.text[index] = value;
	options->origin[index] = VALUE_MOUNT;
	if (!value)
		return -ENOMEM;
	if (property_check(property, value, why, sizeof(why)) < 0)
		return fail(parse, "option %s", why);
	return 0;
}

/* Of what need not be there yet: the daemon leaves the directory that it was started in. */
static char *from_here(const char *path)
{
	char here[PATH_MAX], *absolute;

	if (*path == '/' || !*path || !getcwd(here, sizeof(here)))
		return strdup(path);
	return asprintf(&absolute, "%s/%s", here, path) < 0 ? NULL : absolute;
}

static int take_property(struct parse *parse, const struct property *property, const char *value)
{
	if (property->positional)
		return fail(parse, "%s is an argument and no option; see dmmfs --help", property->name);
	return give(parse, property, property->type == PROPERTY_PATH ? from_here(value) : strdup(value));
}

/* Where the database and the sockets are: not of a migration, so no property. */
static int take_place(struct parse *parse, const char *name, char **at, const char *value)
{
	if (!*value)
		return fail(parse, "option %s needs a value", name);
	free(*at);
	*at = from_here(value);
	return *at ? 0 : -ENOMEM;
}

/* --- options --- */

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

static bool take_flag(struct options *options, const char *option)
{
	size_t len = strlen(option);

	return mount_flag_take(option, len, &options->flags_set) && mount_flag_take(option, len, &options->flags_kept);
}

/* The flags as one word, as dmmfs-admin has them. */
static int take_flags(struct parse *parse, const char *list)
{
	char why[1024];

	if (property_check(property_find("mountflags"), list, why, sizeof(why)) < 0)
		return fail(parse, "option %s", why);
	mount_flags_parse(list, &parse->options->flags_set);
	return mount_flags_parse(list, &parse->options->flags_kept);
}

/* Options that this program does not know may be the source plugin's; whether they are is checked when all is parsed. */
static int keep_for_plugin(struct parse *parse, const char *name, const char *value)
{
	struct settings *values = &parse->options->values;
	size_t i = 0;

	if (strncmp(name, SETTINGS_PLUGIN, sizeof(SETTINGS_PLUGIN) - 1) == 0) /* as the commands of dmmfs-admin have it */
		name += sizeof(SETTINGS_PLUGIN) - 1;
	while (i < values->n_plugin && strcmp(values->plugin[i].name, name))
		i++;
	if (i == SETTINGS_PLUGIN_MAX)
		return fail(parse, "too many options");
	if (i == values->n_plugin)
		values->plugin[values->n_plugin++] = (struct plugin_setting){.name = strdup(name)};
	free(values->plugin[i].value);
	values->plugin[i].value = strdup(value);
	parse->options->plugin_given[i] = true;
	return values->plugin[i].name && values->plugin[i].value ? 0 : -1;
}

static int take_option(struct parse *parse, const char *option)
{
	struct options *options = parse->options;
	const char *equals = strchr(option, '=');
	char name[256];

	if (is_for_others(option) || take_flag(options, option))
		return 0;
	if (strcmp(option, "nopassthrough") == 0)
		return give(parse, property_find("passthrough"), strdup("off"));
	if (strcmp(option, "soft") == 0 || strcmp(option, "hard") == 0)
		return give(parse, property_find("soft"), strdup(*option == 's' ? "on" : "off"));
	if ((size_t)snprintf(name, sizeof(name), "%.*s", equals ? (int)(equals - option) : (int)strlen(option), option) >=
	    sizeof(name))
		return fail(parse, "unknown option %.100s...; see dmmfs(8) for those there are", option);
	const char *value = equals ? equals + 1 : "";
	if (strcmp(name, "confdir") == 0)
		return take_place(parse, name, &options->confdir, value);
	if (strcmp(name, "rundir") == 0)
		return take_place(parse, name, &options->rundir, value);
	if (strcmp(name, "mountflags") == 0)
		return take_flags(parse, value);
	const struct property *property = property_find(name);
	return property ? take_property(parse, property, value) : keep_for_plugin(parse, name, value);
}

/* --- words --- */

enum { KEY_HELP, KEY_VERSION, KEY_FOREGROUND, KEY_DEBUG, KEY_IGNORE, KEY_MIGID, KEY_CREATE };

static const struct fuse_opt words[] = {
	FUSE_OPT_KEY("-h", KEY_HELP),        FUSE_OPT_KEY("--help", KEY_HELP),
	FUSE_OPT_KEY("-V", KEY_VERSION),     FUSE_OPT_KEY("--version", KEY_VERSION),
	FUSE_OPT_KEY("-f", KEY_FOREGROUND),  FUSE_OPT_KEY("--foreground", KEY_FOREGROUND),
	FUSE_OPT_KEY("-d", KEY_DEBUG),       FUSE_OPT_KEY("--debug", KEY_DEBUG),
	FUSE_OPT_KEY("-s", KEY_IGNORE),      FUSE_OPT_KEY("-n", KEY_IGNORE),
	FUSE_OPT_KEY("-v", KEY_IGNORE),      FUSE_OPT_KEY("--migid=", KEY_MIGID),
	FUSE_OPT_KEY("--migid ", KEY_MIGID), FUSE_OPT_KEY("--create", KEY_CREATE),
	FUSE_OPT_END,
};

static int take_positional(struct parse *parse, const char *word)
{
	static const char *const names[] = {"source", "mountpoint"};

	if (parse->positional >= 2)
		return fail(parse, "what is \"%s\"? usage: dmmfs SOURCE MOUNTPOINT [-o options]", word);
	const struct property *property = property_find(names[parse->positional++]);
	return give(parse, property, property->type == PROPERTY_PATH ? from_here(word) : strdup(word));
}

/* "--migid=7", or the two words as one: "--migid7". */
static int take_migid(struct parse *parse, const char *word)
{
	const char *digits = word + strcspn(word, "0123456789");
	unsigned long migid = strtoul(digits, NULL, 10);

	if (strlen(digits) > 10 || digits[strspn(digits, "0123456789")] || migid == 0 || migid > UINT32_MAX)
		return fail(parse, "--migid needs the number of a migration; dmmfs-admin list shows those there are");
	parse->options->migid = (uint32_t)migid;
	parse->options->by_migid = true;
	return 0;
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
	case KEY_CREATE:
		parse->options->create = true;
		return 0;
	case KEY_MIGID:
		return take_migid(parse, word);
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
	       "       dmmfs --migid N [-o option[,option...]] [-f] [-d]\n"
	       "\n"
	       "Mounts MOUNTPOINT and moves the tree at SOURCE there while it is in use.\n"
	       "\n"
	       "    SOURCE             a directory, or an URL: file:///path, nfs://server/path, smb://server/share\n"
	       "    -o target=DIR      where the tree is to be; default: MOUNTPOINT itself\n"
	       "    -o statedir=DIR    where the state of the migration is kept; default: .dmmfs in the target\n"
	       "    -o segsize=SIZE    how much of a file is fetched at a time; default: 1M\n"
	       "    -o collision=WHAT  error (default), overwrite or rename, when the target is not empty\n"
	       "    -o autofinish=on   end by itself when everything is here\n"
	       "    --migid N          a migration that there is already, with its own source, mount point and properties\n"
	       "    -f                 stay in the foreground, log to standard error\n"
	       "    -d                 the same, with a trace of all requests\n"
	       "    -V, --version      print the version\n"
	       "\n"
	       "All options are in dmmfs(8). Progress: dmmfs-admin stat.\n");
}

/* --- the whole --- */

static int parse_words(int argc, char **argv, struct parse *parse)
{
	struct fuse_args args = FUSE_ARGS_INIT(argc, argv);
	int result = fuse_opt_parse(&args, parse, words, take_word);

	fuse_opt_free_args(&args);
	if (result >= 0)
		return 0;
	if (!*parse->error)
		snprintf(parse->error, parse->error_size, "the command line cannot be read; see dmmfs --help");
	return -EINVAL;
}

int options_parse(int argc, char **argv, struct options *options, char *error, size_t error_size)
{
	struct parse parse = {.options = options, .error = error, .error_size = error_size};

	*options = (struct options){.allow_other = true, .flags_kept = ~0ul};
	*error = '\0';
	int result = parse_words(argc, argv, &parse);
	if (result < 0)
		return result;
	if (parse.help)
		print_help();
	if (parse.version)
		printf("dmmfs %s\n", DMM_VERSION);
	if (parse.help || parse.version)
		return 1;
	if (options->by_migid && parse.positional)
		return fail(&parse, "--migid names the migration, whose source and mount point are known: leave \"%s\" out",
		            options->values.text[property_index(property_find("source"))]);
	if (!options->by_migid && parse.positional < 2)
		return fail(&parse, "usage: dmmfs SOURCE MOUNTPOINT [-o options]; see dmmfs --help");
	return 0;
}

void options_free(struct options *options)
{
	settings_free(&options->values);
	free(options->confdir);
	free(options->rundir);
}
