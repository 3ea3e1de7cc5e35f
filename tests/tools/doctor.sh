#!/bin/sh
# bilge doctor: what can run, what cannot, and the reason.
set -eu
. "$TOP_SRCDIR/tests/tools/common.sh"

# cannot PATTERN PROGRAM
cannot()
{
	expect 1 "$BILGE" doctor "$2"
	has "cannot run under bilge: .*$1"
	is_empty err
}

expect 0 "$BILGE" doctor "$fixtures/stack"
has 'stack: can run under bilge$'
has "library: $PRELOAD_LIB\$"
has '^  kernel: Linux '
has '^  userfaultfd barrier: '
has '^  unwinder: '
expect 0 "$BILGE" doctor sh
has '/sh: can run under bilge$'
expect 127 "$BILGE" doctor ./missing
one_line err
: >plain
expect 126 "$BILGE" doctor ./plain
one_line err
chmod +x plain
cannot 'no program' ./plain

# Scripts are judged by what runs them.
printf '#!%s\n' "$fixtures/stack" >script
printf '#!/usr/bin/env -S sh -e\n' >by_env
printf '#!/no/such/interpreter\n' >orphan
chmod +x script by_env orphan
expect 0 "$BILGE" doctor ./script
has "a script; $fixtures/stack runs it"
expect 0 "$BILGE" doctor ./by_env
has 'a script; .*/sh runs it'
cannot 'interpreter /no/such/interpreter is missing' ./orphan

# Programs in which the library would not be loaded, or would do nothing.
echo 'int main(void) { return 0; }' >plain.c
$CC -static -o static plain.c
cannot 'statically linked' ./static
$CC -static-pie -o static_pie plain.c
cannot 'statically linked' ./static_pie

cat >allocator.c <<'END'
#include <stddef.h>
void *malloc(size_t size) { (void)size; return NULL; }
void free(void *block) { (void)block; }
int main(void) { return 0; }
END
$CC -fno-builtin -o allocator allocator.c
cannot 'its own malloc' ./allocator

echo 'void __asan_init(void); void __asan_init(void) { }
int main(void) { return 0; }' >sanitized.c
$CC -o sanitized sanitized.c
cannot 'sanitizer runtime' ./sanitized

# Libraries: one that is missing, a sanitizer's.
echo 'int part(void); int part(void) { return 0; }' >part.c
echo 'int part(void); int main(void) { return part(); }' >user.c
$CC -shared -fPIC -Wl,-soname,libpart.so -o libpart.so part.c
$CC -o user user.c -L. -lpart
cannot 'library libpart.so is missing' ./user
expect 0 env LD_LIBRARY_PATH="$PWD" "$BILGE" doctor ./user
$CC -shared -fPIC -Wl,-soname,liblsan.so.9 -o liblsan.so.9 part.c
$CC -o lsan_user user.c ./liblsan.so.9 -Wl,-rpath,"$PWD"
cannot 'sanitizer runtime (liblsan.so.9)' ./lsan_user

# Other machines: the header decides.
cp "$fixtures/stack" other
printf '\267' | dd of=other bs=1 seek=18 conv=notrunc status=none
cannot 'another machine' ./other
cp "$fixtures/stack" small
printf '\001' | dd of=small bs=1 seek=4 conv=notrunc status=none
cannot '32-bit' ./small

# The barrier: under a filter that would end the command it is not even tried.
cat >filter.c <<'END'
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_userfaultfd, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = { sizeof code / sizeof *code, code };

	(void)argc;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
		return 3;
	execv(argv[1], argv + 1);
	return 4;
}
END
$CC -o filter filter.c
expect 0 ./filter "$BILGE" doctor ./filter
has '^  userfaultfd barrier: no, a filter of system calls is set$'
# And so the library sees it.
expect 0 "$BILGE" run -s INTERVAL=10s --record=unfiltered /bin/true
expect 0 ./filter "$BILGE" run -s INTERVAL=10s --record=filtered /bin/true
has '"event":"start".*"barrier":"mprotect"' filtered
expect 0 "$BILGE" doctor /bin/true
if grep -q '^  userfaultfd barrier: yes$' out; then
	has '"event":"start".*"barrier":"uffd"' unfiltered
else
	hasnt '"event":"start".*"barrier":"uffd"' unfiltered
fi

finish
