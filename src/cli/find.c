/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Which migrations there are, and which one is meant.
 */
#include "cli/find.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "cli/memory.h"
#include "cli/path.h"
#include "state/config.h"
#include "wire/bytes.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define MIGIDS_AT_ONCE 64

/* --- reading -------------------------------------------------------------------------------------------------------------- */

static void migration_init(struct migration *migration, uint32_t migid)
{
	*migration = (struct migration){.migid = migid, .properties = memory_must(json_object())};
	char **strings[] = {&migration->source,   &migration->target, &migration->mountpoint,
	                    &migration->statedir, &migration->state,  &migration->result,
	                    &migration->waived,   &migration->report, &migration->losses};
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		*strings[i] = memory_must(strdup(""));
}

static void migration_clear(struct migration *migration)
{
	free(migration->source);
	free(migration->target);
	free(migration->mountpoint);
	free(migration->statedir);
	free(migration->state);
	free(migration->result);
	free(migration->waived);
	free(migration->report);
	free(migration->losses);
	json_decref(migration->properties);
}

static void set_string(char **string, const char *value)
{
	free(*string);
	*string = memory_must(strdup(value));
}

static int take_setting(void *context, const char *name, const char *value)
{
	struct migration *migration = context;
	const struct {
		const char *name;
		char **string;
	} strings[] = {{"source", &migration->source},     {"target", &migration->target}, {"mountpoint", &migration->mountpoint},
	               {"statedir", &migration->statedir}, {"state", &migration->state},   {"result", &migration->result},
	               {"waived", &migration->waived},     {"report", &migration->report}, {"losses", &migration->losses}};
	for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
		if (strcmp(name, strings[i].name) == 0) {
			set_string(strings[i].string, value);
			return 0;
		}
	}
	if (strcmp(name, "created") == 0)
		migration->created = strtoll(value, NULL, 10);
	else if (strcmp(name, "finished") == 0)
		migration->finished = strtoll(value, NULL, 10);
	else
		bytes_set(migration->properties, name, value);
	return 0;
}

static struct migration *append(struct migrations *migrations, uint32_t migid)
{
	size_t count = migrations->count + 1;
	migrations->list = memory_must(reallocarray(migrations->list, count, sizeof(*migrations->list)));
	migrations->count = count;
	migration_init(&migrations->list[count - 1], migid);
	return &migrations->list[count - 1];
}

/* For daemon_ask(), which is told of a migration by its number alone. */
static void keep_uuid(struct cli *cli, const struct migration *migration)
{
	char digits[16];
	if (!cli->uuids)
		cli->uuids = memory_must(json_object());
	snprintf(digits, sizeof(digits), "%u", migration->migid);
	json_object_set(cli->uuids, digits, json_object_get(migration->properties, "uuid"));
}

static int load_all(struct cli *cli, struct config *config, struct migrations *migrations)
{
	uint32_t migids[MIGIDS_AT_ONCE], after = 0;
	for (;;) {
		int count = config_list(config, after, migids, MIGIDS_AT_ONCE);
		if (count <= 0)
			return count;
		for (int i = 0; i < count; i++) {
			struct migration *migration = append(migrations, migids[i]);
			int error = config_walk(config, migids[i], take_setting, migration);
			if (error)
				return error;
			if (!migration->created && !*migration->source) /* deleted just now */
				migration_clear(&migrations->list[--migrations->count]);
			else
				keep_uuid(cli, migration);
		}
		after = migids[count - 1];
	}
}

int migrations_load(struct cli *cli, struct migrations *migrations)
{
	struct config *config;
	char why[1024] = "";
	const char *dir = cli->confdir ? cli->confdir : config_default_dir();
	*migrations = (struct migrations){0};
	if (geteuid() != 0)
		return cli_fail(cli, CLI_FAILED, EPERM,
		                "only root may look at migrations, their state and sockets are root's: run it again with sudo");
	int error = config_open(dir, 0, &config, why, sizeof(why));
	if (error == -ENOENT)
		return CLI_OK;
	if (error)
		return cli_fail(cli, CLI_FAILED, error, "%s", *why ? why : strerror(-error));
	error = load_all(cli, config, migrations);
	config_close(config);
	if (error) {
		migrations_free(migrations);
		return cli_fail(cli, CLI_FAILED, error, "the configuration database in %s can not be read: %s", dir,
		                strerror(-error));
	}
	return CLI_OK;
}

void migrations_free(struct migrations *migrations)
{
	for (size_t i = 0; i < migrations->count; i++)
		migration_clear(&migrations->list[i]);
	free(migrations->list);
	*migrations = (struct migrations){0};
}

