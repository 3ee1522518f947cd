//! Reads every partition from its start until it saw the count.

use std::time::Instant;

use ottla_client::OffsetAt;

use crate::args::Run;
use crate::meter::{Meter, Work};
use crate::{Failure, setup};

/// What was read.
#[derive(Default)]
struct Seen {
    records: u64,
    bytes: u64,
    /// 31 × key length + value length, summed: the same for all peers that read the same.
    checksum: u64,
    first: Option<Instant>,
}

impl Seen {
    fn add(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) {
        let (key, value) = (key.map_or(0, <[u8]>::len) as u64, value.map_or(0, <[u8]>::len) as u64);
        self.records += 1;
        self.bytes += key + value;
        self.checksum = self.checksum.wrapping_add(31 * key + value);
    }
}

pub(crate) fn run(run: &Run) -> Result<String, Failure> {
    if run.group.is_some() {
        return Err(Failure::Unsupported("this client has no group membership yet; leave out --group".to_owned()));
    }
    let meter = Meter::start();
    let runtime = setup::runtime()?;
    let seen = runtime.block_on(consume(run))?;
    // The clock starts at the first record: what comes before is the same few round trips however much is read.
    let from = seen.first.unwrap_or(meter.started);
    let first_s = ((from - meter.started).as_secs_f64() * 1e3).round() / 1e3;
    let more = vec![("first_s", first_s), ("checksum", seen.checksum as f64)];
    Ok(meter.report(&Work {
        peer: "ottla/default",
        op: "consume",
        records: seen.records,
        bytes: seen.bytes,
        from,
        more,
    }))
}

async fn consume(run: &Run) -> Result<Seen, Failure> {
    let client = setup::connect(run).await?;
    let partitions = setup::partitions(&client, run).await?;
    let mut consumer = setup::consumer(&client, run, &partitions, OffsetAt::Earliest).await?;
    let mut seen = Seen::default();
    while seen.records < run.count {
        let fetched = consumer.next().await?;
        seen.first.get_or_insert_with(Instant::now);
        for record in &fetched {
            let record = record?;
            seen.add(record.key, record.value);
        }
    }
    Ok(seen)
}
