//! What a record costs without a socket: encoding at append, sealing with its CRC, checking and borrowed decoding, and
//! each codec. The figures to hold are in ARCHITECTURE.md.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::records::{Batch, BatchBuilder, Batches, ProducerStamp};

use crate::args::Codec;
use crate::payload::{Key, Payloads};
use crate::{Failure, meter};

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const LIMIT: usize = 64 << 20;

pub(crate) fn run(codec: &Codec) -> Result<(), Failure> {
    println!("machine: {}", meter::machine());
    let payloads = Payloads::new(codec.size);
    let time = Duration::from_millis(codec.millis);
    let filled = fill(codec, &payloads);
    let count = u64::try_from(filled.count())?;
    println!("{count} records of {} bytes a batch; the best of many rounds, ns a record", codec.size);
    print("append", best(time, count, || Ok(black_box(fill(codec, &payloads).len())))?);
    println!("{:<8} {:>8} {:>8} {:>8} {:>8} {:>7}", "codec", "seal", "crc", "open", "iterate", "ratio");
    for compression in CODECS {
        one(codec, &payloads, compression, time)?;
    }
    Ok(())
}

/// Fills a batch to the size asked for.
fn fill(codec: &Codec, payloads: &Payloads) -> BatchBuilder {
    let mut batch = BatchBuilder::with_capacity(codec.batch_bytes);
    let mut id = 0;
    while batch.len() + codec.size + 64 < codec.batch_bytes || batch.is_empty() {
        batch.append(1_700_000_000_000, Some(Key::new(id).bytes()), Some(payloads.of(id)), &[]);
        id += 1;
    }
    batch
}

fn one(codec: &Codec, payloads: &Payloads, compression: Compression, time: Duration) -> Result<(), Failure> {
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    let mut batch = None;
    let mut raw = 0;
    let mut seal = f64::INFINITY;
    let until = Instant::now() + time;
    while batch.is_none() || Instant::now() < until {
        let builder = fill(codec, payloads);
        raw = builder.len();
        let records = f64::from(builder.count());
        let start = Instant::now();
        let mut sealed = builder.seal(compression, None, &mut compressor)?;
        sealed.stamp(ProducerStamp::NONE);
        seal = seal.min(start.elapsed().as_nanos() as f64 / records);
        batch = Some(sealed.bytes());
    }
    let bytes = batch.unwrap_or_default();
    let ratio = raw as f64 / bytes.len().max(1) as f64;
    let batch: Batch = Batches::new(bytes).next().ok_or_else(|| Failure::Failed("no batch".to_owned()))??;
    let count = u64::try_from(batch.header().count)?;
    let crc = best(time, count, || Ok(batch.verify_crc()?))?;
    let open = best(time, count, || Ok(batch.open(&mut decompressor, LIMIT)?))?;
    let opened = batch.open(&mut decompressor, LIMIT)?;
    let iterate = best(time, count, || {
        let mut bytes = 0;
        for record in &opened {
            let record = record?;
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        }
        black_box(bytes);
        Ok(())
    })?;
    let name = compression.name();
    println!("{name:<8} {seal:>8.1} {crc:>8.1} {open:>8.1} {iterate:>8.1} {ratio:>7.2}");
    Ok(())
}

fn print(what: &str, nanos: f64) {
    println!("{what:<8} {nanos:>8.1}");
}

/// The least time a record that any round took.
fn best<T>(time: Duration, records: u64, mut work: impl FnMut() -> Result<T, Failure>) -> Result<f64, Failure> {
    let mut best = f64::INFINITY;
    let until = Instant::now() + time;
    while best.is_infinite() || Instant::now() < until {
        let start = Instant::now();
        black_box(work()?);
        best = best.min(start.elapsed().as_nanos() as f64 / records as f64);
    }
    Ok(best)
}
