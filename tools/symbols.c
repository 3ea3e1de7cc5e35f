/*
 * symbols.c - which function, file and line an address in a file belongs to.
 *
 * One Dwfl for each module, opened at its first frame: a process may have had
 * two files at the same address one after the other, and modules without a
 * frame cost nothing.  The files are looked at where their headers put them,
 * so only offsets count here, no address of the process.
 *
 * Places are kept: the frames of main() and below are those of every leak.
 */
#include "symbols.h"
#include "cmd.h"
#include "record_reader.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of nested blocks and inlined calls; deeper ones are left out. */
#define SCOPES_MAX 128

/* In libstdc++; the header that declares it is C++. */
char *__cxa_demangle(const char *mangled, char *buffer, size_t *length,
    int *status);

/* Where some unit's code lies; Dwarf addresses, [low, high). */
struct range {
	Dwarf_Addr low;
	Dwarf_Addr high;
	Dwarf_Die unit;
};

/* A symbol of the file; Dwfl addresses. */
struct label {
	GElf_Addr address;
	GElf_Xword size;		/* 0: not known */
	const char *name;		/* the file's */
	bool is_local;
};

struct labels {
	struct label *list;
	size_t count;
	bool is_made;
};

struct known {
	uint64_t offset;
	struct place place;
};

struct symbols {
	Dwfl *dwfl;
	Dwfl_Module *module;		/* NULL: the file is of no use */
	GElf_Addr bias;			/* Dwfl address minus offset */
	Dwarf *dwarf;			/* NULL without debug information */
	Dwarf_Addr dwarf_bias;		/* Dwfl minus Dwarf address */

	struct range *ranges;		/* by low; made when first needed */
	size_t range_count;
	bool has_ranges;

	/* By address; made when first needed. */
	struct labels functions;
	struct labels objects;

	struct known **table;		/* open addressing, never full */
	size_t table_size;		/* a power of two */
	size_t known_count;
};

static char *debuginfo_path;		/* libdwfl's standard places */

static const Dwfl_Callbacks callbacks = {
	.find_elf = dwfl_build_id_find_elf,
	.find_debuginfo = dwfl_standard_find_debuginfo,
	.section_address = dwfl_offline_section_address,
	.debuginfo_path = &debuginfo_path,
};

Dwfl *
symbols_begin(void)
{
	/* Nothing is asked of a server: a report must not need a network. */
	unsetenv("DEBUGINFOD_URLS");
	return dwfl_begin(&callbacks);
}

/* ------------------------------------------------------------ opening */

static bool
has_build_id(Dwfl_Module *module, const char *expected)
{
	const unsigned char *bits;
	GElf_Addr address;
	int length = dwfl_module_build_id(module, &bits, &address);
	char digits[3];

	if (*expected == '\0')
		return true;
	if (length <= 0 || strlen(expected) != 2 * (size_t)length)
		return false;
	for (int i = 0; i < length; i++) {
		digits[0] = "0123456789abcdef"[bits[i] >> 4];
		digits[1] = "0123456789abcdef"[bits[i] & 15];
		if (strncasecmp(expected + 2 * i, digits, 2) != 0)
			return false;
	}
	return true;
}

/* The file as the only module of a new Dwfl, if it is the right one. */
static bool
open_file(struct symbols *symbols, const char *path, const char *build_id)
{
	struct stat file;
	Dwfl_Module *module;
	int fd;

	/* Not everything that was mapped is a file: devices may block. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) {
		close(fd);
		return false;
	}
	symbols->dwfl = symbols_begin();
	if (symbols->dwfl == NULL) {
		close(fd);
		return false;
	}
	/* The descriptor is the module's, but only if there is one. */
	module = dwfl_report_elf(symbols->dwfl, path, path, fd, 0, true);
	if (module == NULL)
		close(fd);
	dwfl_report_end(symbols->dwfl, NULL, NULL);
	if (module != NULL &&
	    dwfl_module_getelf(module, &symbols->bias) != NULL &&
	    has_build_id(module, build_id)) {
		symbols->module = module;
		return true;
	}
	dwfl_end(symbols->dwfl);
	symbols->dwfl = NULL;
	return false;
}

