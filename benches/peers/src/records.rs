//! A batch of records of 100 bytes, uncompressed, checksum included both ways.

use std::hint::black_box;
use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use kafka_protocol::records::{
    Compression as TheirCompression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
};
use krafka::__private::protocol::RecordBatch as Krafka;
use ottla_protocol::compression::{Compression, Compressor, Decompressor};
use ottla_protocol::records::{BatchBuilder, Batches, ProducerStamp};
use rskafka::protocol::record::RecordBatch as Rskafka;
use rskafka::protocol::traits::{ReadType as _, WriteType as _};

use crate::Failure;
use crate::race::{Runner, Unit, race};

/// A batch of 128 KiB, which is what a producer that is set for throughput seals.
const RECORDS: usize = 1200;
const TIME: i64 = 1_571_356_231_000;
const VALUE: [u8; 100] = [b'v'; 100];

pub(crate) fn run() -> Result<(), Failure> {
    let batch = seal();
    decode(&batch)?;
    encode(&batch)
}

/// Encodes, seals and stamps a batch of ours.
fn seal() -> Bytes {
    let mut open = BatchBuilder::with_capacity(RECORDS * 120);
    for _ in 0..RECORDS {
        open.append(TIME, Some(b"key-0001"), Some(&VALUE), &[]);
    }
    // Without a codec there is nothing that could fail.
    let Ok(mut sealed) = open.seal(Compression::None, None, &mut Compressor::new()) else { return Bytes::new() };
    sealed.stamp(ProducerStamp::NONE);
    sealed.bytes()
}

/// Checks the checksum of a batch and goes through its records; gives how many bytes their values have.
fn borrow(batch: Bytes) -> Result<usize, Failure> {
    let mut bytes = 0;
    for batch in Batches::new(batch) {
        let batch = batch?;
        batch.verify_crc()?;
        for record in &batch.open(&mut Decompressor::new(), 1 << 30)? {
            bytes += record?.value.map_or(0, <[u8]>::len);
        }
    }
    Ok(bytes)
}

fn decode(batch: &Bytes) -> Result<(), Failure> {
    assert_eq!(borrow(batch.clone())?, RECORDS * VALUE.len());
    assert_eq!(RecordBatchDecoder::decode(&mut batch.clone())?.records.len(), RECORDS);
    assert_eq!(Krafka::decode(&mut batch.clone())?.records.len(), RECORDS);
    Rskafka::read(&mut Cursor::new(&batch[..]))?;
    let [ours, theirs, third, fourth, copied] = [(); 5].map(|()| batch.clone());
    let title = format!("{RECORDS} records of 100 bytes, a batch of {} bytes: checksum, decode and drop", batch.len());
    race(
        &title,
        Unit::NanosPerRecord { records: RECORDS },
        vec![
            Runner::new("ottla-protocol (borrowed)", move || _ = black_box(borrow(ours.clone()))),
            Runner::new("kafka-protocol 0.18.0", move || {
                _ = black_box(RecordBatchDecoder::decode(&mut theirs.clone()));
            }),
            Runner::new("krafka 0.28.1 (internal)", move || _ = black_box(Krafka::decode(&mut third.clone()))),
            Runner::new("rskafka 0.6.0 (unstable-fuzzing)", move || {
                _ = black_box(Rskafka::read(&mut Cursor::new(&fourth[..])));
            }),
            Runner::new("memcpy of the batch", move || _ = black_box(copied.to_vec())),
        ],
    );
    Ok(())
}

/// Ours encodes from slices, theirs from records that are built already: that is not counted.
fn encode(batch: &Bytes) -> Result<(), Failure> {
    let records: Vec<Record> = RecordBatchDecoder::decode(&mut batch.clone())?.records;
    let options = RecordEncodeOptions { version: 2, compression: TheirCompression::None };
    let krafka = Krafka::decode(&mut batch.clone())?;
    let rskafka = Rskafka::read(&mut Cursor::new(&batch[..]))?;
    race(
        &format!("{RECORDS} records of 100 bytes: encode a batch with its checksum"),
        Unit::NanosPerRecord { records: RECORDS },
        vec![
            Runner::new("ottla-protocol", || _ = black_box(seal())),
            Runner::new("kafka-protocol 0.18.0", move || {
                let mut out = BytesMut::new();
                _ = black_box(RecordBatchEncoder::encode(&mut out, &records, &options));
                black_box(out);
            }),
            Runner::new("krafka 0.28.1 (internal)", move || _ = black_box(krafka.encode())),
            Runner::new("rskafka 0.6.0 (unstable-fuzzing)", move || {
                let mut out = Vec::new();
                _ = black_box(rskafka.write(&mut out));
                black_box(out);
            }),
        ],
    );
    Ok(())
}
