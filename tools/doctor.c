/*
 * doctor.c - bilge doctor: can this program run under bilge, and why not?
 *
 * Three looks, each only if the one before found nothing against it: at the
 * headers (program.c), at the symbols of the file, and at what the loader
 * would map.  The loader only lists: nothing of the program is executed.
 */
#include "cmd.h"
#include "kernel.h"
#include "library.h"
#include "program.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <getopt.h>
#include <libelf.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNWINDER "libunwind.so.8"

/* The loader that lists on request; those of other libcs may run instead. */
#define LOADER "ld-linux-x86-64.so.2"

static const char *const sanitizer_symbols[] = {
	"__asan_init", "__hwasan_init", "__lsan_init", "__msan_init",
	"__tsan_init", NULL
};

static const char *const sanitizer_libraries[] = {
	"libasan.so", "libhwasan.so", "liblsan.so", "libtsan.so",
	"libclang_rt.asan", "libclang_rt.hwasan", "libclang_rt.lsan",
	"libclang_rt.tsan", NULL
};

static const char *const allocators[] = {
	"libjemalloc.so", "libtcmalloc", "libmimalloc.so", "libsnmalloc",
	"libgc.so", NULL
};

struct findings {
	char *obstacle;			/* NULL: it can run */
	FILE *notes;			/* lines for after the verdict */
};

static void
object(struct findings *findings, char *obstacle)
{
	if (findings->obstacle == NULL)
		findings->obstacle = obstacle;
	else
		free(obstacle);
}

static const char *
find_prefix(const char *const *prefixes, const char *name)
{
	for (; *prefixes != NULL; prefixes++)
		if (strncmp(name, *prefixes, strlen(*prefixes)) == 0)
			return *prefixes;
	return NULL;
}

/* ------------------------------------------------------------ symbols */

static void
judge_symbol(struct findings *findings, const char *name)
{
	if (strcmp(name, "malloc") == 0 || strcmp(name, "free") == 0)
		object(findings, cmd_printf("it carries its own malloc"));
	for (const char *const *init = sanitizer_symbols; *init != NULL;
	    init++)
		if (strcmp(name, *init) == 0)
			object(findings, cmd_printf("it holds a sanitizer "
			    "runtime (%s)", name));
}

static void
judge_symbols(struct findings *findings, Elf *elf, Elf_Scn *section,
    const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t count = header->sh_entsize != 0 ?
	    header->sh_size / header->sh_entsize : 0;
	const char *name;
	GElf_Sym symbol;

	for (size_t i = 0; data != NULL && i < count; i++) {
		/* Defined, and visible to others: those replace libc's. */
		if (gelf_getsym(data, (int)i, &symbol) == NULL ||
		    symbol.st_shndx == SHN_UNDEF ||
		    GELF_ST_BIND(symbol.st_info) == STB_LOCAL)
			continue;
		name = elf_strptr(elf, header->sh_link, symbol.st_name);
		if (name != NULL)
			judge_symbol(findings, name);
	}
}

static void
judge_file(struct findings *findings, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	Elf_Scn *section = NULL;
	const char *name;
	GElf_Shdr header;
	size_t names;

	if (elf != NULL && elf_getshdrstrndx(elf, &names) == 0) {
		while ((section = elf_nextscn(elf, section)) != NULL) {
			if (gelf_getshdr(section, &header) == NULL)
				continue;
			if (header.sh_type == SHT_DYNSYM ||
			    header.sh_type == SHT_SYMTAB)
				judge_symbols(findings, elf, section, &header);
			name = elf_strptr(elf, names, header.sh_name);
			if (name != NULL && strcmp(name, ".gopclntab") == 0)
				fputs("  note: a Go program; only what its C "
				    "code allocates is seen\n",
				    findings->notes);
		}
	}
	elf_end(elf);
	if (fd >= 0)
		close(fd);
}

/* ---------------------------------------------------------- libraries */

/* The environment with our library preloaded, as bilge run would have it. */
static char **
loader_environment(const char *library)
{
	size_t count = 0, used = 0;
	char **environment;

	library_preload(library);
	while (environ[count] != NULL)
		count++;
	environment = cmd_alloc((count + 2) * sizeof(*environment));
	environment[used++] = (char *)"LD_TRACE_LOADED_OBJECTS=1";
	/* Loaders are told much by LD_: keep only what chooses libraries. */
	for (size_t i = 0; i < count; i++)
		if (strncmp(environ[i], "LD_", 3) != 0 ||
		    strncmp(environ[i], "LD_PRELOAD=", 11) == 0 ||
		    strncmp(environ[i], "LD_LIBRARY_PATH=", 16) == 0)
			environment[used++] = environ[i];
	return environment;
}

/* Start the loader; its answer, or NULL. */
static FILE *
ask_loader(const struct program *program, const char *library,
    pid_t *ret_pid)
{
	char *argv[] = {
		program->interpreter, program->path, NULL
	};
	char **environment = loader_environment(library);
	posix_spawn_file_actions_t actions;
	int channel[2];
	int error;

	if (pipe2(channel, O_CLOEXEC) != 0)
		cmd_die(STATUS_FAILED, "pipe: %m");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, channel[1], 1);
	posix_spawn_file_actions_adddup2(&actions, channel[1], 2);
	error = posix_spawn(ret_pid, argv[0], &actions, NULL, argv,
	    environment);
	posix_spawn_file_actions_destroy(&actions);
	free(environment);
	close(channel[1]);
	if (error != 0) {
		close(channel[0]);
		return NULL;
	}
	return fdopen(channel[0], "r");
}

