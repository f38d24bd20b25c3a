/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * The arithmetic of segments against a model that looks at each byte, for all small sizes.
 */
#include "migrate/object.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define SEGSIZE 4
#define MOST 13 /* bytes: some segments and an odd rest */

static uint8_t resident[2], durable[2];
static struct object object = {.resident = resident, .durable_map = durable, .file.segsize = SEGSIZE};

static void set_up(uint64_t limit, unsigned map)
{
	object.file.limit = limit;
	object.n_segments = segments_for(limit, SEGSIZE);
	resident[0] = durable[0] = (uint8_t)map;
	object.absent = 0;
	for (uint64_t s = 0; s < object.n_segments; s++)
		object.absent += !(map >> s & 1);
}

/* A byte of the source that is not here. */
static bool byte_absent(uint64_t at, unsigned map)
{
	return at < object.file.limit && !(map >> (at / SEGSIZE) & 1);
}

static bool model_resident(uint64_t off, uint64_t len, unsigned map)
{
	for (uint64_t at = off; at < off + len; at++)
		if (byte_absent(at, map))
			return false;
	return true;
}

static bool model_whole(uint64_t segment, uint64_t off, uint64_t len)
{
	for (uint64_t at = segment * SEGSIZE; at < (segment + 1) * SEGSIZE && at < object.file.limit; at++)
		if (at < off || at >= off + len)
			return false;
	return true;
}

static bool model_edges(uint64_t off, uint64_t len, unsigned map)
{
	for (uint64_t at = off; at < off + len; at++)
		if (byte_absent(at, map) && !model_whole(at / SEGSIZE, off, len))
			return false;
	return true;
}

static void one_span(uint64_t off, uint64_t len, unsigned map)
{
	uint64_t first, end;

	ck_assert_int_eq(span_resident(&object, off, len), model_resident(off, len, map));
	ck_assert_int_eq(span_edges_durable(&object, off, len), model_edges(off, len, map));
	span_whole(&object, off, len, &first, &end);
	for (uint64_t s = 0; s < object.n_segments; s++)
		ck_assert_msg((s >= first && s < end) == (len > 0 && model_whole(s, off, len)),
		              "limit %d, span %d+%d: segment %d of %d..%d", (int)object.file.limit, (int)off, (int)len, (int)s,
		              (int)first, (int)end);
	ck_assert(end <= object.n_segments || first == end);
}

START_TEST(spans)
{
	for (uint64_t limit = 0; limit <= MOST; limit++)
		for (unsigned map = 0; map < 1u << segments_for(limit, SEGSIZE); map++)
			for (uint64_t off = 0; off <= MOST + 5; off++)
				for (uint64_t len = 0; len <= MOST + 5; len++) {
					set_up(limit, map);
					one_span(off, len, map);
				}
}
END_TEST

static uint64_t model_absent_bytes(unsigned map)
{
	uint64_t bytes = 0;

	for (uint64_t at = 0; at < object.file.limit; at++)
		bytes += byte_absent(at, map);
	return bytes;
}

START_TEST(cutting)
{
	for (uint64_t limit = 0; limit <= MOST; limit++)
		for (unsigned map = 0; map < 1u << segments_for(limit, SEGSIZE); map++)
			for (uint64_t size = 0; size <= MOST + 2; size++) {
				set_up(limit, map);
				uint64_t before = model_absent_bytes(map);
				ck_assert_uint_eq(absent_bytes(&object), before);
				uint64_t less = limit_cut(&object, size);
				ck_assert_uint_eq(object.file.limit, size < limit ? size : limit);
				ck_assert_uint_eq(absent_bytes(&object), model_absent_bytes(map));
				ck_assert_uint_eq(less, before - model_absent_bytes(map));
				ck_assert_uint_eq(object.absent == 0, model_absent_bytes(map) == 0);
			}
}
END_TEST

START_TEST(huge_spans)
{
	uint64_t first, end;

	set_up(MOST, 0);
	ck_assert(!span_resident(&object, 1, UINT64_MAX));
	ck_assert(span_resident(&object, UINT64_MAX - 1, UINT64_MAX));
	span_whole(&object, 1, UINT64_MAX, &first, &end);
	ck_assert_uint_eq(first, 1);
	ck_assert_uint_eq(end, object.n_segments);
	span_whole(&object, UINT64_MAX - 1, UINT64_MAX, &first, &end);
	ck_assert_uint_eq(first, end);
	ck_assert_uint_eq(segments_for(UINT64_MAX, 1 << 20), 1ull << 44);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("migrate-segment");
	TCase *tcase = tcase_create("segment");
	tcase_add_test(tcase, spans);
	tcase_add_test(tcase, cutting);
	tcase_add_test(tcase, huge_spans);
	suite_add_tcase(suite, tcase);
	SRunner *runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	int failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
