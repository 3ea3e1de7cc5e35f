/*
 * program.c - the file behind a command's name.
 *
 * The obstacles here are those in which the library is not loaded and so
 * cannot speak for itself.  What it finds out in the process is in doctor.c.
 */
#include "program.h"
#include "cmd.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define SCRIPTS_MAX 5		/* nested: BINPRM_MAX_RECURSION of the kernel */

/* Of glibc's execvp() without PATH. */
#define PATH_STANDARD "/bin:/usr/bin"

static bool
is_executable(const char *path)
{
	struct stat file;

	if (stat(path, &file) != 0)
		return false;
	if (!S_ISREG(file.st_mode)) {
		errno = EACCES;
		return false;
	}
	return access(path, X_OK) == 0;
}

char *
program_find(const char *name)
{
	const char *list = getenv("PATH");
	int error = ENOENT;
	size_t length;
	char *path;

	if (strchr(name, '/') != NULL)
		return is_executable(name) ? cmd_printf("%s", name) : NULL;
	if (list == NULL)
		list = PATH_STANDARD;
	for (; *name != '\0'; list += length + 1) {
		length = strcspn(list, ":");
		path = cmd_printf("%.*s%s%s", (int)length, list,
		    length != 0 ? "/" : "", name);
		if (is_executable(path))
			return path;
		if (errno == EACCES)
			error = EACCES;
		free(path);
		if (list[length] == '\0')
			break;
	}
	errno = error;
	return NULL;
}

/*
 * Does the kernel call this execution secure, as it tells the loader by
 * AT_SECURE?  For root file capabilities add nothing.
 */
static const char *
privileges(const char *path)
{
	struct stat file;

	if (stat(path, &file) != 0)
		return NULL;
	if ((file.st_mode & S_ISUID) != 0 && file.st_uid != getuid())
		return "it is set-user-ID: the loader preloads nothing";
	if ((file.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
	    file.st_gid != getgid())
		return "it is set-group-ID: the loader preloads nothing";
	if (getuid() != 0 &&
	    getxattr(path, "security.capability", NULL, 0) > 0)
		return "it has file capabilities: the loader preloads nothing";
	return NULL;
}

static void
read_elf(Elf *elf, struct program *program)
{
	GElf_Ehdr header;
	GElf_Phdr segment;
	size_t count;
	char *image;
	size_t size;

	if (gelf_getehdr(elf, &header) == NULL)
		return;
	if (header.e_ident[EI_CLASS] == ELFCLASS32) {
		program->obstacle = "it is a 32-bit program";
		return;
	}
	if (header.e_machine != EM_X86_64) {
		program->obstacle = "it is for another machine";
		return;
	}

	image = elf_rawfile(elf, &size);
	if (elf_getphdrnum(elf, &count) != 0)
		count = 0;
	for (size_t i = 0; i < count; i++) {
		if (gelf_getphdr(elf, (int)i, &segment) == NULL ||
		    segment.p_type != PT_INTERP || image == NULL ||
		    segment.p_offset > size ||
		    segment.p_filesz > size - segment.p_offset ||
		    segment.p_filesz > PATH_MAX)
			continue;
		program->interpreter = cmd_printf("%.*s",
		    (int)segment.p_filesz, image + segment.p_offset);
	}
	if (program->interpreter == NULL)
		program->obstacle = "it is statically linked";
	if (program->interpreter != NULL &&
	    strstr(program->interpreter, "ld-musl") != NULL) {
		/* Its loader gives up on a library made for glibc. */
		program->obstacle = "it uses musl, not glibc";
		program->breaks = true;
	}
	if (program->obstacle == NULL)
		program->obstacle = privileges(program->path);
}

/*
 * The program that a first line "#!path argument" names; env is only a way to
 * search PATH.  NULL when this is no script.
 */
static char *
script_interpreter(int fd)
{
	char line[PATH_MAX];
	ssize_t length = pread(fd, line, sizeof(line) - 1, 0);
	char *next, *path, *slash, *word;

	if (length < 2 || line[0] != '#' || line[1] != '!')
		return NULL;
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	path = strtok_r(line + 2, " \t", &next);
	if (path == NULL)
		return NULL;
	slash = strrchr(path, '/');
	if (slash != NULL && strcmp(slash, "/env") == 0) {
		do {
			word = strtok_r(NULL, " \t", &next);
		} while (word != NULL &&
		    (word[0] == '-' || strchr(word, '=') != NULL));
		if (word != NULL)
			return program_find(word);
	}
	return cmd_printf("%s", path);
}

void
program_examine(const char *path, struct program *ret_program)
{
	struct program program = { .path = cmd_printf("%s", path) };
	char *interpreter;
	Elf *elf;
	int fd;

	elf_version(EV_CURRENT);
	for (int depth = 0; depth < SCRIPTS_MAX; depth++) {
		fd = open(program.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0)
			break;
		interpreter = script_interpreter(fd);
		if (interpreter == NULL) {
			elf = elf_begin(fd, ELF_C_READ_MMAP, NULL);
			if (elf != NULL && elf_kind(elf) == ELF_K_ELF)
				read_elf(elf, &program);
			elf_end(elf);
			close(fd);
			break;
		}
		close(fd);
		if (program.script == NULL)
			program.script = program.path;
		else
			free(program.path);
		program.path = interpreter;
	}
	*ret_program = program;
}

void
program_fini(struct program *program)
{
	free(program->path);
	free(program->script);
	free(program->interpreter);
}
