/*
 * why.h - what holds each block, as events of a record.
 *
 *   {"event":"why","time":T,"limit":100000,"base":A,"end":A,"own":[[A,A]],
 *    "blocks":3,"cut":false,"lost":1,"lost_cut":false,"red_zone":128}
 *        begins an account of one moment and replaces an earlier one.  base,
 *        end: of the heap.  own: memory of bilge, where words are that it
 *        keeps for the kernel.  cut: there were more blocks than limit.
 *   {"event":"thread","tid":1,"name":"x","tp":A,"tls":[A,A],"sp":A,
 *    "stack_end":A,"frame":[A,A],"registers":[A,...],"words":[A,V,A,V,...]}
 *        stack_end: null when it is not known.  frame: where the registers
 *        were saved.  registers: 17, numbered as in DWARF, null when they are
 *        not known; zero unless they are like words.  words: of the stack's
 *        words those that are code addresses or point further up the same
 *        stack, each with its address; the whole stack is not written.
 *   {"event":"mappings","list":[[A,A,"path"],...]}
 *        what could be written to.  path: as in /proc/PID/maps.
 *   {"event":"site","site":7,"calls":[0,4711,...]}
 *        pairs of module and offset of where the calls return to, innermost
 *        first, the nearest few; the module is -1 outside any.
 *   {"event":"held","blocks":[block,size,site,word,...]}
 *        fours of numbers: address of the block less base, its size, its
 *        site, address of the word it was first reached through less base.
 *        Nothing comes before the block that holds it.  word: null for a
 *        block that the program told us to ignore.
 *   {"event":"lost","blocks":[block,size,site,word,...]}
 *        the same for leaks.  word: in another leak; null for a direct one.
 */
#ifndef BILGE_WHY_H
#define BILGE_WHY_H

#include "report/held.h"

/*
 * why_write - write an account into the record's file, if there is one.
 * Context: collector.  Locks: takes RANK_RECORD.
 */
void why_write(const struct held *held);

#endif
