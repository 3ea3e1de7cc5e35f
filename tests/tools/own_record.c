/*
 * own_record.c - a program that writes a record of its own call stack.
 *
 * Stands for the library where the command alone is tested.  The form is in
 * report/record.h; the record goes to standard output.
 */
#include "own_record.h"

#include <execinfo.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MODULES_MAX 16
#define DEPTH_MAX 32

struct module {
	uintptr_t base;
	uintptr_t start;
	uintptr_t end;
};

static struct module modules[MODULES_MAX];
static int module_count;
static int site_count;
static int leaked_bytes;

static void
print_build_id(const struct dl_phdr_info *info)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + segment->p_vaddr;
		uintptr_t end = at + segment->p_memsz;

		if (segment->p_type != PT_NOTE)
			continue;
		while (at + sizeof(ElfW(Nhdr)) <= end) {
			const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
			const unsigned char *name =
			    (const unsigned char *)(note + 1);
			const unsigned char *bits =
			    name + ((note->n_namesz + 3) & ~3u);

			if (note->n_type == NT_GNU_BUILD_ID &&
			    memcmp(name, "GNU", 4) == 0) {
				for (size_t j = 0; j < note->n_descsz; j++)
					printf("%02x", bits[j]);
				return;
			}
			at = (uintptr_t)bits + ((note->n_descsz + 3) & ~3u);
		}
	}
}

static int
print_module(struct dl_phdr_info *info, size_t size, void *unused)
{
	struct module *module = &modules[module_count];
	const char *path = info->dlpi_name;
	char self[4096] = "";

	if (module_count == MODULES_MAX)
		return 1;
	if (module_count == 0) {
		if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
			return 1;
		path = self;
	}
	module->base = info->dlpi_addr;
	module->start = UINTPTR_MAX;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD)
			continue;
		if (at < module->start)
			module->start = at;
		if (at + segment->p_memsz > module->end)
			module->end = at + segment->p_memsz;
	}
	printf("{\"event\":\"module\",\"id\":%d,\"path\":\"%s\","
	    "\"base\":\"0x%" PRIxPTR "\",\"start\":\"0x%" PRIxPTR "\","
	    "\"end\":\"0x%" PRIxPTR "\",\"build_id\":\"", module_count, path,
	    module->base, module->start, module->end);
	print_build_id(info);
	printf("\"}\n");
	module_count++;
	return 0;
}

void
own_record_begin(char **argv)
{
	printf("{\"event\":\"start\",\"schema\":\"bilge-1\",\"pid\":%ld,"
	    "\"time\":\"2026-01-31T12:00:00.123Z\",\"exe\":\"%s\","
	    "\"argv\":[\"%s\"],\"settings\":{},\"barrier\":\"stop\"}\n",
	    (long)getpid(), argv[0], argv[0]);
	dl_iterate_phdr(print_module, NULL);
}

static void
print_frame(uintptr_t address)
{
	for (int i = 0; i < module_count; i++) {
		if (address < modules[i].start || address >= modules[i].end)
			continue;
		printf("{\"address\":\"0x%" PRIxPTR "\",\"module\":%d,"
		    "\"offset\":\"0x%" PRIxPTR "\"}", address, i,
		    address - modules[i].base);
		return;
	}
	printf("{\"address\":\"0x%" PRIxPTR "\",\"module\":null}", address);
}

__attribute__((noinline)) void
own_record_leak(const char *kind, int bytes)
{
	void *stack[DEPTH_MAX];
	int depth = backtrace(stack, DEPTH_MAX);

	printf("{\"event\":\"leak\",\"site\":%d,\"kind\":\"%s\","
	    "\"bytes\":%d,\"blocks\":1,\"reclaimed_bytes\":0,"
	    "\"first_seen\":\"2026-01-31T12:00:00.456Z\",\"frames\":[",
	    site_count++, kind, bytes);
	/* The first is this function, as it would be the library's. */
	for (int i = 1; i < depth; i++) {
		print_frame((uintptr_t)stack[i]);
		if (i + 1 < depth)
			printf(",");
	}
	printf("]}\n");
	leaked_bytes += bytes;
}

void
own_record_end(void)
{
	printf("{\"event\":\"end\",\"exit_status\":3,\"leaked_bytes\":%d,"
	    "\"leaked_blocks\":%d,\"heap_bytes\":4096,\"cycles\":"
	    "{\"count\":1,\"barrier\":\"stop\"}}\n", leaked_bytes,
	    site_count);
}
