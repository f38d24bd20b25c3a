/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What could not be carried, in words that stay: the kinds of the loss report. An entry of the error ledger is of at most one kind;
 * an entry that may still be settled by another attempt is of none, and belongs to the errors alone.
 *
 * Plugins name their losses with these words (include/dmmfs/plugin.h), so none is ever renamed or given another meaning.
 */
#ifndef DMM_MIGRATE_LOSS_H
#define DMM_MIGRATE_LOSS_H

#include "state/record.h"

enum loss_kind {
	LOSS_OWNER,
	LOSS_MODE,
	LOSS_SET_ID,
	LOSS_ACL,
	LOSS_SACL,
	LOSS_XATTR,
	LOSS_STREAMS,
	LOSS_CAPABILITY,
	LOSS_DOS_ATTRIBUTES,
	LOSS_FLAGS,
	LOSS_TIMES,
	LOSS_HOLES,
	LOSS_HARD_LINK,
	LOSS_REPARSE_POINT,
	LOSS_NAME,
	LOSS_CASE,
	LOSS_DRIFT,
	LOSS_DISAGREEMENT,
	LOSS_SKIPPED,
	LOSS_DEVICE,
	LOSS_OBJECT,
	LOSS_OTHER,
	LOSS_KINDS
};

const char *loss_kind_name(enum loss_kind kind);
/* What it means for whoever uses the target: a sentence. */
const char *loss_kind_means(enum loss_kind kind);
/* LOSS_KINDS: there is no such word. */
enum loss_kind loss_kind_of(const char *name);

/* The kind of an entry; LOSS_KINDS: it is no loss. Of what a protocol can never carry (ERROR_PROTOCOL) as well. */
enum loss_kind loss_of(const struct error_record *record);

#endif
