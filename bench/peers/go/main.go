// SPDX-License-Identifier: MIT

// The workloads of troupe-bench, as goroutines and channels: one repetition of one of them.
//
//	bench list                      the workloads, one a line
//	bench WORKLOAD SCALE WORKERS    prints one line, as troupe-bench does; status 1 if the result is wrong
//
// A goroutine's mailbox is a channel of its own.  Go has no unbounded channel, hence no workload that ends in _u.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"time"
)

// mailbox is the room of a mailbox that more than one message can wait in, as troupe's default.
const mailbox = 1024

// result is what a workload found out; extra is more words for the line.
type result struct {
	messages uint64
	elapsed  time.Duration
	extra    string
}

// size is how much work there is, in relation to the workload's own size.
type size float64

func (s size) of(base uint64) uint64 {
	if n := uint64(float64(base) * float64(s)); n > 0 {
		return n
	}
	return 1
}

var workloads = map[string]func(size) result{
	"pingpong":        pingpong,
	"pingpong_pairs":  pingpongPairs,
	"threadring":      threadring,
	"counting_b":      counting,
	"many_to_one_b":   manyToOne,
	"fj_throughput_b": fjThroughput,
	"fj_create":       fjCreate,
	"idle_memory":     idleMemory,
	"big":             big,
	"skynet":          skynet,
	"ask":             ask,
	"ask_spaced":      askSpaced,
	"steal":           steal,
	"chameneos":       chameneos,
	"bank":            bank,
	"dictionary":      dictionary,
	"logistic_map":    logisticMap,
	"radix_sort":      radixSort,
	"sieve":           sieve,
	"philosophers":    philosophers,
	"bounded_buffer":  boundedBuffer,
	"queens":          queens,
	"sleeping_barber": sleepingBarber,
	"cobwebbed_tree":  cobwebbedTree,
	"quicksort":       quicksort,
	"a_star":          aStar,
	"matrix_multiply": matrixMultiply,
}

// check ends the program if a result is not what it must be.
func check(what string, is, expected uint64) {
	if is != expected {
		fail(fmt.Sprintf("%s: %d, expected %d", what, is, expected))
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, "go bench:", text)
	os.Exit(1)
}

func list() {
	names := make([]string, 0, len(workloads))
	for name := range workloads {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Println(name)
	}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == "list" {
		list()
		return
	}
	if len(os.Args) != 4 {
		fail("usage: bench list | bench WORKLOAD SCALE WORKERS")
	}
	run, known := workloads[os.Args[1]]
	scale, scaleError := strconv.ParseFloat(os.Args[2], 64)
	workers, workersError := strconv.Atoi(os.Args[3])
	if !known || scaleError != nil || scale <= 0 || workersError != nil || workers < 1 {
		fail("no such workload, scale or number of workers; \"list\" names the workloads")
	}
	runtime.GOMAXPROCS(workers)
	r := run(size(scale))
	seconds := r.elapsed.Seconds()
	fmt.Printf("workload=%s peer=go msgs=%d secs=%.6f per_sec=%.0f ns_per_msg=%.1f%s workers=%d\n", os.Args[1],
		r.messages, seconds, float64(r.messages)/seconds, seconds*1e9/float64(r.messages), r.extra, workers)
}
