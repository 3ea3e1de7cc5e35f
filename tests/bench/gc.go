// gc.go - gc.c in Go: the same graph, the same operations, the same figures.
//
//	gc_go [-m MIB] [-t THREADS] [-s SECONDS] [-a PERCENT] [-i MS] [-g FILE]
//
// A goroutine has a thread of its own, so that its gaps are a thread's.  A gap
// in which it waited for one of Go's processors counts as held.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	lists      = 16
	listLength = 4
	depth      = 4
	boardSize  = 256
	gapMin     = 20000
	gapsMax    = 1 << 18

	rusageThread = 1
)

var sizes = [16]uint64{
	32, 32, 32, 32, 48, 48, 48, 64, 64, 64, 96, 96, 128, 128, 256, 1024,
}

// A node's memory is larger than what its type here says; the larger types
// begin with it.
type node struct {
	next *node
	data [3]uint64
}
type node48 struct {
	node
	more [2]uint64
}
type node64 struct {
	node
	more [4]uint64
}
type node96 struct {
	node
	more [8]uint64
}
type node128 struct {
	node
	more [12]uint64
}
type node256 struct {
	node
	more [28]uint64
}
type node1024 struct {
	node
	more [124]uint64
}

type record struct {
	list [lists]*node
}

type gap struct {
	begin, length int64
	isPreempted   bool
}

type worker struct {
	index, random, ops uint64
	gaps               []gap
	_                  [64]byte
}

var (
	threads, allocPercent uint64
	measured              time.Duration
	records               []*record
	board                 [boardSize]atomic.Pointer[node]
	start                 = time.Now()
)

func (w *worker) pick(limit uint64) uint64 {
	w.random ^= w.random >> 12
	w.random ^= w.random << 25
	w.random ^= w.random >> 27
	return ((w.random * 0x2545f4914f6cdd1d) >> 33) % limit
}

func (w *worker) makeNode() *node {
	switch sizes[w.pick(16)] {
	case 32:
		return new(node)
	case 48:
		return &new(node48).node
	case 64:
		return &new(node64).node
	case 96:
		return &new(node96).node
	case 128:
		return &new(node128).node
	case 256:
		return &new(node256).node
	}
	return &new(node1024).node
}

func (w *worker) pickList() **node {
	own := w.pick(uint64(len(records)) / threads)
	return &records[own*threads+w.index].list[w.pick(lists)]
}

func (w *worker) pickLink(link **node) **node {
	for n := w.pick(depth); n > 0 && *link != nil; n-- {
		link = &(*link).next
	}
	return link
}

func removeNode(link **node) *node {
	n := *link
	if n != nil {
		*link = n.next
		n.next = nil
	}
	return n
}

func insertNode(link **node, n *node) {
	if n != nil {
		n.next = *link
		*link = n
	}
}

func (w *worker) operate() {
	a, b := w.pickList(), w.pickList()
	isSame := a == b
	what := w.pick(100)
	a = w.pickLink(a)
	switch {
	case what < allocPercent:
		insertNode(a, w.makeNode())
		removeNode(w.pickLink(b))
		w.pick(100)
	case what == 99:
		n := board[w.pick(boardSize)].Swap(removeNode(a))
		insertNode(w.pickLink(b), n)
	case !isSame:
		b = w.pickLink(b)
		*a, *b = *b, *a
	}
}

func preemptions() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(rusageThread, &usage)
	return usage.Nivcsw
}

func now() int64 {
	return int64(time.Since(start))
}

func (w *worker) measure() {
	preempted := preemptions()
	last := now()
	end := last + int64(measured)
	for last < end {
		w.operate()
		w.ops++
		at := now()
		if at-last > gapMin && len(w.gaps) < gapsMax {
			count := preemptions()
			w.gaps = append(w.gaps, gap{last, at - last, count != preempted})
			preempted = count
			at = now()
		}
		last = at
	}
}

// Such a cycle is concurrent like any other; only this goroutine waits for it.
func collectNowAndThen(interval time.Duration) {
	for interval > 0 {
		time.Sleep(interval)
		runtime.GC()
	}
}

func statusMiB(name string) float64 {
	text, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, name) {
			var kib float64
			fmt.Sscan(line[len(name):], &kib)
			return kib / 1024
		}
	}
	return 0
}

func main() {
	mib := flag.Uint64("m", 1024, "live MiB")
	seconds := flag.Int("s", 10, "seconds measured")
	interval := flag.Int("i", 0, "milliseconds between forced cycles, 0: none")
	gapsPath := flag.String("g", "", "file for the gaps")
	flag.Uint64Var(&threads, "t", 4, "threads")
	flag.Uint64Var(&allocPercent, "a", 25, "percent that allocate")
	flag.Parse()
	measured = time.Duration(*seconds) * time.Second

	bytes := uint64(lists*8 + 8)
	for i := 0; i < lists*listLength; i++ {
		bytes += sizes[i%16]
	}
	records = make([]*record, (*mib<<20)/bytes/threads*threads+threads)

	workers := make([]worker, threads)
	var built, done sync.WaitGroup
	gate := make(chan bool)
	for i := range workers {
		w := &workers[i]
		w.index, w.random = uint64(i), uint64(i)+1
		w.gaps = make([]gap, 0, gapsMax)
		built.Add(1)
		done.Add(1)
		go func() {
			runtime.LockOSThread()
			for r := w.index; r < uint64(len(records)); r += threads {
				records[r] = new(record)
				for n := 0; n < lists*listLength; n++ {
					insertNode(&records[r].list[n%lists], w.makeNode())
				}
			}
			built.Done()
			<-gate
			w.measure()
			done.Done()
		}()
	}
	built.Wait()
	fmt.Fprintln(os.Stderr, "gc: measuring")
	close(gate)
	go collectNowAndThen(time.Duration(*interval) * time.Millisecond)
	done.Wait()
	fmt.Fprintln(os.Stderr, "gc: measured")

	var ops uint64
	for i := range workers {
		ops += workers[i].ops
	}
	fmt.Printf("kops_per_s %.0f\n", float64(ops)/1000/measured.Seconds())
	fmt.Printf("peak_mib %.0f\n", statusMiB("VmHWM:"))
	fmt.Printf("end_mib %.0f\n", statusMiB("VmRSS:"))
	if *gapsPath == "" {
		return
	}
	file, err := os.Create(*gapsPath)
	if err != nil {
		panic(err)
	}
	out := bufio.NewWriter(file)
	for i := range workers {
		for _, g := range workers[i].gaps {
			is := 0
			if g.isPreempted {
				is = 1
			}
			fmt.Fprintln(out, g.begin, g.length, is)
		}
	}
	out.Flush()
	file.Close()
}
