/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From the values of properties, which the command line and the database give as text, to what the daemon works with.
 *
 * One table binds a property to a field of struct options. A property whose text is needed, because it is a little language of its
 * own, needs no field: options_value() has it, and daemon/apply.c what it does.
 */
#include "daemon/options.h"

#include "daemon/govern.h"
#include "dmmfs-config.h"
#include "property/mount_flags.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* --- values --- */

static char **text_at(struct options *options, const char *name)
{
	return &options->values.text[property_index(property_find(name))];
}

static const char *text_in_force(const struct options *options, const struct property *property)
{
	const char *text = options->values.text[property_index(property)];

	return text ? text : property->standard;
}

const char *options_value(const struct options *options, const char *name)
{
	return text_in_force(options, property_find(name));
}

static const char *lookup(void *context, const struct property *property)
{
	return text_in_force(context, property);
}

/* --- places --- */

static int resolve_dir(char **path, const char *what, char *error, size_t error_size)
{
	char *resolved = realpath(*path, NULL);
	struct stat st;

	if (!resolved) {
		int failure = -errno;
		snprintf(error, error_size, "%s %s: %s%s", what, *path, strerror(-failure),
		         failure == -ENOENT ? "; make the directory first, or mount what it is on" : "");
		return failure;
	}
	free(*path);
	*path = resolved;
	if (stat(resolved, &st) == 0 && !S_ISDIR(st.st_mode)) { /* a dead mount cannot tell; it is dealt with later */
		snprintf(error, error_size, "%s %s: Not a directory; name one", what, resolved);
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
static bool is_path(const struct options *options, const char *source)
{
	const char *protocol = options_value(options, "protocol");

	return !strstr(source, "://") && (!protocol || strcmp(protocol, "posix") == 0);
}

/* What is no directory here, and looks like the address of a server. */
static const char *meant(const char *source)
{
	if (strncmp(source, "//", 2) == 0)
		return "; a share of an SMB server is named with protocol=cifs beside it, or as smb://server/share";
	if (*source != '/' && strstr(source, ":/"))
		return "; an export of an NFS server is named with protocol=nfs beside it, or as nfs://server/path";
	return NULL;
}

static int resolve_source(char **source, char *error, size_t error_size)
{
	const char *hint = meant(*source);
	int result = resolve_dir(source, "source", error, error_size);

	if (result == -ENOENT && hint)
		snprintf(error, error_size, "source %s: %s%s", *source, strerror(ENOENT), hint);
	return result;
}

int options_resolve(struct options *options, char *error, size_t error_size)
{
	char **source = text_at(options, "source"), **target = text_at(options, "target"),
	     **mountpoint = text_at(options, "mountpoint");
	int result = 0;

	strip_url(*source);
	if (is_path(options, *source))
		result = resolve_source(source, error, error_size);
	if (result >= 0 && *mountpoint)
		result = resolve_dir(mountpoint, "mount point", error, error_size);
	if (result >= 0 && *target)
		result = resolve_dir(target, "target", error, error_size);
	if (result >= 0 && !*target)
		*target = strdup(*mountpoint);
	else if (result >= 0 && !*mountpoint)
		*mountpoint = strdup(*target);
	return result;
}

/* --- the database --- */

/* What was recorded in full when the migration was made must still lead to the same place: another one behind the same name would
 * be another migration. */
static int resolve_recorded(struct options *options, char *error, size_t error_size)
{
	static const char *const names[] = {"source", "target"};
	char *before[2] = {0};

	for (int i = 0; i < 2; i++) {
		const char *recorded = *text_at(options, names[i]);
		if (!recorded && i == 0) {
			snprintf(error, error_size,
			         "migration %u has no source on record; mount it with its source and mount point",
			         options->migid);
			return -EINVAL;
		}
		before[i] = recorded ? strdup(recorded) : NULL;
	}
	int result = options_resolve(options, error, error_size);
	for (int i = 0; i < 2; i++) {
		if (result >= 0 && before[i] && strcmp(before[i], *text_at(options, names[i]))) {
			snprintf(error, error_size,
			         "the %s of migration %u was %s, which leads to %s now: bring it back to its place, or create a "
			         "migration of its own",
			         names[i], options->migid, before[i], *text_at(options, names[i]));
			result = -EINVAL;
		}
		free(before[i]);
	}
	return result;
}

/* A value of the database, for a property that the command line leaves alone. */
static int take_value(struct options *options, const struct property *property, char **stored, char *error, size_t error_size)
{
	size_t index = property_index(property);
	char why[1024];

	if (property_check(property, *stored, why, sizeof(why)) < 0) {
		snprintf(error, error_size, "migration %u: %s; set it with dmmfs-admin set", options->migid, why);
		return -EINVAL;
	}
	options->values.text[index] = *stored;
	options->origin[index] = VALUE_SET;
	*stored = NULL;
	return 0;
}

/* A property that is given when a migration is made, and now on the command line of one that there is. */
static int check_unchanged(const struct options *options, const struct property *property, const char *stored, char *error,
                           size_t error_size)
{
	const char *given = options->values.text[property_index(property)];

	if (property->when != PROPERTY_AT_CREATE || (stored && strcmp(given, stored) == 0))
		return 0;
	if (!stored)
		snprintf(error, error_size, "migration %u was created without %s=: leave it out", options->migid, property->name);
	else
		snprintf(error, error_size, "migration %u was created with %s=%s, which can not become %s: leave it out",
		         options->migid, property->name, stored, given);
	return -EINVAL;
}

static int merge_properties(struct options *options, struct settings *stored, char *error, size_t error_size)
{
	int result = 0;

	for (size_t i = 0; result >= 0 && property_at(i); i++) {
		if (options->values.text[i])
			result = check_unchanged(options, property_at(i), stored->text[i], error, error_size);
		else if (stored->text[i])
			result = take_value(options, property_at(i), &stored->text[i], error, error_size);
	}
	return result;
}

static int merge_plugin(struct options *options, struct settings *stored, char *error, size_t error_size)
{
	struct settings *values = &options->values;
	size_t given = values->n_plugin;

	for (size_t i = 0; i < stored->n_plugin; i++) {
		bool is_given = false;
		for (size_t j = 0; j < given; j++)
			is_given = is_given || strcmp(values->plugin[j].name, stored->plugin[i].name) == 0;
		if (is_given)
			continue;
		if (values->n_plugin == SETTINGS_PLUGIN_MAX) {
			snprintf(error, error_size, "too many options");
			return -E2BIG;
		}
		values->plugin[values->n_plugin++] = stored->plugin[i];
		stored->plugin[i] = (struct plugin_setting){0};
	}
	return 0;
}

static int load(struct options *options, struct config *config, char *error, size_t error_size)
{
	struct settings stored;
	char *created = NULL;

	if (!options->by_migid &&
	    config_find(config, *text_at(options, "source"), *text_at(options, "target"), &options->migid) < 0)
		return 0; /* a new one */
	int result = config_get(config, options->migid, "created", &created);
	free(created);
	if (result == -ENOENT && options->by_migid) {
		snprintf(error, error_size, "there is no migration %u: dmmfs-admin list shows those there are", options->migid);
		return result;
	}
	result = settings_load(config, options->migid, &stored);
	if (result < 0) {
		snprintf(error, error_size, "the properties of migration %u cannot be read: %s", options->migid,
		         strerror(-result));
		return result;
	}
	if (!options->by_migid) { /* a mount command gives all flags */
		char **flags = &stored.text[property_index(property_find("mountflags"))];
		free(*flags);
		*flags = NULL;
	}
	result = merge_properties(options, &stored, error, error_size);
	if (result >= 0)
		result = merge_plugin(options, &stored, error, error_size);
	settings_free(&stored);
	return result < 0 || !options->by_migid ? result : resolve_recorded(options, error, error_size);
}

int options_load(struct options *options, char *error, size_t error_size)
{
	struct config *config;
	int result = config_open(options->confdir ? options->confdir : config_default_dir(), 0, &config, error, error_size);

	if (result == -ENOENT && !options->by_migid)
		return 0;
	if (result < 0)
		return result;
	result = load(options, config, error, error_size);
	config_close(config);
	return result;
}

struct recording {
	struct config_pair pairs[PROPERTY_MAX + SETTINGS_PLUGIN_MAX + OPTIONS_ALSO];
	char names[SETTINGS_PLUGIN_MAX][CONFIG_NAME_MAX + 1];
};

static size_t list_given(const struct options *options, const struct config_pair *also, size_t n_also,
                         struct recording *recording)
{
	struct config_pair *pairs = recording->pairs;
	size_t n = 0;
	const struct property *property;

	for (size_t i = 0; (property = property_at(i)); i++)
		if (options->origin[i] == VALUE_MOUNT)
			pairs[n++] = (struct config_pair){property->name, options->values.text[i]};
	for (size_t i = 0; i < options->values.n_plugin; i++) {
		const struct plugin_setting *setting = &options->values.plugin[i];
		if (!options->plugin_given[i])
			continue;
		snprintf(recording->names[i], sizeof(recording->names[i]), SETTINGS_PLUGIN "%s", setting->name);
		pairs[n++] = (struct config_pair){recording->names[i], setting->value};
	}
	for (size_t i = 0; i < n_also && i < OPTIONS_ALSO; i++)
		pairs[n++] = also[i];
	return n;
}

int options_record(const struct options *options, struct config *config, uint32_t migid, const struct config_pair *also,
                   size_t n_also)
{
	struct recording recording;
	size_t n = list_given(options, also, n_also, &recording);

	return config_update(config, migid, recording.pairs, n, NULL, 0);
}

int options_create(const struct options *options, struct config *config, uint32_t *migid, const struct config_pair *also,
                   size_t n_also)
{
	struct recording recording;
	size_t n = list_given(options, also, n_also, &recording);

	return config_create_with(config, recording.pairs, n, migid);
}

/* --- fields --- */

#define FIELD(member) offsetof(struct options, member), sizeof(((struct options *)0)->member)

/* Texts and paths have pointers; all others numbers of the size of their field. */
static const struct binding {
	const char *name;
	size_t offset, size;
} bindings[] = {
	{"source", FIELD(source)},
	{"target", FIELD(target)},
	{"mountpoint", FIELD(mountpoint)},
	{"statedir", FIELD(statedir)},
	{"plugindir", FIELD(plugin_dir)},
	{"logfile", FIELD(logfile)},
	{"protocol", FIELD(protocol)},
	{"cifs", FIELD(cifs)},
	{"fsname", FIELD(fsname)},
	{"idmap", FIELD(idmap)},
	{"segsize", FIELD(migrate.segsize)},
	{"collision", FIELD(migrate.collision)},
	{"whole", FIELD(migrate.whole_at_open)},
	{"maxnsproc", FIELD(migrate.maxnsproc)},
	{"resnsproc", FIELD(migrate.resnsproc)},
	{"maxdfproc", FIELD(migrate.maxdfproc)},
	{"resdfproc", FIELD(migrate.resdfproc)},
	{"highwater", FIELD(migrate.backlog_high)},
	{"lowwater", FIELD(migrate.backlog_low)},
	{"errorretries", FIELD(migrate.error_retries)},
	{"background", FIELD(migrate.background)},
	{"verify", FIELD(migrate.digests)},
	{"order", FIELD(migrate.order)},
	{"learn", FIELD(migrate.learn)},
	{"autofinish", FIELD(autofinish)},
	{"keeper", FIELD(keeper)},
	{"passthrough", FIELD(passthrough)},
	{"threads", FIELD(threads)},
	{"awake", FIELD(awake)},
	{"drift", FIELD(migrate.drift)},
	{"setid", FIELD(migrate.drop_set_id)},
	{"devices", FIELD(migrate.drop_devices)},
	{"soft", FIELD(soft)},
	{"timeo", FIELD(timeo_ds)},
	{"retrans", FIELD(retrans)},
	{"maxentries", FIELD(maxentries)},
};

static void fill(struct options *options, const struct binding *binding)
{
	const struct property *property = property_find(binding->name);
	const char *text = text_in_force(options, property);
	void *field = (char *)options + binding->offset;

	if (property->type == PROPERTY_TEXT || property->type == PROPERTY_PATH) {
		*(const char **)field = text;
		return;
	}
	uint64_t number = property_number(property, text);
	if (binding->size == sizeof(bool))
		*(bool *)field = number != 0;
	else if (binding->size == sizeof(unsigned))
		*(unsigned *)field = (unsigned)number;
	else
		*(uint64_t *)field = number;
}

void options_fill(struct options *options, const struct property *property)
{
	for (size_t i = 0; i < sizeof(bindings) / sizeof(*bindings); i++)
		if (strcmp(bindings[i].name, property->name) == 0)
			fill(options, &bindings[i]);
}

/* The plugin of the second source: by the scheme of its URL, //server/share is cifs. */
static const char *nt_protocol(const struct options *options)
{
	return strstr(options->cifs, "://") ? NULL : "cifs";
}

/* "cifs.NAME" is always the second source's, any other name its plugin's that knows it, the first before the second. */
static bool place_plugin_option(struct options *options, const struct plugin_setting *setting)
{
	static const char prefix[] = "cifs.";
	bool prefixed = strncmp(setting->name, prefix, sizeof(prefix) - 1) == 0;
	const char *name = setting->name + (prefixed ? sizeof(prefix) - 1 : 0);

	if (!prefixed && source_option_known(options->plugin_dir, options->protocol, options->source, name) == 1) {
		options->settings[options->n_settings++] = (struct dmm_setting){name, setting->value};
		return true;
	}
	if (!options->cifs || source_option_known(options->plugin_dir, nt_protocol(options), options->cifs, name) != 1)
		return false;
	options->nt_settings[options->n_nt_settings++] = (struct dmm_setting){name, setting->value};
	return true;
}

static int check_plugin_options(struct options *options, char *error, size_t error_size)
{
	for (size_t i = 0; i < options->values.n_plugin; i++) {
		if (place_plugin_option(options, &options->values.plugin[i]))
			continue;
		const char *name = options->values.plugin[i].name;
		int len = snprintf(
			error, error_size,
			"unknown option %s; see dmmfs(8) for those there are, and the manual page of the source's plugin, "
			"dmmfs-plugin-nfs(7) for example",
			name);
		if (!options->plugin_given[i] && len > 0 && (size_t)len < error_size)
			snprintf(error + len, error_size - (size_t)len,
			         "; it is on record, and 'dmmfs-admin set -p " SETTINGS_PLUGIN "%s= MIGID' takes it away", name);
		return -EINVAL;
	}
	return 0;
}

void options_source(const struct options *options, struct source_options *source, struct source_options *nt)
{
	*source = (struct source_options){
		.source = options->source,
		.protocol = options->protocol,
		.idmap = options->idmap,
		.plugin_dir = options->plugin_dir,
		.settings = options->settings,
		.n_settings = options->n_settings,
		.tries = options->retrans + 1,
		.timeout_ms = options->timeo_ds * 100,
	};
	if (!options->cifs)
		return;
	*nt = (struct source_options){
		.source = options->cifs,
		.protocol = nt_protocol(options),
		.settings = options->nt_settings,
		.n_settings = options->n_nt_settings,
	};
	source->nt = nt;
}

/* A mount command gives all flags; a start by migid keeps those there were. */
static void settle_flags(struct options *options)
{
	char **text = text_at(options, "mountflags"), printed[256];

	if (*text)
		mount_flags_parse(*text, &options->mount_flags);
	options->mount_flags = (options->mount_flags & options->flags_kept) | options->flags_set;
	mount_flags_print(options->mount_flags, printed, sizeof(printed));
	if (strcmp(printed, *text ? *text : "") == 0 && options->by_migid)
		return;
	free(*text);
	*text = *printed ? strdup(printed) : NULL;
	options->origin[property_index(property_find("mountflags"))] = VALUE_MOUNT;
}

int options_settle(struct options *options, char *error, size_t error_size)
{
	migrate_default_options(&options->migrate);
	settle_flags(options);
	for (size_t i = 0; i < sizeof(bindings) / sizeof(*bindings); i++)
		fill(options, &bindings[i]);
	govern_settle(options, &options->migrate.govern);
	if (!options->plugin_dir)
		options->plugin_dir = getenv("DMMFS_PLUGINDIR") ? getenv("DMMFS_PLUGINDIR") : DMM_PLUGINDIR;
	options->source_is_path = is_path(options, options->source);
	int result = property_check_set(lookup, options, error, error_size);
	return result < 0 ? result : check_plugin_options(options, error, error_size);
}
