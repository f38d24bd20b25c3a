/* SPDX-License-Identifier: GPL-3.0-or-later
 *
 * A binary heap of nodes that know their place in it, and a hash table by inode number over the same nodes. Both grow with what is
 * in them.
 */
#include "migrate/queue.h"

#include "migrate/internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_SIZE 1024u

struct queue_node {
	struct queue_entry entry;
	uint64_t seq;
	size_t at;
	struct queue_node *hash_next;
};

static int compare_keys(const struct order_key *a, const struct order_key *b)
{
	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	if (a->clause != b->clause)
		return a->clause < b->clause ? -1 : 1;
	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static bool before(const struct queue_node *a, const struct queue_node *b)
{
	int order = compare_keys(&a->entry.key, &b->entry.key);

	return order ? order < 0 : a->seq < b->seq;
}

/* --- the heap --- */

static void place(struct queue *queue, struct queue_node *node, size_t at)
{
	queue->heap[at] = node;
	node->at = at;
}

static void sift_up(struct queue *queue, struct queue_node *node)
{
	size_t at = node->at;

	for (; at > 0 && before(node, queue->heap[(at - 1) / 2]); at = (at - 1) / 2)
		place(queue, queue->heap[(at - 1) / 2], at);
	place(queue, node, at);
}

static void sift_down(struct queue *queue, struct queue_node *node)
{
	size_t at = node->at;

	for (size_t child; (child = 2 * at + 1) < queue->used; at = child) {
		child += child + 1 < queue->used && before(queue->heap[child + 1], queue->heap[child]);
		if (!before(queue->heap[child], node))
			break;
		place(queue, queue->heap[child], at);
	}
	place(queue, node, at);
}

/* --- the table --- */

static struct queue_node **slot(const struct queue *queue, uint64_t ino)
{
	struct queue_node **at = &queue->buckets[((ino * 0x9E3779B97F4A7C15ull) >> 32) & (queue->n_buckets - 1)];

	while (*at && (*at)->entry.ino != ino)
		at = &(*at)->hash_next;
	return at;
}

static struct queue_node *find(const struct queue *queue, uint64_t ino)
{
	return queue->n_buckets ? *slot(queue, ino) : NULL;
}

static void grow(struct queue *queue)
{
	struct queue_node **old = queue->buckets;
	size_t n_old = queue->n_buckets;

	queue->cap = queue->cap ? queue->cap * 2 : FIRST_SIZE;
	queue->heap = realloc(queue->heap, queue->cap * sizeof(struct queue_node *));
	if (!queue->heap)
		abort();
	queue->n_buckets = queue->cap;
	queue->buckets = must_alloc(queue->n_buckets * sizeof(struct queue_node *));
	for (size_t i = 0; i < n_old; i++) {
		for (struct queue_node *node = old[i], *next; node; node = next) {
			next = node->hash_next;
			struct queue_node **at = slot(queue, node->entry.ino);
			node->hash_next = NULL;
			*at = node;
		}
	}
	free(old);
}

static void forget(struct queue *queue, struct queue_node *node)
{
	struct queue_node **at = slot(queue, node->entry.ino);

	*at = node->hash_next;
	queue->counts[node->entry.key.class]--;
}

/* --- room --- */

static int compare_nodes(const void *a, const void *b)
{
	return before(*(struct queue_node *const *)a, *(struct queue_node *const *)b) ? -1 : 1;
}

/* Sorted, the heap is still a heap. */
static void make_room(struct queue *queue)
{
	size_t keep = queue->used - queue->used / 4;

	qsort(queue->heap, queue->used, sizeof(*queue->heap), compare_nodes);
	for (size_t i = 0; i < keep; i++)
		queue->heap[i]->at = i;
	while (queue->used > keep) {
		struct queue_node *node = queue->heap[--queue->used];
		forget(queue, node);
		queue->drop(&node->entry);
		free(node);
	}
}

/* --- from outside --- */

static void improve(struct queue *queue, struct queue_node *node, const struct queue_entry *entry)
{
	struct queue_entry other = *entry;

	if (compare_keys(&entry->key, &node->entry.key) >= 0) {
		queue->drop(&other);
		return;
	}
	other = node->entry;
	queue->counts[node->entry.key.class]--;
	queue->counts[entry->key.class]++;
	node->entry = *entry;
	queue->drop(&other);
	sift_up(queue, node);
}

bool queue_put(struct queue *queue, const struct queue_entry *entry)
{
	struct queue_node *node = find(queue, entry->ino);

	if (node) {
		improve(queue, node, entry);
		return false;
	}
	if (queue->used == QUEUE_MAX)
		make_room(queue);
	if (queue->used == queue->cap)
		grow(queue);
	node = must_alloc(sizeof(*node));
	node->entry = *entry;
	node->seq = queue->next_seq++;
	*slot(queue, entry->ino) = node;
	queue->counts[entry->key.class]++;
	place(queue, node, queue->used++);
	sift_up(queue, node);
	return true;
}

bool queue_take(struct queue *queue, enum order_class best, enum order_class worst, struct queue_entry *entry)
{
	struct queue_node *node = queue->used ? queue->heap[0] : NULL;

	if (!node || node->entry.key.class < best || node->entry.key.class > worst)
		return false;
	*entry = node->entry;
	forget(queue, node);
	struct queue_node *last = queue->heap[--queue->used];
	if (last != node) {
		last->at = 0;
		sift_down(queue, last);
	}
	free(node);
	return true;
}

const struct queue_entry *queue_find(const struct queue *queue, uint64_t ino)
{
	struct queue_node *node = find(queue, ino);

	return node ? &node->entry : NULL;
}

size_t queue_ahead(const struct queue *queue, uint64_t ino)
{
	struct queue_node *node = find(queue, ino);
	size_t ahead = 0;

	for (size_t i = 0; node && i < queue->used; i++)
		ahead += before(queue->heap[i], node);
	return ahead;
}

void queue_clear(struct queue *queue)
{
	for (size_t i = 0; i < queue->used; i++) {
		queue->drop(&queue->heap[i]->entry);
		free(queue->heap[i]);
	}
	free(queue->heap);
	free(queue->buckets);
	*queue = (struct queue){.next_seq = queue->next_seq, .drop = queue->drop};
}

bool queue_any(const struct queue *queue, enum order_class best, enum order_class worst)
{
	for (int class = (int)best; class <= (int)worst; class ++)
		if (queue->counts[class])
			return true;
	return false;
}
