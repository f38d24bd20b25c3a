/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * What calls.c and data.c share.
 */
#ifndef CALLS_H
#define CALLS_H

#include "model.h"

void out_ret(struct outcome *out, long ret);
void out_stat(struct outcome *out, const struct stat *st);

void data_open(const struct args *a, unsigned side, struct outcome *out);
void data_close(const struct args *a, unsigned side, struct outcome *out);
void data_tmpfile(const struct args *a, unsigned side, struct outcome *out);
void data_read(const struct args *a, unsigned side, struct outcome *out);
void data_write(const struct args *a, unsigned side, struct outcome *out);
void data_append(const struct args *a, unsigned side, struct outcome *out);
void data_fstat(const struct args *a, unsigned side, struct outcome *out);
void data_truncate(const struct args *a, unsigned side, struct outcome *out);
void data_allocate(const struct args *a, unsigned side, struct outcome *out);
void data_seek(const struct args *a, unsigned side, struct outcome *out);
void data_copy(const struct args *a, unsigned side, struct outcome *out);
void data_map(const struct args *a, unsigned side, struct outcome *out);
void data_sync(const struct args *a, unsigned side, struct outcome *out);
void data_locks(const struct args *a, unsigned side, struct outcome *out);

#endif
