/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Finds and loads a plugin: NAME.so in the plugin directory, by the name that protocol= gives, or by the scheme of the source's
 * URL, or "posix" for a plain path.
 *
 * A plugin runs with all the rights of the daemon: its file, the directory and what leads there must not be writable by others
 * than root (or whoever runs us). Every refusal is a sentence that says what to do.
 */
#include "source/internal.h"

#include "base/log.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES 64
#define SUFFIX ".so"

/* Where a sentence for the administrator goes. */
struct sentence {
	char *text;
	size_t size;
};

#define FAIL(sentence, error, ...) (snprintf((sentence)->text, (sentence)->size, __VA_ARGS__), -(error))

/* --- trust -------------------------------------------------------------------------------------------------------------------- */

static bool others_can_write(const struct stat *st, bool sticky_will_do)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return true;
	if (sticky_will_do && (st->st_mode & S_ISVTX))
		return false;
	return (st->st_mode & S_IWOTH) || ((st->st_mode & S_IWGRP) && st->st_gid != 0);
}

static int check_owner(const char *path, bool sticky_will_do, const struct sentence *error)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return FAIL(error, errno, "%s cannot be examined (%s); check the plugin directory.", path, strerror(errno));
	if (others_can_write(&st, sticky_will_do))
		return FAIL(error, EPERM,
		            "%s can be changed by others than root, and a plugin runs with root's rights; "
		            "run \"chown root:root %s; chmod go-w %s\".",
		            path, path, path);
	return 0;
}

/* A canonical path: the file and its directory strictly; further up a directory like /tmp will do, where nobody can rename
 * what is another's. */
static int check_path(const char *path, const struct sentence *error)
{
	char at[PATH_MAX];
	int ret = check_owner(path, false, error);

	snprintf(at, sizeof(at), "%s", path);
	for (int level = 0; ret == 0 && at[1]; level++) {
		char *slash = strrchr(at, '/');

		slash[slash == at ? 1 : 0] = '\0';
		ret = check_owner(at, level > 0, error);
	}
	return ret;
}

/* --- one file ------------------------------------------------------------------------------------------------------------------ */

static int check_interface(const struct dmm_plugin *plugin, const char *path, const struct sentence *error)
{
	if (!plugin)
		return FAIL(error, ENOEXEC, "%s gives no plugin; install it anew.", path);
	if (plugin->abi != DMM_PLUGIN_ABI)
		return FAIL(error, ENOEXEC,
		            "%s speaks version %u of the plugin interface and this dmmfs speaks %u; install the plugin that was "
		            "built for this dmmfs.",
		            path, plugin->abi, DMM_PLUGIN_ABI);
	if (plugin->struct_size < offsetof(struct dmm_plugin, cancel))
		return FAIL(error, ENOEXEC,
		            "%s describes itself in %zu bytes where the plugin interface has at least %zu; build it anew against "
		            "<dmmfs/plugin.h>.",
		            path, plugin->struct_size, offsetof(struct dmm_plugin, cancel));
	return 0;
}

static int check_members(const struct dmm_plugin *plugin, const char *path, const char *name, const struct sentence *error)
{
	if (!plugin->name || strcmp(plugin->name, name) != 0)
		return FAIL(error, ENOEXEC, "%s calls itself \"%s\"; a plugin's file must be named after it.", path,
		            plugin->name ? plugin->name : "");
	if (!plugin->open || !plugin->close || !plugin->connect || !plugin->disconnect || !plugin->submit)
		return FAIL(error, ENOEXEC, "%s lacks one of open, close, connect, disconnect, submit; it must have them all.",
		            path);
	if ((unsigned)plugin->threads > DMM_THREADS_ASYNC)
		return FAIL(error, ENOEXEC, "%s asks for thread model %u, which this dmmfs does not know; install a newer dmmfs.",
		            path, (unsigned)plugin->threads);
	return 0;
}

static int take_plugin(struct plugin_module *module, const char *path, const char *name, const struct sentence *error)
{
	const struct dmm_plugin *(*entry)(void);
	const struct dmm_plugin *plugin;
	size_t size;
	int ret;

	*(void **)&entry = dlsym(module->library, DMM_PLUGIN_ENTRY_NAME);
	if (!entry)
		return FAIL(error, ENOEXEC, "%s is no dmmfs plugin: it has no function %s.", path, DMM_PLUGIN_ENTRY_NAME);
	plugin = entry();
	ret = check_interface(plugin, path, error);
	if (ret < 0)
		return ret;
	size = plugin->struct_size < sizeof(*plugin) ? plugin->struct_size : sizeof(*plugin);
	memset(&module->plugin, 0, sizeof(module->plugin));
	memcpy(&module->plugin, plugin, size);
	return check_members(&module->plugin, path, name, error);
}

