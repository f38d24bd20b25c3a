/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * dmmfs-admin verify: compares the target with what was read from the source.
 *
 * The daemon does the work, in the background; this command starts it, waits, and tells what came of it. Ctrl-C ends the waiting
 * alone. The exit status says whether all is as it should be.
 */
#include "cli/verify.h"
#include "base/clock.h"
#include "base/size.h"
#include "cli/figures.h"
#include "cli/format.h"
#include "cli/memory.h"
#include "cli/print.h"
#include "property/measure.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_S 60
#define LOOK_NS (250 * NS_PER_MS)
#define ALL_PPM 1000000

struct verify {
	struct cli *cli;
	uint32_t migid;
	const char *action;
	bool full, detach;
	long ppm;
	uint64_t rate, seed;
	bool drawn;
};

/* --- what came of it ------------------------------------------------------------------------------------------------------ */

bool verify_found_something(const json_t *verify)
{
	return member_count(verify, "damaged") + member_count(verify, "suspect") + member_count(verify, "drifted") +
	               member_count(verify, "unreadable") >
	       0;
}

static void print_count(const json_t *verify, const char *key, const char *head, const char *what, bool always)
{
	char text[FORMAT_BYTES];
	uint64_t count = member_count(verify, key);
	if (count || always)
		printf("%-12s %s%s%s\n", head, format_count(count, text), *what ? " " : "", what);
}

static void print_findings(const json_t *verify)
{
	static const char *const heads[] = {"VERDICT", "ERROR", "PATH"};
	const json_t *list = json_object_get(verify, "findings");
	if (json_array_size(list) == 0)
		return;
	struct table *table = table_new(3, heads, "lll");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const json_t *finding = json_array_get(list, i);
		char *path = member_name(finding, "path");
		const char *error = member_text(finding, "error");
		table_row(table);
		table_set(table, 0, member_text(finding, "verdict"));
		table_color(table, 0, strcmp(member_text(finding, "verdict"), "damaged") == 0 ? print_trouble_color() : NULL);
		table_set(table, 1, *error ? error : "-");
		table_set(table, 2, *path ? path : "(not found under any name)");
		free(path);
	}
	putchar('\n');
	table_print(table, stdout);
	table_free(table);
}

void verify_print(const json_t *verify)
{
	char size[FORMAT_BYTES], source[FORMAT_BYTES], count[FORMAT_BYTES];
	printf("Looked at    %s files, %s of the target", format_count(member_count(verify, "files"), count),
	       size_format(member_count(verify, "bytes"), size, sizeof(size)));
	if (member_true(verify, "full"))
		printf(", %s of the source", size_format(member_count(verify, "source_bytes"), source, sizeof(source)));
	putchar('\n');
	if (member_count(verify, "sample_ppm") < ALL_PPM)
		printf("Sample       %g %%, seed %llu\n", (double)member_count(verify, "sample_ppm") / 10000,
		       (unsigned long long)member_count(verify, "seed"));
	print_count(verify, "equal", "Equal", "", true);
	print_count(verify, "changed", "Changed", "by applications", true);
	print_count(verify, "removed", "Removed", "by applications", false);
	print_count(verify, "pending", "Pending", "not here yet, so not looked at", false);
	print_count(verify, "missing", "Missing",
	            "names that the source has: skipped, removed or renamed by applications, or lost", false);
	print_count(verify, "extra", "Extra", "names that the target alone has", false);
	print_count(verify, "drifted", "Drifted", "the source gives other bytes than it did", false);
	print_count(verify, "unreadable", "Unreadable", "at the source", false);
	print_count(verify, "suspect", "Suspect", "not what was read; touched since, with the time set back or by damage", false);
	print_count(verify, "damaged", "Damaged", "", true);
	print_findings(verify);
}

static void print_head(uint32_t migid, const json_t *verify)
{
	char when[FORMAT_BYTES], took[FORMAT_BYTES];
	const char *state = member_text(verify, "state");
	uint64_t started = member_count(verify, "started"), ended = member_count(verify, "ended");
	printf("Verification of migration %u: %s", migid, state);
	if (started)
		printf(", begun %s", format_time((int64_t)started, when));
	if (ended >= started && ended)
		printf(", took %s", format_duration(ended - started, took));
	puts("\n");
}

