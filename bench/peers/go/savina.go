// SPDX-License-Identifier: MIT

package main

import (
	"sync"
	"time"
)

// random gives numbers that look random, the same as troupe-bench's: splitmix64.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	x := uint64(*r)
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb
	return x ^ (x >> 31)
}

func (r *random) below(limit uint64) uint64 {
	return r.next() % limit
}

// ---- chameneos: 100 creatures meet in pairs at one mall, and change their colours ----

const colours = 3

type creatureMessage struct {
	from   chan<- creatureMessage // of one that wants to meet; of an answer there is none
	colour int
}

func complement(a, b int) int {
	if a == b {
		return a
	}
	return colours - a - b
}

func creature(colour int, box chan creatureMessage, mall chan<- creatureMessage, meetings *uint64, over *sync.WaitGroup) {
	defer over.Done()
	mall <- creatureMessage{box, colour}
	for msg := range box {
		*meetings++
		if msg.from != nil {
			colour = complement(colour, msg.colour)
			msg.from <- creatureMessage{colour: colour}
		} else {
			colour = msg.colour
		}
		mall <- creatureMessage{box, colour}
	}
}

func chameneos(s size) result {
	const creatures = 100
	meetings := s.of(1000000)
	mall := make(chan creatureMessage, mailbox)
	counts := make([][16]uint64, creatures)
	var over sync.WaitGroup
	over.Add(creatures)
	begin := time.Now()
	for i := 0; i < creatures; i++ {
		go creature(i%colours, make(chan creatureMessage, 1), mall, &counts[i][0], &over)
	}
	for left := meetings; left > 0; left-- {
		first := <-mall
		first.from <- <-mall
	}
	away := make([]chan<- creatureMessage, 0, creatures)
	for len(away) < creatures {
		away = append(away, (<-mall).from)
	}
	elapsed := time.Since(begin)
	for _, box := range away {
		close(box)
	}
	over.Wait()
	sum := uint64(0)
	for i := range counts {
		sum += counts[i][0]
	}
	check("meetings of the creatures", sum, 2*meetings)
	return result{messages: 4 * meetings, elapsed: elapsed}
}

// ---- bank: a teller has 1000 accounts transfer money to each other, 1000 at a time ----

type bankKind int

const (
	transfer bankKind = iota
	deposit
	taken
)

type bankMessage struct {
	kind    bankKind
	amount  uint64
	account chan<- bankMessage // whom to pay, or who wants to know that it was taken
}

type accountEnd struct {
	balance, deposits uint64
}

func account(box chan bankMessage, teller chan<- struct{}, ends chan<- accountEnd) {
	var end accountEnd
	for msg := range box {
		switch msg.kind {
		case transfer:
			end.balance -= msg.amount
			msg.account <- bankMessage{deposit, msg.amount, box}
		case deposit:
			end.balance += msg.amount
			end.deposits++
			msg.account <- bankMessage{kind: taken}
		case taken:
			teller <- struct{}{}
		}
	}
	ends <- end
}

func bank(s size) result {
	const accounts, underWay, most = 1000, 1000, 1000
	transfers := s.of(500000)
	teller := make(chan struct{}, underWay)
	ends := make(chan accountEnd, accounts)
	boxes := make([]chan bankMessage, accounts)
	for i := range boxes {
		boxes[i] = make(chan bankMessage, mailbox) // more than can be under way
		go account(boxes[i], teller, ends)
	}
	draws := random(1)
	order := func() {
		from, to := draws.below(accounts), draws.below(accounts-1)
		if to >= from {
			to++
		}
		boxes[from] <- bankMessage{transfer, 1 + draws.below(most), boxes[to]}
	}
	begin := time.Now()
	for i := uint64(0); i < underWay && i < transfers; i++ {
		order()
	}
	for done := uint64(1); done <= transfers; done++ {
		<-teller
		if done+underWay <= transfers {
			order()
		}
	}
	elapsed := time.Since(begin)
	var sum accountEnd
	for _, box := range boxes {
		close(box)
	}
	for range boxes {
		end := <-ends
		sum.balance += end.balance
		sum.deposits += end.deposits
	}
	check("balance of all", sum.balance, 0)
	check("deposits", sum.deposits, transfers)
	return result{messages: 4 * transfers, elapsed: elapsed}
}

