/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The simulated plugin as a test sees it: sim_setup() before each test gives a table that does nothing and succeeds, with what
 * was opened and closed counted; the test replaces what it wants to go wrong, then calls sim_open().
 */
#ifndef DMM_TEST_SIM_H
#define DMM_TEST_SIM_H

#include "source/source.h"

#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
	struct dmm_plugin *plugin;
	char dir[4096];
	void *library;
	int64_t (*answer)(struct dmm_conn *conn, struct dmm_request *request);
	atomic_int opened, closed, connects, disconnects, files_opened, files_closed, submitted;
	/* What the answers of sim_answer() are. */
	const struct dmm_entry *entries;
	size_t n_entries;
	int64_t result;
} sim;

static char sim_object[64]; /* for what must not be NULL */

static inline struct dmm_bytes sim_handle(void)
{
	return (struct dmm_bytes){"handle", 6};
}

static int sim_open_instance(const struct dmm_config *config, struct dmm_instance **instance)
{
	sim.opened++;
	*instance = (struct dmm_instance *)sim_object;
	return 0;
}

static void sim_close_instance(struct dmm_instance *instance)
{
	sim.closed++;
}

/* Each connection is a malloc()ed number, so that leaks and confusion show. */
static int sim_connect(struct dmm_instance *instance, struct dmm_conn **conn)
{
	int *number = malloc(sizeof(*number));
	*number = ++sim.connects;
	*conn = (struct dmm_conn *)number;
	return 0;
}

static void sim_disconnect(struct dmm_conn *conn)
{
	sim.disconnects++;
	free(conn);
}

static inline int sim_number(struct dmm_conn *conn)
{
	return *(int *)conn;
}

/* Opens, closes, gives sim.entries, and answers sim.result. */
static inline int64_t sim_answer(struct dmm_conn *conn, struct dmm_request *request)
{
	switch (request->kind) {
	case DMM_REQ_OPEN:
		request->file = malloc(sizeof(int));
		*(int *)request->file = sim_number(conn);
		sim.files_opened++;
		return 0;
	case DMM_REQ_CLOSE:
		ck_assert_int_eq(*(int *)request->file, sim_number(conn));
		free(request->file);
		sim.files_closed++;
		return 0;
	case DMM_REQ_ROOT:
	case DMM_REQ_ATTR:
	case DMM_REQ_LIST:
		for (size_t i = 0; i < sim.n_entries; i++) {
			int ret = request->entry(request, &sim.entries[i]);
			if (ret < 0)
				return ret;
		}
		return sim.result;
	default:
		return sim.result;
	}
}

static void sim_submit(struct dmm_conn *conn, struct dmm_request *request)
{
	if (request->kind != DMM_REQ_CLOSE)
		sim.submitted++;
	request->result = sim.answer(conn, request);
	request->complete(request);
}

static void sim_setup(void)
{
	char path[4200];
	const char *build = getenv("DMMFS_BUILDDIR");
	ck_assert_msg(build != NULL, "DMMFS_BUILDDIR is not set: run this by meson test");
	snprintf(sim.dir, sizeof(sim.dir), "%s/test/unit", build);
	snprintf(path, sizeof(path), "%s/sim_plugin.so", sim.dir);
	sim.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	ck_assert_msg(sim.library != NULL, "%s", dlerror());
	sim.plugin = dlsym(sim.library, "sim_plugin");
	ck_assert_ptr_nonnull(sim.plugin);
	*sim.plugin = (struct dmm_plugin){
		.abi = DMM_PLUGIN_ABI,
		.struct_size = sizeof(struct dmm_plugin),
		.name = "sim_plugin",
		.threads = DMM_THREADS_PARALLEL,
		.open = sim_open_instance,
		.close = sim_close_instance,
		.connect = sim_connect,
		.disconnect = sim_disconnect,
		.submit = sim_submit,
	};
	sim.answer = sim_answer;
	sim.opened = sim.closed = sim.connects = sim.disconnects = sim.files_opened = sim.files_closed = sim.submitted = 0;
	sim.entries = NULL;
	sim.n_entries = 0;
	sim.result = 0;
}

/* Whatever was opened was closed. */
static void sim_teardown(void)
{
	ck_assert_int_eq(sim.opened, sim.closed);
	ck_assert_int_eq(sim.connects, sim.disconnects);
	ck_assert_int_eq(sim.files_opened, sim.files_closed);
	dlclose(sim.library);
}

static inline struct source_options sim_options(void)
{
	return (struct source_options){
		.source = "sim://anywhere", .protocol = "sim_plugin", .plugin_dir = sim.dir, .tries = 3, .timeout_ms = 0};
}

static inline struct source *sim_open_with(const struct source_options *options)
{
	char error[512] = "";
	struct source *source = NULL;
	int ret = source_open(options, &source, error, sizeof(error));
	ck_assert_msg(ret == 0, "%d: %s", ret, error);
	return source;
}

static inline struct source *sim_open(void)
{
	struct source_options options = sim_options();
	return sim_open_with(&options);
}

static inline struct source_file *sim_open_file(struct source *source)
{
	struct source_file *file = NULL;
	ck_assert_int_eq(source_file_open(source, sim_handle(), &file), 0);
	return file;
}

#endif
