// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ---- fj_create: goroutines that are started, get one message and end ----

func fjCreate(s size) result {
	lives := s.of(1000000)
	var handled uint64
	var done sync.WaitGroup
	done.Add(int(lives))
	begin := time.Now()
	for i := uint64(0); i < lives; i++ {
		box := make(chan struct{}, 1)
		go func() {
			<-box
			atomic.AddUint64(&handled, 1)
			done.Done()
		}()
		box <- struct{}{}
	}
	done.Wait()
	elapsed := time.Since(begin)
	check("messages handled", handled, lives)
	return result{messages: lives, elapsed: elapsed}
}

// ---- idle_memory: goroutines that have got one message and wait for the next ----

func residentBytes() uint64 {
	var pages, resident uint64
	file, err := os.Open("/proc/self/statm")
	if err != nil {
		fail(err.Error())
	}
	defer file.Close()
	if _, err := fmt.Fscan(file, &pages, &resident); err != nil {
		fail(err.Error())
	}
	return resident * uint64(os.Getpagesize())
}

func idleMemory(s size) result {
	members := s.of(1000000)
	var handled sync.WaitGroup
	handled.Add(int(members))
	boxes := make([]chan struct{}, members)
	for i := range boxes {
		boxes[i] = nil // touched before, as the table is not the goroutines'
	}
	before := residentBytes()
	begin := time.Now()
	for i := range boxes {
		box := make(chan struct{}, 1)
		boxes[i] = box
		go func() {
			<-box
			handled.Done()
			<-box
			handled.Done()
		}()
		box <- struct{}{}
	}
	handled.Wait()
	elapsed := time.Since(begin)
	after := residentBytes()
	handled.Add(int(members))
	for _, box := range boxes {
		box <- struct{}{}
	}
	handled.Wait() // each was there
	return result{messages: members, elapsed: elapsed,
		extra: fmt.Sprintf(" bytes_per_actor=%.1f", float64(after-before)/float64(members))}
}

// ---- skynet: a tree of goroutines, ten children each, whose leaves are numbered and summed up ----

func skynetNode(parent chan<- uint64, number, leaves uint64) {
	if leaves == 1 {
		parent <- number
		return
	}
	sums := make(chan uint64, 10)
	for i := uint64(0); i < 10; i++ {
		go skynetNode(sums, number+i*leaves/10, leaves/10)
	}
	sum := uint64(0)
	for i := 0; i < 10; i++ {
		sum += <-sums
	}
	parent <- sum
}

func skynet(s size) result {
	leaves, actors := uint64(10), uint64(11)
	for leaves*10 <= s.of(1000000) {
		leaves *= 10
		actors += leaves
	}
	sums := make(chan uint64, 1)
	begin := time.Now()
	go skynetNode(sums, 0, leaves)
	sum := <-sums
	elapsed := time.Since(begin)
	check("sum of the leaves", sum, leaves*(leaves-1)/2)
	return result{messages: actors, elapsed: elapsed}
}

// ---- steal: one goroutine starts many jobs of 20 us ----

const jobNs = 20000

var sink uint64

func work(steps uint64) {
	x := steps
	for i := uint64(0); i < steps; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	atomic.StoreUint64(&sink, x)
}

// jobSteps is how many steps take jobNs; the fastest of 20 tries is believed.
func jobSteps() uint64 {
	const steps = 2000000
	best := time.Duration(1 << 62)
	for i := 0; i < 20; i++ {
		begin := time.Now()
		work(steps)
		if took := time.Since(begin); took < best {
			best = took
		}
	}
	return jobNs * steps / uint64(best)
}

func steal(s size) result {
	jobs := s.of(100000)
	steps := jobSteps()
	var handled uint64
	var done sync.WaitGroup
	done.Add(int(jobs))
	begin := time.Now()
	for i := uint64(0); i < jobs; i++ {
		box := make(chan struct{}, 1)
		go func() {
			<-box
			work(steps)
			atomic.AddUint64(&handled, 1)
			done.Done()
		}()
		box <- struct{}{}
	}
	done.Wait()
	elapsed := time.Since(begin)
	check("jobs done", handled, jobs)
	lanes := runtime.NumCPU()
	if workers := runtime.GOMAXPROCS(0); workers < lanes {
		lanes = workers
	}
	ideal := float64(jobs) * jobNs / 1e9 / float64(lanes)
	return result{messages: jobs, elapsed: elapsed, extra: fmt.Sprintf(" efficiency=%.3f", ideal/elapsed.Seconds())}
}