void migrations_add(struct migrations *migrations, uint32_t migid, const char *source, const char *target, const char *mountpoint,
                    const char *state)
{
	struct migration *migration = append(migrations, migid);
	set_string(&migration->source, source);
	set_string(&migration->target, target);
	set_string(&migration->mountpoint, mountpoint);
	set_string(&migration->state, state);
}

/* --- choosing ------------------------------------------------------------------------------------------------------------- */

/* Ended migrations have no mount and no daemon any more. */
static bool has_ended(const struct migration *migration)
{
	return strcmp(migration->state, "complete") == 0 || strcmp(migration->state, "failed") == 0;
}

/* How well it holds the path: the length of the place that does, 0 for not at all. */
static size_t hold_of(const struct migration *migration, const char *path)
{
	size_t mountpoint = path_is_below(path, migration->mountpoint) ? strlen(migration->mountpoint) : 0;
	size_t target = path_is_below(path, migration->target) ? strlen(migration->target) : 0;
	return mountpoint > target ? mountpoint : target;
}

const struct migration *migrations_holding(const struct migrations *migrations, const char *path)
{
	const struct migration *best = NULL;
	size_t best_hold = 0;
	for (size_t i = 0; i < migrations->count; i++) {
		const struct migration *migration = &migrations->list[i];
		size_t hold = hold_of(migration, path);
		if (hold == 0 || hold < best_hold)
			continue;
		if (hold == best_hold && best && has_ended(migration) && !has_ended(best))
			continue;
		best = migration;
		best_hold = hold;
	}
	return best;
}

static bool is_served(void *context, const char *path)
{
	const struct migrations *migrations = context;
	for (size_t i = 0; i < migrations->count; i++)
		if (!has_ended(&migrations->list[i]) && hold_of(&migrations->list[i], path))
			return true;
	return false;
}

char *migrations_path(struct cli *cli, const struct migrations *migrations, const char *argument)
{
	char *path = NULL;
	if (!*argument) {
		cli->status = cli_fail(cli, CLI_FAILED, ENOENT, "an empty argument names no file");
		return NULL;
	}
	CLEAN_FREE char *cwd = argument[0] == '/' ? strdup("/") : getcwd(NULL, 0);
	int error = !cwd ? -errno : cwd[0] != '/' ? -ENOENT : 0;
	if (error) {
		cli->status = cli_fail(cli, CLI_FAILED, error, "%s: the working directory has no path: give an absolute path",
		                       argument);
		return NULL;
	}
	error = path_resolve(cwd, argument, is_served, (void *)migrations, &path);
	if (error) {
		cli->status = cli_fail(cli, CLI_FAILED, error, "%s: %s", argument, strerror(-error));
		return NULL;
	}
	return path;
}

static const struct migration *with_migid(const struct migrations *migrations, const char *digits)
{
	char *end;
	errno = 0;
	unsigned long migid = strtoul(digits, &end, 10);
	for (size_t i = 0; i < migrations->count && !*end && !errno; i++)
		if (migrations->list[i].migid == migid)
			return &migrations->list[i];
	return NULL;
}

static bool is_place_of(const struct migration *migration, const char *path)
{
	return strcmp(path, migration->mountpoint) == 0 || strcmp(path, migration->target) == 0;
}

const struct migration *migrations_meant(struct cli *cli, const struct migrations *migrations, const char *argument)
{
	if (argument[0] >= '0' && argument[0] <= '9' && argument[strspn(argument, "0123456789")] == 0) {
		const struct migration *found = with_migid(migrations, argument);
		if (!found)
			cli->status = cli_fail(cli, CLI_UNKNOWN, ENOENT,
			                       "there is no migration %s: 'dmmfs-admin list' shows those there are", argument);
		return found;
	}
	if (!*argument) {
		cli->status = cli_fail(cli, CLI_UNKNOWN, ENOENT,
		                       "an empty argument names no migration: 'dmmfs-admin list' shows those there are");
		return NULL;
	}
	CLEAN_FREE char *path = migrations_path(cli, migrations, argument);
	if (!path)
		return NULL;
	const struct migration *found = migrations_holding(migrations, path);
	if (found && is_place_of(found, path))
		return found;
	cli->status = cli_fail(
		cli, CLI_UNKNOWN, ENOENT,
		"%s is neither a migid nor the mount point or target of a migration: 'dmmfs-admin list' shows them", argument);
	return NULL;
}
