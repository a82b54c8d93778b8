// SPDX-License-Identifier: MIT

package main

import (
	"container/heap"
	"sort"
	"sync/atomic"
	"time"
)

// ---- From the Savina suite, where something is worked at.  What is worked ends where all steps have been made. ----

func workFrom(seed, steps uint32) uint32 {
	x := seed
	for ; steps > 0; steps-- {
		x = x*69069 + 1
	}
	return x
}

// ---- sleeping_barber: the waiting room is what Go has for it, a channel for 1000; who finds it full is at the end again ----

type shearing struct {
	isDone bool
}

func haircutSteps(n uint32) uint32 {
	return 10 + n*7919%1000
}

// barber cuts until the waiting room is closed; the sum of where the work led.
func barber(room <-chan chan shearing, sums chan<- uint64) {
	sum := uint64(0)
	for n := uint32(0); ; n++ {
		customer, isOpen := <-room
		if !isOpen {
			sums <- sum
			return
		}
		customer <- shearing{}
		sum += uint64(workFrom(n, haircutSteps(n)))
		customer <- shearing{isDone: true}
	}
}

// street sends one customer after the other to the waiting room, until nobody will come back.
func street(back <-chan chan shearing, room chan<- chan shearing) {
	var line []chan shearing
	sum := uint32(0)
	for n := uint32(0); ; n++ {
		for len(line) == 0 || len(back) > 0 {
			customer, isOpen := <-back
			if !isOpen {
				nobodyReads = sum
				close(room)
				return
			}
			line = append(line, customer)
		}
		customer := line[0]
		line = line[1:]
		sum += workFrom(n, haircutSteps(n)/2)
		select {
		case room <- customer:
		default:
			line = append(line, customer)
		}
	}
}

// nobodyReads keeps work from being left out.
var nobodyReads uint32

func customer(haircuts uint64, back chan<- chan shearing, counts chan<- uint64) {
	box := make(chan shearing, 1)
	had := uint64(0)
	for ; haircuts > 0; haircuts-- {
		back <- box
		if begun, done := <-box, <-box; begun.isDone || !done.isDone {
			fail("a customer was shorn by halves, or twice at once")
		}
		had++
	}
	counts <- had
}

func sleepingBarber(s size) result {
	const customers, chairs = 2000, 1000
	each := s.of(100)
	expected := uint64(0)
	for n := uint32(0); uint64(n) < customers*each; n++ {
		expected += uint64(workFrom(n, haircutSteps(n)))
	}
	back, room := make(chan chan shearing, mailbox), make(chan chan shearing, chairs)
	counts, sums := make(chan uint64, customers), make(chan uint64, 1)
	begin := time.Now()
	go barber(room, sums)
	go street(back, room)
	for i := 0; i < customers; i++ {
		go customer(each, back, counts)
	}
	haircuts := uint64(0)
	for i := 0; i < customers; i++ {
		haircuts += <-counts
	}
	elapsed := time.Since(begin)
	close(back)
	check("haircuts", haircuts, customers*each)
	check("sum of the work", <-sums, expected)
	return result{messages: 7 * customers * each, elapsed: elapsed}
}

// ---- cobwebbed_tree: nodes ask the root whether they may have children; then all work, and sums go up ----

const treeChildren = 10

type treeKind int

const (
	treeGrow treeKind = iota
	treeTraverse
	treeSum
)

type treeMessage struct {
	kind  treeKind
	value uint64 // number of the first child, or a sum
}

type treeNode struct {
	number   uint64
	box      chan treeMessage
	asks     chan<- chan treeMessage
	children []chan treeMessage
}

func treeWork(number uint64) uint64 {
	return uint64(workFrom(uint32(number), 400+uint32(number*7919%201)))
}

func (n *treeNode) grow(first uint64) {
	for i := uint64(0); i < treeChildren; i++ {
		child := &treeNode{number: first + i, box: make(chan treeMessage, 1), asks: n.asks}
		n.children = append(n.children, child.box)
		go child.live(n.box)
	}
}

