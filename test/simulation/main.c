/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * simulation [--seconds N | --steps N] [--seed N] [--length N] [--dir DIR]: runs cases until the time is over or so many steps are done.
 * With --seed it begins with that one. Of a case that fails the seed is printed, and what is left of it when it is shrunk.
 */
#include "simulation.h"

#include "base/clock.h"

#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH_MAX 4096u
#define SHRINK_TRIES 3 /* a case that fails seldom is tried so often before a step counts as needed */

static uint64_t random_state;

static uint64_t next_random(void) /* splitmix64 */
{
	uint64_t x = random_state += 0x9E3779B97F4A7C15ull;
	x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
	x = (x ^ x >> 27) * 0x94D049BB133111EBull;
	return x ^ x >> 31;
}

static uint32_t below(uint32_t end)
{
	return (uint32_t)(next_random() % end);
}

/* Often at the edges of segments. */
static uint32_t place(void)
{
	uint32_t at = below(6 * SEGSIZE);
	return below(3) ? at : at / SEGSIZE * SEGSIZE;
}

static void make_case(uint64_t seed, struct step *steps, unsigned count)
{
	static const unsigned char weights[STEP_KINDS] = {
		[STEP_READ] = 30,  [STEP_WRITE] = 30, [STEP_RESIZE] = 10, [STEP_PUNCH] = 8, [STEP_RENAME] = 6,
		[STEP_UNLINK] = 1, [STEP_CRASH] = 1,  [STEP_FAULT] = 3,   [STEP_HALT] = 1,
	};
	unsigned all = 0;
	for (unsigned i = 0; i < STEP_KINDS; i++)
		all += weights[i];
	random_state = seed;
	for (unsigned i = 0; i < count; i++) {
		unsigned kind = 0, at = below(all);
		while (at >= weights[kind])
			at -= weights[kind++];
		steps[i] = (struct step){.kind = kind, .file = below(1000), .off = place(), .value = (unsigned char)below(256)};
		steps[i].len = below(2) ? 1 + below(300) : (1 + below(2)) * SEGSIZE;
	}
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static bool run_case(const char *dir, struct model *model, const struct step *steps, unsigned count)
{
	char top[200], path[256];

	snprintf(top, sizeof(top), "%s/dmmfs-simulation-XXXXXX", dir);
	if (!mkdtemp(top)) {
		perror(top);
		exit(1);
	}
	snprintf(path, sizeof(path), "%s/state", top);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/target", top);
	mkdir(path, 0755);
	model_init(model);
	bool passed = world_run(top, model, steps, count);
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return passed;
}

static void print_step(const struct step *step)
{
	static const char *const names[] = {"read", "write", "resize", "punch", "rename", "unlink", "crash", "fault", "halt"};
	printf("    %s file %u off %u len %u value %u\n", names[step->kind], step->file, step->off, step->len, step->value);
}

static bool still_fails(const char *dir, struct model *model, const struct step *steps, unsigned count)
{
	for (int i = 0; i < SHRINK_TRIES; i++)
		if (!run_case(dir, model, steps, count))
			return true;
	return false;
}

/* Leaves out halves, quarters, ... as long as it fails. */
static unsigned shrink(const char *dir, struct model *model, struct step *steps, unsigned count)
{
	static struct step tried[LENGTH_MAX];

	for (unsigned piece = count / 2; piece > 0; piece /= 2) {
		for (unsigned at = 0; at < count;) {
			unsigned left_out = at + piece > count ? count - at : piece;
			memcpy(tried, steps, at * sizeof(*steps));
			memcpy(tried + at, steps + at + left_out, (count - at - left_out) * sizeof(*steps));
			if (!still_fails(dir, model, tried, count - left_out)) {
				at += piece;
				continue;
			}
			count -= left_out;
			memcpy(steps, tried, count * sizeof(*steps));
		}
	}
	return count;
}

static void tell_failure(const char *dir, struct model *model, uint64_t seed, struct step *steps, unsigned count)
{
	printf("FAILED: seed %llu, length %u, after %u steps: %s\n", (unsigned long long)seed, count, model->done,
	       model->failure);
	fflush(stdout);
	unsigned left = shrink(dir, model, steps, count);
	run_case(dir, model, steps, left);
	printf("shrunk to %u steps: %s\n", left, model->failure);
	for (unsigned i = 0; i < left; i++)
		print_step(&steps[i]);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 's'}, {"steps", required_argument, NULL, 'n'},
		{"seed", required_argument, NULL, 'r'},    {"length", required_argument, NULL, 'l'},
		{"dir", required_argument, NULL, 'd'},     {NULL, 0, NULL, 0}};
	static struct step steps[LENGTH_MAX];
	uint64_t seconds = 12, most = UINT64_MAX, seed = clock_wall_ns(), done = 0, cases = 0, failed = 0;
	unsigned length = 600;
	const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (option == '?')
			return 1;
		uint64_t number = strtoull(optarg, NULL, 10);
		if (option == 's')
			seconds = number;
		else if (option == 'n')
			most = number, seconds = UINT32_MAX;
		else if (option == 'r')
			seed = number;
		else if (option == 'l')
			length = number < 1 || number > LENGTH_MAX ? LENGTH_MAX : (unsigned)number;
		else
			dir = optarg;
	}
	if (geteuid() != 0) {
		puts("skipped: only root may open files by handle");
		return 77;
	}
	struct model *model = mmap(NULL, sizeof(*model), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (model == MAP_FAILED)
		return 1;
	uint64_t began_ns = clock_monotonic_ns(), end_ns = began_ns + seconds * NS_PER_S;
	printf("first seed %llu\n", (unsigned long long)seed);
	model_source();
	for (; done < most && clock_monotonic_ns() < end_ns && failed < 3; seed++, cases++, done += length) {
		make_case(seed, steps, length);
		if (run_case(dir, model, steps, length))
			continue;
		failed++;
		tell_failure(dir, model, seed, steps, length);
	}
	printf("%llu cases, %llu steps, %llu steps/s\npassed %llu failed %llu\n", (unsigned long long)cases,
	       (unsigned long long)done, (unsigned long long)(done * NS_PER_S / (clock_monotonic_ns() - began_ns + 1)),
	       (unsigned long long)(cases - failed), (unsigned long long)failed);
	return failed != 0;
}