/* A line "\tNAME => PATH (ADDRESS)" or "\tNAME (ADDRESS)". */
static void
judge_library(struct findings *findings, char *line)
{
	char *arrow = strstr(line, " => ");
	char *name, *slash;

	line[strcspn(line, "\n")] = '\0';
	if (line[0] != '\t') {
		/* A complaint, such as a version that libc does not have. */
		object(findings, cmd_printf("the loader says: %s", line));
		return;
	}
	name = strtok(line + 1, " ");
	if (name == NULL)
		return;
	if (arrow != NULL && strcmp(arrow + 4, "not found") == 0)
		object(findings, cmd_printf("its library %s is missing",
		    name));
	slash = strrchr(name, '/');
	if (slash != NULL)
		name = slash + 1;
	if (find_prefix(sanitizer_libraries, name) != NULL)
		object(findings, cmd_printf("it holds a sanitizer runtime "
		    "(%s)", name));
	if (find_prefix(allocators, name) != NULL)
		fprintf(findings->notes, "  note: it uses %s; bilge's malloc "
		    "comes before that one's, but what it allocates by other "
		    "names is not seen\n", name);
}

static void
judge_libraries(struct findings *findings, const struct program *program,
    const char *library)
{
	char *line = NULL;
	size_t space = 0;
	FILE *answer;
	int status;
	pid_t pid;

	if (access(program->interpreter, X_OK) != 0) {
		object(findings, cmd_printf("its loader %s is missing",
		    program->interpreter));
		return;
	}
	if (strstr(program->interpreter, LOADER) == NULL) {
		object(findings, cmd_printf("its loader %s is not glibc's",
		    program->interpreter));
		return;
	}
	answer = ask_loader(program, library, &pid);
	if (answer == NULL) {
		object(findings, cmd_printf("its loader %s does not run",
		    program->interpreter));
		return;
	}
	while (getline(&line, &space, answer) > 0)
		judge_library(findings, line);
	free(line);
	fclose(answer);
	if (waitpid(pid, &status, 0) == pid && status != 0)
		object(findings, cmd_printf("its loader cannot load it"));
}

/* -------------------------------------------------------------- verdict */

static void
print_host(const char *library)
{
	void *unwinder = dlopen(UNWINDER, RTLD_NOW | RTLD_LOCAL);
	struct utsname kernel;

	printf("  library: %s\n", library != NULL ? library : "missing");
	printf("  unwinder: %s\n", unwinder != NULL ? UNWINDER :
	    UNWINDER " is missing: no call stacks");
	if (unwinder != NULL)
		dlclose(unwinder);
	if (uname(&kernel) == 0)
		printf("  kernel: %s %s\n", kernel.sysname, kernel.release);
	printf("  userfaultfd barrier: %s\n", kernel_barrier());
}

static const char help[] =
"Usage: bilge doctor PROGRAM\n"
"Say whether the program can run under bilge, and if not, why.  Nothing of it\n"
"is executed.\n"
"\n"
"  --help      this text\n"
"  --version   the version\n"
"\n"
"Status: 0 it can, 1 it cannot, 126 it cannot be executed at all, 127 it was\n"
"not found, 2 wrong usage.\n";

static int
examine(const char *path)
{
	char *library = library_find();
	struct program program;
	struct findings findings = { 0 };
	char *notes;
	size_t length;
	int status;

	findings.notes = open_memstream(&notes, &length);
	if (findings.notes == NULL)
		cmd_die(STATUS_FAILED, "out of memory");

	program_examine(path, &program);
	if (program.obstacle != NULL)
		object(&findings, cmd_printf("%s", program.obstacle));
	else if (access(program.path, F_OK) != 0)
		object(&findings, cmd_printf("its interpreter %s is missing",
		    program.path));
	else if (program.interpreter == NULL)
		object(&findings, cmd_printf("it is no program in ELF"));
	if (library == NULL)
		object(&findings, cmd_printf("libbilge.so is missing"));
	if (findings.obstacle == NULL)
		judge_file(&findings, program.path);
	if (findings.obstacle == NULL)
		judge_libraries(&findings, &program, library);
	fclose(findings.notes);

	if (findings.obstacle == NULL)
		printf("%s: can run under bilge\n", path);
	else
		printf("%s: cannot run under bilge: %s\n", path,
		    findings.obstacle);
	if (program.script != NULL)
		printf("  note: a script; %s runs it\n", program.path);
	fputs(notes, stdout);
	print_host(library);

	status = findings.obstacle == NULL ? STATUS_OK : STATUS_NO;
	free(findings.obstacle);
	free(notes);
	free(library);
	program_fini(&program);
	return status;
}

int
doctor_main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int option, status;
	char *path;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		cmd_common_option(option, help);
	if (argc - optind != 1)
		cmd_die(STATUS_USAGE, "doctor takes one program");

	path = program_find(argv[optind]);
	if (path == NULL)
		cmd_die(errno == ENOENT ? STATUS_NOT_FOUND :
		    STATUS_NOT_EXECUTABLE, "%s: %m", argv[optind]);
	status = examine(path);
	free(path);
	if (fflush(stdout) != 0)
		cmd_die(STATUS_FAILED, "cannot write: %m");
	return status;
}