static int tell(const struct verify *verify, json_t *status)
{
	const char *state = member_text(status, "state");
	if (verify->cli->json) {
		print_json(status);
	} else if (strcmp(state, "never") == 0) {
		printf("Migration %u has not been verified.\n", verify->migid);
	} else {
		print_head(verify->migid, status);
		verify_print(status);
	}
	if (strcmp(state, "failed") == 0)
		return cli_fail(verify->cli->json ? &(struct cli){0} : verify->cli, CLI_FAILED, EIO,
		                "the verification of migration %u failed (%s): see dmmfs-admin log %u", verify->migid,
		                member_text(status, "error"), verify->migid);
	return verify_found_something(status) ? CLI_FINDINGS : CLI_OK;
}

/* --- waiting -------------------------------------------------------------------------------------------------------------- */

static void draw(struct verify *verify, const json_t *status)
{
	char share[FORMAT_BYTES], rate[FORMAT_BYTES], left[FORMAT_BYTES], bar[21];
	const json_t *eta = json_object_get(status, "eta_s");
	uint64_t seen = member_count(status, "bytes_seen"), total = member_count(status, "bytes_total");
	unsigned percent = total ? format_percent(seen < total ? seen : total, total) : 0;
	if (verify->cli->json || !print_on_terminal())
		return;
	memset(bar, '.', sizeof(bar) - 1);
	memset(bar, '#', percent / 5);
	bar[sizeof(bar) - 1] = 0;
	printf("\r%3u %% [%s]  %s  %s  %s%s\033[K", percent, bar, format_share(seen, total, share),
	       format_rate(member_count(status, "rate_bytes_per_s"), rate), member_true(status, "full") ? "about " : "",
	       json_is_integer(eta) ? format_duration((uint64_t)json_integer_value(eta), left) : "time unknown");
	fflush(stdout);
	verify->drawn = true;
}

static void end_line(struct verify *verify)
{
	if (verify->drawn)
		fputs("\r\033[K", stdout);
	verify->drawn = false;
}

/* An exit code, or -1 and the status. */
static int ask(struct verify *verify, const char *action, json_t **status)
{
	json_t *reply;
	json_t *request = strcmp(action, "status") == 0 ? json_pack("{s:s}", "op", "verification")
	                                                : json_pack("{s:s, s:s}", "op", "verify", "action", action);
	if (strcmp(action, "start") == 0)
		json_object_update_new(request, json_pack("{s:b, s:I, s:I, s:I}", "full", verify->full, "sample_ppm",
		                                          (json_int_t)verify->ppm, "limit_bytes_per_s", (json_int_t)verify->rate,
		                                          "seed", (json_int_t)verify->seed));
	int error = daemon_ask(verify->cli, verify->migid, request, TIMEOUT_S, &reply);
	if (error) {
		end_line(verify);
		return daemon_fail(verify->cli, verify->migid, error, reply);
	}
	*status = json_incref(json_object_get(reply, "verify"));
	json_decref(reply);
	return -1;
}

/* False: Ctrl-C. */
static bool rest(const sigset_t *signals)
{
	struct timespec time = {.tv_nsec = (long)LOOK_NS};
	int signal_number;
	do
		signal_number = sigtimedwait(signals, NULL, &time);
	while (signal_number < 0 && errno == EINTR);
	return signal_number < 0;
}

static int wait_for_end(struct verify *verify, json_t *status)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	while (strcmp(member_text(status, "state"), "running") == 0) {
		draw(verify, status);
		json_decref(status);
		if (!rest(&signals)) {
			end_line(verify);
			fprintf(stderr,
			        "dmmfs-admin: the verification goes on; dmmfs-admin verify --status %u tells of it, --stop ends "
			        "it\n",
			        verify->migid);
			return CLI_FAILED;
		}
		int code = ask(verify, "status", &status);
		if (code >= 0)
			return code;
	}
	end_line(verify);
	int code = tell(verify, status);
	if (strcmp(member_text(status, "state"), "stopped") == 0 && code == CLI_OK)
		code = CLI_FAILED; /* somebody ended it: not all was looked at */
	json_decref(status);
	return code;
}

static int verify_migration(struct verify *verify)
{
	json_t *status;
	int code = ask(verify, verify->action, &status);
	if (code >= 0)
		return code;
	if (strcmp(verify->action, "start") == 0 && !verify->detach)
		return wait_for_end(verify, status);
	code = tell(verify, status);
	json_decref(status);
	return code;
}

