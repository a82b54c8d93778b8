// SPDX-License-Identifier: MIT

//! The workloads of troupe-bench, as tokio tasks and mpsc channels: one repetition of one of them.
//!
//!     bench list                      the workloads, one a line
//!     bench WORKLOAD SCALE WORKERS    prints one line, as troupe-bench does; status 1 if the result is wrong
//!
//! A task's mailbox is an mpsc channel: for 1024 where the workload is bounded and where it does not say, unbounded in _u.

mod ask;
mod lives;
mod messages;
mod savina;
mod work;

use std::future::Future;
use std::process::exit;
use std::time::Duration;

/// Room of a mailbox, as troupe's default.
const MAILBOX: usize = 1024;

/// What a workload found out; `extra` is more words for the line.
pub struct Outcome {
    messages: u64,
    elapsed: Duration,
    extra: String,
}

impl Outcome {
    fn new(messages: u64, elapsed: Duration) -> Outcome {
        Outcome { messages, elapsed, extra: String::new() }
    }
}

/// How much is asked for.
#[derive(Clone, Copy)]
pub struct Size {
    scale: f64,
    workers: usize,
}

impl Size {
    /// So many times as much work, at least one.
    fn of(self, base: u64) -> u64 {
        ((base as f64 * self.scale) as u64).max(1)
    }

    /// Runs a future to its end on a runtime with so many workers, in a task as all the others.
    fn run<F>(self, future: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(self.workers)
            .enable_time()
            .build()
            .expect("a runtime");
        let output = runtime.block_on(async { tokio::spawn(future).await.expect("no panic") });
        runtime.shutdown_background();
        output
    }
}

type Workload = fn(Size) -> Outcome;

const WORKLOADS: &[(&str, Workload)] = &[
    ("pingpong", messages::pingpong),
    ("pingpong_pairs", messages::pingpong_pairs),
    ("threadring", messages::threadring),
    ("counting_b", messages::counting_b),
    ("counting_u", messages::counting_u),
    ("many_to_one_b", messages::many_to_one_b),
    ("many_to_one_u", messages::many_to_one_u),
    ("fj_throughput_b", messages::fj_throughput_b),
    ("fj_throughput_u", messages::fj_throughput_u),
    ("big", messages::big),
    ("fj_create", lives::fj_create),
    ("idle_memory", lives::idle_memory),
    ("skynet", lives::skynet),
    ("steal", lives::steal),
    ("chameneos", savina::chameneos),
    ("bank", savina::bank),
    ("dictionary", savina::dictionary),
    ("logistic_map", savina::logistic_map),
    ("radix_sort", savina::radix_sort),
    ("sieve", savina::sieve),
    ("philosophers", savina::philosophers),
    ("bounded_buffer", savina::bounded_buffer),
    ("queens", savina::queens),
    ("sleeping_barber", work::sleeping_barber),
    ("cobwebbed_tree", work::cobwebbed_tree),
    ("quicksort", work::quicksort),
    ("a_star", work::a_star),
    ("matrix_multiply", work::matrix_multiply),
    ("ask", ask::ask),
    ("ask_spaced", ask::ask_spaced),
];

fn fail(text: &str) -> ! {
    eprintln!("tokio bench: {}", text);
    exit(1)
}

/// Ends the program if a result is not what it must be.
fn check(what: &str, is: u64, expected: u64) {
    if is != expected {
        fail(&format!("{}: {}, expected {}", what, is, expected));
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["list"] {
        WORKLOADS.iter().for_each(|(name, _)| println!("{}", name));
        return;
    }
    if words.len() != 3 {
        fail("usage: bench list | bench WORKLOAD SCALE WORKERS");
    }
    let workload = WORKLOADS.iter().find(|(name, _)| *name == words[0]);
    let (run, scale, workers) = match (workload, words[1].parse::<f64>(), words[2].parse::<usize>()) {
        (Some((_, run)), Ok(scale), Ok(workers)) if scale > 0.0 && workers > 0 => (run, scale, workers),
        _ => fail("no such workload, scale or number of workers; \"list\" names the workloads"),
    };
    let outcome = run(Size { scale, workers });
    let seconds = outcome.elapsed.as_secs_f64();
    println!(
        "workload={} peer=tokio msgs={} secs={:.6} per_sec={:.0} ns_per_msg={:.1}{} workers={}",
        words[0],
        outcome.messages,
        seconds,
        outcome.messages as f64 / seconds,
        seconds * 1e9 / outcome.messages as f64,
        outcome.extra,
        workers
    );
}