// sumUp works, has those below work, and sums up.
func (n *treeNode) sumUp() uint64 {
	sum := treeWork(n.number)
	for _, child := range n.children {
		child <- treeMessage{kind: treeTraverse}
	}
	for range n.children {
		msg := <-n.box
		sum += msg.value
	}
	return sum
}

func (n *treeNode) live(parent chan<- treeMessage) {
	n.asks <- n.box
	msg := <-n.box
	if msg.kind == treeGrow {
		n.grow(msg.value)
		<-n.box // told to work
	}
	parent <- treeMessage{treeSum, n.sumUp()}
}

func cobwebbedTree(s size) result {
	grown := (s.of(200000) - 1) / treeChildren
	if grown < 1 {
		grown = 1
	}
	below := grown * treeChildren
	expected := uint64(0)
	for number := uint64(0); number <= below; number++ {
		expected += treeWork(number)
	}
	asks := make(chan chan treeMessage, mailbox)
	draws := random(1)
	begin := time.Now()
	root := treeNode{box: make(chan treeMessage, 1), asks: asks}
	root.grow(1)
	nodes, open := uint64(1+treeChildren), uint64(treeChildren)
	for open > 0 {
		node := <-asks
		open--
		if nodes+treeChildren <= below+1 && (open == 0 || draws.below(2) == 0) {
			node <- treeMessage{treeGrow, nodes}
			nodes += treeChildren
			open += treeChildren
		}
	}
	sum := root.sumUp()
	elapsed := time.Since(begin)
	check("nodes", nodes, below+1)
	check("sum of the work", sum, expected)
	return result{messages: 3*below + grown - 1, elapsed: elapsed}
}

// ---- quicksort: in place; a goroutine for each part above 2048 numbers ----

func median(a, b, c uint64) uint64 {
	if a > b {
		a, b = b, a
	}
	if c < a {
		return a
	}
	if c > b {
		return b
	}
	return c
}

// split leaves no number in the first part that is above one of the second.
func split(n []uint64) ([]uint64, []uint64) {
	pivot := median(n[0], n[len(n)/2], n[len(n)-1])
	low, high := 0, len(n)-1
	for low <= high {
		for n[low] < pivot {
			low++
		}
		for n[high] > pivot {
			high--
		}
		if low <= high {
			n[low], n[high] = n[high], n[low]
			low++
			high--
		}
	}
	return n[:high+1], n[low:]
}

func sorter(n []uint64, sorted chan<- struct{}) {
	const alone = 2048
	if len(n) <= alone {
		sort.Slice(n, func(i, j int) bool { return n[i] < n[j] })
	} else {
		parts := make(chan struct{}, 2)
		left, right := split(n)
		go sorter(left, parts)
		go sorter(right, parts)
		<-parts
		<-parts
	}
	sorted <- struct{}{}
}

func quicksort(s size) result {
	const bits = 60
	numbers := make([]uint64, s.of(1000000))
	sum := uint64(0)
	draws := random(1)
	for i := range numbers {
		numbers[i] = draws.next() >> (64 - bits)
		sum += numbers[i]
	}
	sorted := make(chan struct{})
	begin := time.Now()
	go sorter(numbers, sorted)
	<-sorted
	elapsed := time.Since(begin)
	for i, n := range numbers {
		if i > 0 && n < numbers[i-1] {
			fail("the numbers are not sorted")
		}
		sum -= n
	}
	check("difference of the sums", sum, 0)
	return result{messages: uint64(len(numbers)), elapsed: elapsed}
}

// ---- a_star: 40 guided searches through a grid; a master, and 20 workers that share the jobs ----

const (
	gridSide   = 30
	gridCells  = gridSide * gridSide * gridSide
	gridTarget = gridCells - 1
	unreached  = 1 << 30
)

type step struct {
	cell, cost, guess uint32
}

// steps is a heap: the least guess is the first.
type steps []step

func (h steps) Len() int           { return len(h) }
func (h steps) Less(i, j int) bool { return h[i].guess < h[j].guess }
func (h steps) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *steps) Push(x any)        { *h = append(*h, x.(step)) }
func (h *steps) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// grid is of one search: what each cell has been reached for, which only falls.
type grid struct {
	number uint64
	best   []uint32
}

