//! Rounds in turn: every contender has its round before any has its next.

use std::time::{Duration, Instant};

const ROUNDS: usize = 31;
const ROUND: Duration = Duration::from_millis(20);

/// A contender.
pub(crate) struct Runner {
    name: &'static str,
    work: Box<dyn FnMut()>,
}

impl Runner {
    pub(crate) fn new(name: &'static str, work: impl FnMut() + 'static) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// What a run of the work is told in.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    /// More is better.
    GigabytesPerSecond { bytes: usize },
    /// Less is better.
    NanosPerRecord { records: usize },
}

/// Lets them run in turn, and prints the best round and the middle one of each.
pub(crate) fn race(title: &str, unit: Unit, mut runners: Vec<Runner>) {
    let mut seconds = vec![Vec::with_capacity(ROUNDS); runners.len()];
    for _ in 0..ROUNDS {
        for (runner, seconds) in runners.iter_mut().zip(&mut seconds) {
            seconds.push(round(&mut runner.work));
        }
    }
    let name = match unit {
        Unit::GigabytesPerSecond { .. } => "GB/s",
        Unit::NanosPerRecord { .. } => "ns/record",
    };
    println!("\n{title}, {name}\n{:<36} {:>8} {:>8}", "", "best", "median");
    for (runner, seconds) in runners.iter().zip(&mut seconds) {
        seconds.sort_by(f64::total_cmp);
        let [best, median] = [seconds[0], seconds[ROUNDS / 2]].map(|seconds| match unit {
            Unit::GigabytesPerSecond { bytes } => bytes as f64 / seconds / 1e9,
            Unit::NanosPerRecord { records } => seconds / records as f64 * 1e9,
        });
        println!("{:<36} {best:>8.2} {median:>8.2}", runner.name);
    }
}

/// Seconds a run, over one round.
fn round(work: &mut dyn FnMut()) -> f64 {
    let (mut runs, start) = (0_u32, Instant::now());
    while start.elapsed() < ROUND {
        work();
        runs += 1;
    }
    start.elapsed().as_secs_f64() / f64::from(runs)
}
