/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The one place where a property that changes while the migration runs takes effect.
 *
 * A change goes first into the configuration database, as a whole, and then whatever differs there from what is in force here is
 * applied. So what is in force follows the database, also where dmmfs-admin wrote it because no daemon answered yet.
 *
 * A value is right when it is applied. What only the machine can tell, whether a log can be written, is looked at before anything
 * is recorded; an error after that is told, and the value stays on record.
 *
 * Lock: daemon->properties, held during a change; above all locks of migrate/.
 */
#include "daemon/apply.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon/govern.h"
#include "property/rules.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- what each property does --- */

static int apply_migrate(struct daemon *daemon, const char *value)
{
	return migrate_tune(daemon->migrate, &daemon->options->migrate);
}

static int apply_govern(struct daemon *daemon, const char *value)
{
	govern_settle(daemon->options, &daemon->options->migrate.govern);
	migrate_set_govern(daemon->migrate, &daemon->options->migrate.govern);
	return 0;
}

static int apply_patience(struct daemon *daemon, const char *value)
{
	daemon_set_patience(daemon);
	return 0;
}

static int apply_autofinish(struct daemon *daemon, const char *value)
{
	atomic_store(&daemon->autofinish, daemon->options->autofinish);
	migrate_on_complete(daemon->migrate, daemon->options->autofinish ? daemon_autofinish : NULL, daemon);
	return 0;
}

static int check_logfile(const char *value, char *error, size_t error_size)
{
	int result = value ? log_check_file(value) : 0;

	if (result < 0)
		snprintf(error, error_size, "logfile=%.200s can not be written to: %s", value, strerror(-result));
	return result < 0 ? -EINVAL : 0;
}

/* Its lists are read, its owners are known. */
static int check_order(const char *value, char *error, size_t error_size)
{
	struct rules *rules;
	int result = value ? rules_parse(value, &rules, error, error_size) : 0;

	if (result < 0 || !value)
		return result;
	result = rules_load(rules, error, error_size);
	rules_free(rules);
	return result;
}

static int apply_order(struct daemon *daemon, const char *value)
{
	char error[1024];
	int result = migrate_set_order(daemon->migrate, value, error, sizeof(error));

	if (result < 0)
		log_warning("%s", error);
	return result;
}

static int apply_learn(struct daemon *daemon, const char *value)
{
	migrate_set_learn(daemon->migrate, daemon->options->migrate.learn);
	return 0;
}

static int apply_logfile(struct daemon *daemon, const char *value)
{
	return log_to_file(value);
}

/* Every property that is PROPERTY_LIVE has a row. `value` NULL: there is none, and no default. The fields of daemon->options that
 * it is bound to (settle.c) have it already. */
static const struct application {
	const char *name;
	int (*apply)(struct daemon *daemon, const char *value);
	/* What the table of properties cannot know, with a sentence. NULL: nothing. */
	int (*check)(const char *value, char *error, size_t error_size);
} applications[] = {
	/* clang-format off */
	{"segsize", apply_migrate, NULL},
	{"whole", apply_migrate, NULL},
	{"background", apply_migrate, NULL},
	{"bandwidth", apply_govern, NULL},
	{"schedule", apply_govern, NULL},
	{"latency", apply_govern, NULL},
	{"order", apply_order, check_order},
	{"learn", apply_learn, NULL},
	{"highwater", apply_migrate, NULL},
	{"lowwater", apply_migrate, NULL},
	{"errorretries", apply_migrate, NULL},
	{"drift", apply_migrate, NULL},
	{"soft", apply_patience, NULL},
	{"timeo", apply_patience, NULL},
	{"retrans", apply_patience, NULL},
	{"maxentries", apply_patience, NULL},
	{"maxnsproc", apply_migrate, NULL},
	{"resnsproc", apply_migrate, NULL},
	{"maxdfproc", apply_migrate, NULL},
	{"resdfproc", apply_migrate, NULL},
	{"autofinish", apply_autofinish, NULL},
	{"logfile", apply_logfile, check_logfile},
	/* clang-format on */
};

static const struct application *find_application(const char *name)
{
	for (size_t i = 0; i < sizeof(applications) / sizeof(*applications); i++)
		if (strcmp(applications[i].name, name) == 0)
			return &applications[i];
	return NULL;
}

/* --- changing --- */