static struct symbols *
open_module(const struct module *module)
{
	struct symbols *symbols = cmd_alloc(sizeof(*symbols));
	const char *id = module->build_id;
	char *debug;

	symbols->table_size = 64;
	symbols->table = cmd_alloc(symbols->table_size *
	    sizeof(*symbols->table));
	if (!open_file(symbols, module->path, id) && strlen(id) > 2 &&
	    id[strspn(id, "0123456789abcdefABCDEF")] == '\0') {
		/* The file is gone; what describes it may still be there. */
		debug = cmd_printf("/usr/lib/debug/.build-id/%.2s/%s.debug",
		    id, id + 2);
		open_file(symbols, debug, id);
		free(debug);
	}
	if (symbols->module != NULL)
		symbols->dwarf = dwfl_module_getdwarf(symbols->module,
		    &symbols->dwarf_bias);
	return symbols;
}

/* -------------------------------------------------------------- units */

static int
compare_ranges(const void *left, const void *right)
{
	const struct range *a = left, *b = right;

	return (a->low > b->low) - (a->low < b->low);
}

/*
 * The table that .debug_aranges would be: clang and rustc write none, and
 * then libdw knows no unit of an address.
 */
static void
make_ranges(struct symbols *symbols)
{
	Dwarf_Addr base, low, high;
	Dwarf_CU *cu = NULL;
	ptrdiff_t at;
	size_t space = 0;
	Dwarf_Die unit, split;
	uint8_t type;

	symbols->has_ranges = true;
	while (dwarf_get_units(symbols->dwarf, cu, &cu, NULL, &type, &unit,
	    &split) == 0) {
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		at = 0;
		while ((at = dwarf_ranges(&unit, at, &base, &low,
		    &high)) > 0) {
			if (symbols->range_count == space) {
				space = space != 0 ? 2 * space : 256;
				symbols->ranges = cmd_realloc(symbols->ranges,
				    space * sizeof(*symbols->ranges));
			}
			symbols->ranges[symbols->range_count++] =
			    (struct range){ low, high, unit };
		}
	}
	if (symbols->range_count != 0)
		qsort(symbols->ranges, symbols->range_count,
		    sizeof(*symbols->ranges), compare_ranges);
}

/* The unit that holds a Dwarf address. */
static bool
find_unit(struct symbols *symbols, Dwarf_Addr address, Dwarf_Die *ret_unit)
{
	size_t low = 0, high, middle;
	Dwarf_Addr bias;
	Dwarf_Die *unit;

	unit = dwfl_module_addrdie(symbols->module,
	    address + symbols->dwarf_bias, &bias);
	if (unit != NULL) {
		*ret_unit = *unit;
		return true;
	}
	if (!symbols->has_ranges)
		make_ranges(symbols);
	high = symbols->range_count;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (symbols->ranges[middle].low <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || address >= symbols->ranges[low - 1].high)
		return false;
	*ret_unit = symbols->ranges[low - 1].unit;
	return true;
}

/* The die that has the unit's functions: with -gsplit-dwarf another file's. */
static Dwarf_Die
functions_of(const Dwarf_Die *unit)
{
	Dwarf_Die die, split;
	uint8_t type;

	if (dwarf_cu_info(unit->cu, NULL, &type, &die, &split, NULL, NULL,
	    NULL) == 0 && type == DW_UT_skeleton && split.addr != NULL)
		return split;
	return *unit;
}

/* ------------------------------------------------------------- labels */

/* Of several names for one address the exported one is the known one. */
static int
compare_labels(const void *left, const void *right)
{
	const struct label *a = left, *b = right;

	if (a->address != b->address)
		return (a->address > b->address) - (a->address < b->address);
	if (a->is_local != b->is_local)
		return b->is_local - a->is_local;
	return strcmp(b->name, a->name);
}