// ---- dictionary: 20 clients ask one dictionary; one request in ten writes ----

type request struct {
	key, value uint64 // a value of 0: read
	reply      chan<- uint64
}

func dictionary(s size) result {
	const clients, keys = 20, 65536
	each := s.of(100000)
	requests := make(chan request, mailbox)
	handled := make(chan uint64)
	go func() {
		values := make(map[uint64]uint64)
		count := uint64(0)
		for r := range requests {
			count++
			if r.value != 0 {
				values[r.key] = r.value
			}
			r.reply <- values[r.key]
		}
		handled <- count
	}()
	var done sync.WaitGroup
	done.Add(clients)
	begin := time.Now()
	for i := 1; i <= clients; i++ {
		go func(draws random) {
			defer done.Done()
			reply := make(chan uint64, 1)
			for left := each; left > 0; left-- {
				draw := draws.next()
				r := request{key: draw % keys, reply: reply}
				if draw/keys%10 == 0 {
					r.value = draw | 1<<31
				}
				requests <- r
				if got := <-reply; got != 0 && got%keys != r.key {
					fail("a value belongs to another key")
				}
			}
		}(random(i))
	}
	done.Wait()
	elapsed := time.Since(begin)
	close(requests)
	check("requests handled", <-handled, clients*each)
	return result{messages: 2 * clients * each, elapsed: elapsed}
}

// ---- logistic_map: 150 series ask a computer each for their next term ----

func logisticMap(s size) result {
	const series = 150
	terms := s.of(10000)
	var done sync.WaitGroup
	done.Add(series)
	last := make([]float64, series)
	begin := time.Now()
	for i := 0; i < series; i++ {
		rate := 3.46 + 0.0025*float64(i)
		asked, answers := make(chan float64, mailbox), make(chan float64, 1)
		go func() {
			for x := range asked {
				answers <- rate * x * (1 - x)
			}
		}()
		go func(last *float64) {
			defer done.Done()
			x := rate / 10
			for left := terms; left > 0; left-- {
				asked <- x
				x = <-answers
			}
			close(asked)
			*last = x
		}(&last[i])
	}
	done.Wait()
	elapsed := time.Since(begin)
	for i, is := range last {
		rate := 3.46 + 0.0025*float64(i)
		x := rate / 10
		for left := terms; left > 0; left-- {
			x = rate * x * (1 - x)
		}
		if x != is {
			fail("a series went wrong")
		}
	}
	return result{messages: 2 * series * terms, elapsed: elapsed}
}

// ---- radix_sort: numbers go through 60 goroutines, one for each bit; each keeps those that have it to the end ----

func radixStage(in <-chan uint64, out chan<- uint64, mask uint64) {
	var kept []uint64
	for n := range in {
		if n&mask == 0 {
			out <- n
		} else {
			kept = append(kept, n)
		}
	}
	for _, n := range kept {
		out <- n
	}
	close(out)
}

func radixSort(s size) result {
	const bits = 60
	numbers := s.of(100000)
	sum := uint64(0)
	for i, draws := uint64(0), random(1); i < numbers; i++ {
		sum += draws.next() >> (64 - bits)
	}
	first := make(chan uint64, mailbox)
	begin := time.Now()
	go func() {
		for i, draws := uint64(0), random(1); i < numbers; i++ {
			first <- draws.next() >> (64 - bits)
		}
		close(first)
	}()
	in := first
	for bit := 0; bit < bits; bit++ {
		out := make(chan uint64, mailbox)
		go radixStage(in, out, 1<<bit)
		in = out
	}
	last, count := uint64(0), uint64(0)
	for n := range in {
		if n < last {
			fail("the numbers are not sorted")
		}
		last = n
		sum -= n
		count++
	}
	elapsed := time.Since(begin)
	check("numbers", count, numbers)
	check("difference of the sums", sum, 0)
	return result{messages: (bits + 1) * numbers, elapsed: elapsed}
}

