// SPDX-License-Identifier: MIT

//! From the Savina suite, where something is worked at.  What is worked ends where all steps have been made.

use crate::savina::Random;
use crate::{check, fail, Outcome, Size, MAILBOX};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{
    channel, error::{TryRecvError, TrySendError}, unbounded_channel, Receiver, Sender, UnboundedReceiver,
    UnboundedSender,
};
use tokio::task::JoinHandle;

fn work_from(seed: u32, steps: u32) -> u32 {
    (0..steps).fold(seed, |x, _| x.wrapping_mul(69069).wrapping_add(1))
}

/// So that the work that led here is not left out.
fn keep(value: u32) {
    // SAFETY: it is read from a variable of ours.
    unsafe { std::ptr::read_volatile(&value) };
}

// ---- sleeping_barber: the waiting room is a channel for 1000; who finds it full is at the end of the line again ----

const CUSTOMERS: u64 = 2000;
const CHAIRS: usize = 1000;

enum Shearing {
    Begun,
    Done,
}

type Customer = Sender<Shearing>;

fn haircut_steps(n: u32) -> u32 {
    10 + n.wrapping_mul(7919) % 1000
}

/// Cuts until the street has gone; the sum of where the work led.
async fn barber(mut room: Receiver<Customer>) -> u64 {
    let (mut sum, mut haircuts) = (0, 0);
    while let Some(customer) = room.recv().await {
        customer.send(Shearing::Begun).await.ok().expect("a customer");
        sum += u64::from(work_from(haircuts, haircut_steps(haircuts)));
        haircuts += 1;
        customer.send(Shearing::Done).await.ok().expect("a customer");
    }
    sum
}

/// Sends one customer after the other to the waiting room, until nobody will come back.
async fn street(mut back: Receiver<Customer>, room: Sender<Customer>) -> u32 {
    let mut line = VecDeque::new();
    let (mut sum, mut sent) = (0u32, 0);
    loop {
        match back.try_recv() {
            Ok(customer) => {
                line.push_back(customer);
                continue;
            }
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) if line.is_empty() => return sum,
            Err(TryRecvError::Disconnected) => {}
        }
        let customer = match line.pop_front() {
            Some(customer) => customer,
            None => match back.recv().await {
                Some(customer) => customer,
                None => return sum,
            },
        };
        sum = sum.wrapping_add(work_from(sent, haircut_steps(sent) / 2));
        sent = sent.wrapping_add(1);
        if let Err(TrySendError::Full(customer)) = room.try_send(customer) {
            line.push_back(customer);
            // The barber's turn, if there is only one worker.
            tokio::task::yield_now().await;
        }
    }
}

async fn customer(haircuts: u64, back: Sender<Customer>) -> u64 {
    let (sender, mut inbox) = channel(1);
    let mut had = 0;
    for _ in 0..haircuts {
        back.send(sender.clone()).await.ok().expect("a street");
        match (inbox.recv().await, inbox.recv().await) {
            (Some(Shearing::Begun), Some(Shearing::Done)) => had += 1,
            _ => fail("a customer was shorn by halves, or twice at once"),
        }
    }
    had
}

pub fn sleeping_barber(size: Size) -> Outcome {
    let each = size.of(100);
    let expected = (0..(CUSTOMERS * each) as u32).map(|n| u64::from(work_from(n, haircut_steps(n)))).sum();
    size.run(async move {
        let (seat, room) = channel(CHAIRS);
        let (back, coming_back) = channel(MAILBOX);
        let begin = Instant::now();
        let barber = tokio::spawn(barber(room));
        let street = tokio::spawn(street(coming_back, seat));
        let customers: Vec<_> = (0..CUSTOMERS).map(|_| tokio::spawn(customer(each, back.clone()))).collect();
        drop(back);
        let mut haircuts = 0;
        for customer in customers {
            haircuts += customer.await.expect("no panic");
        }
        let elapsed = begin.elapsed();
        keep(street.await.expect("no panic"));
        check("haircuts", haircuts, CUSTOMERS * each);
        check("sum of the work", barber.await.expect("no panic"), expected);
        Outcome::new(7 * CUSTOMERS * each, elapsed)
    })
}

