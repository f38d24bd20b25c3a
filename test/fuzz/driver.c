/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Runs a fuzz target without a fuzzer: over every file of a corpus, and over mutations of them made from a fixed seed, so that a
 * plain test run covers the parsers too and a failure can be repeated. LLVMFuzzerTestOneInput() is the target's one function, so
 * the same file becomes a real fuzzer with clang's -fsanitize=fuzzer, without this driver.
 *
 * usage: fuzz-NAME CORPUS-DIRECTORY-OR-FILE...     FUZZ_ROUNDS mutations of each input (2000), FUZZ_SEED (1)
 * An input that ends the process is left as a file fuzz-NAME.crash in the working directory: run the target on it alone.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX 65536 /* bytes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t current[INPUT_MAX];
static size_t current_size;
static char crash_file[256];
static unsigned long rounds = 2000, inputs;
static uint64_t random_state = 1;

/* xorshift64*: the same numbers on every machine. */
static uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return limit ? (uint32_t)((random_state * 2685821657736338717ull) >> 33) % limit : 0;
}

static void save_input(int signal_number)
{
	int fd = open(crash_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (fd < 0 || write(fd, current, current_size) < 0)
		_exit(1);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* From a block of the exact size, so that a sanitizer sees a read of one byte too many. */
static void run_current(void)
{
	uint8_t *exact = malloc(current_size ? current_size : 1);
	memcpy(exact, current, current_size);
	LLVMFuzzerTestOneInput(exact, current_size);
	free(exact);
	inputs++;
}

static void mutate(void)
{
	static const uint8_t interesting[] = {0, 1, 0x7f, 0x80, 0xff, '/', '"', '{', '\\', '.', ',', '-'};
	uint32_t at = random_below((uint32_t)current_size);

	switch (random_below(6)) {
	case 0: /* a bit */
		if (current_size)
			current[at] ^= (uint8_t)(1u << random_below(8));
		break;
	case 1: /* a byte */
		if (current_size)
			current[at] = interesting[random_below(sizeof(interesting))];
		break;
	case 2: /* cut off */
		current_size = at;
		break;
	case 3: /* longer */
		while (current_size < INPUT_MAX && random_below(8))
			current[current_size++] = (uint8_t)random_below(256);
		break;
	case 4: /* without some bytes */
		if (current_size) {
			size_t gone = 1 + random_below((uint32_t)(current_size - at));
			memmove(current + at, current + at + gone, current_size - at - gone);
			current_size -= gone;
		}
		break;
	default: /* a run of one value, as in an absurd length */
		for (uint32_t end = at + 1 + random_below(8); at < end && at < current_size; at++)
			current[at] = 0xff;
	}
}

static void fuzz_input(const uint8_t *data, size_t size)
{
	for (unsigned long round = 0; round <= rounds; round++) {
		memcpy(current, data, size);
		current_size = size;
		for (uint32_t n = round ? 1 + random_below(4) : 0; n > 0; n--) /* round 0: as it is */
			mutate();
		run_current();
	}
}

static void fuzz_file(const char *path)
{
	static uint8_t data[INPUT_MAX];
	FILE *file = fopen(path, "rb");
	if (!file) {
		perror(path);
		exit(1);
	}
	size_t size = fread(data, 1, sizeof(data), file);
	fclose(file);
	fuzz_input(data, size);
}

static void fuzz_path(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, NULL, alphasort);
	if (count < 0) {
		fuzz_file(path);
		return;
	}
	for (int i = 0; i < count; i++) {
		char file[4096];
		snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.')
			fuzz_file(file);
		free(entries[i]);
	}
	free(entries);
}

int main(int argc, char **argv)
{
	if (getenv("FUZZ_ROUNDS"))
		rounds = strtoul(getenv("FUZZ_ROUNDS"), NULL, 10);
	if (getenv("FUZZ_SEED"))
		random_state = strtoull(getenv("FUZZ_SEED"), NULL, 10) | 1;
	snprintf(crash_file, sizeof(crash_file), "%s.crash", program_invocation_short_name);
	signal(SIGABRT, save_input);
	signal(SIGSEGV, save_input);
	signal(SIGALRM, save_input);

	fuzz_input((const uint8_t *)"", 0);
	for (int i = 1; i < argc; i++)
		fuzz_path(argv[i]);
	printf("%lu inputs\n", inputs);
	return 0;
}
