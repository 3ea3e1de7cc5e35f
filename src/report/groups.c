/*
 * groups.c - blocks counted by where they were allocated.
 *
 * Owns the table's form: open addressing, at most half full.
 */
#include "report/groups.h"

#include "base/bits.h"
#include "heap/meta.h"

#include <string.h>

#define TABLE_MIN	64u

/* group_of - where the blocks of a site and kind are, or would be, counted. */
static struct leak_group *
group_of(struct leak_group *table, size_t size, uint32_t site, bool is_direct)
{
	size_t i = bits_mix((uint64_t)site << 1 | is_direct) & (size - 1);

	while (table[i].blocks != 0 &&
	       (table[i].site != site || table[i].is_direct != is_direct))
		i = (i + 1) & (size - 1);
	return &table[i];
}

static bool
grow(struct groups *groups)
{
	size_t size = MAX(2 * groups->table_size, TABLE_MIN);
	struct leak_group *table = meta_map(size * sizeof(*table));

	if (table == NULL)
		return false;
	for (size_t i = 0; i < groups->table_size; i++) {
		const struct leak_group *g = &groups->table[i];

		if (g->blocks != 0)
			*group_of(table, size, g->site, g->is_direct) = *g;
	}
	if (groups->table != NULL)
		meta_unmap(groups->table, groups->table_size * sizeof(*table));
	groups->table = table;
	groups->table_size = size;
	return true;
}

bool
groups_add(struct groups *groups, uint32_t site, bool is_direct,
	   uint64_t bytes)
{
	struct leak_group *g;

	if (2 * (groups->count + 1) > groups->table_size && !grow(groups) &&
	    groups->count + 1 >= groups->table_size)
		return false;
	g = group_of(groups->table, groups->table_size, site, is_direct);
	if (g->blocks == 0) {
		g->site = site;
		g->is_direct = is_direct;
		groups->count++;
	}
	g->blocks++;
	g->bytes += bytes;
	return true;
}

static int
compare_groups(const void *left, const void *right)
{
	const struct leak_group *a = left, *b = right;

	if (a->is_direct != b->is_direct)
		return a->is_direct ? -1 : 1;
	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return a->site < b->site ? -1 : a->site > b->site;
}

/* sift_down - part of heapsort; libc's qsort allocates. */
static void
sift_down(struct leak_group *groups, size_t root, size_t count)
{
	for (;;) {
		size_t child = 2 * root + 1;
		struct leak_group swap;

		if (child >= count)
			return;
		if (child + 1 < count &&
		    compare_groups(&groups[child], &groups[child + 1]) < 0)
			child++;
		if (compare_groups(&groups[root], &groups[child]) >= 0)
			return;
		swap = groups[root];
		groups[root] = groups[child];
		groups[child] = swap;
		root = child;
	}
}

static void
sort_groups(struct leak_group *groups, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sift_down(groups, i, count);
	for (size_t end = count; end-- > 1;) {
		struct leak_group swap = groups[0];

		groups[0] = groups[end];
		groups[end] = swap;
		sift_down(groups, 0, end);
	}
}

void
groups_sort(struct groups *groups)
{
	size_t packed = 0;

	for (size_t i = 0; i < groups->table_size; i++)
		if (groups->table[i].blocks != 0)
			groups->table[packed++] = groups->table[i];
	sort_groups(groups->table, packed);
}

void
groups_release(struct groups *groups)
{
	if (groups->table != NULL)
		meta_unmap(groups->table,
			   groups->table_size * sizeof(*groups->table));
	*groups = (struct groups){ 0 };
}
