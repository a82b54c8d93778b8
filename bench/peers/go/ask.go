// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"sort"
	"time"
)

// A call carries the channel for its answer, and whoever calls has 10 s of patience.
type call struct {
	value uint64
	reply chan<- uint64
}

func oracle(calls <-chan call, sums chan<- uint64) {
	sum := uint64(0)
	for c := range calls {
		sum += c.value
		c.reply <- c.value + 1
	}
	sums <- sum
}

func callOnce(oracle chan<- call, value uint64, patience *time.Timer) uint64 {
	reply := make(chan uint64, 1)
	patience.Reset(10 * time.Second)
	oracle <- call{value, reply}
	select {
	case answer := <-reply:
		if !patience.Stop() {
			fail("the time-out came with the answer")
		}
		return answer
	case <-patience.C:
		fail("a call was not answered in 10 s")
		return 0
	}
}

func askFor(calls uint64, space time.Duration) result {
	requests := make(chan call, mailbox)
	sums := make(chan uint64)
	latencies := make([]time.Duration, calls)
	for i := range latencies {
		latencies[i] = 1 // touched before the clock runs
	}
	patience := time.NewTimer(time.Hour)
	patience.Stop()
	go oracle(requests, sums)
	begin := time.Now()
	for i := uint64(0); i < calls; i++ {
		asked := time.Now()
		answer := callOnce(requests, i, patience)
		answered := time.Now()
		latencies[i] = answered.Sub(asked)
		check("answer", answer, i+1)
		for space > 0 && time.Since(answered) < space {
		}
	}
	elapsed := time.Since(begin)
	close(requests)
	check("sum of the questions", <-sums, calls*(calls-1)/2)
	sort.Slice(latencies, func(i, j int) bool { return latencies[i] < latencies[j] })
	return result{messages: calls, elapsed: elapsed, extra: fmt.Sprintf(" p50_ns=%d p99_ns=%d",
		latencies[(calls-1)/2].Nanoseconds(), latencies[(calls-1)*99/100].Nanoseconds())}
}

func ask(s size) result {
	return askFor(s.of(200000), 0)
}

func askSpaced(s size) result {
	return askFor(s.of(20000), 100*time.Microsecond)
}
