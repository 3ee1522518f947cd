//! Sends at a rate and measures, record by record, from the call of send to the consumer's giving it back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ottla_client::{Consumer, OffsetAt, TopicProducer};
use tokio::time::timeout;

use crate::args::{AckLevel, Run};
use crate::meter::{Meter, Work};
use crate::payload::{Key, Payloads};
use crate::{Failure, produce, setup};

/// Nothing for this long, and records are lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// When each record was sent, in nanoseconds from `zero`; 0 is not yet.
struct Board {
    zero: Instant,
    sent: Vec<AtomicU64>,
    /// The first of them only warm up.
    warm: u64,
}

impl Board {
    fn new(count: u64) -> Self {
        let warm = (count / 10).clamp(1, 1000);
        let sent = (0..count + warm).map(|_| AtomicU64::new(0)).collect();
        Self { zero: Instant::now(), sent, warm }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.zero.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn sent_at(&self, id: u64) -> Option<u64> {
        let sent = self.sent.get(usize::try_from(id).ok()?)?.load(Ordering::Acquire);
        (sent > 0).then_some(sent)
    }
}

pub(crate) fn run(run: &Run) -> Result<String, Failure> {
    let run = Run { acks: AckLevel::All, ..run.clone() };
    let payloads = Payloads::new(run.size);
    let meter = Meter::start();
    let runtime = setup::runtime()?;
    let board = Board::new(run.count);
    let (consumer, topic, producer, client) = runtime.block_on(async {
        let client = setup::connect(&run).await?;
        let partitions = setup::partitions(&client, &run).await?;
        // Other traffic in the topic is older than its end.
        let consumer = setup::consumer(&client, &run, &partitions, OffsetAt::Latest).await?;
        let (producer, topic) = setup::producer(&client, &run, Duration::ZERO).await?;
        Ok::<_, Failure>((consumer, topic, producer, client))
    })?;
    let mut latencies = std::thread::scope(|scope| {
        let collecting = scope.spawn(|| runtime.block_on(collect(&board, consumer)));
        pace(&board, &run, |id| runtime.block_on(send(&topic, &run, id, &payloads)))?;
        collecting.join().map_err(|_| Failure::Failed("the consumer's thread panicked".to_owned()))?
    })?;
    drop((producer, client));
    latencies.sort_unstable();
    let records = board.sent.len() as u64;
    let bytes = records * run.size as u64;
    let more = quantiles(&latencies);
    Ok(meter.report(&Work { peer: "ottla/default", op: "latency", records, bytes, from: meter.started, more }))
}

async fn send(topic: &TopicProducer, run: &Run, id: u64, payloads: &Payloads) -> Result<(), Failure> {
    // Its fate shows at the consumer.
    let _delivery = produce::send(topic, run, id, Key::new(id).bytes(), payloads.of(id)).await?;
    Ok(())
}

fn pace(board: &Board, run: &Run, send: impl Fn(u64) -> Result<(), Failure>) -> Result<(), Failure> {
    let start = Instant::now();
    for (id, sent) in (0_u64..).zip(&board.sent) {
        let due = start + Duration::from_nanos(id * 1_000_000_000 / run.rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        sent.store(board.now().max(1), Ordering::Release);
        send(id)?;
    }
    Ok(())
}

async fn collect(board: &Board, mut consumer: Consumer) -> Result<Vec<u64>, Failure> {
    let mut latencies = Vec::with_capacity(board.sent.len());
    let mut missing = board.sent.len();
    while missing > 0 {
        let fetched = timeout(PATIENCE, consumer.next()).await;
        let fetched = fetched.map_err(|_| Failure::Failed(format!("{missing} records did not come back")))??;
        let now = board.now();
        for record in &fetched {
            let Some(id) = record?.key.and_then(Key::read) else { continue };
            let Some(sent) = board.sent_at(id) else { continue };
            missing = missing.saturating_sub(1);
            if id >= board.warm {
                latencies.push(now.saturating_sub(sent));
            }
        }
    }
    Ok(latencies)
}

/// The fields p50_ms … max_ms of sorted nanoseconds.
fn quantiles(sorted: &[u64]) -> Vec<(&'static str, f64)> {
    let at = |share: f64| {
        let last = sorted.len().saturating_sub(1);
        let index = ((sorted.len() as f64 * share) as usize).min(last);
        sorted.get(index).map_or(0.0, |nanos| (*nanos as f64 / 1e3).round() / 1e3)
    };
    vec![("p50_ms", at(0.5)), ("p99_ms", at(0.99)), ("p999_ms", at(0.999)), ("max_ms", at(1.0))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_taken_from_the_sorted_list() {
        let sorted: Vec<u64> = (1..=1000).map(|ms| ms * 1_000_000).collect();
        let values: Vec<f64> = quantiles(&sorted).into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, [501.0, 991.0, 1000.0, 1000.0]);
        assert_eq!(quantiles(&[])[3].1.to_string(), "0");
    }
}
