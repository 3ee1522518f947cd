//! Record data of each magic, each codec and group payloads from a peer that is broken or bad: no panic, no hang, and no more
//! memory than a small multiple of what came or of what the caller allows, counted by an allocator that counts.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]

mod support;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use ottla_protocol::compression::{Compression, CompressionError, Compressor, Decompressor};
use ottla_protocol::group::{Assignment, GroupTopicPartitions, StickyUserData, Subscription};
use ottla_protocol::records::*;
use support::{golden, unhex};

const LIMIT: usize = 1 << 20;
/// More than any sample becomes, and little beside what a claim would take.
const SMALL: usize = 64 << 10;
const LENGTHS: [i32; 6] = [i32::MAX, 1 << 24, -1, -2, i32::MIN, 0];

/// What reading may cost at its peak, in bytes: what came and what it may become, each a few times over, since a buffer grows
/// by moving; and the codecs' contexts.
fn bound(input: usize, limit: usize) -> u64 {
    (4 * input + 3 * limit + (512 << 10)) as u64
}

/// What reading came to.
#[derive(Debug, Default, PartialEq)]
struct Outcome {
    records: usize,
    errors: usize,
}

/// Reads whatever can be read, without a look at checksums.
fn read(data: &Bytes, limit: usize) -> Outcome {
    let mut outcome = Outcome::default();
    let mut decompressor = Decompressor::new();
    for batch in Batches::new(data.clone()) {
        match batch.and_then(|batch| batch.open(&mut decompressor, limit)) {
            Ok(open) => open.iter().for_each(|record| match record {
                Ok(record) => outcome.records += 1 + record.headers.iter().count() - record.headers.len(),
                Err(_) => outcome.errors += 1,
            }),
            Err(_) => outcome.errors += 1,
        }
    }
    outcome
}

/// The same, and its cost is within bounds.
fn cheap(data: &[u8], limit: usize, place: &dyn Fn() -> String) -> Outcome {
    let data = Bytes::copy_from_slice(data);
    let mut outcome = Outcome::default();
    let cost = measure(|| outcome = read(&data, limit));
    assert!(cost.bytes_max <= bound(data.len(), limit), "{}: {} bytes for {}", place(), cost.bytes_max, data.len());
    outcome
}

struct Sample {
    place: String,
    magic: i8,
    codec: Compression,
    bytes: Vec<u8>,
}

/// The golden record sets, but for the long ones: what is long in them is a value.
fn samples() -> Vec<Sample> {
    let rows = golden("records-2.3.1.tsv").into_iter().map(|row| {
        let place = row[..4].join(" ");
        let (magic, codec) = (row[1].parse().expect("a magic"), row[2].parse().expect("a codec"));
        Sample { place, magic, codec, bytes: unhex(&row[6]) }
    });
    let samples: Vec<_> = rows.filter(|sample| sample.bytes.len() < 1_000).collect();
    assert!(samples.len() > 60, "{}", samples.len());
    samples
}

/// A batch or message with another end, whose length says so.
fn with_end(sample: &Sample, at: usize, end: &[u8]) -> Vec<u8> {
    let mut bytes = [&sample.bytes[..at], end].concat();
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes
}

fn random(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    }
}