/* What cannot be applied must not be recorded. */
static int check_all(const struct setting_change *changes, size_t n, char *error, size_t error_size)
{
	for (size_t i = 0; i < n; i++) {
		const struct application *application = find_application(changes[i].name);
		const char *value = changes[i].value && *changes[i].value ? changes[i].value : NULL;
		int result = settings_check(&changes[i], PROPERTY_LIVE, error, error_size);
		if (result < 0)
			return result;
		result = application && application->check ? application->check(value, error, error_size) : 0;
		if (result < 0)
			return result;
	}
	return 0;
}

static bool same(const char *one, const char *other)
{
	return one && other ? strcmp(one, other) == 0 : one == other;
}

/* All that differs takes its new value first, so that what is applied together is of one moment. */
static void take_over(struct daemon *daemon, struct settings *stored, bool *differs)
{
	struct options *options = daemon->options;
	const struct property *property;

	for (size_t i = 0; (property = property_at(i)); i++) {
		char **text = &options->values.text[i];
		differs[i] = property->when == PROPERTY_LIVE && !same(*text, stored->text[i]);
		if (!differs[i])
			continue;
		char *before = *text;
		*text = stored->text[i];
		stored->text[i] = before;
		options->origin[i] = *text ? VALUE_SET : VALUE_DEFAULT;
		options_fill(options, property);
	}
}

/* What the database has takes effect. The first failure is returned, the rest is applied nevertheless. */
static int follow_database(struct daemon *daemon, char *error, size_t error_size)
{
	bool differs[PROPERTY_MAX] = {0};
	struct settings stored;
	const struct property *property;
	int result = settings_load(daemon->config, daemon->migid, &stored);

	if (result < 0) {
		snprintf(error, error_size, "the configuration database cannot be read: %s", strerror(-result));
		return result;
	}
	take_over(daemon, &stored, differs);
	for (size_t i = 0; (property = property_at(i)); i++) {
		const char *value = differs[i] ? options_value(daemon->options, property->name) : NULL;
		const struct application *application = differs[i] ? find_application(property->name) : NULL;
		int failure = application ? application->apply(daemon, value) : 0;
		if (differs[i])
			log_event(LOG_LEVEL_INFO, "set", "property=%s value=%s", property->name, value ? value : "");
		if (failure < 0 && result >= 0) {
			snprintf(error, error_size, "%s is on record, but takes effect only with the next start: %s",
			         property->name, strerror(-failure));
			result = failure;
		}
	}
	settings_free(&stored);
	return result;
}

int daemon_set(void *context, const struct setting_change *changes, size_t n, char *error, size_t error_size)
{
	struct daemon *daemon = context;
	LOCKED(&daemon->properties);
	int result = check_all(changes, n, error, error_size);

	if (result >= 0)
		result = settings_change(daemon->config, daemon->migid, changes, n, PROPERTY_LIVE, error, error_size);
	if (result < 0)
		return result;
	for (size_t i = 0; i < n; i++) { /* the same value again: it was given on the mount line, now it is set */
		size_t index = property_index(property_find(changes[i].name));
		if (daemon->options->values.text[index])
			daemon->options->origin[index] = VALUE_SET;
	}
	return follow_database(daemon, error, error_size);
}

void daemon_catch_up(struct daemon *daemon)
{
	char error[1024];
	LOCKED(&daemon->properties);

	if (follow_database(daemon, error, sizeof(error)) < 0)
		log_warning("%s", error);
}

/* --- what is in force --- */

int daemon_get(void *context, int (*each)(void *each_context, const char *name, const char *value, const char *from),
               void *each_context)
{
	static const char *const origins[] = {[VALUE_DEFAULT] = "default", [VALUE_SET] = "set", [VALUE_MOUNT] = "mount"};
	struct daemon *daemon = context;
	const struct options *options = daemon->options;
	const struct property *property;
	char name[CONFIG_NAME_MAX + 1];
	int result = 0;
	LOCKED(&daemon->properties);

	for (size_t i = 0; result >= 0 && (property = property_at(i)); i++)
		result = each(each_context, property->name, options_value(options, property->name),
		              origins[options->values.text[i] ? options->origin[i] : VALUE_DEFAULT]);
	for (size_t i = 0; result >= 0 && i < options->values.n_plugin; i++) {
		snprintf(name, sizeof(name), SETTINGS_PLUGIN "%s", options->values.plugin[i].name);
		result = each(each_context, name, options->values.plugin[i].value,
		              origins[options->plugin_given[i] ? VALUE_MOUNT : VALUE_SET]);
	}
	return result;
}
