/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The walk: draws a step, does it on both sides, compares.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIST_EVERY 50
#define ENTRIES_MAX 600

static struct steps_options options;
static char **paths;
static size_t n_paths;

static void draw_path(char path[PATH_ROOM])
{
	if (options.only) {
		snprintf(path, PATH_ROOM, "%s", options.only);
		return;
	}
	if (n_paths && !one_in(5)) {
		snprintf(path, PATH_ROOM, "%s", paths[random_below(n_paths)]);
		return;
	}
	/* A new name, in what may be a directory. */
	char name[300];
	if (one_in(60))
		snprintf(name, sizeof(name), "%0*d", 250 + (int)random_below(12), 0);
	else
		snprintf(name, sizeof(name), "n%u", (unsigned)random_below(40));
	const char *dir = n_paths && !one_in(8) ? paths[random_below(n_paths)] : ".";
	const char *slash = strrchr(dir, '/');
	int len = one_in(2) || !slash ? (int)strlen(dir) : (int)(slash - dir);
	snprintf(path, PATH_ROOM, "%.*s/%s", len < 700 ? len : 700, dir, name);
}

static void draw(struct args *args)
{
	memset(args, 0, sizeof(*args));
	draw_path(args->path);
	draw_path(args->path2);
	args->off = random_offset(options.segsize, options.segsize * 8);
	args->off2 = random_offset(options.segsize, options.segsize * 8);
	args->len = one_in(3) ? random_offset(options.segsize, DATA_MAX - options.segsize) : random_below(options.segsize * 2);
	if (args->len > DATA_MAX)
		args->len = DATA_MAX;
	args->bits = (uint32_t)random_below(UINT32_MAX);
	args->mode = one_in(3) ? (mode_t)random_below(010000) : one_in(2) ? 0644 : 0777;
	args->mask = one_in(2) ? 022 : (mode_t)random_below(01000);
	args->user = one_in(2) ? 0 : (unsigned)random_below(USERS);
	args->slot = (unsigned)random_below(12);
	args->slot2 = (unsigned)random_below(12);
	args->seed = random_below(UINT32_MAX);
}

static const struct call *draw_call(void)
{
	for (;;) {
		uint64_t total = 0;
		for (size_t i = 0; i < n_calls; i++)
			total += calls[i].weight;
		uint64_t pick = random_below(total);
		for (size_t i = 0; i < n_calls; i++) {
			if (pick < calls[i].weight && (calls[i].on_data || !options.only))
				return &calls[i];
			if (pick < calls[i].weight)
				break;
			pick -= calls[i].weight;
		}
	}
}

static int roots[SIDES];

static void go_to(unsigned side)
{
	if (fchdir(roots[side]) < 0) {
		perror("model: chdir");
		exit(2);
	}
}

static void do_on(const struct call *call, const struct args *args, unsigned side, struct outcome *out)
{
	go_to(side);
	out->len = 0;
	out->err = 0;
	umask(args->mask);
	user_become(args->user);
	errno = 0;
	call->run(args, side, out);
	user_become(0);
	if (out->ret >= 0)
		out->err = 0;
}

static void print_step(uint64_t step, const struct call *call, const struct args *args)
{
	printf("%ju %s user=%u path=%s path2=%s off=%ju off2=%ju len=%ju mode=%o mask=%o bits=%x slot=%u slot2=%u\n",
	       (uintmax_t)step, call->name, args->user, args->path, args->path2, (uintmax_t)args->off, (uintmax_t)args->off2,
	       (uintmax_t)args->len, args->mode, args->mask, args->bits, args->slot, args->slot2);
	fflush(stdout);
}

static bool equal(const struct outcome out[SIDES])
{
	return out[0].ret == out[1].ret && out[0].err == out[1].err && out[0].len == out[1].len &&
	       (out[0].len == 0 || memcmp(out[0].data, out[1].data, out[0].len) == 0);
}

static void print_difference(const struct outcome out[SIDES])
{
	static const char *const names[SIDES] = {"plain", "mount"};

	for (unsigned s = 0; s < SIDES; s++) {
		printf("%s: ret=%ld errno=%s bytes=%zu\n", names[s], out[s].ret, out[s].err ? strerrorname_np(out[s].err) : "0",
		       out[s].len);
		size_t at = 0;
		while (at < out[s].len && at < out[!s].len && out[0].data[at] == out[1].data[at])
			at++;
		printf("   differs from byte %zu:", at);
		for (size_t i = at & ~(size_t)7; i < out[s].len && i < (at & ~(size_t)7) + 96; i++)
			printf("%s%02x", i % 8 ? "" : " ", out[s].data[i]);
		printf("\n");
	}
}

/* The last steps, to be shown with the one that differs. */
#define LAST 60
static struct {
	uint64_t step;
	const struct call *call;
	struct args args;
	long ret;
	int err;
} last[LAST];

static int differs(uint64_t step, const struct outcome out[SIDES])
{
	printf("--- the last steps\n");
	for (uint64_t i = step >= LAST ? step - LAST + 1 : 0; i <= step; i++) {
		printf("%ld %s | ", last[i % LAST].ret, last[i % LAST].err ? strerrorname_np(last[i % LAST].err) : "-");
		print_step(last[i % LAST].step, last[i % LAST].call, &last[i % LAST].args);
	}
	printf("--- seed %ju, step %ju: the outcomes differ\n", (uintmax_t)options.seed, (uintmax_t)step);
	print_difference(out);
	return -1;
}

static time_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

int steps_run(const struct steps_options *given)
{
	struct outcome out[SIDES] = {0};
	time_t start = now();
	uint64_t step;

	options = *given;
	for (unsigned s = 0; s < SIDES; s++) {
		roots[s] = open(options.sides[s], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (roots[s] < 0) {
			perror(options.sides[s]);
			return -1;
		}
	}
	for (step = 0; step < options.count && (!options.seconds || now() - start < (time_t)options.seconds); step++) {
		if (step % LIST_EVERY == 0 && !options.only) {
			go_to(PLAIN);
			n_paths = tree_list(&paths);
		}
		struct args args;
		draw(&args);
		const struct call *call = draw_call();
		if (n_paths > ENTRIES_MAX && call->on_data == false && args.bits % 4)
			continue;
		if (options.trace)
			print_step(step, call, &args);
		unsigned first = (unsigned)random_below(SIDES);
		do_on(call, &args, first, &out[first]);
		do_on(call, &args, !first, &out[!first]);
		last[step % LAST].step = step;
		last[step % LAST].call = call;
		last[step % LAST].args = args;
		last[step % LAST].ret = out[PLAIN].ret;
		last[step % LAST].err = out[PLAIN].err;
		if (!equal(out))
			return differs(step, out);
	}
	calls_close_all();
	for (unsigned s = 0; s < SIDES; s++) {
		free(out[s].data);
		close(roots[s]);
	}
	printf("%ju steps, seed %ju: no difference\n", (uintmax_t)step, (uintmax_t)options.seed);
	return 0;
}