// ---- cobwebbed_tree: nodes ask the root whether they may have children; then all work, and sums go up ----

const CHILDREN: u64 = 10;

enum TreeMessage {
    Grow(u64), // number of the first child
    Traverse,
    Sum(u64),
}

type NodeSender = Sender<TreeMessage>;

fn tree_work(number: u64) -> u64 {
    u64::from(work_from(number as u32, 400 + (number * 7919 % 201) as u32))
}

fn spawn_children(own: &NodeSender, first: u64, asks: &Sender<NodeSender>) -> Vec<NodeSender> {
    (first..first + CHILDREN)
        .map(|number| {
            let (sender, inbox) = channel(1);
            tokio::spawn(node(number, sender.clone(), inbox, own.clone(), asks.clone()));
            sender
        })
        .collect()
}

/// Works, has those below work, and sums up.
async fn sum_up(number: u64, children: &[NodeSender], inbox: &mut Receiver<TreeMessage>) -> u64 {
    let mut sum = tree_work(number);
    for child in children {
        child.send(TreeMessage::Traverse).await.ok().expect("a child");
    }
    for _ in children {
        match inbox.recv().await {
            Some(TreeMessage::Sum(below)) => sum += below,
            _ => fail("a child sent something else than its sum"),
        }
    }
    sum
}

async fn node(
    number: u64, own: NodeSender, mut inbox: Receiver<TreeMessage>, parent: NodeSender, asks: Sender<NodeSender>,
) {
    let mut children = Vec::new();
    asks.send(own.clone()).await.ok().expect("a root");
    if let Some(TreeMessage::Grow(first)) = inbox.recv().await {
        children = spawn_children(&own, first, &asks);
        inbox.recv().await; // told to work
    }
    drop(asks);
    let sum = sum_up(number, &children, &mut inbox).await;
    parent.send(TreeMessage::Sum(sum)).await.ok().expect("a parent");
}

pub fn cobwebbed_tree(size: Size) -> Outcome {
    let grown = ((size.of(200_000) - 1) / CHILDREN).max(1);
    let below = grown * CHILDREN;
    let expected = (0..=below).map(tree_work).sum();
    size.run(async move {
        let mut draws = Random(1);
        let (asks, mut asking) = channel(MAILBOX);
        let (sender, mut inbox) = channel(1);
        let begin = Instant::now();
        let children = spawn_children(&sender, 1, &asks);
        let (mut nodes, mut open) = (1 + CHILDREN, CHILDREN);
        while open > 0 {
            let node: NodeSender = asking.recv().await.expect("a node");
            open -= 1;
            if nodes + CHILDREN <= below + 1 && (open == 0 || draws.below(2) == 0) {
                node.send(TreeMessage::Grow(nodes)).await.ok().expect("a node");
                nodes += CHILDREN;
                open += CHILDREN;
            }
        }
        let sum = sum_up(0, &children, &mut inbox).await;
        let elapsed = begin.elapsed();
        check("nodes", nodes, below + 1);
        check("sum of the work", sum, expected);
        Outcome::new(3 * below + grown - 1, elapsed)
    })
}

// ---- quicksort: a task for each part above 2048 numbers; who has numbers owns them, and gives them back sorted ----

const ALONE: usize = 2048;

