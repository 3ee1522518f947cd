//! Produce and consume side by side: against the development broker in a child process, and against a real Kafka if named.
//! Each run is a child too, so that CPU time and memory are the client's alone and no run warms the next.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use ottla_devbroker::DevBroker;

use crate::args::Compare;
use crate::{Failure, meter, setup, tls};

const COLUMNS: [&str; 4] = ["records_per_s", "mb_per_s", "cpu_ns_per_record", "max_rss_mb"];

pub(crate) fn run(compare: &Compare) -> Result<(), Failure> {
    println!("machine: {}", meter::machine());
    println!(
        "{} records of {} bytes, compression {}, acks all, batches of 128 KiB, 1 partition; medians of {} rounds; broker and \
         client are processes of their own on this machine, CPU time and memory are the client's",
        compare.count, compare.size, compare.compression, compare.rounds
    );
    println!("{:<22} {:<8} {:>11} {:>8} {:>11} {:>8}", "broker", "op", "records/s", "MB/s", "CPU ns/rec", "RSS MB");
    against("development broker", compare, |round| {
        // One a round: it keeps all in memory, which the next round should have to itself.
        let broker = Broker::start(false)?;
        both(&broker.address, round, compare)
    })?;
    if let Some(brokers) = &compare.brokers {
        against(&format!("Kafka at {brokers}"), compare, |round| both(brokers, round, compare))?;
    }
    Ok(())
}

/// Runs the rounds, and prints the medians of the lines that each gives: produce, consume.
fn against(
    name: &str,
    compare: &Compare,
    mut round: impl FnMut(u32) -> Result<[String; 2], Failure>,
) -> Result<(), Failure> {
    let rounds = (0..compare.rounds).map(&mut round).collect::<Result<Vec<_>, _>>()?;
    for (at, op) in ["produce", "consume"].into_iter().enumerate() {
        let of = |column| rounds.iter().filter_map(|lines| meter::number(&lines[at], column)).collect();
        let [records, mb, cpu, rss] = COLUMNS.map(|column| median(of(column)));
        println!("{name:<22} {op:<8} {records:>11.0} {mb:>8.1} {cpu:>11.0} {rss:>8.1}");
    }
    Ok(())
}

/// Produces into a new topic, and consumes what that holds.
fn both(brokers: &str, round: u32, compare: &Compare) -> Result<[String; 2], Failure> {
    let topic = format!("ottla-bench-{}-{round}", std::process::id());
    let settings = [
        "--brokers".to_owned(),
        brokers.to_owned(),
        "--topic".to_owned(),
        topic,
        "--count".to_owned(),
        compare.count.to_string(),
        "--size".to_owned(),
        compare.size.to_string(),
        "--compression".to_owned(),
        compare.compression.name().to_owned(),
    ];
    Ok([child("produce", &settings)?, child("consume", &settings)?])
}

/// Runs ourselves, once, and gives the line it printed.
pub(crate) fn child(op: &str, settings: &[String]) -> Result<String, Failure> {
    let output = Command::new(std::env::current_exe()?)
        .arg(op)
        .args(settings)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.lines().last() {
        Some(line) if output.status.success() => Ok(line.to_owned()),
        _ => Err(Failure::Failed(format!("{op} {} ended with {}", settings.join(" "), output.status))),
    }
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
    match (values.get(low), values.get(high)) {
        (Some(low), Some(high)) => f64::midpoint(*low, *high),
        _ => f64::NAN,
    }
}

/// The development broker, in a child process that ends with us.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: String,
    /// Held open: the child would otherwise be cut off from what it prints to.
    _stdout: BufReader<ChildStdout>,
}

impl Broker {
    pub(crate) fn start(tls: bool) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("broker")
            .args(tls.then_some("--tls"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let Some(stdout) = child.stdout.take() else {
            return Err(Failure::Failed("the development broker's process has no output".to_owned()));
        };
        let mut stdout = BufReader::new(stdout);
        let mut address = String::new();
        stdout.read_line(&mut address)?;
        if address.trim().is_empty() {
            return Err(Failure::Failed(format!("the development broker did not start: {}", child.wait()?)));
        }
        Ok(Self { child, address: address.trim().to_owned(), _stdout: stdout })
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It ends when its input does, but memory it fills meanwhile is the next run's.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child: the development broker, until standard input ends, which it does when the parent is gone.
pub(crate) fn broker(tls: bool) -> Result<(), Failure> {
    let runtime = setup::runtime()?;
    let builder = DevBroker::builder().nodes(1);
    let builder = if tls { tls::listening(builder) } else { builder };
    let broker = runtime.block_on(builder.start())?;
    println!("{}", broker.bootstrap().join(","));
    let mut end = Vec::new();
    std::io::stdin().read_to_end(&mut end)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).to_string(), "2.5");
        assert!(median(Vec::new()).is_nan());
    }
}