static bool
is_wanted(int type, bool objects)
{
	if (objects)
		return type == STT_OBJECT || type == STT_COMMON;
	return type == STT_FUNC || type == STT_GNU_IFUNC ||
	    type == STT_NOTYPE;
}

/*
 * libdwfl looks at every symbol for each address.  That is too slow for files
 * with a million of them, so they are sorted once.
 */
static void
make_labels(struct symbols *symbols, struct labels *labels)
{
	int count = dwfl_module_getsymtab(symbols->module);
	struct label *label;
	GElf_Addr address;
	GElf_Word section;
	const char *name;
	GElf_Sym symbol;

	labels->is_made = true;
	if (count <= 0)
		return;
	labels->list = cmd_alloc((size_t)count * sizeof(*label));
	for (int i = 1; i < count; i++) {
		name = dwfl_module_getsym_info(symbols->module, i, &symbol,
		    &address, &section, NULL, NULL);
		if (name == NULL || *name == '\0' || section == SHN_UNDEF ||
		    section == SHN_ABS || !is_wanted(
		    GELF_ST_TYPE(symbol.st_info), labels == &symbols->objects))
			continue;
		label = &labels->list[labels->count++];
		label->address = address;
		label->size = symbol.st_size;
		label->name = name;
		label->is_local = GELF_ST_BIND(symbol.st_info) == STB_LOCAL;
	}
	qsort(labels->list, labels->count, sizeof(*label), compare_labels);
}

/* The symbol that an offset lies in, or NULL. */
static const struct label *
find_label(struct symbols *symbols, struct labels *labels, uint64_t offset)
{
	GElf_Addr address = offset + symbols->bias;
	size_t low = 0, high, middle;
	const struct label *label;

	if (!labels->is_made)
		make_labels(symbols, labels);
	high = labels->count;
	while (low < high) {
		middle = low + (high - low) / 2;
		if (labels->list[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	/* Symbols nest, but not deeply: labels inside of a function. */
	for (size_t tries = 0; low > 0 && tries < 16; tries++) {
		label = &labels->list[--low];
		if (address - label->address < label->size)
			return label;
	}
	return NULL;
}

/* The name of the function that an offset lies in, or NULL. */
static const char *
find_function(struct symbols *symbols, uint64_t offset)
{
	const struct label *label = find_label(symbols, &symbols->functions,
	    offset);

	return label != NULL ? label->name : NULL;
}

/* ------------------------------------------------------------- naming */

static char *
demangle(const char *name)
{
	char *plain;
	int status;

	/* "i" would be "int": only what is marked as mangled. */
	if (name == NULL)
		return NULL;
	if (name[0] == '_' && name[1] == 'Z') {
		plain = __cxa_demangle(name, NULL, NULL, &status);
		if (plain != NULL)
			return plain;
	}
	return cmd_printf("%s", name);
}

/* C has no scopes and no overloads that only a mangled name could tell. */
static bool
is_c(Dwarf_Die *unit)
{
	switch (dwarf_srclang(unit)) {
	case DW_LANG_C:
	case DW_LANG_C89:
	case DW_LANG_C99:
	case DW_LANG_C11:
	case DW_LANG_Mips_Assembler:
		return true;
	default:
		return false;
	}
}

/* The mangled name where there is one: it has scope and parameters. */
static char *
function_name(Dwarf_Die *die, const char *label)
{
	Dwarf_Attribute attribute;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) !=
	    NULL || dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name,
	    &attribute) != NULL)
		name = dwarf_formstring(&attribute);
	if (name == NULL && label != NULL && label[0] == '_' &&
	    label[1] == 'Z')
		name = label;
	if (name == NULL)
		name = dwarf_diename(die);
	return demangle(name != NULL ? name : label);
}

static char *
file_name(Dwarf_Die *unit, const char *name)
{
	Dwarf_Attribute attribute;
	const char *directory;

	if (name == NULL)
		return NULL;
	directory = dwarf_formstring(dwarf_attr(unit, DW_AT_comp_dir,
	    &attribute));
	if (name[0] == '/' || directory == NULL || directory[0] != '/')
		return cmd_printf("%s", name);
	while (strncmp(name, "./", 2) == 0)
		name += 2;
	return cmd_printf("%s/%s", directory, name);
}

