/*
 * own_new.cc - a program that replaces operator new and delete.
 */
#include <new>
#include <string>

#include "victim.h"

static int created, deleted;

void *
operator new(size_t size)
{
	created++;
	if (void *block = malloc(size))
		return block;
	throw std::bad_alloc();
}

void
operator delete(void *block) noexcept
{
	deleted++;
	free(block);
}

void
operator delete(void *block, size_t) noexcept
{
	deleted++;
	free(block);
}

int
main()
{
	{
		std::string text(1000, 'x');

		use(&text);
		delete[] static_cast<char *>(use(new char[10]));
	}
	CHECK(created == 2 && deleted == 2);
	puts("own new");
	return 0;
}
