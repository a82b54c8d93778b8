// SPDX-License-Identifier: MIT

//! From the Savina suite.

use crate::{check, fail, Outcome, Size, MAILBOX};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::{channel, unbounded_channel, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::sync::{oneshot, Mutex};

/// Numbers that look random, the same as troupe-bench's: splitmix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

// ---- chameneos: 100 creatures meet in pairs at one mall, and change their colours ----

const CREATURES: u64 = 100;
const COLOURS: u64 = 3;

struct Meeting {
    from: Option<Sender<Meeting>>, // of one that wants to meet; of an answer there is none
    colour: u64,
}

fn complement(a: u64, b: u64) -> u64 {
    if a == b {
        a
    } else {
        COLOURS - a - b
    }
}

/// Over when the mall is closed.
async fn creature(mut colour: u64, mall: Sender<Meeting>) -> u64 {
    let (sender, mut inbox) = channel(1);
    let mut meetings = 0;
    while mall.send(Meeting { from: Some(sender.clone()), colour }).await.is_ok() {
        let meeting = match inbox.recv().await {
            Some(meeting) if meeting.colour < COLOURS => meeting,
            _ => break,
        };
        meetings += 1;
        match meeting.from {
            Some(other) => {
                colour = complement(colour, meeting.colour);
                other.send(Meeting { from: None, colour }).await.ok().expect("a creature");
            }
            None => colour = meeting.colour,
        }
    }
    meetings
}

pub fn chameneos(size: Size) -> Outcome {
    let meetings = size.of(1_000_000);
    size.run(async move {
        let (sender, mut mall) = channel(MAILBOX);
        let begin = Instant::now();
        let creatures: Vec<_> =
            (0..CREATURES).map(|i| tokio::spawn(creature(i % COLOURS, sender.clone()))).collect();
        for _ in 0..meetings {
            let first = mall.recv().await.and_then(|m| m.from).expect("a creature");
            let second = mall.recv().await.expect("a creature");
            first.send(second).await.ok().expect("a creature");
        }
        let mut away = Vec::new();
        for _ in 0..CREATURES {
            away.push(mall.recv().await.and_then(|m| m.from).expect("a creature"));
        }
        let elapsed = begin.elapsed();
        for creature in away {
            creature.send(Meeting { from: None, colour: COLOURS }).await.ok().expect("a creature");
        }
        let mut sum = 0;
        for creature in creatures {
            sum += creature.await.expect("no panic");
        }
        check("meetings of the creatures", sum, 2 * meetings);
        Outcome::new(4 * meetings, elapsed)
    })
}

// ---- bank: a teller has 1000 accounts transfer money to each other, 1000 at a time ----

const ACCOUNTS: u64 = 1000;
const UNDER_WAY: u64 = 1000;

enum BankMessage {
    Transfer { amount: u64, to: Sender<BankMessage> },
    Deposit { amount: u64, from: Sender<BankMessage> },
    Taken,
    Over,
}

async fn account(mut inbox: Receiver<BankMessage>, own: Sender<BankMessage>, teller: Sender<()>) -> (u64, u64) {
    let (mut balance, mut deposits) = (0u64, 0);
    while let Some(message) = inbox.recv().await {
        match message {
            BankMessage::Transfer { amount, to } => {
                balance = balance.wrapping_sub(amount);
                let deposit = BankMessage::Deposit { amount, from: own.clone() };
                to.send(deposit).await.ok().expect("an account");
            }
            BankMessage::Deposit { amount, from } => {
                balance = balance.wrapping_add(amount);
                deposits += 1;
                from.send(BankMessage::Taken).await.ok().expect("an account");
            }
            BankMessage::Taken => teller.send(()).await.expect("a teller"),
            BankMessage::Over => break,
        }
    }
    (balance, deposits)
}

async fn order(draws: &mut Random, accounts: &[Sender<BankMessage>]) {
    let from = draws.below(ACCOUNTS);
    let to = draws.below(ACCOUNTS - 1);
    let to = accounts[(to + u64::from(to >= from)) as usize].clone();
    let transfer = BankMessage::Transfer { amount: 1 + draws.below(1000), to };
    accounts[from as usize].send(transfer).await.ok().expect("an account");
}

pub fn bank(size: Size) -> Outcome {
    let transfers = size.of(500_000);
    size.run(async move {
        let (teller, mut taken) = channel(MAILBOX);
        let (boxes, inboxes): (Vec<_>, Vec<_>) = (0..ACCOUNTS).map(|_| channel(MAILBOX)).unzip();
        let tasks: Vec<_> = inboxes
            .into_iter()
            .zip(&boxes)
            .map(|(inbox, own)| tokio::spawn(account(inbox, own.clone(), teller.clone())))
            .collect();
        let mut draws = Random(1);
        let begin = Instant::now();
        for _ in 0..transfers.min(UNDER_WAY) {
            order(&mut draws, &boxes).await;
        }
        for done in 1..=transfers {
            taken.recv().await.expect("an account");
            if done + UNDER_WAY <= transfers {
                order(&mut draws, &boxes).await;
            }
        }
        let elapsed = begin.elapsed();
        let (mut balance, mut deposits) = (0u64, 0);
        for (sender, task) in boxes.iter().zip(tasks) {
            sender.send(BankMessage::Over).await.ok().expect("an account");
            let (b, d) = task.await.expect("no panic");
            balance = balance.wrapping_add(b);
            deposits += d;
        }
        check("balance of all", balance, 0);
        check("deposits", deposits, transfers);
        Outcome::new(4 * transfers, elapsed)
    })
}

// ---- dictionary: 20 clients ask one dictionary; one request in ten writes ----

const CLIENTS: u64 = 20;
const KEYS: u64 = 65536;

struct Request {
    key: u64,
    value: Option<u64>, // to write
    reply: oneshot::Sender<u64>,
}

async fn dictionary_task(mut requests: Receiver<Request>) -> u64 {
    let mut values = HashMap::new();
    let mut handled = 0;
    while let Some(request) = requests.recv().await {
        handled += 1;
        if let Some(value) = request.value {
            values.insert(request.key, value);
        }
        let value = values.get(&request.key).copied().unwrap_or(0);
        request.reply.send(value).expect("a client");
    }
    handled
}

async fn client(seed: u64, each: u64, dictionary: Sender<Request>) {
    let mut draws = Random(seed);
    for _ in 0..each {
        let draw = draws.next();
        let key = draw % KEYS;
        let value = if draw / KEYS % 10 == 0 { Some(draw | 1 << 31) } else { None };
        let (reply, answer) = oneshot::channel();
        dictionary.send(Request { key, value, reply }).await.ok().expect("a dictionary");
        let got = answer.await.expect("an answer");
        if got != 0 && got % KEYS != key {
            fail("a value belongs to another key");
        }
    }
}

pub fn dictionary(size: Size) -> Outcome {
    let each = size.of(100_000);
    size.run(async move {
        let (sender, inbox) = channel(MAILBOX);
        let dictionary = tokio::spawn(dictionary_task(inbox));
        let begin = Instant::now();
        let clients: Vec<_> =
            (1..=CLIENTS).map(|seed| tokio::spawn(client(seed, each, sender.clone()))).collect();
        for client in clients {
            client.await.expect("no panic");
        }
        let elapsed = begin.elapsed();
        drop(sender);
        check("requests handled", dictionary.await.expect("no panic"), CLIENTS * each);
        Outcome::new(2 * CLIENTS * each, elapsed)
    })
}

// ---- logistic_map: 150 series ask a computer each for their next term ----

const SERIES: u64 = 150;

fn rate(series: u64) -> f64 {
    3.46 + 0.0025 * series as f64
}

async fn computer(rate: f64, mut asked: Receiver<f64>, answers: Sender<f64>) {
    while let Some(x) = asked.recv().await {
        answers.send(rate * x * (1.0 - x)).await.expect("a series");
    }
}

async fn series(rate: f64, terms: u64) -> f64 {
    let (ask, asked) = channel(MAILBOX);
    let (answer, mut answers) = channel(1);
    tokio::spawn(computer(rate, asked, answer));
    let mut x = rate / 10.0;
    for _ in 0..terms {
        ask.send(x).await.expect("a computer");
        x = answers.recv().await.expect("a computer");
    }
    x
}

pub fn logistic_map(size: Size) -> Outcome {
    let terms = size.of(10_000);
    size.run(async move {
        let begin = Instant::now();
        let tasks: Vec<_> = (0..SERIES).map(|i| tokio::spawn(series(rate(i), terms))).collect();
        let mut last = Vec::new();
        for task in tasks {
            last.push(task.await.expect("no panic"));
        }
        let elapsed = begin.elapsed();
        for (i, is) in last.into_iter().enumerate() {
            let rate = rate(i as u64);
            let x = (0..terms).fold(rate / 10.0, |x, _| rate * x * (1.0 - x));
            check("bits of the last term", is.to_bits(), x.to_bits());
        }
        Outcome::new(2 * SERIES * terms, elapsed)
    })
}

// ---- radix_sort: numbers go through 60 tasks, one for each bit; each keeps those that have it to the end ----

const BITS: u32 = 60;

async fn stage(mut inbox: Receiver<u64>, next: Sender<u64>, mask: u64) {
    let mut kept = Vec::new();
    while let Some(number) = inbox.recv().await {
        if number & mask == 0 {
            next.send(number).await.expect("a stage");
        } else {
            kept.push(number);
        }
    }
    for number in kept {
        next.send(number).await.expect("a stage");
    }
}

pub fn radix_sort(size: Size) -> Outcome {
    let count = size.of(100_000);
    size.run(async move {
        let mut draws = Random(1);
        let numbers: Vec<u64> = (0..count).map(|_| draws.next() >> (64 - BITS)).collect();
        let expected = numbers.iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
        let (first, mut inbox) = channel(MAILBOX);
        let begin = Instant::now();
        tokio::spawn(async move {
            for number in numbers {
                first.send(number).await.expect("a stage");
            }
        });
        for bit in 0..BITS {
            let (next, next_inbox) = channel(MAILBOX);
            tokio::spawn(stage(inbox, next, 1 << bit));
            inbox = next_inbox;
        }
        let (mut last, mut sum, mut seen) = (0, 0u64, 0);
        while let Some(number) = inbox.recv().await {
            if number < last {
                fail("the numbers are not sorted");
            }
            last = number;
            sum = sum.wrapping_add(number);
            seen += 1;
        }
        let elapsed = begin.elapsed();
        check("numbers", seen, count);
        check("sum of the numbers", sum, expected);
        Outcome::new((u64::from(BITS) + 1) * count, elapsed)
    })
}

// ---- sieve: a chain of filters that grows; each keeps 100 primes and passes on what none of them divides ----

const PRIMES: usize = 100;

/// Found are the count and the sum of the primes of all filters before this one.
async fn filter(mut inbox: Receiver<u32>, found: (u64, u64), result: Sender<(u64, u64)>) {
    let mut kept: Vec<u32> = Vec::with_capacity(PRIMES);
    let mut next: Option<Sender<u32>> = None;
    while let Some(n) = inbox.recv().await {
        if kept.iter().any(|prime| n % prime == 0) {
            continue;
        }
        if kept.len() < PRIMES {
            kept.push(n);
            continue;
        }
        if next.is_none() {
            let (sender, next_inbox) = channel(MAILBOX);
            spawn_filter(next_inbox, add(found, &kept), result.clone());
            next = Some(sender);
        }
        next.as_ref().expect("just made").send(n).await.expect("a filter");
    }
    if next.is_none() {
        result.send(add(found, &kept)).await.expect("somebody who waits");
    }
}

fn add(found: (u64, u64), kept: &[u32]) -> (u64, u64) {
    (found.0 + kept.len() as u64, found.1 + kept.iter().map(|n| u64::from(*n)).sum::<u64>())
}

/// A function of its own, as a task's type cannot contain itself.
fn spawn_filter(inbox: Receiver<u32>, found: (u64, u64), result: Sender<(u64, u64)>) {
    tokio::spawn(filter(inbox, found, result));
}

/// The primes found the ordinary way, and how many numbers the filters get: a number stops where its least prime factor is
/// kept, and a prime where it is.
fn foresee(last: u64) -> ((u64, u64), u64) {
    let mut least = vec![0u64; last as usize + 1];
    let (mut count, mut sum, mut messages) = (0, 0, 0);
    for n in 2..=last {
        if least[n as usize] == 0 {
            count += 1;
            sum += n;
            least[n as usize] = count;
            for multiple in (n * n..=last).step_by(n as usize) {
                if least[multiple as usize] == 0 {
                    least[multiple as usize] = count;
                }
            }
        }
        messages += (least[n as usize] - 1) / PRIMES as u64 + 1;
    }
    ((count, sum), messages)
}

pub fn sieve(size: Size) -> Outcome {
    let last = 1 + size.of(199_999);
    let (expected, messages) = foresee(last);
    size.run(async move {
        let (first, inbox) = channel(MAILBOX);
        let (result, mut results) = channel(1);
        let begin = Instant::now();
        spawn_filter(inbox, (0, 0), result);
        for n in 2..=last {
            first.send(n as u32).await.expect("a filter");
        }
        drop(first);
        let found = results.recv().await.expect("a filter");
        let elapsed = begin.elapsed();
        check("primes", found.0, expected.0);
        check("sum of the primes", found.1, expected.1);
        Outcome::new(messages, elapsed)
    })
}

// ---- philosophers: 20 philosophers, and one waiter who gives them their forks ----

const SEATS: usize = 20;

enum SeatMessage {
    Hungry(usize),
    Full(usize),
}

async fn philosopher(seat: usize, waiter: Sender<SeatMessage>, mut inbox: Receiver<()>, meals: u64) -> u64 {
    let mut eaten = 0;
    for _ in 0..meals {
        waiter.send(SeatMessage::Hungry(seat)).await.ok().expect("a waiter");
        inbox.recv().await.expect("a waiter");
        eaten += 1;
        waiter.send(SeatMessage::Full(seat)).await.ok().expect("a waiter");
    }
    eaten
}

struct Table {
    philosophers: Vec<Sender<()>>,
    is_hungry: [bool; SEATS],
    is_taken: [bool; SEATS], // the fork on the left of that seat
}

impl Table {
    async fn serve(&mut self, seat: usize) {
        let right = (seat + 1) % SEATS;
        if self.is_hungry[seat] && !self.is_taken[seat] && !self.is_taken[right] {
            self.is_hungry[seat] = false;
            self.is_taken[seat] = true;
            self.is_taken[right] = true;
            self.philosophers[seat].send(()).await.expect("a philosopher");
        }
    }
}

async fn waiter(mut inbox: Receiver<SeatMessage>, mut table: Table) {
    while let Some(message) = inbox.recv().await {
        match message {
            SeatMessage::Hungry(seat) => {
                table.is_hungry[seat] = true;
                table.serve(seat).await;
            }
            SeatMessage::Full(seat) => {
                let right = (seat + 1) % SEATS;
                if !table.is_taken[seat] || !table.is_taken[right] {
                    fail("a fork was put down that nobody had");
                }
                table.is_taken[seat] = false;
                table.is_taken[right] = false;
                table.serve((seat + SEATS - 1) % SEATS).await;
                table.serve(right).await;
            }
        }
    }
}

pub fn philosophers(size: Size) -> Outcome {
    let meals = size.of(50_000);
    size.run(async move {
        let (sender, inbox) = channel(MAILBOX);
        let (boxes, inboxes): (Vec<_>, Vec<_>) = (0..SEATS).map(|_| channel(1)).unzip();
        let table = Table { philosophers: boxes, is_hungry: [false; SEATS], is_taken: [false; SEATS] };
        let begin = Instant::now();
        tokio::spawn(waiter(inbox, table));
        let tasks: Vec<_> = inboxes
            .into_iter()
            .enumerate()
            .map(|(seat, inbox)| tokio::spawn(philosopher(seat, sender.clone(), inbox, meals)))
            .collect();
        let mut eaten = 0;
        for task in tasks {
            eaten += task.await.expect("no panic");
        }
        let elapsed = begin.elapsed();
        check("meals", eaten, SEATS as u64 * meals);
        Outcome::new(3 * SEATS as u64 * meals, elapsed)
    })
}

// ---- bounded_buffer: 40 producers, 40 consumers, and a channel for 50, whose one receiving end the consumers share ----

const BUFFER_SIDE: u64 = 40;
const BUFFER_ROOM: usize = 50;

async fn buffer_producer(buffer: Sender<u64>, items: u64) {
    for item in 1..=items {
        buffer.send(item).await.expect("a consumer");
    }
}

/// Whoever waits for an item has the receiving end, the others wait for that.
async fn buffer_consumer(buffer: Arc<Mutex<Receiver<u64>>>) -> u64 {
    let mut sum = 0;
    loop {
        let item = buffer.lock().await.recv().await;
        match item {
            Some(item) => sum += item,
            None => return sum,
        }
    }
}

pub fn bounded_buffer(size: Size) -> Outcome {
    let each = size.of(25_000);
    size.run(async move {
        let (sender, receiver) = channel(BUFFER_ROOM);
        let shared = Arc::new(Mutex::new(receiver));
        let begin = Instant::now();
        let consumers: Vec<_> = (0..BUFFER_SIDE).map(|_| tokio::spawn(buffer_consumer(shared.clone()))).collect();
        for _ in 0..BUFFER_SIDE {
            tokio::spawn(buffer_producer(sender.clone(), each));
        }
        drop(sender);
        let mut sum = 0;
        for consumer in consumers {
            sum += consumer.await.expect("no panic");
        }
        let elapsed = begin.elapsed();
        check("sum of the items", sum, BUFFER_SIDE * (each * (each + 1) / 2));
        Outcome::new(5 * BUFFER_SIDE * each, elapsed)
    })
}

// ---- queens: a master deals boards to 20 workers, which find more to deal ----

const BOARD: usize = 10;
const SHALLOW: usize = 4;
const SOLUTIONS: u64 = 724;
const WORKERS: usize = 20;

/// The columns of the queens in the first rows.
#[derive(Clone, Copy)]
struct Board {
    column: [u8; BOARD],
    rows: usize,
}

impl Board {
    fn is_safe(&self, column: usize) -> bool {
        (0..self.rows).all(|row| {
            let (apart, other) = (self.rows - row, self.column[row] as usize);
            other != column && other + apart != column && column + apart != other
        })
    }

    /// All boards with one more queen.
    fn next(self) -> impl Iterator<Item = Board> {
        (0..BOARD).filter(move |column| self.is_safe(*column)).map(move |column| {
            let mut board = self;
            board.column[board.rows] = column as u8;
            board.rows += 1;
            board
        })
    }

    fn solutions(self) -> u64 {
        if self.rows == BOARD {
            return 1;
        }
        self.next().map(Board::solutions).sum()
    }
}

enum Report {
    Job(Board),
    Done(u64),
}

async fn queens_worker(mut jobs: UnboundedReceiver<Board>, master: UnboundedSender<Report>) {
    while let Some(board) = jobs.recv().await {
        let mut solutions = 0;
        if board.rows >= SHALLOW {
            solutions = board.solutions();
        } else {
            for more in board.next() {
                master.send(Report::Job(more)).ok().expect("a master");
            }
        }
        master.send(Report::Done(solutions)).ok().expect("a master");
    }
}

pub fn queens(size: Size) -> Outcome {
    let searches = size.of(40);
    size.run(async move {
        let (sender, mut reports) = unbounded_channel();
        let begin = Instant::now();
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let (worker, jobs) = unbounded_channel();
            tokio::spawn(queens_worker(jobs, sender.clone()));
            workers.push(worker);
        }
        for _ in 0..searches {
            sender.send(Report::Job(Board { column: [0; BOARD], rows: 0 })).ok().expect("a master");
        }
        let (mut dealt, mut done, mut solutions) = (0u64, 0u64, 0);
        while dealt == 0 || done < dealt || dealt < searches {
            match reports.recv().await.expect("a worker") {
                Report::Job(board) => {
                    workers[dealt as usize % WORKERS].send(board).ok().expect("a worker");
                    dealt += 1;
                }
                Report::Done(found) => {
                    done += 1;
                    solutions += found;
                }
            }
        }
        let elapsed = begin.elapsed();
        check("solutions", solutions, SOLUTIONS * searches);
        Outcome::new(3 * dealt - searches, elapsed)
    })
}
