/*
 * chain.c - the call chain of a thread that stood still.
 *
 * libdw unwinds it from the registers and the words of the stack that the
 * record holds, by the unwind information in the modules' files.  The library
 * does not: in a stopped process nothing may go wrong.
 */
#include "chain.h"
#include "symbols.h"

#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <unistd.h>

#define DWARF_SP 7
#define DWARF_PC 16

/* A chain that never ends is none. */
#define FRAMES_MAX 4096

struct walk {
	const struct record *record;
	const struct held_thread *thread;
	uint64_t address;		/* where a word is looked for */
	struct chain_frame now;
	size_t count;
	bool is_found;
};

/* The modules where they were; a file that has changed stays out. */
static void
report_modules(Dwfl *dwfl, const struct record *record)
{
	const struct module *module;
	int fd;

	for (size_t i = record->module_count; i-- > 0;) {
		module = record->modules[i];
		if (!symbols_is_same_file(module))
			continue;
		fd = open(module->path, O_RDONLY | O_CLOEXEC);
		/* Of those that lay in one place the last one is taken. */
		if (fd >= 0 && dwfl_report_elf(dwfl, module->path,
		    module->path, fd, module->base, true) == NULL)
			close(fd);
	}
	dwfl_report_end(dwfl, NULL, NULL);
}

static pid_t
next_thread(Dwfl *dwfl, void *argument, void **cursor)
{
	const struct walk *walk = argument;

	(void)dwfl;
	if (*cursor != NULL)
		return 0;
	*cursor = argument;
	return walk->thread->tid;
}

static bool
read_memory(Dwfl *dwfl, Dwarf_Addr address, Dwarf_Word *ret_value,
    void *argument)
{
	const struct walk *walk = argument;
	const struct held_thread *thread = walk->thread;
	size_t low = 0, high = thread->word_count, middle;

	(void)dwfl;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (thread->words[middle].at <= address)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_value = 0;
	if (low != 0 && thread->words[low - 1].at == address)
		*ret_value = thread->words[low - 1].value;
	/* What is not kept is of no use to a chain; but it can be read. */
	return address >= thread->registers[DWARF_SP] &&
	    address < thread->stack_end;
}

static bool
set_registers(Dwfl_Thread *thread, void *argument)
{
	const struct walk *walk = argument;
	const uint64_t *registers = walk->thread->registers;
	Dwarf_Word words[DWARF_PC];

	for (size_t i = 0; i < DWARF_PC; i++)
		words[i] = registers[i];
	dwfl_thread_state_register_pc(thread, registers[DWARF_PC]);
	return dwfl_thread_state_registers(thread, 0, DWARF_PC, words);
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
	.next_thread = next_thread,
	.memory_read = read_memory,
	.set_initial_registers = set_registers,
};

/* A frame ends where its caller's begins: it is known one step later. */
static int
visit_frame(Dwfl_Frame *state, void *argument)
{
	struct walk *walk = argument;
	struct chain_frame *now = &walk->now;
	Dwarf_Addr pc;
	Dwarf_Word sp;
	bool is_exact;

	if (!dwfl_frame_pc(state, &pc, &is_exact) ||
	    dwfl_frame_reg(state, DWARF_SP, &sp) != 0)
		return DWARF_CB_ABORT;
	now->high = sp;
	if (walk->count != 0 && walk->address >= now->low &&
	    walk->address < now->high) {
		walk->is_found = true;
		return DWARF_CB_ABORT;
	}
	/* A stack goes one way. */
	if ((walk->count != 0 && sp <= now->low) ||
	    ++walk->count == FRAMES_MAX || pc == 0)
		return DWARF_CB_ABORT;
	now->low = sp;
	now->frame.address = pc - !is_exact;
	now->frame.module = record_module_at(walk->record, now->frame.address);
	if (now->frame.module != NULL)
		now->frame.offset = now->frame.address -
		    now->frame.module->base;
	return DWARF_CB_OK;
}

bool
chain_find(const struct record *record, const struct held_thread *thread,
    uint64_t address, struct chain_frame *ret_frame)
{
	struct walk walk = {
		.record = record,
		.thread = thread,
		.address = address,
	};
	uint64_t sp = thread->registers[DWARF_SP];
	Dwfl *dwfl;

	if (!thread->has_registers || thread->stack_end == 0)
		return false;
	/* The red zone below the stack pointer is the innermost frame's. */
	if (address < sp && sp - address <= record->held->red_zone)
		walk.address = sp;
	dwfl = symbols_begin();
	if (dwfl == NULL)
		return false;
	report_modules(dwfl, record);
	if (dwfl_attach_state(dwfl, NULL, (pid_t)record->pid,
	    &thread_callbacks, &walk))
		dwfl_getthread_frames(dwfl, thread->tid, visit_frame, &walk);
	dwfl_end(dwfl);
	*ret_frame = walk.now;
	return walk.is_found;
}
