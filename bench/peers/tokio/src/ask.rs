// SPDX-License-Identifier: MIT

//! Calls, one after the other: the request carries a oneshot for its answer, and whoever calls has 10 s of patience.

use crate::{check, Outcome, Size, MAILBOX};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const PATIENCE: Duration = Duration::from_secs(10);

struct Call {
    value: u64,
    reply: oneshot::Sender<u64>,
}

async fn oracle(mut calls: mpsc::Receiver<Call>) -> u64 {
    let mut sum = 0;
    while let Some(call) = calls.recv().await {
        sum += call.value;
        call.reply.send(call.value + 1).expect("somebody who waits");
    }
    sum
}

async fn call(oracle: &mpsc::Sender<Call>, value: u64) -> u64 {
    let (reply, answer) = oneshot::channel();
    oracle.send(Call { value, reply }).await.ok().expect("an oracle");
    tokio::time::timeout(PATIENCE, answer).await.expect("in time").expect("an answer")
}

async fn calls(count: u64, space: Duration) -> Outcome {
    let (sender, inbox) = mpsc::channel(MAILBOX);
    let oracle = tokio::spawn(oracle(inbox));
    let mut latencies = vec![1; count as usize];
    let begin = Instant::now();
    for value in 0..count {
        let asked = Instant::now();
        let answer = call(&sender, value).await;
        let answered = Instant::now();
        latencies[value as usize] = (answered - asked).as_nanos() as u64;
        check("answer", answer, value + 1);
        while !space.is_zero() && answered.elapsed() < space {}
    }
    let elapsed = begin.elapsed();
    drop(sender);
    check("sum of the questions", oracle.await.expect("no panic"), count * (count - 1) / 2);
    latencies.sort_unstable();
    let p50 = latencies[(count as usize - 1) / 2];
    let p99 = latencies[(count as usize - 1) * 99 / 100];
    Outcome { messages: count, elapsed, extra: format!(" p50_ns={} p99_ns={}", p50, p99) }
}

pub fn ask(size: Size) -> Outcome {
    size.run(calls(size.of(200_000), Duration::ZERO))
}

pub fn ask_spaced(size: Size) -> Outcome {
    size.run(calls(size.of(20_000), Duration::from_micros(100)))
}
