// SPDX-License-Identifier: MIT

package main

import (
	"math/rand"
	"sync"
	"time"
)

// ---- pingpong: pairs throw a ball back and forth; it says how many throws are left ----

func player(in <-chan uint64, out chan<- uint64, caught *uint64, done *sync.WaitGroup) {
	defer done.Done()
	defer close(out)
	for left := range in {
		*caught++
		if left == 0 {
			return
		}
		out <- left - 1
	}
}

func play(pairs int, throws uint64) result {
	var done sync.WaitGroup
	caught := make([][16]uint64, 2*pairs) // a cache line and more for each
	servers := make([]chan uint64, pairs)
	for i := range servers {
		a, b := make(chan uint64, mailbox), make(chan uint64, mailbox)
		servers[i] = b
		done.Add(2)
		go player(a, b, &caught[2*i][0], &done)
		go player(b, a, &caught[2*i+1][0], &done)
	}
	begin := time.Now()
	for _, server := range servers {
		server <- throws - 1
	}
	done.Wait()
	elapsed := time.Since(begin)
	sum := uint64(0)
	for i := range caught {
		sum += caught[i][0]
	}
	check("balls caught", sum, uint64(pairs)*throws)
	return result{messages: uint64(pairs) * throws, elapsed: elapsed}
}

func pingpong(s size) result {
	return play(1, 2*s.of(2000000))
}

func pingpongPairs(s size) result {
	return play(64, 2*s.of(100000))
}

// ---- threadring: one token goes round 1000 goroutines ----

func threadring(s size) result {
	const members = 1000
	hops := s.of(5000000)
	done := make(chan struct{})
	passed := make([]uint64, members)
	ring := make([]chan uint64, members)
	for i := range ring {
		ring[i] = make(chan uint64, 1)
	}
	for i := range ring {
		go func(in <-chan uint64, out chan<- uint64, passed *uint64) {
			for left := range in {
				*passed++
				if left == 0 {
					close(done)
					return
				}
				out <- left - 1
			}
		}(ring[i], ring[(i+1)%members], &passed[i])
	}
	begin := time.Now()
	ring[0] <- hops - 1
	<-done
	elapsed := time.Since(begin)
	sum := uint64(0)
	for _, n := range passed {
		sum += n
	}
	check("hops", sum, hops)
	return result{messages: hops, elapsed: elapsed}
}

// ---- counting and many_to_one: producers send 1, 2, 3 and so on to one consumer ----

func flood(producers, total uint64) result {
	each := total / producers
	if each == 0 {
		each = 1
	}
	numbers := make(chan uint64, mailbox)
	sums := make(chan uint64)
	go func() {
		sum := uint64(0)
		for left := each * producers; left > 0; left-- {
			sum += <-numbers
		}
		sums <- sum
	}()
	begin := time.Now()
	for i := uint64(0); i < producers; i++ {
		go func() {
			for n := uint64(1); n <= each; n++ {
				numbers <- n
			}
		}()
	}
	sum := <-sums
	elapsed := time.Since(begin)
	check("sum of the numbers", sum, each*(each+1)/2*producers)
	return result{messages: each * producers, elapsed: elapsed}
}

func counting(s size) result {
	return flood(1, s.of(10000000))
}

func manyToOne(s size) result {
	return flood(16, s.of(10000000))
}

// ---- fj_throughput: one sends to 64 in turn ----

func fjThroughput(s size) result {
	const members = 64
	each := s.of(100000)
	var done sync.WaitGroup
	sums := make([]uint64, members)
	boxes := make([]chan uint64, members)
	for i := range boxes {
		boxes[i] = make(chan uint64, mailbox)
		done.Add(1)
		go func(in <-chan uint64, out *uint64) {
			defer done.Done()
			sum := uint64(0)
			for n := range in {
				sum += n
			}
			*out = sum
		}(boxes[i], &sums[i])
	}
	begin := time.Now()
	go func() {
		for n := uint64(1); n <= each; n++ {
			for _, box := range boxes {
				box <- n
			}
		}
		for _, box := range boxes {
			close(box)
		}
	}()
	done.Wait()
	elapsed := time.Since(begin)
	for _, sum := range sums {
		check("sum of the numbers", sum, each*(each+1)/2)
	}
	return result{messages: members * each, elapsed: elapsed}
}

// ---- big: 64 goroutines, each pings a random other one, and the next when the pong is there ----

type bigMessage struct {
	from chan<- bigMessage // of a ping; a pong has none
}

func bigMember(id int, boxes []chan bigMessage, pings uint64, served *uint64, done *sync.WaitGroup) {
	random := rand.New(rand.NewSource(int64(id + 1)))
	in := boxes[id]
	ping := func() {
		other := random.Intn(len(boxes) - 1)
		if other >= id {
			other++
		}
		boxes[other] <- bigMessage{from: in}
	}
	ping()
	for msg := range in {
		if msg.from != nil {
			*served++
			msg.from <- bigMessage{}
			continue
		}
		if pings--; pings == 0 {
			done.Done()
			continue
		}
		ping()
	}
}

func big(s size) result {
	const members = 64
	pings := s.of(20000)
	var done sync.WaitGroup
	served := make([][16]uint64, members)
	boxes := make([]chan bigMessage, members)
	for i := range boxes {
		boxes[i] = make(chan bigMessage, mailbox)
	}
	done.Add(members)
	begin := time.Now()
	for i := range boxes {
		go bigMember(i, boxes, pings, &served[i][0], &done)
	}
	done.Wait()
	elapsed := time.Since(begin)
	sum := uint64(0)
	for i := range served {
		sum += served[i][0]
	}
	check("pings served", sum, members*pings)
	return result{messages: 2 * members * pings, elapsed: elapsed}
}
