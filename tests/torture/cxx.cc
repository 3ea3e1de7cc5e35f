/*
 * cxx.cc - what C++ keeps, and what it has in flight.
 *
 * Variables with destructors are never destroyed: when leaks are looked for,
 * others are gone.
 */
#include "torture.h"

#include <array>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace {

struct Holder {
	explicit Holder(uintptr_t hidden) : held(reveal(hidden)) { }
	Holder() : held(nullptr) { }
	void *held;
};

NOINLINE void
throw_holder(uintptr_t hidden)
{
	throw Holder(hidden);
}

// Thrown, caught and over.
NOINLINE void
throw_in_vain(uintptr_t hidden)
{
	try {
		throw_holder(hidden);
	} catch (const Holder &) {
	}
}

WAY(exception_caught, ANYWHERE)
{
	throw_in_vain(seat->lost);
	scrub();
	try {
		throw_holder(seat->kept);
	} catch (const Holder &) {
		scrub();
		rest(seat);
	}
}

// Thrown on while it is being handled.
WAY(exception_nested, ANYWHERE)
{
	throw_in_vain(seat->lost);
	scrub();
	try {
		throw_holder(seat->kept);
	} catch (...) {
		try {
			throw 5;
		} catch (int) {
			scrub();
			rest(seat);
		}
	}
}

struct RestInDestructor {
	struct seat *seat;
	~RestInDestructor()
	{
		scrub();
		rest(seat);
	}
};

NOINLINE void
throw_past_destructor(struct seat *seat)
{
	RestInDestructor resting{seat};

	throw_holder(seat->kept);
}

// Between throw and catch.
WAY(exception_in_flight, ANYWHERE)
{
	throw_in_vain(seat->lost);
	scrub();
	try {
		throw_past_destructor(seat);
	} catch (const Holder &) {
	}
}

auto &exceptions = *new std::array<std::exception_ptr, SEATS_MAX>;

NOINLINE void
keep_exception(unsigned index, uintptr_t hidden)
{
	try {
		throw_holder(hidden);
	} catch (...) {
		exceptions[index] = std::current_exception();
	}
}

WAY(exception_pointer, ANYWHERE)
{
	keep_exception(seat->index, seat->lost);
	scrub();
	keep_exception(seat->index, seat->kept);
}

// Owners never free what is lost: it is not theirs.
void
leave_alone(void *)
{
}

auto &shared = *new std::array<std::shared_ptr<void>, SEATS_MAX>;

NOINLINE void
share(unsigned index, uintptr_t hidden)
{
	shared[index] = std::shared_ptr<void>(reveal(hidden), leave_alone);
}

WAY(shared_pointer, ANYWHERE)
{
	share(seat->index, seat->lost);
	scrub();
	share(seat->index, seat->kept);
}

auto &functions = *new std::array<std::function<void *()>, SEATS_MAX>;

NOINLINE void
capture(unsigned index, uintptr_t hidden)
{
	void *block = reveal(hidden);
	long filler[8] = { 1 };

	functions[index] = [block, filler]() {
		return filler[0] ? block : nullptr;
	};
}

WAY(captured, ANYWHERE)
{
	capture(seat->index, seat->lost);
	scrub();
	capture(seat->index, seat->kept);
}

using Containers = std::map<int, std::unordered_map<int,
    std::list<std::deque<std::vector<Holder>>>>>;
auto &containers = *new std::array<Containers, SEATS_MAX>;

WAY(containers_nested, ANYWHERE)
{
	std::vector<Holder> holders(10);
	auto &list = containers[seat->index][3][7];
	auto &deque = list.emplace_back();

	for (int i = 0; i < 100; i++)
		deque.push_back(holders);
	hold_in(&deque[50][4].held, seat);
}

struct Local {
	void *held = nullptr;
	~Local() { use(this); }
};

thread_local Local local;

WAY(thread_local_object, ANYWHERE)
{
	hold_in(&local.held, seat);
}

// Registered with libc to be destroyed: only its list has the object.
extern "C" int __cxa_thread_atexit(void (*)(void *), void *, void *);
extern "C" void *__dso_handle;

NOINLINE void
destroy_at_thread_exit(uintptr_t hidden)
{
	CHECK(__cxa_thread_atexit(leave_alone, reveal(hidden),
	    &__dso_handle) == 0);
}

WAY(thread_exit_argument, THREADS_ONLY)
{
	destroy_at_thread_exit(seat->kept);
}

NOINLINE void
rest_with(struct seat *seat, Holder holder)
{
	Holder *volatile here = &holder;

	scrub();
	CHECK(here != nullptr);
	rest(seat);
}

NOINLINE void
start_thread(struct seat *seat, uintptr_t hidden)
{
	std::thread(rest_with, seat, Holder(hidden)).detach();
}

WAY(thread_object_argument, THREADS_ONLY)
{
	start_thread(seat, seat->kept);
	scrub();
	for (;;)
		pause();
}

auto &futures = *new std::array<std::future<Holder>, SEATS_MAX>;

NOINLINE void
promise(unsigned index, uintptr_t hidden)
{
	std::promise<Holder> promised;

	futures[index] = promised.get_future();
	promised.set_value(Holder(hidden));
}

WAY(future, ANYWHERE)
{
	promise(seat->index, seat->lost);
	scrub();
	promise(seat->index, seat->kept);
}

struct First {
	virtual ~First() { }
	long a[5] = { 0 };
};

struct Second {
	virtual ~Second() { }
	void *held = nullptr;
};

struct Both : First, Second {
};

Second *seconds[SEATS_MAX], *arrays[SEATS_MAX];

// The pointer is to the middle of the object.
WAY(second_base, ANYWHERE)
{
	seconds[seat->index] = new Both;
	use(seconds);
	hold_in(&seconds[seat->index]->held, seat);
}

// The pointer is behind the count of elements.
WAY(array_of_objects, ANYWHERE)
{
	arrays[seat->index] = new Second[10];
	use(arrays);
	hold_in(&arrays[seat->index][9].held, seat);
}

auto &strings = *new std::array<std::string, SEATS_MAX>;

WAY(bytes_of_string, ANYWHERE)
{
	strings[seat->index].assign(4096, '\0');
	hold_in(&strings[seat->index][64], seat);
}

} // namespace
