#!/bin/bash
# compilers.sh - gcc, g++ and make: driver, compiler, assembler, linker; then
# what they made: threads, templates, exceptions.
. "$(dirname "$0")/harness.sh"

prepare()
{
	cat >threads.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct item { struct item *next; size_t size; } *shared;
static void *work(void *seed)
{
	unsigned x = (unsigned)(size_t)seed;
	for (int i = 0; i < 20000; i++) {
		x = x * 1103515245u + 12345u;
		size_t size = sizeof(struct item) + (x >> 16) % 2000;
		struct item *mine = malloc(size), *other;
		memset(mine, 0x55, size);
		mine->size = size;
		pthread_mutex_lock(&lock);
		other = x & 0x10000 ? shared : 0;
		if (other)
			shared = other->next;
		mine->next = shared;
		shared = mine;
		pthread_mutex_unlock(&lock);
		free(other);
	}
	return seed;
}
int main(void)
{
	pthread_t t[8];
	size_t n = 0, sum = 0;
	for (size_t i = 0; i < 8; i++)
		pthread_create(&t[i], 0, work, (void *)(i + 1));
	for (size_t i = 0; i < 8; i++) {
		void *seed;
		pthread_join(t[i], &seed);
		sum += (size_t)seed;
	}
	while (shared) {
		struct item *i = shared;
		shared = i->next;
		n += i->size > 0;
		free(i);
	}
	printf("%zu threads' seeds, list %s\n", sum, n ? "walked" : "empty");
	return 3;
}
END
	cat >templates.cc <<'END'
#include <algorithm>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>
template <int N> struct fib { static constexpr long v = fib<N - 1>::v + fib<N - 2>::v; };
template <> struct fib<1> { static constexpr long v = 1; };
template <> struct fib<0> { static constexpr long v = 0; };
struct alignas(128) wide { char c[200]; };
struct node { std::shared_ptr<node> next; std::weak_ptr<node> back; std::string name; };
int main()
{
	std::map<std::string, std::vector<int>> m;
	for (int i = 0; i < 20000; i++)
		m["key " + std::to_string(i % 313)].push_back(i);
	std::unordered_map<long, std::unique_ptr<wide>> u;
	for (int i = 0; i < 2000; i++)
		u[i] = std::make_unique<wide>();
	bool aligned = std::all_of(u.begin(), u.end(), [](auto &p) {
		return reinterpret_cast<size_t>(p.second.get()) % 128 == 0; });
	std::vector<std::future<size_t>> f;
	for (int i = 0; i < 4; i++)
		f.push_back(std::async(std::launch::async, [i, &m] {
			std::ostringstream o;
			for (auto &[k, v] : m)
				o << k << v.size() + i;
			return std::hash<std::string>()(o.str()) % 1000; }));
	size_t h = 0;
	for (auto &x : f)
		h += x.get();
	int caught = 0;
	for (int i = 0; i < 5000; i++)
		try {
			if (i % 3 == 0)
				throw std::runtime_error("number " + std::to_string(i));
			(void)std::vector<int>().at(1);
		} catch (const std::out_of_range &) {
			caught += 1;
		} catch (const std::exception &e) {
			caught += 1000 * (e.what()[0] == 'n');
		}
	try {
		std::vector<char> v(size_t(1) << 62);
	} catch (const std::bad_alloc &) {
		std::cout << "bad_alloc\n";
	}
	auto a = std::make_shared<node>(), b = std::make_shared<node>();
	a->next = b, b->back = a, b->name = std::string(100, 'x');
	std::variant<int, std::string> var = std::string("a variant that is long");
	std::cout << fib<60>::v << ' ' << aligned << ' ' << h << ' ' << caught << ' '
		<< std::regex_replace("a1b22", std::regex("[0-9]+"), "<$&>") << ' '
		<< std::get<1>(var) << ' ' << b->back.lock()->next->name.size() << '\n';
	std::thread([] { thread_local std::string s(1000, 't'); std::cout << s.size() << '\n'; }).join();
}
END
	printf 'int f(int x) { return x + ; }\nint g(void) { return y; }\n' >broken.c
	printf '#include <vector>\nstd::vector<int> v = "no";\n' >broken.cc
	cat >project.mk <<'END'
names := $(shell seq 1 25)
objects := $(names:%=m%.o)
sorted = $(sort $(foreach n,$(names),x$(n)))
define rule
m$(1).c: ; @echo 'int f$(1)(int x) { return x * $(1); }' >$$@
endef
all: lib.a sub; @echo $(words $(sorted)) $(lastword $(sorted)) done
$(foreach n,$(names),$(eval $(call rule,$(n))))
lib.a: $(objects); ar rcD $@ $^; nm $@ | grep -c ' T '
%.o: %.c; @gcc -O1 -c $<
.PHONY: sub fails
sub: ; $(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) leaf N=7
leaf: ; @echo leaf $(N) $(MAKELEVEL)
fails: ; @exit 5
END
	cp threads.c pch.c
}

c_program()
{
	cp "$input/threads.c" .
	gcc -O2 -g -pthread -Wall threads.c -o threads
	status ./threads
	gcc -S -O3 -fverbose-asm threads.c -o - | cksum
	gcc -E -dM - </dev/null | wc -l
	gcc -c -save-temps -ffunction-sections threads.c
	gcc -shared -fPIC -O1 -Wl,-Map=map threads.c -o lib.so
	objdump -d --no-show-raw-insn lib.so | cksum
	readelf -aW threads | cksum; nm -S --size-sort threads | tail -n 3
	strip -o stripped threads; objcopy -O binary -j .text threads text
	addr2line -e threads -f -i "$(nm threads | awk '/ main$/ { print $1 }')"
	ld -r -o both.o threads.o; size both.o; ar rcsD a.a both.o threads.o
	status gcc -c "$input/broken.c"
	status gcc threads.o -o x -lnosuchlibrary
	rm -f map
}

cxx_program()
{
	cp "$input/templates.cc" .
	g++ -std=c++17 -O1 -pthread templates.cc -o templates
	status ./templates
	status g++ -c "$input/broken.cc"
	gcc -flto -O2 -frandom-seed=1 "$input/threads.c" -o lto -pthread
	status ./lto; rm -f lto
}

making()
{
	make -f "$input/project.mk" -j2 -O | sort
	status make -f "$input/project.mk" -q; touch m3.c; make -f "$input/project.mk" lib.a
	status make -f "$input/project.mk" fails
	status make -k -f "$input/project.mk" nosuchtarget
	make -n -B -f "$input/project.mk" lib.a | cksum
	make -p -f "$input/project.mk" -q 2>/dev/null | grep -c '^m[0-9]*.c:'
}

compare c_program '.*-gcc-[0-9]+' cc1 '.*-as' '.*-ld.*' collect2 threads \
	'.*-objdump' '.*-readelf'
compare cxx_program '.*-g\+\+-[0-9]+' cc1plus templates lto1
compare making make '.*-ar'
finish