func (g *grid) costOf(cell uint32) uint32 {
	x := (g.number*gridCells + uint64(cell) + 1) * 2654435761 % 4294967291
	return 1 + uint32(x>>8)%9
}

func distanceOf(cell uint32) uint32 {
	return 3*(gridSide-1) - cell%gridSide - cell/gridSide%gridSide - cell/(gridSide*gridSide)
}

func neighboursOf(cell uint32, out []uint32) []uint32 {
	for apart := uint32(1); apart < gridCells; apart *= gridSide {
		at := cell / apart % gridSide
		if at > 0 {
			out = append(out, cell-apart)
		}
		if at < gridSide-1 {
			out = append(out, cell+apart)
		}
	}
	return out
}

func (g *grid) bestOf(cell uint32) uint32 {
	return atomic.LoadUint32(&g.best[cell])
}

func (g *grid) lower(cell, cost uint32) bool {
	for {
		before := g.bestOf(cell)
		if cost >= before {
			return false
		}
		if atomic.CompareAndSwapUint32(&g.best[cell], before, cost) {
			return true
		}
	}
}

func (g *grid) isPromising(s step) bool {
	return s.cost <= g.bestOf(s.cell) && s.guess < g.bestOf(gridTarget)
}

func (g *grid) goOnFrom(s step, open *steps) {
	var cells [6]uint32
	for _, cell := range neighboursOf(s.cell, cells[:0]) {
		cost := s.cost + g.costOf(cell)
		guess := cost + distanceOf(cell)
		if guess < g.bestOf(gridTarget) && g.lower(cell, cost) && cell != gridTarget {
			heap.Push(open, step{cell, cost, guess})
		}
	}
}

// foresee finds the cheapest way the ordinary way: until no cell can be entered for less.
func (g *grid) foresee() uint64 {
	costs := make([]uint32, gridCells)
	for cell := range costs {
		costs[cell] = unreached
	}
	costs[0] = 0
	var cells [6]uint32
	for isChanged := true; isChanged; {
		isChanged = false
		for cell := uint32(1); cell < gridCells; cell++ {
			for _, other := range neighboursOf(cell, cells[:0]) {
				if cost := costs[other] + g.costOf(cell); cost < costs[cell] {
					costs[cell] = cost
					isChanged = true
				}
			}
		}
	}
	return uint64(costs[gridTarget])
}

type searchJob struct {
	grid *grid
	step step
}

// searchMessage is a job to deal; or that a job is done.
type searchMessage struct {
	job    searchJob
	isDone bool
}

func searchWorker(jobs <-chan searchJob, master chan<- searchMessage) {
	const threshold = 1024
	for job := range jobs {
		g := job.grid
		open := steps{job.step}
		for i := 0; i < threshold && len(open) > 0; i++ {
			if s := heap.Pop(&open).(step); g.isPromising(s) {
				g.goOnFrom(s, &open)
			}
		}
		for _, s := range open {
			if g.isPromising(s) {
				master <- searchMessage{job: searchJob{g, s}}
			}
		}
		master <- searchMessage{isDone: true}
	}
}

// goThrough deals what is open until nothing is; those that nobody can take yet it keeps, so that none waits for another for ever.
func goThrough(g *grid, jobs chan<- searchJob, messages <-chan searchMessage) uint64 {
	for cell := range g.best {
		g.best[cell] = unreached
	}
	g.best[0] = 0
	waiting := []searchJob{{g, step{guess: distanceOf(0)}}}
	for open := 1; open > 0; {
		var to chan<- searchJob
		var next searchJob
		if len(waiting) > 0 {
			to, next = jobs, waiting[0]
		}
		select {
		case to <- next:
			waiting = waiting[1:]
		case msg := <-messages:
			if msg.isDone {
				open--
			} else {
				open++
				waiting = append(waiting, msg.job)
			}
		}
	}
	return uint64(g.bestOf(gridTarget))
}

