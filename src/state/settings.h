/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The properties of a migration (property/property.h) as the configuration database holds them: reading all, and changing some
 * so that what is there afterwards is right as a whole, whoever else changes something at the same time. The daemon and
 * dmmfs-admin use the same functions.
 *
 * Beside properties there are settings of the source plugin, under "plugin.NAME": what NAME= on a mount line says. No secret
 * is ever kept here: a plugin takes the path of a file that holds it.
 */
#ifndef DMM_STATE_SETTINGS_H
#define DMM_STATE_SETTINGS_H

#include "property/property.h"
#include "state/config.h"

#define SETTINGS_PLUGIN "plugin."
#define SETTINGS_PLUGIN_MAX 64

struct plugin_setting {
	char *name, *value; /* the name without "plugin." */
};

struct settings {
	char *text[PROPERTY_MAX]; /* by property_index(); NULL: not set */
	struct plugin_setting plugin[SETTINGS_PLUGIN_MAX];
	size_t n_plugin;
};

/* A migration that is not there has no settings. Frees nothing that was in `settings` before. */
int settings_load(struct config *config, uint32_t migid, struct settings *settings);
void settings_free(struct settings *settings);

/* A change: the value, or NULL or "" for the default. Names of plugin settings begin with "plugin.". */
struct setting_change {
	const char *name, *value;
};

/* What a change must be for whoever asks: the name is known, the value allowed, and it can be changed `now`: PROPERTY_LIVE: a
 * daemon runs; PROPERTY_HALTED: none does; PROPERTY_AT_CREATE: the migration is being made. 0; -ENOENT, -EINVAL or -EBUSY with a
 * sentence. */
int settings_check(const struct setting_change *change, enum property_when now, char *error, size_t error_size);

/* All or nothing, in one transaction: each change is checked, and the whole that results. -ENOENT: no such property, or no such
 * migration. */
int settings_change(struct config *config, uint32_t migid, const struct setting_change *changes, size_t n, enum property_when now,
                    char *error, size_t error_size);

#endif
