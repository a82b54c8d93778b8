// SPDX-License-Identifier: MIT

//! Tasks that are spawned in numbers.

use crate::{check, fail, Outcome, Size};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{channel, Sender};
use tokio::sync::Notify;

/// Counts down what a crowd has done.
struct Crowd {
    left: AtomicU64,
    over: Notify,
}

impl Crowd {
    fn new(count: u64) -> Arc<Crowd> {
        Arc::new(Crowd { left: AtomicU64::new(count), over: Notify::new() })
    }

    fn part_done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.over.notify_one();
        }
    }
}

// ---- fj_create: tasks that are spawned, get one message and end ----

pub fn fj_create(size: Size) -> Outcome {
    let lives = size.of(1_000_000);
    size.run(async move {
        let crowd = Crowd::new(lives);
        let begin = Instant::now();
        for _ in 0..lives {
            let (sender, mut inbox) = channel(1);
            let crowd = crowd.clone();
            tokio::spawn(async move {
                let job: Option<()> = inbox.recv().await;
                if job.is_none() {
                    fail("a task ended without its message");
                }
                crowd.part_done();
            });
            sender.send(()).await.expect("a task");
        }
        crowd.over.notified().await;
        Outcome::new(lives, begin.elapsed())
    })
}

// ---- idle_memory: tasks that have got one message and wait for the next ----

fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("/proc");
    let pages: u64 = text.split(' ').nth(1).expect("two words").parse().expect("a number");
    pages * 4096
}

pub fn idle_memory(size: Size) -> Outcome {
    let members = size.of(1_000_000);
    size.run(async move {
        let crowd = Crowd::new(members);
        let mut boxes: Vec<Option<Sender<()>>> = (0..members).map(|_| None).collect();
        let before = resident_bytes();
        let begin = Instant::now();
        for slot in boxes.iter_mut() {
            let (sender, mut inbox) = channel(1);
            let crowd = crowd.clone();
            tokio::spawn(async move {
                while inbox.recv().await.is_some() {
                    crowd.part_done();
                }
            });
            sender.send(()).await.expect("a task");
            *slot = Some(sender);
        }
        crowd.over.notified().await;
        let elapsed = begin.elapsed();
        let grown = resident_bytes() - before;
        crowd.left.store(members, Ordering::Release);
        for sender in boxes.iter().flatten() {
            sender.send(()).await.expect("a task");
        }
        crowd.over.notified().await; // each was there
        let extra = format!(" bytes_per_actor={:.1}", grown as f64 / members as f64);
        Outcome { messages: members, elapsed, extra }
    })
}

// ---- skynet: a tree of tasks, ten children each, whose leaves are numbered and summed up ----

fn node(parent: Sender<u64>, number: u64, leaves: u64) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if leaves == 1 {
            parent.send(number).await.expect("a parent");
            return;
        }
        let (sender, mut inbox) = channel(10);
        for i in 0..10 {
            tokio::spawn(node(sender.clone(), number + i * leaves / 10, leaves / 10));
        }
        let mut sum = 0;
        for _ in 0..10 {
            sum += inbox.recv().await.expect("a child");
        }
        parent.send(sum).await.expect("a parent");
    })
}

pub fn skynet(size: Size) -> Outcome {
    let (mut leaves, mut actors) = (10, 11);
    while leaves * 10 <= size.of(1_000_000) {
        leaves *= 10;
        actors += leaves;
    }
    size.run(async move {
        let (sender, mut inbox) = channel(1);
        let begin = Instant::now();
        tokio::spawn(node(sender, 0, leaves));
        let sum = inbox.recv().await.expect("a root");
        let elapsed = begin.elapsed();
        check("sum of the leaves", sum, leaves * (leaves - 1) / 2);
        Outcome::new(actors, elapsed)
    })
}

// ---- steal: one task spawns many jobs of 20 us ----

const JOB_NS: u64 = 20_000;
const CALIBRATION_STEPS: u64 = 2_000_000;

#[inline(never)]
fn work(steps: u64) {
    let mut x = steps;
    for _ in 0..steps {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    }
    // So that the work is not left out.
    // SAFETY: it is read from a variable of ours.
    unsafe { std::ptr::read_volatile(&x) };
}

/// How many steps take JOB_NS; the fastest of 20 tries is believed.
fn job_steps() -> u64 {
    let mut best = Duration::MAX;
    for _ in 0..20 {
        let begin = Instant::now();
        work(CALIBRATION_STEPS);
        best = best.min(begin.elapsed());
    }
    JOB_NS * CALIBRATION_STEPS / best.as_nanos() as u64
}

pub fn steal(size: Size) -> Outcome {
    let jobs = size.of(100_000);
    let steps = job_steps();
    let online = std::thread::available_parallelism().map_or(1, |n| n.get());
    let lanes = online.min(size.workers) as f64;
    size.run(async move {
        let crowd = Crowd::new(jobs);
        let begin = Instant::now();
        for _ in 0..jobs {
            let (sender, mut inbox) = channel(1);
            let crowd = crowd.clone();
            tokio::spawn(async move {
                let job: Option<()> = inbox.recv().await;
                if job.is_none() {
                    fail("a task ended without its message");
                }
                work(steps);
                crowd.part_done();
            });
            sender.send(()).await.expect("a task");
        }
        crowd.over.notified().await;
        let elapsed = begin.elapsed();
        let ideal = (jobs * JOB_NS) as f64 / 1e9 / lanes;
        let extra = format!(" efficiency={:.3}", ideal / elapsed.as_secs_f64());
        Outcome { messages: jobs, elapsed, extra }
    })
}