/* --- options -------------------------------------------------------------------------------------------------------------- */

/* "5%", "0.5%". */
static bool take_sample(struct verify *verify, const char *text)
{
	char *end;
	double percent = strtod(text, &end);
	bool good = *text >= '0' && *text <= '9' && (*end == '\0' || strcmp(end, "%") == 0) && percent <= 100;
	verify->ppm = good ? (long)(percent * 10000 + 0.5) : 0;
	if (verify->ppm > 0)
		return true;
	verify->cli->status =
		cli_misused(verify->cli, &command_verify, "--sample takes a share from 0.0001%% to 100%%, not '%s'", text);
	return false;
}

static bool take_rate(struct verify *verify, const char *text)
{
	if (rate_parse(text, &verify->rate) == 0)
		return true;
	verify->cli->status = cli_misused(verify->cli, &command_verify, "--rate takes %s, not '%s'", rate_allowed, text);
	return false;
}

static bool take_seed(struct verify *verify, const char *text)
{
	char *end;
	verify->seed = strtoull(text, &end, 10);
	if (*text >= '0' && *text <= '9' && !*end && verify->seed > 0 && verify->seed <= INT64_MAX)
		return true;
	verify->cli->status =
		cli_misused(verify->cli, &command_verify, "--seed takes a number that an earlier sample told, not '%s'", text);
	return false;
}

static bool read_options(struct verify *verify, int argc, char **argv)
{
	static const struct option options[] = {{"full", no_argument, NULL, 'f'},       {"sample", required_argument, NULL, 's'},
	                                        {"rate", required_argument, NULL, 'r'}, {"seed", required_argument, NULL, 'd'},
	                                        {"detach", no_argument, NULL, 'n'},     {"status", no_argument, NULL, 't'},
	                                        {"stop", no_argument, NULL, 'p'},       CLI_OPTIONS};
	int option;
	while ((option = getopt_long(argc, argv, CLI_LETTERS, options, NULL)) != -1) {
		bool good = true;
		if (option == 'f')
			verify->full = true;
		else if (option == 'n')
			verify->detach = true;
		else if (option == 't' || option == 'p')
			verify->action = option == 't' ? "status" : "stop";
		else
			good = option == 's'   ? take_sample(verify, optarg)
			       : option == 'r' ? take_rate(verify, optarg)
			       : option == 'd' ? take_seed(verify, optarg)
			                       : cli_option(verify->cli, &command_verify, option);
		if (!good)
			return false;
	}
	return true;
}

static int run(struct cli *cli, int argc, char **argv)
{
	struct verify verify = {.cli = cli, .action = "start", .ppm = ALL_PPM};
	struct migrations migrations;
	if (!read_options(&verify, argc, argv) || !cli_arguments(cli, &command_verify, argc - optind, 1, 1))
		return cli->status;
	int code = migrations_load(cli, &migrations);
	if (code)
		return code;
	const struct migration *migration = migrations_meant(cli, &migrations, argv[optind]);
	code = cli->status;
	if (migration && strcmp(migration->state, "complete") == 0) {
		code = cli_fail(cli, CLI_REFUSED, ENOENT,
		                "migration %u is finished: its digests are gone; dmmfs-admin report %u tells of its verification",
		                migration->migid, migration->migid);
	} else if (migration) {
		verify.migid = migration->migid;
		code = verify_migration(&verify);
	}
	migrations_free(&migrations);
	return code;
}

const struct command command_verify = {
	"verify",
	"[--full] [--sample N%] [--rate RATE] MIGID",
	"compare the target with what was read",
	"Reads what has come over from the target's disk and compares it with the digests of what was read from the source. "
	"What\n"
	"applications have changed or removed is counted. Damage is told by path, is in the ledger, and keeps the migration "
	"from\n"
	"finishing until it is waived, or verified again and found good. Exit status 6 when something is not as it should be.\n"
	"It is done in the background: Ctrl-C ends this command alone.\n\n"
	"  --full               read the source again, too, and look at every name on both sides\n"
	"  --sample N%          a share of the files, chosen by chance\n"
	"  --seed N             the same files as an earlier sample, which told its seed\n"
	"  --rate RATE          read no more than so many bytes a second, as 20M/s\n"
	"  --detach             do not wait for the end\n"
	"  --status             tell of the one that runs, or of the last one\n"
	"  --stop               end it\n",
	run,
};