#[test]
fn record_data_cut_anywhere_is_read_up_to_the_cut() {
    let mut cuts = 0;
    for sample in samples() {
        let whole = cheap(&sample.bytes, SMALL, &|| sample.place.clone());
        assert_eq!(whole.errors, 0, "{}", sample.place);
        let ends: Vec<usize> = Batches::new(sample.bytes.clone().into())
            .scan(0, |end, batch| {
                *end += batch.expect("whole").bytes().len();
                Some(*end)
            })
            .collect();
        for cut in 0..sample.bytes.len() {
            let outcome = cheap(&sample.bytes[..cut], SMALL, &|| format!("{} cut at {cut}", sample.place));
            let before = ends.iter().filter(|end| **end <= cut).count();
            let records = if ends.len() == 1 { 0 } else { before };
            assert_eq!(outcome, Outcome { records, errors: 0 }, "{} cut at {cut}", sample.place);
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 6_000, "{cuts}");
}

#[test]
fn a_batch_that_ends_early_by_its_own_word_is_an_error() {
    let mut cuts = 0;
    for sample in samples() {
        // Of the first batch or message, from the first byte its length has to cover.
        let first = Batches::new(sample.bytes.clone().into()).next().expect("one").expect("whole");
        let sample = Sample { bytes: first.bytes().to_vec(), ..sample };
        for cut in 12..sample.bytes.len() {
            let outcome = cheap(&with_end(&sample, cut, &[]), SMALL, &|| format!("{} at {cut}", sample.place));
            let empty = sample.magic == 2 && cut == HEADER_LEN && first.header().count == 0;
            // Xerial's framing has no end mark, but the records in it are counted or have sizes.
            assert!(outcome.errors == 1 || empty, "{} cut at {cut}: {outcome:?}", sample.place);
            cuts += 1;
        }
    }
    println!("{cuts} cuts");
    assert!(cuts > 5_000, "{cuts}");
}

#[test]
fn flipped_bits_cost_no_more_than_they_may() {
    let mut random = random(0x6f74_746c_6100_0004);
    let mut flips = 0;
    for sample in samples() {
        for round in 0..150 {
            let mut bad = sample.bytes.clone();
            for _ in 0..=round % 3 {
                let at = random() % bad.len();
                bad[at] ^= 1 << (random() % 8);
            }
            let limit = [SMALL, 100, 0][round % 3];
            cheap(&bad, limit, &|| format!("{} round {round}", sample.place));
            flips += 1;
        }
    }
    println!("{flips} flipped");
}

#[test]
fn claimed_lengths_cost_nothing_wherever_they_stand() {
    let mut claims = 0;
    for sample in samples() {
        for at in 0..sample.bytes.len() - 3 {
            for length in LENGTHS {
                let mut bad = sample.bytes.clone();
                bad[at..at + 4].copy_from_slice(&length.to_be_bytes());
                cheap(&bad, SMALL, &|| format!("{}: {length} at {at}", sample.place));
                claims += 1;
            }
        }
    }
    println!("{claims} claims");
}

#[test]
fn a_varint_of_any_claim_and_one_without_an_end_are_errors_wherever_they_stand() {
    let varint = |value: i32| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        bytes
    };
    let endless = vec![0xff; 11];
    // Ten bytes whose last says more than is left of 64 bits, five whose last says more than is left of 32.
    let wide = [[0x80; 9].as_slice(), &[2]].concat();
    let mut tried = 0;
    for sample in samples().iter().filter(|sample| sample.magic == 2 && sample.codec == Compression::None) {
        for at in HEADER_LEN..sample.bytes.len() {
            for claim in LENGTHS.map(varint).into_iter().chain([endless.clone(), wide.clone()]) {
                let end = [&claim[..], &sample.bytes[at + 1..]].concat();
                cheap(&with_end(sample, at, &end), SMALL, &|| format!("{} at {at}", sample.place));
                tried += 1;
            }
            let outcome = read(&with_end(sample, at, &endless).into(), SMALL);
            assert_eq!(outcome.errors, 1, "{}: without an end at {at}", sample.place);
        }
    }
    println!("{tried} varints");
    assert!(tried > 1_000);
}

