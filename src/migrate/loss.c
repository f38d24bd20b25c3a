/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * From what an entry of the ledger says was being done to a kind of loss. See loss.h.
 */
#include "migrate/loss.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

static const struct {
	const char *name, *means;
} kinds[LOSS_KINDS] = {
	[LOSS_OWNER] = {"owner",
                        "The owner or group has no id here, or could not be set: the object is root's, or keeps the one it "
                        "could get."},
	[LOSS_MODE] = {"mode", "The permissions could not be set as they were."},
	[LOSS_SET_ID] = {"set-id", "A set-user-ID or set-group-ID bit was left out."},
	[LOSS_ACL] = {"acl", "The access control list could not be kept, or not all of it."},
	[LOSS_SACL] = {"sacl", "The audit list of the security descriptor was left out."},
	[LOSS_XATTR] = {"xattr", "An extended attribute could not be kept."},
	[LOSS_STREAMS] = {"streams", "An alternate data stream could not be kept."},
	[LOSS_CAPABILITY] = {"capability", "The capabilities of a program could not be kept."},
	[LOSS_DOS_ATTRIBUTES] = {"dos-attributes", "DOS attributes or the time of creation could not be kept."},
	[LOSS_FLAGS] = {"flags", "Flags of the inode (chattr) could not be set."},
	[LOSS_TIMES] = {"times", "Times could not be set as they were."},
	[LOSS_HOLES] = {"holes", "Holes may have become zeros that take space."},
	[LOSS_HARD_LINK] = {"hard-link", "Names of one file became files of their own."},
	[LOSS_REPARSE_POINT] = {"reparse-point",
                                "A reparse point (junction, link) means something at its server alone: it did not come over."},
	[LOSS_NAME] = {"name", "The name can not be had on the target or of the source: the object did not come over."},
	[LOSS_CASE] = {"case", "Another name of the directory is the same on the target, which ignores case: the object did not "
                               "come over."},
	[LOSS_DRIFT] = {"drift", "The source changed while it was read."},
	[LOSS_DISAGREEMENT] = {"disagreement", "Two protocols say different things of it."},
	[LOSS_SKIPPED] = {"skipped", "The order leaves it out."},
	[LOSS_DEVICE] = {"device", "A device node did not come over, as devices=drop says."},
	[LOSS_OBJECT] = {"object", "It did not come over, and its loss is accepted (waived)."},
	[LOSS_OTHER] = {"other", "Something else of it could not be kept; the entry says what."},
};

const char *loss_kind_name(enum loss_kind kind)
{
	return kinds[kind].name;
}

const char *loss_kind_means(enum loss_kind kind)
{
	return kinds[kind].means;
}

enum loss_kind loss_kind_of(const char *name)
{
	enum loss_kind kind = 0;

	while (kind < LOSS_KINDS && strcmp(kinds[kind].name, name))
		kind++;
	return kind;
}

/* What is said of an attribute is its name. */
static enum loss_kind of_attribute(const char *name)
{
	static const struct {
		const char *name; /* or, ending in '.', what it begins with */
		enum loss_kind kind;
	} known[] = {
		{"system.posix_acl_access", LOSS_ACL},
		{"system.posix_acl_default", LOSS_ACL},
		{"system.nfs4_acl", LOSS_ACL},
		{"security.NTACL", LOSS_ACL},
		{"security.capability", LOSS_CAPABILITY},
		{"user.DOSATTRIB", LOSS_DOS_ATTRIBUTES},
		{"user.DosStream.", LOSS_STREAMS},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		size_t len = strlen(known[i].name);
		if (strncmp(name, known[i].name, len) == 0 && (known[i].name[len - 1] == '.' || name[len] == '\0'))
			return known[i].kind;
	}
	return strchr(name, '.') ? LOSS_XATTR : LOSS_OTHER;
}

static enum loss_kind of_loss(const struct error_record *record)
{
	static const struct {
		const char *what;
		enum loss_kind kind;
	} known[] = {{"inode flags", LOSS_FLAGS}, {"skip", LOSS_SKIPPED}, {"group", LOSS_OWNER}};
	enum loss_kind kind = loss_kind_of(record->what);

	if (kind == LOSS_MODE && record->error == ENODATA)
		return LOSS_SET_ID; /* nobody has the owner's rights (target/make.c) */
	for (size_t i = 0; kind == LOSS_KINDS && i < sizeof(known) / sizeof(known[0]); i++)
		if (strcmp(record->what, known[i].what) == 0)
			kind = known[i].kind;
	return kind == LOSS_KINDS ? of_attribute(record->what) : kind;
}

/* Names that no attempt will bring are lost whether the administrator has waived them by now or not. */
static enum loss_kind of_name(const struct error_record *record)
{
	switch (record->error) {
	case EOPNOTSUPP:
		return LOSS_REPARSE_POINT;
	case ENAMETOOLONG:
	case EILSEQ:
	case EBADMSG:
	case EINVAL:
		return LOSS_NAME;
	case EEXIST:
		return LOSS_CASE;
	default:
		return record->state == ERROR_WAIVED ? LOSS_OBJECT : LOSS_KINDS;
	}
}

enum loss_kind loss_of(const struct error_record *record)
{
	switch (record->kind) {
	case ERROR_LOSS:
	case ERROR_PROTOCOL:
		return of_loss(record);
	case ERROR_DRIFT:
		return LOSS_DRIFT;
	case ERROR_OF_NAME:
		return of_name(record);
	case ERROR_OF_DIR:
	case ERROR_OF_FILE:
		break;
	}
	return record->state == ERROR_WAIVED ? LOSS_OBJECT : LOSS_KINDS;
}