/// Leaves no number in the first part that is above one of the second; what is between belongs there.
fn split(n: &mut [u64]) -> (usize, usize) {
    let (a, b, c) = (n[0], n[n.len() / 2], n[n.len() - 1]);
    let pivot = a.min(b).max(a.max(b).min(c));
    let (mut low, mut high) = (0, n.len());
    // The second part is from `low` on, the first one is before `high`.
    while low < high {
        while n[low] < pivot {
            low += 1;
        }
        while n[high - 1] > pivot {
            high -= 1;
        }
        if low < high {
            n.swap(low, high - 1);
            low += 1;
            high -= 1;
        }
    }
    (high, low)
}

fn spawn_sorter(numbers: Vec<u64>) -> JoinHandle<Vec<u64>> {
    tokio::spawn(sorter(numbers))
}

async fn sorter(mut numbers: Vec<u64>) -> Vec<u64> {
    if numbers.len() <= ALONE {
        numbers.sort_unstable();
        return numbers;
    }
    let (first_end, second) = split(&mut numbers);
    let right = spawn_sorter(numbers.split_off(second));
    let between = numbers.split_off(first_end);
    let mut sorted = spawn_sorter(numbers).await.expect("no panic");
    sorted.extend(between);
    sorted.extend(right.await.expect("no panic"));
    sorted
}

pub fn quicksort(size: Size) -> Outcome {
    let count = size.of(1_000_000);
    size.run(async move {
        let mut draws = Random(1);
        let numbers: Vec<u64> = (0..count).map(|_| draws.next() >> 4).collect();
        let expected = numbers.iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
        let begin = Instant::now();
        let sorted = spawn_sorter(numbers).await.expect("no panic");
        let elapsed = begin.elapsed();
        if sorted.windows(2).any(|two| two[0] > two[1]) {
            fail("the numbers are not sorted");
        }
        check("numbers", sorted.len() as u64, count);
        check("sum of the numbers", sorted.iter().fold(0u64, |sum, n| sum.wrapping_add(*n)), expected);
        Outcome::new(count, elapsed)
    })
}

// ---- a_star: 40 guided searches through a grid; a master deals cells to 20 workers, which find more to deal ----

const SIDE: u32 = 30;
const CELLS: u32 = SIDE * SIDE * SIDE;
const TARGET: u32 = CELLS - 1;
const UNREACHED: u32 = 1 << 30;
const WORKERS: usize = 20;
const THRESHOLD: usize = 1024;

/// The greatest of them is the one with the least guess.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Step {
    cell: u32,
    cost: u32,
    guess: u32,
}

impl Ord for Step {
    fn cmp(&self, other: &Step) -> Ordering {
        (other.guess, other.cell, other.cost).cmp(&(self.guess, self.cell, self.cost))
    }
}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Step) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Of one search: what each cell has been reached for, which only falls.  relaxed: each is a number by itself.
struct Grid {
    number: u64,
    best: Vec<AtomicU32>,
}

fn cost_of(search: u64, cell: u32) -> u32 {
    let x = (search * u64::from(CELLS) + u64::from(cell) + 1) * 2_654_435_761 % 4_294_967_291;
    1 + (x >> 8) as u32 % 9
}

fn distance_of(cell: u32) -> u32 {
    3 * (SIDE - 1) - cell % SIDE - cell / SIDE % SIDE - cell / (SIDE * SIDE)
}

fn neighbours_of(cell: u32) -> impl Iterator<Item = u32> {
    [1, SIDE, SIDE * SIDE].into_iter().flat_map(move |apart| {
        let at = cell / apart % SIDE;
        let before = if at > 0 { Some(cell - apart) } else { None };
        let after = if at < SIDE - 1 { Some(cell + apart) } else { None };
        before.into_iter().chain(after)
    })
}

impl Grid {
    fn new(number: u64) -> Grid {
        let best: Vec<_> = (0..CELLS).map(|_| AtomicU32::new(UNREACHED)).collect();
        best[0].store(0, Relaxed);
        Grid { number, best }
    }

    fn best_of(&self, cell: u32) -> u32 {
        self.best[cell as usize].load(Relaxed)
    }