/// Data that becomes far more, without much ado: what it becomes, and the bytes.
fn bombs() -> Vec<(Compression, u64, Vec<u8>)> {
    let zeros = vec![0; 16 << 20];
    let compress = |codec, data: &[u8]| {
        let mut out = Vec::new();
        Compressor::new().compress(codec, None, data, &mut out).expect("compresses");
        out
    };
    // Members one after the other.
    let gzip = compress(Compression::Gzip, &zeros).repeat(256);
    // Streams one after the other.
    let snappy = compress(Compression::Snappy, &zeros[..1 << 20]).repeat(2_048);
    // Blocks one after the other, between a header and an end mark.
    let lz4 = compress(Compression::Lz4, &zeros[..64 << 10]);
    let lz4 = [&lz4[..7], &lz4[7..lz4.len() - 4].repeat(65_536), &[0; 4]].concat();
    // Blocks that each repeat one byte 128 Ki times, in a frame that does not state its size.
    let block = |last: u32| [&((128_u32 << 10) << 3 | 1 << 1 | last).to_le_bytes()[..3], b"z"].concat();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x50][..], &block(0).repeat(32_767), &block(1)].concat();
    vec![
        (Compression::Gzip, 4 << 30, gzip),
        (Compression::Snappy, 2 << 30, snappy),
        (Compression::Lz4, 4 << 30, lz4),
        (Compression::Zstd, 4 << 30, zstd),
    ]
}

#[test]
fn a_bomb_costs_what_the_limit_says_in_every_codec_and_format() {
    for (codec, size, bomb) in bombs() {
        println!("{codec}: {} bytes become {size}", bomb.len());
        for limit in [0, 1_000, LIMIT] {
            let mut error = None;
            let cost = measure(|| error = Decompressor::new().decompress(codec, &bomb, limit).err());
            assert_eq!(error, Some(CompressionError::OverLimit { codec, limit }));
            println!("  limit {limit}: {} bytes at the peak", cost.bytes_max);
            assert!(cost.bytes_max <= bound(0, limit), "{codec}, limit {limit}: {} bytes", cost.bytes_max);
        }
        let template = {
            let mut batch = BatchBuilder::with_capacity(100);
            batch.append(0, None, None, &[]);
            let sealed = batch.seal(Compression::None, None, &mut Compressor::new()).expect("seals");
            BatchHeader::read(&sealed.bytes()).expect("a header")
        };
        let attributes = Attributes::default().with_compression(codec);
        let mut data = vec![BatchHeader { attributes, ..template }.batch(&bomb)];
        if codec != Compression::Zstd {
            data.extend([0, 1].map(|magic| wrapper(magic, codec, &bomb)));
        }
        for data in data {
            let mut outcome = Outcome::default();
            let cost = measure(|| outcome = read(&data, LIMIT));
            assert_eq!(outcome, Outcome { records: 0, errors: 1 }, "{codec}");
            assert!(cost.bytes_max <= bound(0, LIMIT), "{codec}: {} bytes", cost.bytes_max);
        }
    }
}

fn wrapper(magic: u8, codec: Compression, value: &[u8]) -> Bytes {
    let mut covered = vec![magic, codec.id()];
    covered.resize(if magic == 0 { 2 } else { 10 }, 0);
    covered.extend([0xff; 4]);
    covered.extend((value.len() as i32).to_be_bytes());
    covered.extend(value);
    let head = [&9_i64.to_be_bytes()[..], &(covered.len() as i32 + 4).to_be_bytes(), &[0; 4]].concat();
    [&head[..], &covered].concat().into()
}

#[test]
fn a_large_window_is_a_claim_too() {
    // 128 MiB, the largest that is taken at all, around one byte.
    let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x09, 0x00, 0x00, b'x'];
    let mut read = None;
    let cost = measure(|| read = Some(Decompressor::new().decompress(Compression::Zstd, &frame, LIMIT)));
    assert_eq!(read.expect("ran").as_deref(), Ok(&b"x"[..]));
    assert!(cost.bytes_max <= bound(frame.len(), LIMIT), "{} bytes", cost.bytes_max);
}

#[test]
fn a_large_size_is_a_claim_too() {
    // A frame that says it holds half a GiB, around one byte.
    let size = 512_u64 << 20;
    let frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x50][..], &size.to_le_bytes(), &[0x09, 0x00, 0x00, b'x']].concat();
    let mut read = None;
    let cost = measure(|| read = Some(Decompressor::new().decompress(Compression::Zstd, &frame, 1 << 30)));
    assert!(matches!(read.expect("ran"), Err(CompressionError::Corrupt { .. })));
    assert!(cost.bytes_max <= bound(frame.len(), LIMIT), "{} bytes", cost.bytes_max);
}