func aStar(s size) result {
	const workers = 20
	searches := s.of(40)
	expected := uint64(0)
	for n := uint64(1); n <= searches; n++ {
		expected += (&grid{number: n}).foresee()
	}
	jobs, messages := make(chan searchJob), make(chan searchMessage, mailbox)
	g := grid{best: make([]uint32, gridCells)}
	begin := time.Now()
	for i := 0; i < workers; i++ {
		go searchWorker(jobs, messages)
	}
	costs := uint64(0)
	for n := uint64(1); n <= searches; n++ {
		g.number = n
		costs += goThrough(&g, jobs, messages)
	}
	elapsed := time.Since(begin)
	close(jobs)
	check("costs of the ways", costs, expected)
	return result{messages: searches * gridCells, elapsed: elapsed}
}

// ---- matrix_multiply: a master, and 20 workers that share the jobs; whoever has a block's job has the block ----

const matrixBlock = 128

type matrices struct {
	side                 int
	left, right, product []float64
}

type block struct {
	row, column, size, inner int
}

type matrixMessage struct {
	block  block
	isDone bool
}

// productAt is what must come out, exactly: with k from 0 to side - 1 the sum of (row + k) * (column - k).
func (m *matrices) productAt(row, column int) float64 {
	n := float64(m.side)
	sum := n * (n - 1) / 2
	squares := (n - 1) * n * (2*n - 1) / 6
	return n*float64(row)*float64(column) + float64(column-row)*sum - squares
}

// multiply adds matrixBlock products to each place of a small block.
func (m *matrices) multiply(b block) {
	for i := b.row; i < b.row+b.size; i++ {
		to := m.product[i*m.side+b.column:][:b.size]
		for k := b.inner; k < b.inner+matrixBlock; k++ {
			factor := m.left[i*m.side+k]
			from := m.right[k*m.side+b.column:][:b.size]
			for j := range to {
				to[j] += factor * from[j]
			}
		}
	}
}

func (m *matrices) worker(jobs <-chan block, master chan<- matrixMessage) {
	for b := range jobs {
		if half := b.size / 2; b.size > matrixBlock {
			for i := 0; i < 4; i++ {
				master <- matrixMessage{block: block{b.row + i/2*half, b.column + i%2*half, half, 0}}
			}
		} else {
			m.multiply(b)
			if b.inner += matrixBlock; b.inner < m.side {
				master <- matrixMessage{block: b}
			}
		}
		master <- matrixMessage{isDone: true}
	}
}

func newMatrices(s size) *matrices {
	side := 2 * matrixBlock
	for float64(s)*1024*1024*1024 >= 8*float64(side)*float64(side)*float64(side) {
		side *= 2
	}
	m := &matrices{side, make([]float64, side*side), make([]float64, side*side), make([]float64, side*side)}
	for i := 0; i < side; i++ {
		for j := 0; j < side; j++ {
			m.left[i*side+j] = float64(i + j)
			m.right[i*side+j] = float64(j - i)
		}
	}
	return m
}

func matrixMultiply(s size) result {
	const workers = 20
	m := newMatrices(s)
	jobs, messages := make(chan block), make(chan matrixMessage, mailbox)
	waiting := []block{{size: m.side}}
	dealt := uint64(0)
	begin := time.Now()
	for i := 0; i < workers; i++ {
		go m.worker(jobs, messages)
	}
	for open := 1; open > 0; {
		var to chan<- block
		var next block
		if len(waiting) > 0 {
			to, next = jobs, waiting[0]
		}
		select {
		case to <- next:
			waiting = waiting[1:]
			dealt++
		case msg := <-messages:
			if msg.isDone {
				open--
			} else {
				open++
				waiting = append(waiting, msg.block)
			}
		}
	}
	elapsed := time.Since(begin)
	close(jobs)
	for i := 0; i < m.side; i++ {
		for j := 0; j < m.side; j++ {
			if m.product[i*m.side+j] != m.productAt(i, j) {
				fail("a place of the product is wrong")
			}
		}
	}
	return result{messages: 3*dealt - 1, elapsed: elapsed}
}
