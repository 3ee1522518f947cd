//! What a record costs without a socket: encoding at append, sealing with its CRC, checking and borrowed decoding, and
//! each codec. To hold: append of a 100-byte value 6 ns, iterating 8 ns, where CRC-32C runs at 20 GB/s.

use std::hint::black_box;
use std::time::{Duration, Instant};

use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::records::{Batch, BatchBuilder, Batches, OpenBatch, ProducerStamp};

use crate::args::Codec;
use crate::payload::{Key, Payloads};
use crate::{Failure, meter, payload};

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
/// The values whose cost is shown beside a plain copy's.
const PLAIN_SIZES: [usize; 2] = [100, 200];
const LIMIT: usize = 64 << 20;

pub(crate) fn run(codec: &Codec) -> Result<(), Failure> {
    println!("machine: {}", meter::machine());
    let payloads = Payloads::new(codec.size);
    let time = Duration::from_millis(codec.millis);
    println!("the best of many rounds, ns a record; a batch of {} bytes", codec.batch_bytes);
    let names = ["value", "key", "records", "append", "iterate", "memcpy", "crc", "append x", "iterate x", "crc GB/s"];
    println!("{}", names.map(|name| format!("{name:>10}")).concat());
    for (size, keyed) in PLAIN_SIZES.into_iter().flat_map(|size| [(size, false), (size, true)]) {
        plain(codec, &payloads, size, keyed, time)?;
    }
    println!("values of {} bytes", codec.size);
    println!("{:<8} {:>8} {:>8} {:>8} {:>8} {:>7}", "codec", "seal", "crc", "open", "iterate", "ratio");
    for compression in CODECS {
        one(codec, &payloads, compression, time)?;
    }
    Ok(())
}

/// Appending and going through a batch as it stays warm: its buffer is used again and its keys are there already, so that
/// neither page faults nor the digits of numbers are counted. `x` is how many times as long as a copy of the same bytes.
fn plain(codec: &Codec, payloads: &Payloads, size: usize, keyed: bool, time: Duration) -> Result<(), Failure> {
    let keys: Vec<Key> = (0..payload::VALUES).map(Key::new).collect();
    let value = |id| payloads.of(id).get(..size).unwrap_or(payloads.of(id));
    let records: Vec<Record<'_>> = (0..).zip(&keys).map(|(id, key)| (keyed.then(|| key.bytes()), value(id))).collect();
    let full = codec.batch_bytes.saturating_sub(size + 64);
    let (mut compressor, mut append) = (Compressor::new(), f64::INFINITY);
    let mut buffer = Vec::with_capacity(codec.batch_bytes);
    let until = Instant::now() + time;
    let sealed = loop {
        let start = Instant::now();
        let batch = black_box(refill(buffer, &records, full));
        append = append.min(start.elapsed().as_nanos() as f64 / f64::from(batch.count()));
        let sealed = batch.seal(Compression::None, None, &mut compressor)?;
        if Instant::now() >= until {
            break sealed;
        }
        buffer = sealed.recycle().unwrap_or_default();
    };
    let (count, bytes) = (u64::try_from(sealed.count())?, sealed.bytes());
    let batch = Batches::new(bytes.clone()).next().ok_or_else(|| Failure::Failed("no batch".to_owned()))??;
    let opened = batch.open(&mut Decompressor::new(), LIMIT)?;
    let iterate = best(time, count, || through(&opened))?;
    let crc = best(time, count, || Ok(batch.verify_crc()?))?;
    let mut copy = vec![0; bytes.len()];
    let memcpy = best(time, count, || {
        black_box(&mut copy).copy_from_slice(black_box(&bytes));
        Ok(())
    })?;
    let speed = bytes.len() as f64 / count as f64 / crc;
    let key = if keyed { "digits" } else { "none" };
    print!("{size:>10}{key:>10}{count:>10}{append:>10.1}{iterate:>10.1}{memcpy:>10.1}{crc:>10.1}");
    println!("{:>10.1}{:>10.1}{speed:>10.1}", append / memcpy, iterate / memcpy);
    Ok(())
}

type Record<'a> = (Option<&'a [u8]>, &'a [u8]);

/// Appends records to a batch in this buffer until it is full. A function of its own: within a larger one its loop has to
/// share the registers.
#[inline(never)]
fn refill(buffer: Vec<u8>, records: &[Record<'_>], full: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::in_buffer(buffer);
    for (key, value) in records.iter().cycle() {
        if batch.len() >= full && !batch.is_empty() {
            break;
        }
        batch.append(1_700_000_000_000, *key, Some(value), &[]);
    }
    batch
}

/// Every record of a batch, read where it stands.
fn through(batch: &OpenBatch) -> Result<(), Failure> {
    let mut bytes = 0;
    for record in batch {
        let record = record?;
        bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
    }
    black_box(bytes);
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
    let iterate = best(time, count, || through(&opened))?;
    let name = compression.name();
    println!("{name:<8} {seal:>8.1} {crc:>8.1} {open:>8.1} {iterate:>8.1} {ratio:>7.2}");
    Ok(())
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
