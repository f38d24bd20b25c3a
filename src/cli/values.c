/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Reading and changing properties.
 *
 * Without a daemon this program changes the database itself, with the same checks. A daemon that comes up at that moment has read
 * the database before, or asks it once more when its socket is there; to be sure, it is asked after the change as well.
 */
#include "cli/values.h"

#include "cli/figures.h"
#include "cli/memory.h"
#include "wire/bytes.h"

#include <errno.h>
#include <string.h>

#define TIMEOUT_S 30 /* a change waits for the disk of the database */

/* --- the database --------------------------------------------------------------------------------------------------------- */

static struct config *open_config(struct cli *cli)
{
	struct config *config = NULL;
	char why[1024] = "";
	int error = config_open(cli->confdir ? cli->confdir : config_default_dir(), 0, &config, why, sizeof(why));
	if (error)
		cli->status = cli_fail(cli, CLI_FAILED, error, "%s", *why ? why : strerror(-error));
	return config;
}

static void add_value(json_t *list, const char *name, const char *value, const char *from)
{
	json_t *object = memory_must(json_pack("{s:s, s:n, s:s}", "name", name, "value", "from", from));
	if (value)
		bytes_set(object, "value", value);
	json_array_append_new(list, object);
}

static json_t *list_settings(const struct settings *settings)
{
	json_t *list = memory_must(json_array());
	const struct property *property;
	for (size_t i = 0; (property = property_at(i)); i++)
		add_value(list, property->name, settings->text[i] ? settings->text[i] : property->standard,
		          settings->text[i] ? "set" : "default");
	for (size_t i = 0; i < settings->n_plugin; i++) {
		char name[CONFIG_NAME_MAX + 1];
		snprintf(name, sizeof(name), SETTINGS_PLUGIN "%s", settings->plugin[i].name);
		add_value(list, name, settings->plugin[i].value, "set");
	}
	return list;
}

static json_t *get_recorded(struct cli *cli, const struct migration *migration)
{
	struct settings settings;
	struct config *config = open_config(cli);
	if (!config)
		return NULL;
	int error = settings_load(config, migration->migid, &settings);
	config_close(config);
	if (error) {
		cli->status = cli_fail(cli, CLI_FAILED, error, "the properties of migration %u can not be read: %s",
		                       migration->migid, strerror(-error));
		return NULL;
	}
	json_t *list = list_settings(&settings);
	settings_free(&settings);
	return list;
}

/* --- the daemon ----------------------------------------------------------------------------------------------------------- */

json_t *values_get(struct cli *cli, const struct migration *migration)
{
	json_t *reply = NULL;
	int error = daemon_ask(cli, migration->migid, json_pack("{s:s}", "op", "get"), TIMEOUT_S, &reply);
	if (!reply && daemon_is_absent(error))
		return get_recorded(cli, migration);
	if (error == -ESHUTDOWN) { /* it comes to its end: what is recorded is what there is */
		json_decref(reply);
		return get_recorded(cli, migration);
	}
	if (error) {
		cli->status = daemon_fail(cli, migration->migid, error, reply);
		return NULL;
	}
	json_t *list = json_incref(json_object_get(reply, "properties"));
	json_decref(reply);
	return memory_must(list);
}

static json_t *request_of(const struct setting_change *changes, size_t n)
{
	json_t *properties = memory_must(json_object());
	for (size_t i = 0; i < n; i++)
		bytes_set(properties, changes[i].name, changes[i].value);
	return json_pack("{s:s, s:o}", "op", "set", "properties", properties);
}

static enum exit_code code_of(int error)
{
	switch (-error) {
	case EINVAL:
	case ENOENT:
		return CLI_USAGE;
	case EBUSY:
		return CLI_REFUSED;
	default:
		return CLI_FAILED;
	}
}

#define NO_DAEMON (-1) /* beside exit codes */

static int set_running(struct cli *cli, const struct migration *migration, const struct setting_change *changes, size_t n)
{
	json_t *reply = NULL;
	int error = daemon_ask(cli, migration->migid, request_of(changes, n), TIMEOUT_S, &reply);
	if (!reply && daemon_is_absent(error))
		return NO_DAEMON;
	if (!reply || error == -ESHUTDOWN || error == -ESTALE || error == -ENOTSUP)
		return error ? daemon_fail(cli, migration->migid, error, reply) : CLI_OK;
	char *message = NULL;
	bytes_get(reply, "message", &message);
	int code = error ? cli_fail(cli, code_of(error), error, "migration %u: %s", migration->migid, message ? message : "")
	                 : CLI_OK;
	free(message);
	json_decref(reply);
	return code;
}

static int set_recorded(struct cli *cli, const struct migration *migration, const struct setting_change *changes, size_t n)
{
	char why[2048] = "";
	struct config *config = open_config(cli);
	if (!config)
		return cli->status;
	int error = settings_change(config, migration->migid, changes, n, PROPERTY_HALTED, why, sizeof(why));
	config_close(config);
	return error ? cli_fail(cli, code_of(error), error, "migration %u: %s", migration->migid, why) : CLI_OK;
}

/* What can not change while it runs takes effect with the next start: the daemon that came up meanwhile is not asked about that. */
static size_t keep_live(const struct setting_change *changes, size_t n, struct setting_change *live)
{
	size_t count = 0;
	for (size_t i = 0; i < n; i++) {
		const struct property *property = property_find(changes[i].name);
		if (property && property->when == PROPERTY_LIVE)
			live[count++] = changes[i];
	}
	return count;
}

int values_set(struct cli *cli, const struct migration *migration, const struct setting_change *changes, size_t n, bool *in_force)
{
	int code = set_running(cli, migration, changes, n);
	*in_force = code != NO_DAEMON;
	if (*in_force)
		return code;
	if (strcmp(migration->state, "complete") == 0)
		return cli_fail(cli, CLI_REFUSED, EINVAL, "migration %u is complete: there is nothing left to set",
		                migration->migid);
	code = set_recorded(cli, migration, changes, n);
	if (code)
		return code;
	struct setting_change *live = memory_must(calloc(n, sizeof(*live)));
	size_t n_live = keep_live(changes, n, live);
	code = n_live ? set_running(cli, migration, live, n_live) : NO_DAEMON;
	free(live);
	*in_force = code != NO_DAEMON && n_live == n;
	return code == NO_DAEMON ? CLI_OK : code;
}