// ---- sieve: a chain of filters that grows; each keeps 100 primes and passes on what none of them divides ----

const primesEach = 100

type primes struct {
	count, sum uint64
}

func isDivided(n uint32, kept []uint32) bool {
	for _, prime := range kept {
		if n%prime == 0 {
			return true
		}
	}
	return false
}

func sieveFilter(in <-chan uint32, found primes, result chan<- primes) {
	kept := make([]uint32, 0, primesEach)
	var next chan uint32
	for n := range in {
		if isDivided(n, kept) {
			continue
		}
		if len(kept) < primesEach {
			kept = append(kept, n)
			found.count++
			found.sum += uint64(n)
			continue
		}
		if next == nil {
			next = make(chan uint32, mailbox)
			go sieveFilter(next, found, result)
		}
		next <- n
	}
	if next != nil {
		close(next)
	} else {
		result <- found
	}
}

// foresee finds the primes the ordinary way, and how many numbers the filters get.
func foresee(last uint64) (expected primes, messages uint64) {
	least := make([]uint64, last+1) // the how manieth prime divides it first
	for n := uint64(2); n <= last; n++ {
		if least[n] == 0 {
			expected.count++
			expected.sum += n
			least[n] = expected.count
			for multiple := n * n; multiple <= last; multiple += n {
				if least[multiple] == 0 {
					least[multiple] = expected.count
				}
			}
		}
		messages += (least[n]-1)/primesEach + 1
	}
	return expected, messages
}

func sieve(s size) result {
	last := 1 + s.of(199999)
	expected, messages := foresee(last)
	first := make(chan uint32, mailbox)
	results := make(chan primes)
	begin := time.Now()
	go sieveFilter(first, primes{}, results)
	for n := uint64(2); n <= last; n++ {
		first <- uint32(n)
	}
	close(first)
	found := <-results
	elapsed := time.Since(begin)
	check("primes", found.count, expected.count)
	check("sum of the primes", found.sum, expected.sum)
	return result{messages: messages, elapsed: elapsed}
}

// ---- philosophers: 20 philosophers, and one waiter who gives them their forks ----

type seatMessage struct {
	seat   int
	isFull bool
}

func philosophers(s size) result {
	const seats = 20
	meals := s.of(50000)
	waiter := make(chan seatMessage, mailbox)
	boxes := make([]chan struct{}, seats)
	counts := make([][16]uint64, seats)
	var done sync.WaitGroup
	done.Add(seats)
	for i := range boxes {
		boxes[i] = make(chan struct{}, 1)
	}
	begin := time.Now()
	go wait(waiter, boxes)
	for i := range boxes {
		go func(seat int) {
			defer done.Done()
			for left := meals; left > 0; left-- {
				waiter <- seatMessage{seat: seat}
				<-boxes[seat]
				counts[seat][0]++
				waiter <- seatMessage{seat, true}
			}
		}(i)
	}
	done.Wait()
	elapsed := time.Since(begin)
	close(waiter)
	sum := uint64(0)
	for i := range counts {
		sum += counts[i][0]
	}
	check("meals", sum, seats*meals)
	return result{messages: 3 * seats * meals, elapsed: elapsed}
}

func wait(messages <-chan seatMessage, boxes []chan struct{}) {
	seats := len(boxes)
	isHungry, isTaken := make([]bool, seats), make([]bool, seats) // the fork on the left of that seat
	serve := func(seat int) {
		right := (seat + 1) % seats
		if isHungry[seat] && !isTaken[seat] && !isTaken[right] {
			isHungry[seat], isTaken[seat], isTaken[right] = false, true, true
			boxes[seat] <- struct{}{}
		}
	}
	for msg := range messages {
		right := (msg.seat + 1) % seats
		if !msg.isFull {
			isHungry[msg.seat] = true
			serve(msg.seat)
			continue
		}
		if !isTaken[msg.seat] || !isTaken[right] {
			fail("a fork was put down that nobody had")
		}
		isTaken[msg.seat], isTaken[right] = false, false
		serve((msg.seat + seats - 1) % seats)
		serve(right)
	}
}

