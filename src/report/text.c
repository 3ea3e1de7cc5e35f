/*
 * text.c - the text report, as far as the library itself can tell.
 *
 * Written only where the command cannot be had: the command says the same
 * with functions, files and lines.  The layout is LeakSanitizer's.
 */
#include "report/text.h"

#include "base/fmt.h"
#include "base/sys.h"
#include "report/depot.h"
#include "report/modules.h"
#include "settings/stats.h"

#include <string.h>

struct output {
	struct fmt fmt;		/* first: flush gets its address */
	int fd;
	char buffer[1024];
};

static void
flush_output(struct fmt *f)
{
	sys_write_all(((struct output *)f)->fd, f->text, f->length);
	f->length = 0;
}

static void
write_frame(struct fmt *f, uint32_t number, uintptr_t return_address)
{
	/* The call is what lies before the address it returns to. */
	uintptr_t address = return_address - 1;
	uint32_t id = modules_find(address);
	const struct module *m;
	const char *name, *symbol;

	fmt_print(f, "    #%u %p", number, (void *)address);
	if (id == MODULE_NONE) {
		id = modules_lookup(address);
		if (id == MODULE_NONE) {
			fmt_text(f, " (<unknown module>)\n");
			return;
		}
	}
	m = modules_get(id);
	symbol = modules_symbol(m, address);
	if (symbol != NULL)
		fmt_print(f, " in %s", symbol);
	name = strrchr(m->path, '/');
	fmt_print(f, " (%s+%p)", name != NULL ? name + 1 : m->path,
		  (void *)(address - m->bias));
	if (m->build_id_size > 0) {
		fmt_text(f, " (BuildId: ");
		for (unsigned i = 0; i < m->build_id_size; i++)
			fmt_print(f, "%02x", (unsigned)m->build_id[i]);
		fmt_char(f, ')');
	}
	fmt_char(f, '\n');
}

static void
write_group(struct fmt *f, const struct leak_group *g)
{
	const struct stack *stack = depot_stack(g->site);

	fmt_print(f, "%s leak of %lu byte(s) in %lu object(s) allocated "
		  "from:\n", g->is_direct ? "Direct" : "Indirect",
		  (unsigned long)g->bytes, (unsigned long)g->blocks);
	if (stack == NULL)
		fmt_text(f, "    <empty stack>\n");
	for (uint32_t i = 0; stack != NULL && i < stack->count; i++)
		write_frame(f, i, stack->frames[i]);
	fmt_char(f, '\n');
}

void
text_write(int fd, const struct leak_group *groups, size_t count)
{
	const struct leak_stats *l = &stats.leak;
	struct output o;

	if (count == 0)
		return;
	fmt_init(&o.fmt, o.buffer, sizeof(o.buffer));
	o.fmt.flush = flush_output;
	o.fd = fd;
	fmt_print(&o.fmt, "==%d==ERROR: bilge: detected memory leaks\n\n",
		  sys_getpid());
	for (size_t i = 0; i < count; i++)
		write_group(&o.fmt, &groups[i]);
	fmt_print(&o.fmt, "SUMMARY: bilge: %lu byte(s) leaked in %lu "
		  "allocation(s).\n",
		  (unsigned long)(l->direct_bytes + l->indirect_bytes),
		  (unsigned long)(l->direct_blocks + l->indirect_blocks));
	flush_output(&o.fmt);
}
