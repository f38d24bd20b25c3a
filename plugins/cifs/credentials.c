/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * Credentials: a file of mode 0600 with lines username=, password= and domain=, as mount.cifs(8) has it. They go to helpers through
 * a socket, never into an argument, the environment or a log.
 */
#include "cifs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST 4096

static char *skip_blanks(char *text)
{
	return text + strspn(text, " \t");
}

/* A value is all behind '=': blanks in a password count. */
static int take_line(struct credentials *credentials, char *line)
{
	static const struct {
		const char *name;
		size_t offset, size;
	} names[] = {
		{"username", offsetof(struct credentials, username), sizeof(((struct credentials *)0)->username)},
		{"user", offsetof(struct credentials, username), sizeof(((struct credentials *)0)->username)},
		{"password", offsetof(struct credentials, password), sizeof(((struct credentials *)0)->password)},
		{"pass", offsetof(struct credentials, password), sizeof(((struct credentials *)0)->password)},
		{"domain", offsetof(struct credentials, domain), sizeof(((struct credentials *)0)->domain)},
		{"dom", offsetof(struct credentials, domain), sizeof(((struct credentials *)0)->domain)},
	};

	line[strcspn(line, "\r")] = '\0';
	line = skip_blanks(line);
	char *equals = strchr(line, '=');
	if (!equals)
		return *line == '\0' || *line == '#' ? 0 : -EINVAL;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		size_t len = strlen(names[i].name);
		if (strncmp(line, names[i].name, len) || *skip_blanks(line + len) != '=')
			continue;
		if (strlen(equals + 1) >= names[i].size)
			return -EINVAL;
		strcpy((char *)credentials + names[i].offset, equals + 1);
		return 0;
	}
	return *line == '#' ? 0 : -EINVAL;
}

static int take_lines(char *text, struct credentials *credentials, const char *path, char *error, size_t error_size)
{
	for (unsigned line = 1; text; line++) {
		if (take_line(credentials, strsep(&text, "\n")) == 0)
			continue;
		snprintf(error, error_size, "%s: line %u: must be username=, password= or domain= and a value.", path, line);
		return -EINVAL;
	}
	if (*credentials->username)
		return 0;
	snprintf(error, error_size, "%s: there is no line username=.", path);
	return -EINVAL;
}

int credentials_load(const char *path, struct credentials *credentials, char *error, size_t error_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char text[FILE_MOST + 1];
	struct stat st;
	ssize_t len = fd < 0 || fstat(fd, &st) < 0 ? -1 : read(fd, text, FILE_MOST);
	int failure = len < 0 ? -errno : 0;

	if (fd >= 0)
		close(fd);
	if (failure) {
		snprintf(error, error_size, "the credentials %s cannot be read: %s.", path, strerror(-failure));
		return failure;
	}
	if ((st.st_mode & 0077) || st.st_uid != geteuid()) {
		snprintf(error, error_size, "the credentials %s may be read by others: chown root %s; chmod 600 %s.", path, path,
		         path);
		return -EPERM;
	}
	text[len] = '\0';
	*credentials = (struct credentials){0};
	int ret = take_lines(text, credentials, path, error, error_size);
	explicit_bzero(text, sizeof(text));
	return ret;
}

void credentials_forget(struct credentials *credentials)
{
	explicit_bzero(credentials, sizeof(*credentials));
}