// ---- bounded_buffer: 40 producers, 40 consumers, and between them what Go has for this: a channel for 50 ----

func boundedBuffer(s size) result {
	const side = 40
	each := s.of(25000)
	buffer := make(chan uint64, 50)
	sums := make(chan uint64, side)
	var producers sync.WaitGroup
	producers.Add(side)
	begin := time.Now()
	for i := 0; i < side; i++ {
		go func() {
			sum := uint64(0)
			for item := range buffer {
				sum += item
			}
			sums <- sum
		}()
		go func() {
			defer producers.Done()
			for item := uint64(1); item <= each; item++ {
				buffer <- item
			}
		}()
	}
	producers.Wait()
	close(buffer)
	sum := uint64(0)
	for i := 0; i < side; i++ {
		sum += <-sums
	}
	elapsed := time.Since(begin)
	check("sum of the items", sum, side*(each*(each+1)/2))
	return result{messages: 5 * side * each, elapsed: elapsed}
}

// ---- queens: a master deals boards to 20 workers, which find more to deal ----

const (
	boardSize     = 10
	shallow       = 4
	solutionsEach = 724
)

type board struct {
	column [boardSize]uint8
	rows   uint8
}

func (b *board) isSafe(column int) bool {
	for row := 0; row < int(b.rows); row++ {
		apart, other := int(b.rows)-row, int(b.column[row])
		if other == column || other+apart == column || column+apart == other {
			return false
		}
	}
	return true
}

func (b board) with(column int) board {
	b.column[b.rows] = uint8(column)
	b.rows++
	return b
}

func search(b board) uint64 {
	if b.rows == boardSize {
		return 1
	}
	solutions := uint64(0)
	for column := 0; column < boardSize; column++ {
		if b.isSafe(column) {
			solutions += search(b.with(column))
		}
	}
	return solutions
}

// queensMessage is a board to deal; or that a job is done, and what it found.
type queensMessage struct {
	board     board
	isDone    bool
	solutions uint64
}

func queensWorker(jobs <-chan board, master chan<- queensMessage) {
	for b := range jobs {
		solutions := uint64(0)
		if b.rows >= shallow {
			solutions = search(b)
		} else {
			for column := 0; column < boardSize; column++ {
				if b.isSafe(column) {
					master <- queensMessage{board: b.with(column)}
				}
			}
		}
		master <- queensMessage{isDone: true, solutions: solutions}
	}
}

func queens(s size) result {
	const workers = 20
	searches := s.of(40)
	// The workers share the jobs; those that nobody can take yet the master keeps, so that none waits for another for ever.
	jobs, messages := make(chan board), make(chan queensMessage, mailbox)
	begin := time.Now()
	for i := 0; i < workers; i++ {
		go queensWorker(jobs, messages)
	}
	waiting := make([]board, searches)
	open, dealt, solutions := searches, uint64(0), uint64(0)
	for open > 0 {
		var to chan<- board
		var next board
		if len(waiting) > 0 {
			to, next = jobs, waiting[len(waiting)-1]
		}
		select {
		case to <- next:
			waiting = waiting[:len(waiting)-1]
			dealt++
		case msg := <-messages:
			if msg.isDone {
				open--
				solutions += msg.solutions
			} else {
				open++
				waiting = append(waiting, msg.board)
			}
		}
	}
	elapsed := time.Since(begin)
	close(jobs)
	check("solutions", solutions, solutionsEach*searches)
	return result{messages: 3*dealt - searches, elapsed: elapsed}
}