    fn is_promising(&self, step: &Step) -> bool {
        step.cost <= self.best_of(step.cell) && step.guess < self.best_of(TARGET)
    }

    fn go_on_from(&self, step: &Step, open: &mut BinaryHeap<Step>) {
        for cell in neighbours_of(step.cell) {
            let cost = step.cost + cost_of(self.number, cell);
            let guess = cost + distance_of(cell);
            if guess < self.best_of(TARGET)
                && self.best[cell as usize].fetch_min(cost, Relaxed) > cost
                && cell != TARGET
            {
                open.push(Step { cell, cost, guess });
            }
        }
    }
}

/// What the cheapest way costs, found the ordinary way: until no cell can be entered for less.
fn foresee(search: u64) -> u64 {
    let mut costs = vec![UNREACHED; CELLS as usize];
    costs[0] = 0;
    let mut is_changed = true;
    while is_changed {
        is_changed = false;
        for cell in 1..CELLS {
            for other in neighbours_of(cell) {
                let cost = costs[other as usize] + cost_of(search, cell);
                if cost < costs[cell as usize] {
                    costs[cell as usize] = cost;
                    is_changed = true;
                }
            }
        }
    }
    u64::from(costs[TARGET as usize])
}

struct SearchJob {
    grid: Arc<Grid>,
    step: Step,
}

enum SearchReport {
    Job(SearchJob),
    Done,
}

async fn search_worker(mut jobs: UnboundedReceiver<SearchJob>, master: UnboundedSender<SearchReport>) {
    while let Some(SearchJob { grid, step }) = jobs.recv().await {
        let mut open = BinaryHeap::new();
        open.push(step);
        for _ in 0..THRESHOLD {
            match open.pop() {
                Some(step) if grid.is_promising(&step) => grid.go_on_from(&step, &mut open),
                Some(_) => {}
                None => break,
            }
        }
        for step in open.into_iter().filter(|step| grid.is_promising(step)) {
            master.send(SearchReport::Job(SearchJob { grid: grid.clone(), step })).ok().expect("a master");
        }
        master.send(SearchReport::Done).ok().expect("a master");
    }
}

pub fn a_star(size: Size) -> Outcome {
    let searches = size.of(40);
    let expected = (1..=searches).map(foresee).sum();
    size.run(async move {
        let (sender, mut reports) = unbounded_channel();
        let begin = Instant::now();
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let (worker, jobs) = unbounded_channel();
            tokio::spawn(search_worker(jobs, sender.clone()));
            workers.push(worker);
        }
        let mut turns = workers.iter().cycle();
        let mut costs = 0;
        for number in 1..=searches {
            let grid = Arc::new(Grid::new(number));
            let step = Step { cell: 0, cost: 0, guess: distance_of(0) };
            sender.send(SearchReport::Job(SearchJob { grid: grid.clone(), step })).ok().expect("ourselves");
            let (mut dealt, mut done) = (0u64, 0u64);
            while dealt == 0 || done < dealt {
                match reports.recv().await.expect("a worker") {
                    SearchReport::Job(job) => {
                        turns.next().expect("there are some").send(job).ok().expect("a worker");
                        dealt += 1;
                    }
                    SearchReport::Done => done += 1,
                }
            }
            costs += u64::from(grid.best_of(TARGET));
        }
        let elapsed = begin.elapsed();
        check("costs of the ways", costs, expected);
        Outcome::new(searches * u64::from(CELLS), elapsed)
    })
}

// ---- matrix_multiply: a master deals blocks of the product to 20 workers; who has a block owns its numbers ----

const BLOCK: usize = 128;

struct Factors {
    side: usize,
    left: Vec<f64>,
    right: Vec<f64>,
}

struct Block {
    row: usize,
    column: usize,
    size: usize,
    inner: usize,
    product: Vec<f64>, // of a small one
}

enum MatrixReport {
    Job(Block),
    Ready(Block),
    Done,
}