#[test]
fn group_payloads_from_anyone_cost_a_small_multiple_of_their_bytes() {
    let of = |topic: &str| GroupTopicPartitions { topic: topic.to_owned(), partitions: (0..12).collect() };
    let all = vec![of("orders"), of(""), of("订单")];
    let user_data = Some(Bytes::from_static(b"mine"));
    let topics = vec!["orders".to_owned(), String::new()];
    let payloads = [
        Subscription { topics, user_data: user_data.clone(), owned_partitions: all.clone() }.write(1),
        Assignment { partitions: all.clone(), user_data }.write(0),
        StickyUserData { previous_assignment: all, generation: Some(7) }.write(),
    ];
    let read = |bytes: Vec<u8>, place: &str| {
        let bytes = Bytes::from(bytes);
        let AllocationInfo { bytes_max, .. } = measure(|| {
            let _ = Subscription::read(bytes.clone());
            let _ = Assignment::read(bytes.clone());
            let _ = StickyUserData::read(bytes.clone());
        });
        assert!(bytes_max <= 8 * bytes.len() as u64 + 1_000, "{place}: {bytes_max} bytes for {}", bytes.len());
    };
    let mut random = random(0x6f74_746c_6100_0005);
    for payload in payloads.map(|payload| payload.expect("writes")) {
        for at in 0..payload.len() {
            read(payload[..at].to_vec(), &format!("cut at {at}"));
            for length in LENGTHS.into_iter().filter(|_| at + 4 <= payload.len()) {
                let mut bad = payload.to_vec();
                bad[at..at + 4].copy_from_slice(&length.to_be_bytes());
                read(bad, &format!("{length} at {at}"));
            }
        }
        for round in 0..2_000 {
            let mut bad = payload.to_vec();
            let at = random() % bad.len();
            bad[at] ^= 1 << (random() % 8);
            read(bad, &format!("round {round}"));
        }
    }
}

/// A thousand records, every third with headers.
fn filled(batch: &mut BatchBuilder) {
    let headers = [Header { key: "op", value: Some(b"insert") }, Header { key: "", value: None }];
    for i in 0..1_000 {
        let headers = if i % 3 == 0 { &headers[..] } else { &[] };
        batch.append(1_000 + i, Some(b"key"), Some(&[b'v'; 100]), headers);
    }
}

#[test]
fn appending_to_a_batch_with_room_allocates_nothing() {
    let mut batch = BatchBuilder::with_capacity(200_000);
    let cost = measure(|| filled(&mut batch));
    assert_eq!((batch.count(), cost.count_total), (1_000, 0));
}

#[test]
fn going_through_an_open_batch_of_any_format_allocates_nothing() {
    let (compressor, decompressor) = (&mut Compressor::new(), &mut Decompressor::new());
    for codec in Compression::ALL {
        let mut batch = BatchBuilder::with_capacity(200_000);
        filled(&mut batch);
        let new = batch.seal(codec, None, compressor).expect("seals").bytes();
        let mut all = vec![new.clone()];
        for format in [MessageFormat::V0, MessageFormat::V1].into_iter().filter(|_| codec != Compression::Zstd) {
            all.push(down_convert(new.clone(), format, compressor, decompressor, LIMIT).expect("converts").records);
        }
        for data in all {
            let open: Vec<OpenBatch> = Batches::new(data)
                .map(|batch| batch.expect("whole").open(decompressor, LIMIT).expect("opens"))
                .collect();
            let (mut records, mut bytes) = (0, 0);
            let cost = measure(|| {
                for record in open.iter().flatten() {
                    let Ok(record) = record else { continue };
                    records += 1;
                    bytes += record.value.map_or(0, <[u8]>::len);
                    bytes += record.headers.iter().map(|header| header.key.len()).sum::<usize>();
                }
            });
            assert!(bytes >= 100_000);
            assert_eq!((records, cost.count_total), (1_000, 0), "{codec} {open:?}", open = open[0].header());
        }
    }
}
