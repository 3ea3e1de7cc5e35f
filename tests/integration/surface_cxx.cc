/*
 * surface_cxx.cc - operator new and delete in all their forms, and C++
 * programs as they are: exceptions, threads, containers.
 */
#include <cstddef>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "victim.h"

static bool
is_aligned(const void *block, size_t alignment)
{
	return reinterpret_cast<uintptr_t>(block) % alignment == 0;
}

static int
forms(const char *)
{
	for (size_t size : { 0, 1, 8, 24, 100, 1000, 5000, 100000, 5000000 }) {
		void *block = ::operator new(size);

		CHECK(block != nullptr && is_aligned(block, 16));
		memset(block, 1, size);
		::operator delete(block);
		block = ::operator new[](size);
		CHECK(block != nullptr && is_aligned(block, 16));
		::operator delete[](block);

		block = ::operator new(size, std::nothrow);
		CHECK(block != nullptr);
		::operator delete(block, std::nothrow);
		block = ::operator new[](size, std::nothrow);
		CHECK(block != nullptr);
		::operator delete[](block, std::nothrow);

		block = ::operator new(size);
		::operator delete(block, size);
		block = ::operator new[](size);
		::operator delete[](block, size);
	}
	::operator delete(nullptr);
	::operator delete[](nullptr);
	return 0;
}

static int
aligned_forms(const char *)
{
	for (size_t alignment = 8; alignment <= 1 << 16; alignment *= 2) {
		std::align_val_t a{alignment};
		size_t size = 3 * alignment;
		void *block = ::operator new(size, a);

		CHECK(block != nullptr && is_aligned(block, alignment));
		memset(block, 1, size);
		::operator delete(block, a);
		block = ::operator new[](size, a);
		CHECK(is_aligned(block, alignment));
		::operator delete[](block, a);

		block = ::operator new(size, a, std::nothrow);
		CHECK(is_aligned(block, alignment));
		::operator delete(block, a, std::nothrow);
		block = ::operator new[](size, a, std::nothrow);
		CHECK(is_aligned(block, alignment));
		::operator delete[](block, a, std::nothrow);

		block = ::operator new(size, a);
		::operator delete(block, size, a);
		block = ::operator new[](size, a);
		::operator delete[](block, size, a);
	}
	return 0;
}

template <typename Call> static bool
throws_bad_alloc(Call call)
{
	try {
		use(call());
	} catch (const std::bad_alloc &) {
		return true;
	}
	return false;
}

static int
too_large(const char *)
{
	size_t huge = opaque(SIZE_MAX / 2 + 1);
	std::align_val_t a{64};

	CHECK(throws_bad_alloc([=] { return ::operator new(huge); }));
	CHECK(throws_bad_alloc([=] { return ::operator new[](huge); }));
	CHECK(throws_bad_alloc([=] { return ::operator new(huge, a); }));
	CHECK(throws_bad_alloc([=] { return ::operator new[](huge, a); }));
	CHECK(::operator new(huge, std::nothrow) == nullptr);
	CHECK(::operator new[](huge, std::nothrow) == nullptr);
	CHECK(::operator new(huge, a, std::nothrow) == nullptr);
	CHECK(::operator new[](huge, a, std::nothrow) == nullptr);
	return 0;
}

static int handler_calls;

static void
handler()
{
	if (++handler_calls == 3)
		std::set_new_handler(nullptr);
}

static int
new_handler(const char *)
{
	size_t huge = opaque(SIZE_MAX / 2 + 1);

	std::set_new_handler(handler);
	CHECK(throws_bad_alloc([=] { return ::operator new(huge); }));
	CHECK(handler_calls == 3);
	return 0;
}

static NOINLINE void
thrower(int depth)
{
	std::string local(1000, 'x');

	if (depth == 0)
		throw std::runtime_error(local);
	thrower(depth - 1);
	use(&local);
}

/* Unwinding past frames that own memory, many times, in many threads. */
static void
catch_many()
{
	for (int i = 0; i < 2000; i++) {
		try {
			thrower(i % 30);
			CHECK(false);
		} catch (const std::exception &error) {
			CHECK(strlen(error.what()) == 1000);
		}
	}
}

static int
exceptions(const char *)
{
	std::vector<std::thread> threads;

	for (int i = 0; i < 4; i++)
		threads.emplace_back(catch_many);
	catch_many();
	for (std::thread &thread : threads)
		thread.join();
	return 0;
}

/* Containers that live until the end hold everything in them. */
static std::map<std::string, std::vector<std::string>> *held_map;

static int
containers(const char *)
{
	static std::vector<std::thread> threads;

	held_map = new std::map<std::string, std::vector<std::string>>;
	for (int i = 0; i < 500; i++)
		(*held_map)[std::to_string(i) + std::string(40, 'k')]
		    .assign(20, std::string(i, 'v'));
	for (int i = 0; i < 4; i++)
		threads.emplace_back([] {
			std::vector<std::string> mine(100,
			    std::string(100, 't'));

			use(&mine);
		});
	for (std::thread &thread : threads)
		thread.join();
	puts("contained");
	return 0;
}

struct lost {
	virtual ~lost() = default;
	char bytes[92];
};

struct lost_twice : lost {
	NOINLINE explicit lost_twice(int value)
	{
		memset(bytes, value, sizeof bytes);
	}
};

namespace space {
template <typename T> static NOINLINE void
lose(int value)
{
	use(new T(value));	/* LINE new */
}
}

/* Lost by new: the call chain has names a reader of C++ knows. */
static NOINLINE void
lose_by_new()
{
	for (int i = 0; i < (int)opaque(10); i++)
		space::lose<lost_twice>(i);
	use(new char[123]);	/* LINE array */
}

static int
lost_by_new(const char *)
{
	lose_by_new();
	scrub();
	return 0;
}

/* An array with a count before its elements: the only pointer is interior. */
struct counted {
	~counted() { use(this); }
	int value[7];
};

static counted *held_array;

static int
array(const char *)
{
	held_array = new counted[100];
	return 0;
}

int
main(int argc, char **argv)
{
	static const struct victim victims[] = {
		{ "forms", forms },
		{ "aligned_forms", aligned_forms },
		{ "too_large", too_large },
		{ "new_handler", new_handler },
		{ "exceptions", exceptions },
		{ "containers", containers },
		{ "lost_by_new", lost_by_new },
		{ "array", array },
		{ nullptr, nullptr }
	};

	return victim_main(argc, argv, victims);
}
