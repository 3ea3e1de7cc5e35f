/*
 * own_record.h - a program that writes a record of its own call stack.
 */
#ifndef BILGE_OWN_RECORD_H
#define BILGE_OWN_RECORD_H

#ifdef __cplusplus
extern "C" {
#endif

/* own_record_begin - the start of the record and the modules. */
void own_record_begin(char **argv);

/* own_record_leak - a leak of so many bytes with the caller's stack. */
void own_record_leak(const char *kind, int bytes);

/* own_record_end - the end of the record; the totals are those of leaks. */
void own_record_end(void);

#ifdef __cplusplus
}
#endif

#endif