static int
number_attribute(Dwarf_Die *die, unsigned int name)
{
	Dwarf_Attribute attribute;
	Dwarf_Word number;

	if (dwarf_formudata(dwarf_attr(die, name, &attribute), &number) != 0 ||
	    number > INT32_MAX)
		return 0;
	return (int)number;
}

static struct location *
add_location(struct place *place)
{
	struct location *last;

	place->locations = cmd_realloc(place->locations,
	    (place->count + 1) * sizeof(*place->locations));
	last = &place->locations[place->count++];
	memset(last, 0, sizeof(*last));
	return last;
}

/*
 * The dies around an address, outermost first.  libdw's dwarf_getscopes()
 * would also do, but fails where an inlined function comes from another unit,
 * as it does with link-time optimisation.
 *
 * A function's code lies within its die's, but for nested functions of C and
 * Ada: all_functions looks into the others as well.
 */
static int
find_scopes(Dwarf_Die *die, Dwarf_Addr address, bool all_functions,
    Dwarf_Die *scopes, int used)
{
	Dwarf_Die child;
	int found;

	if (used == SCOPES_MAX || dwarf_child(die, &child) != 0)
		return used;
	do {
		switch (dwarf_tag(&child)) {
		case DW_TAG_subprogram:
		case DW_TAG_inlined_subroutine:
		case DW_TAG_lexical_block:
		case DW_TAG_try_block:
		case DW_TAG_catch_block:
			if (dwarf_haspc(&child, address) > 0) {
				scopes[used] = child;
				return find_scopes(&child, address,
				    all_functions, scopes, used + 1);
			}
			if (!all_functions)
				break;
			/* fallthrough */
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_union_type:
			found = find_scopes(&child, address, all_functions,
			    scopes, used);
			if (found != used)
				return found;
			break;
		}
	} while (dwarf_siblingof(&child, &child) == 0);
	return used;
}

/* Where the call stood that was inlined as die. */
static void
set_call(struct location *location, Dwarf_Die *unit, Dwarf_Die *die)
{
	int file = number_attribute(die, DW_AT_call_file);
	Dwarf_Files *files;
	size_t count;

	location->line = number_attribute(die, DW_AT_call_line);
	if (dwarf_getsrcfiles(unit, &files, &count) == 0 &&
	    (size_t)file < count)
		location->file = file_name(unit,
		    dwarf_filesrc(files, (size_t)file, NULL, NULL));
}

/*
 * From the innermost scope outwards: each inlined call is a location of its
 * own, and says where in the next one it stood.
 */
static void
add_scopes(struct symbols *symbols, struct place *place, uint64_t offset,
    Dwarf_Die *unit, Dwarf_Die *scopes, int count)
{
	struct location *location = &place->locations[place->count - 1];
	const char *label;
	int tag;

	for (int i = count - 1; i >= 0; i--) {
		tag = dwarf_tag(&scopes[i]);
		if (tag == DW_TAG_subprogram) {
			label = is_c(unit) ? NULL :
			    find_function(symbols, offset);
			location->function = function_name(&scopes[i], label);
			break;
		}
		if (tag != DW_TAG_inlined_subroutine)
			continue;
		location->function = function_name(&scopes[i], NULL);
		location->is_inlined = true;
		location = add_location(place);
		set_call(location, unit, &scopes[i]);
	}
	/* Without a function around it the symbol is what there is. */
	if (location->function == NULL)
		location->function = demangle(find_function(symbols, offset));
}