impl Factors {
    fn new(scale: f64) -> Factors {
        let mut side = 2 * BLOCK;
        while scale * 1024f64.powi(3) >= 8.0 * (side as f64).powi(3) {
            side *= 2;
        }
        let mut factors = Factors { side, left: Vec::new(), right: Vec::new() };
        for i in 0..side {
            factors.left.extend((0..side).map(|j| (i + j) as f64));
            factors.right.extend((0..side).map(|j| j as f64 - i as f64));
        }
        factors
    }

    /// What must come out, exactly: with k from 0 to side - 1 the sum of (row + k) * (column - k).
    fn product_at(&self, row: usize, column: usize) -> f64 {
        let (n, row, column) = (self.side as f64, row as f64, column as f64);
        let squares = (n - 1.0) * n * (2.0 * n - 1.0) / 6.0;
        n * row * column + (column - row) * n * (n - 1.0) / 2.0 - squares
    }

    /// Adds BLOCK products to each place of a small block.
    fn multiply(&self, block: &mut Block) {
        block.product.resize(block.size * block.size, 0.0);
        for (i, to) in block.product.chunks_exact_mut(block.size).enumerate() {
            for k in block.inner..block.inner + BLOCK {
                let factor = self.left[(block.row + i) * self.side + k];
                let from = &self.right[k * self.side + block.column..][..block.size];
                for (sum, other) in to.iter_mut().zip(from) {
                    *sum += factor * other;
                }
            }
        }
        block.inner += BLOCK;
    }
}

fn quarters(block: &Block) -> impl Iterator<Item = Block> {
    let (row, column, size) = (block.row, block.column, block.size / 2);
    (0..4).map(move |i| Block {
        row: row + i / 2 * size,
        column: column + i % 2 * size,
        size,
        inner: 0,
        product: Vec::new(),
    })
}

async fn matrix_worker(
    factors: Arc<Factors>, mut jobs: UnboundedReceiver<Block>, master: UnboundedSender<MatrixReport>,
) {
    let report = |report| master.send(report).ok().expect("a master");
    while let Some(mut block) = jobs.recv().await {
        if block.size > BLOCK {
            quarters(&block).for_each(|quarter| report(MatrixReport::Job(quarter)));
        } else {
            factors.multiply(&mut block);
            report(if block.inner < factors.side { MatrixReport::Job(block) } else { MatrixReport::Ready(block) });
        }
        report(MatrixReport::Done);
    }
}

pub fn matrix_multiply(size: Size) -> Outcome {
    let factors = Arc::new(Factors::new(size.scale));
    let side = factors.side;
    size.run(async move {
        let (sender, mut reports) = unbounded_channel();
        let begin = Instant::now();
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let (worker, jobs) = unbounded_channel();
            tokio::spawn(matrix_worker(factors.clone(), jobs, sender.clone()));
            workers.push(worker);
        }
        let whole = Block { row: 0, column: 0, size: side, inner: 0, product: Vec::new() };
        sender.send(MatrixReport::Job(whole)).ok().expect("ourselves");
        let (mut dealt, mut done, mut ready) = (0u64, 0u64, Vec::new());
        while dealt == 0 || done < dealt {
            match reports.recv().await.expect("a worker") {
                MatrixReport::Job(block) => {
                    workers[dealt as usize % WORKERS].send(block).ok().expect("a worker");
                    dealt += 1;
                }
                MatrixReport::Ready(block) => ready.push(block),
                MatrixReport::Done => done += 1,
            }
        }
        let elapsed = begin.elapsed();
        let mut right = 0;
        for block in &ready {
            for (i, is) in block.product.iter().enumerate() {
                let expected = factors.product_at(block.row + i / block.size, block.column + i % block.size);
                right += u64::from(*is == expected);
            }
        }
        check("places that are right", right, (side * side) as u64);
        Outcome::new(3 * dealt - 1, elapsed)
    })
}
