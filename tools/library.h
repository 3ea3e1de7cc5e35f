/*
 * library.h - where libbilge.so is.
 */
#ifndef BILGE_LIBRARY_H
#define BILGE_LIBRARY_H

/*
 * library_find - the library that belongs to this command.
 *
 * In the build tree that is the one built beside it; otherwise the installed
 * one, also where the whole installation was moved or staged under a
 * directory.  The environment has no say.
 *
 * Returns:  an absolute path, the caller frees it; NULL when there is none.
 */
char *library_find(void);

/*
 * library_preload - put the library in front of the environment's LD_PRELOAD.
 * What the user preloads stays.  Ends the command when the path cannot stand
 * in that list.
 */
void library_preload(const char *path);

#endif