static void
describe(struct symbols *symbols, uint64_t offset, struct place *place)
{
	struct location *location = add_location(place);
	Dwarf_Die unit, functions, scopes[SCOPES_MAX];
	Dwarf_Addr address;
	Dwarf_Line *line;
	int count;

	if (symbols->module == NULL)
		return;
	address = offset + symbols->bias - symbols->dwarf_bias;
	if (symbols->dwarf == NULL || !find_unit(symbols, address, &unit)) {
		location->function = demangle(find_function(symbols, offset));
		return;
	}

	line = dwarf_getsrc_die(&unit, address);
	if (line != NULL) {
		dwarf_lineno(line, &location->line);
		location->file = file_name(&unit,
		    dwarf_linesrc(line, NULL, NULL));
	}

	functions = functions_of(&unit);
	count = find_scopes(&functions, address, false, scopes, 0);
	if (count == 0)
		count = find_scopes(&functions, address, true, scopes, 0);
	add_scopes(symbols, place, offset, &unit, scopes, count);
}

/* ------------------------------------------------------------ keeping */

static size_t
slot_of(const struct symbols *symbols, uint64_t offset)
{
	size_t slot = (size_t)(offset * 0x9e3779b97f4a7c15ULL >> 32);

	for (;; slot++) {
		slot &= symbols->table_size - 1;
		if (symbols->table[slot] == NULL ||
		    symbols->table[slot]->offset == offset)
			return slot;
	}
}

static void
grow(struct symbols *symbols)
{
	struct known **old = symbols->table;
	size_t old_size = symbols->table_size;

	symbols->table_size *= 2;
	symbols->table = cmd_alloc(symbols->table_size *
	    sizeof(*symbols->table));
	for (size_t i = 0; i < old_size; i++)
		if (old[i] != NULL)
			symbols->table[slot_of(symbols, old[i]->offset)] =
			    old[i];
	free(old);
}

const struct place *
symbols_find(struct frame *frame)
{
	static struct location unknown;
	static const struct place nowhere = { &unknown, 1 };
	struct symbols *symbols;
	struct known *known;
	size_t slot;

	if (frame->module == NULL)
		return &nowhere;
	if (frame->module->symbols == NULL)
		frame->module->symbols = open_module(frame->module);
	symbols = frame->module->symbols;
	slot = slot_of(symbols, frame->offset);
	if (symbols->table[slot] != NULL)
		return &symbols->table[slot]->place;

	if (2 * symbols->known_count >= symbols->table_size) {
		grow(symbols);
		slot = slot_of(symbols, frame->offset);
	}
	known = symbols->table[slot] = cmd_alloc(sizeof(*known));
	known->offset = frame->offset;
	symbols->known_count++;
	describe(symbols, frame->offset, &known->place);
	/* The process itself may have known more than the file tells. */
	if (known->place.count == 1 &&
	    known->place.locations[0].function == NULL)
		known->place.locations[0].function = demangle(frame->symbol);
	return &known->place;
}

bool
symbols_is_same_file(const struct module *module)
{
	struct symbols symbols = { 0 };
	bool result = open_file(&symbols, module->path, module->build_id);

	if (result)
		dwfl_end(symbols.dwfl);
	return result;
}

char *
symbols_object(struct module *module, uint64_t offset, uint64_t *ret_into)
{
	const struct label *label;

	if (module->symbols == NULL)
		module->symbols = open_module(module);
	if (module->symbols->module == NULL)
		return NULL;
	label = find_label(module->symbols, &module->symbols->objects, offset);
	if (label == NULL)
		return NULL;
	*ret_into = offset + module->symbols->bias - label->address;
	return demangle(label->name);
}

void
symbols_destroy(struct symbols *symbols)
{
	if (symbols == NULL)
		return;
	for (size_t i = 0; i < symbols->table_size; i++) {
		struct known *known = symbols->table[i];

		if (known == NULL)
			continue;
		for (size_t j = 0; j < known->place.count; j++) {
			free(known->place.locations[j].function);
			free(known->place.locations[j].file);
		}
		free(known->place.locations);
		free(known);
	}
	free(symbols->table);
	free(symbols->ranges);
	free(symbols->functions.list);
	free(symbols->objects.list);
	dwfl_end(symbols->dwfl);
	free(symbols);
}