static int load_file(const char *dir, const char *name, struct plugin_module *module, const struct sentence *error)
{
	char written[PATH_MAX], path[PATH_MAX];
	int ret;

	if (snprintf(written, sizeof(written), "%s/%s" SUFFIX, dir, name) >= (int)sizeof(written))
		return FAIL(error, ENAMETOOLONG, "The path of the plugin directory is too long: %s.", dir);
	if (!realpath(written, path)) {
		if (errno == ENOENT)
			return FAIL(
				error, ENOENT,
				"There is no plugin \"%s\" in %s; install the package that brings it, or name another protocol=.",
				name, dir);
		return FAIL(error, errno, "The plugin %s cannot be reached (%s).", written, strerror(errno));
	}
	ret = check_path(path, error);
	if (ret < 0)
		return ret;
	/* NODELETE: libraries behind a plugin leave threads and exit handlers that would run in what is no longer there. */
	module->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!module->library)
		return FAIL(error, ENOEXEC, "The plugin %s cannot be loaded (%s); install what it needs.", path, dlerror());
	ret = take_plugin(module, path, name, error);
	if (ret < 0)
		plugin_unload(module);
	return ret;
}

void plugin_unload(struct plugin_module *module)
{
	if (module->library)
		dlclose(module->library);
	module->library = NULL;
}

/* --- which one ----------------------------------------------------------------------------------------------------------------- */

static bool sound_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return len > 0 && len < NAME_BYTES && name[len] == '\0';
}

/* The scheme of an URL in lower case (RFC 3986 3.1), or false. "server:/path" has none: that is how NFS is written. */
static bool scheme_of(const char *source, char scheme[NAME_BYTES])
{
	size_t len = 0;

	while (isalnum((unsigned char)source[len]) || (len > 0 && source[len] && strchr("+.-", source[len])))
		len++;
	if (len == 0 || len >= NAME_BYTES || source[len] != ':')
		return false;
	if (strncmp(source + len, "://", 3) != 0 && strncasecmp(source, "file:", 5) != 0)
		return false;
	for (size_t i = 0; i < len; i++)
		scheme[i] = (char)tolower((unsigned char)source[i]);
	scheme[len] = '\0';
	return true;
}

static bool serves(const struct dmm_plugin *plugin, const char *scheme)
{
	for (const char *const *at = plugin->schemes; at && *at; at++)
		if (strcasecmp(*at, scheme) == 0)
			return true;
	return false;
}

static int is_plugin_file(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > strlen(SUFFIX) && strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) == 0;
}

/* One that cannot be loaded is passed over, but its reason is kept in case no other serves the scheme. */
static int try_for_scheme(const char *dir, const char *name, const char *scheme, struct plugin_module *module, char *reason,
                          size_t reason_size)
{
	const struct sentence why = {reason, reason_size};

	if (!sound_name(name) || load_file(dir, name, module, &why) < 0)
		return -ENOENT;
	if (serves(&module->plugin, scheme))
		return 0;
	plugin_unload(module);
	return -ENOENT;
}

static int load_by_scheme(const char *dir, const char *scheme, struct plugin_module *module, const struct sentence *error)
{
	char reason[512] = "";
	struct dirent **files;
	int ret, count;

	count = scandir(dir, &files, is_plugin_file, alphasort);
	if (count < 0)
		return FAIL(error, errno, "The plugin directory %s cannot be read (%s); install dmmfs anew.", dir,
		            strerror(errno));
	ret = try_for_scheme(dir, scheme, scheme, module, reason, sizeof(reason));
	if (ret < 0)
		reason[0] = '\0'; /* there need not be one of that name */
	for (int i = 0; i < count; i++) {
		files[i]->d_name[strlen(files[i]->d_name) - strlen(SUFFIX)] = '\0';
		if (ret < 0)
			ret = try_for_scheme(dir, files[i]->d_name, scheme, module, reason, sizeof(reason));
		free(files[i]);
	}
	free(files);
	if (ret < 0)
		return FAIL(error, ENOENT, "No plugin in %s serves %s:// sources; install the package that brings it.%s%s", dir,
		            scheme, reason[0] ? " Passed over: " : "", reason);
	return 0;
}

int plugin_load(const char *dir, const char *protocol, const char *source, struct plugin_module *module, char *error,
                size_t error_size)
{
	const struct sentence sentence = {error, error_size};
	char scheme[NAME_BYTES];

	module->library = NULL;
	if (protocol) {
		if (!sound_name(protocol))
			return FAIL(&sentence, EINVAL, "\"%s\" is no name of a plugin; write protocol=posix, for example.",
			            protocol);
		return load_file(dir, protocol, module, &sentence);
	}
	if (source[0] == '/')
		return load_file(dir, "posix", module, &sentence);
	if (scheme_of(source, scheme))
		return load_by_scheme(dir, scheme, module, &sentence);
	return FAIL(&sentence, EINVAL,
	            "\"%s\" does not say how to reach the source; write an absolute path, or an URL such as nfs://server/path.",
	            source);
}

bool plugin_takes_option(const struct plugin_module *module, const char *option)
{
	for (const struct dmm_option *at = module->plugin.options; at && at->name; at++)
		if (strcmp(at->name, option) == 0)
			return true;
	return false;
}

int source_option_known(const char *plugin_dir, const char *protocol, const char *source, const char *option)
{
	struct plugin_module module;
	char unused[512];
	int known;

	if (plugin_load(plugin_dir, protocol, source, &module, unused, sizeof(unused)) < 0)
		return 0;
	known = plugin_takes_option(&module, option);
	plugin_unload(&module);
	return known;
}
