// SPDX-License-Identifier: MIT

//! Messages between tasks that stay.

use crate::savina::Random;
use crate::{check, Outcome, Size, MAILBOX};
use std::time::Instant;
use tokio::sync::mpsc::{channel, unbounded_channel, Receiver, Sender, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;

/// The sum of what tasks return.
async fn sum_of(tasks: Vec<JoinHandle<u64>>) -> u64 {
    let mut sum = 0;
    for task in tasks {
        sum += task.await.expect("no panic");
    }
    sum
}

// ---- pingpong: pairs throw a ball back and forth; it says how many throws are left ----

async fn player(mut inbox: Receiver<u64>, partner: Sender<u64>) -> u64 {
    let mut caught = 0;
    while let Some(left) = inbox.recv().await {
        caught += 1;
        if left == 0 {
            break;
        }
        partner.send(left - 1).await.expect("a partner");
    }
    caught
}

async fn play(pairs: u64, throws: u64) -> Outcome {
    let mut players = Vec::new();
    let mut servers = Vec::new();
    for _ in 0..pairs {
        let (to_a, a) = channel(MAILBOX);
        let (to_b, b) = channel(MAILBOX);
        servers.push(to_b.clone());
        players.push(tokio::spawn(player(a, to_b)));
        players.push(tokio::spawn(player(b, to_a)));
    }
    let begin = Instant::now();
    for server in servers {
        server.send(throws - 1).await.expect("a player");
    }
    let caught = sum_of(players).await;
    let elapsed = begin.elapsed();
    check("balls caught", caught, pairs * throws);
    Outcome::new(pairs * throws, elapsed)
}

pub fn pingpong(size: Size) -> Outcome {
    size.run(play(1, 2 * size.of(2_000_000)))
}

pub fn pingpong_pairs(size: Size) -> Outcome {
    size.run(play(64, 2 * size.of(100_000)))
}

// ---- threadring: one token goes round 1000 tasks ----

/// Whoever has the token last drops its channel, and so does the next one, all the way round.
async fn member(mut inbox: Receiver<u64>, next: Sender<u64>) -> u64 {
    let mut passed = 0;
    while let Some(left) = inbox.recv().await {
        passed += 1;
        if left == 0 {
            break;
        }
        next.send(left - 1).await.expect("a next one");
    }
    passed
}

pub fn threadring(size: Size) -> Outcome {
    let hops = size.of(5_000_000);
    size.run(async move {
        let (first, mut inbox) = channel(1);
        let mut members = Vec::new();
        for _ in 1..1000 {
            let (next, next_inbox) = channel(1);
            members.push(tokio::spawn(member(inbox, next)));
            inbox = next_inbox;
        }
        members.push(tokio::spawn(member(inbox, first.clone())));
        let begin = Instant::now();
        first.send(hops - 1).await.expect("a ring");
        drop(first);
        let passed = sum_of(members).await;
        let elapsed = begin.elapsed();
        check("hops", passed, hops);
        Outcome::new(hops, elapsed)
    })
}

// ---- counting and many_to_one: producers send 1, 2, 3 and so on to one consumer ----

async fn consume(mut inbox: Receiver<u64>) -> u64 {
    let mut sum = 0;
    while let Some(number) = inbox.recv().await {
        sum += number;
    }
    sum
}

async fn consume_unbounded(mut inbox: UnboundedReceiver<u64>) -> u64 {
    let mut sum = 0;
    while let Some(number) = inbox.recv().await {
        sum += number;
    }
    sum
}

async fn produce(consumer: Sender<u64>, last: u64) {
    for number in 1..=last {
        consumer.send(number).await.expect("a consumer");
    }
}

/// An unbounded send never waits: the producer lets others run now and then, as troupe's does.
async fn produce_unbounded(consumer: UnboundedSender<u64>, last: u64) {
    for number in 1..=last {
        consumer.send(number).expect("a consumer");
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
}

async fn flood(producers: u64, total: u64, bounded: bool) -> Outcome {
    let each = (total / producers).max(1);
    let begin;
    let consumer = if bounded {
        let (sender, inbox) = channel(MAILBOX);
        let consumer = tokio::spawn(consume(inbox));
        begin = Instant::now();
        for _ in 0..producers {
            tokio::spawn(produce(sender.clone(), each));
        }
        consumer
    } else {
        let (sender, inbox) = unbounded_channel();
        let consumer = tokio::spawn(consume_unbounded(inbox));
        begin = Instant::now();
        for _ in 0..producers {
            tokio::spawn(produce_unbounded(sender.clone(), each));
        }
        consumer
    };
    let sum = consumer.await.expect("no panic");
    let elapsed = begin.elapsed();
    check("sum of the numbers", sum, each * (each + 1) / 2 * producers);
    Outcome::new(each * producers, elapsed)
}

pub fn counting_b(size: Size) -> Outcome {
    size.run(flood(1, size.of(10_000_000), true))
}

pub fn counting_u(size: Size) -> Outcome {
    size.run(flood(1, size.of(10_000_000), false))
}

pub fn many_to_one_b(size: Size) -> Outcome {
    size.run(flood(16, size.of(10_000_000), true))
}

pub fn many_to_one_u(size: Size) -> Outcome {
    size.run(flood(16, size.of(10_000_000), false))
}

// ---- fj_throughput: one sends to 64 in turn ----

const MEMBERS: u64 = 64;

async fn deal(members: Vec<Sender<u64>>, last: u64) {
    for number in 1..=last {
        for member in &members {
            member.send(number).await.expect("a member");
        }
    }
}

async fn deal_unbounded(members: Vec<UnboundedSender<u64>>, last: u64) {
    for number in 1..=last {
        for member in &members {
            member.send(number).expect("a member");
        }
        tokio::task::yield_now().await;
    }
}

async fn fj_throughput(each: u64, bounded: bool) -> Outcome {
    let mut tasks = Vec::new();
    let begin;
    if bounded {
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            let (sender, inbox) = channel(MAILBOX);
            members.push(sender);
            tasks.push(tokio::spawn(consume(inbox)));
        }
        begin = Instant::now();
        tokio::spawn(deal(members, each));
    } else {
        let mut members = Vec::new();
        for _ in 0..MEMBERS {
            let (sender, inbox) = unbounded_channel();
            members.push(sender);
            tasks.push(tokio::spawn(consume_unbounded(inbox)));
        }
        begin = Instant::now();
        tokio::spawn(deal_unbounded(members, each));
    }
    let sum = sum_of(tasks).await;
    let elapsed = begin.elapsed();
    check("sum of the numbers", sum, MEMBERS * (each * (each + 1) / 2));
    Outcome::new(MEMBERS * each, elapsed)
}

pub fn fj_throughput_b(size: Size) -> Outcome {
    size.run(fj_throughput(size.of(100_000), true))
}

pub fn fj_throughput_u(size: Size) -> Outcome {
    size.run(fj_throughput(size.of(100_000), false))
}

// ---- big: 64 tasks, each pings a random other one, and the next when the pong is there ----

enum BigMessage {
    Ping(usize),
    Pong,
    Over,
}

async fn big_member(
    id: usize,
    mut inbox: Receiver<BigMessage>,
    others: Vec<Sender<BigMessage>>,
    pings: u64,
    done: Sender<()>,
) -> u64 {
    let mut random = Random(id as u64 + 1);
    let mut left = pings;
    let mut served = 0;
    let mut draw = move || {
        let drawn = random.below(MEMBERS - 1) as usize;
        drawn + usize::from(drawn >= id)
    };
    others[draw()].send(BigMessage::Ping(id)).await.ok().expect("a member");
    while let Some(message) = inbox.recv().await {
        match message {
            BigMessage::Ping(from) => {
                served += 1;
                others[from].send(BigMessage::Pong).await.ok().expect("a member");
            }
            BigMessage::Pong => {
                left -= 1;
                if left == 0 {
                    done.send(()).await.expect("somebody who waits");
                } else {
                    others[draw()].send(BigMessage::Ping(id)).await.ok().expect("a member");
                }
            }
            BigMessage::Over => break,
        }
    }
    served
}

pub fn big(size: Size) -> Outcome {
    let pings = size.of(20_000);
    size.run(async move {
        let (boxes, inboxes): (Vec<_>, Vec<_>) = (0..MEMBERS).map(|_| channel(MAILBOX)).unzip();
        let (done, mut all_done) = channel(MAILBOX);
        let begin = Instant::now();
        let members: Vec<_> = inboxes
            .into_iter()
            .enumerate()
            .map(|(id, inbox)| tokio::spawn(big_member(id, inbox, boxes.clone(), pings, done.clone())))
            .collect();
        for _ in 0..MEMBERS {
            all_done.recv().await.expect("a member");
        }
        let elapsed = begin.elapsed();
        for member in &boxes {
            member.send(BigMessage::Over).await.ok().expect("a member");
        }
        check("pings served", sum_of(members).await, MEMBERS * pings);
        Outcome::new(2 * MEMBERS * pings, elapsed)
    })
}
