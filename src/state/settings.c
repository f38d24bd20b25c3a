/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Properties in the configuration database.
 *
 * Two who change at the same time: each checks the whole against what it read, and its transaction goes through only if that is
 * still there; otherwise it reads again (config_update()). So neither half of a change is lost, and no two changes that are right
 * one by one can make a whole that is wrong.
 */
#include "state/settings.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROUNDS 100 /* each means that another's change went through */

/* --- reading --- */

static int take_plugin(struct settings *settings, const char *name, const char *value)
{
	if (settings->n_plugin == SETTINGS_PLUGIN_MAX)
		return -E2BIG;
	struct plugin_setting *setting = &settings->plugin[settings->n_plugin++];
	setting->name = strdup(name);
	setting->value = strdup(value);
	return setting->name && setting->value ? 0 : -ENOMEM;
}

static int take(void *context, const char *name, const char *value)
{
	struct settings *settings = context;
	const struct property *property = property_find(name);

	if (strncmp(name, SETTINGS_PLUGIN, strlen(SETTINGS_PLUGIN)) == 0)
		return take_plugin(settings, name + strlen(SETTINGS_PLUGIN), value);
	if (!property || !*value) /* what the program keeps for itself */
		return 0;
	char *copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(settings->text[property_index(property)]);
	settings->text[property_index(property)] = copy;
	return 0;
}

int settings_load(struct config *config, uint32_t migid, struct settings *settings)
{
	*settings = (struct settings){0};
	int result = config_walk(config, migid, take, settings);

	if (result < 0)
		settings_free(settings);
	return result;
}

void settings_free(struct settings *settings)
{
	for (size_t i = 0; i < PROPERTY_MAX; i++)
		free(settings->text[i]);
	for (size_t i = 0; i < settings->n_plugin; i++) {
		free(settings->plugin[i].name);
		free(settings->plugin[i].value);
	}
	*settings = (struct settings){0};
}

/* --- checking --- */

static bool is_plugin_setting(const char *name)
{
	size_t prefix = strlen(SETTINGS_PLUGIN), len = strlen(name);

	if (strncmp(name, SETTINGS_PLUGIN, prefix) || len == prefix || len > CONFIG_NAME_MAX)
		return false;
	for (name += prefix; *name; name++)
		if (!isalnum((unsigned char)*name) && !strchr("-_.", *name))
			return false;
	return true;
}

static int refuse_now(const char *name, enum property_when when, char *error, size_t error_size)
{
	if (when == PROPERTY_AT_CREATE)
		snprintf(error, error_size,
		         "%s can not be changed: it is given when a migration is created, so create another one", name);
	else
		snprintf(error, error_size, "%s can not be changed while the migration runs: unmount it, and set it then", name);
	return -EBUSY;
}

int settings_check(const struct setting_change *change, enum property_when now, char *error, size_t error_size)
{
	const struct property *property = property_find(change->name);
	enum property_when when = property ? property->when : PROPERTY_HALTED;

	if (!property && !is_plugin_setting(change->name)) {
		snprintf(error, error_size,
		         "there is no property '%.100s': dmmfs-admin get --describe lists those there are; a setting of the "
		         "source "
		         "plugin is written " SETTINGS_PLUGIN "NAME",
		         change->name);
		return -ENOENT;
	}
	if (when < now)
		return refuse_now(change->name, when, error, error_size);
	if (!property || !change->value || !*change->value)
		return 0;
	return property_check(property, change->value, error, error_size);
}

static const char *text_of(void *context, const struct property *property)
{
	const struct settings *settings = context;

	return settings->text[property_index(property)];
}

/* --- changing --- */

/* `settings` as they would be. */
static int imagine(struct settings *settings, const struct setting_change *changes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct property *property = property_find(changes[i].name);
		const char *value = changes[i].value;
		if (!property)
			continue;
		char **at = &settings->text[property_index(property)];
		free(*at);
		*at = value && *value ? strdup(value) : NULL;
		if (value && *value && !*at)
			return -ENOMEM;
	}
	return 0;
}

/* What was read, for config_update() to compare. */
static size_t list_expected(const struct settings *settings, struct config_pair *expected)
{
	size_t n = 0;

	for (const struct property *property; (property = property_at(n)); n++)
		expected[n] = (struct config_pair){property->name, settings->text[n]};
	return n;
}

/* -EAGAIN: another came between. */
static int change_once(struct config *config, uint32_t migid, const struct setting_change *changes, size_t n,
                       const struct config_pair *pairs, char *error, size_t error_size)
{
	struct config_pair expected[PROPERTY_MAX];
	struct settings before, after;
	int result = settings_load(config, migid, &before);

	if (result < 0)
		return result;
	result = settings_load(config, migid, &after);
	if (result >= 0)
		result = imagine(&after, changes, n);
	if (result >= 0)
		result = property_check_set(text_of, &after, error, error_size);
	if (result >= 0)
		result = config_update(config, migid, pairs, n, expected, list_expected(&before, expected));
	settings_free(&after);
	settings_free(&before);
	return result;
}

int settings_change(struct config *config, uint32_t migid, const struct setting_change *changes, size_t n, enum property_when now,
                    char *error, size_t error_size)
{
	CLEAN_FREE struct config_pair *pairs = calloc(n + 1, sizeof(*pairs));
	int result = pairs ? -EAGAIN : -ENOMEM;

	*error = '\0';
	for (size_t i = 0; pairs && i < n; i++) {
		int refused = settings_check(&changes[i], now, error, error_size);
		if (refused < 0)
			return refused;
		pairs[i] = (struct config_pair){changes[i].name, changes[i].value && *changes[i].value ? changes[i].value : NULL};
	}
	for (int round = 0; result == -EAGAIN && round < ROUNDS; round++)
		result = change_once(config, migid, changes, n, pairs, error, error_size);
	if (result < 0 && !*error)
		snprintf(error, error_size, "the configuration database cannot be changed: %s", strerror(-result));
	return result;
}
