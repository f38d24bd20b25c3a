/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A terminal that a program has for itself. Signals come through a descriptor, so nothing is ever interrupted half way.
 */
#include "cli/terminal.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

static struct {
	bool taken, has_keys;
	struct termios before;
	int signals; /* a signalfd; -1 before the first begin */
	int died_of;
	char keys[64]; /* that were read and not yet taken */
} terminal = {.signals = -1};

static const int taken_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

struct terminal_size terminal_size(void)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
		return (struct terminal_size){80, 24};
	return (struct terminal_size){size.ws_col, size.ws_row};
}

static void say(const char *sequence)
{
	fputs(sequence, stdout);
	fflush(stdout);
}

static void take(void)
{
	struct termios keys = terminal.before;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (terminal.has_keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &keys);
	say("\033[?1049h\033[?25l\033[?7l"); /* other screen, no cursor, no wrapping at the edge */
	terminal.taken = true;
}

void terminal_end(void)
{
	if (!terminal.taken)
		return;
	terminal.taken = false;
	say("\033[?7h\033[?25h\033[?1049l");
	if (terminal.has_keys)
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal.before);
}

int terminal_begin(void)
{
	sigset_t set;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(taken_signals) / sizeof(taken_signals[0]); i++)
		sigaddset(&set, taken_signals[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	terminal.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (terminal.signals < 0)
		return -errno;
	terminal.has_keys = tcgetattr(STDIN_FILENO, &terminal.before) == 0;
	if (atexit(terminal_end))
		return -ENOMEM;
	take();
	return 0;
}

/* Ctrl-Z: the shell gets its terminal until it brings us back. */
static void stop(void)
{
	terminal_end();
	raise(SIGSTOP);
	take();
}

static enum terminal_event take_signal(void)
{
	struct signalfd_siginfo info;
	if (read(terminal.signals, &info, sizeof(info)) != sizeof(info))
		return TERMINAL_NOTHING;
	if (info.ssi_signo == SIGTSTP)
		stop();
	if (info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH)
		return TERMINAL_REDRAW;
	terminal.died_of = (int)info.ssi_signo;
	return TERMINAL_SIGNAL;
}

static enum terminal_event take_key(void)
{
	static const struct {
		const char *keys;
		enum terminal_event event;
	} table[] = {{"q", TERMINAL_QUIT},      {"Q", TERMINAL_QUIT}, {"\033[A", TERMINAL_UP},
	             {"\033OA", TERMINAL_UP},   {"k", TERMINAL_UP},   {"\033[B", TERMINAL_DOWN},
	             {"\033OB", TERMINAL_DOWN}, {"j", TERMINAL_DOWN}, {"\014", TERMINAL_REDRAW}};
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t len = strlen(table[i].keys);
		if (strncmp(terminal.keys, table[i].keys, len) == 0) {
			memmove(terminal.keys, terminal.keys + len, strlen(terminal.keys + len) + 1);
			return table[i].event;
		}
	}
	memmove(terminal.keys, terminal.keys + 1, strlen(terminal.keys)); /* a key that means nothing */
	return TERMINAL_NOTHING;
}

static enum terminal_event read_keys(void)
{
	ssize_t len = read(STDIN_FILENO, terminal.keys, sizeof(terminal.keys) - 1);
	if (len <= 0) { /* nobody is there any more */
		terminal.has_keys = false;
		return TERMINAL_QUIT;
	}
	terminal.keys[len] = 0;
	return take_key();
}

enum terminal_event terminal_wait(int fd, int timeout_ms)
{
	struct pollfd fds[] = {{.fd = terminal.signals, .events = POLLIN},
	                       {.fd = terminal.has_keys ? STDIN_FILENO : -1, .events = POLLIN},
	                       {.fd = fd, .events = POLLIN}};
	if (*terminal.keys)
		return take_key();
	if (poll(fds, 3, timeout_ms) <= 0)
		return TERMINAL_NOTHING;
	if (fds[0].revents)
		return take_signal();
	return fds[1].revents ? read_keys() : TERMINAL_NOTHING;
}

void terminal_die(void)
{
	sigset_t set;
	terminal_end();
	signal(terminal.died_of, SIG_DFL);
	raise(terminal.died_of);
	sigemptyset(&set);
	sigaddset(&set, terminal.died_of);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
