//! Record batches against bytes that Kafka 2.3.1's own classes wrote, and against bytes that nobody should have written.

mod support;

use bytes::Bytes;
use ottla_protocol::compression::{Compression, CompressionError, Compressor, Decompressor};
use ottla_protocol::records::*;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use support::{golden, hex, unhex};

const LIMIT: usize = 1 << 20;

fn fields(header: &BatchHeader, size: usize) -> Json {
    let last_sequence = match header.base_sequence {
        -1 => -1,
        base => ((i64::from(base) + i64::from(header.last_offset_delta)) & i64::from(i32::MAX)) as i32,
    };
    json!({
        "base_offset": header.base_offset,
        "last_offset": header.next_offset() - 1,
        "size": size,
        "crc": header.crc,
        "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id,
        "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence,
        "last_sequence": last_sequence,
        "partition_leader_epoch": header.partition_leader_epoch,
        "transactional": header.attributes.is_transactional(),
        "control": header.attributes.is_control(),
    })
}

fn record(record: &Record<'_>, header: &BatchHeader) -> Json {
    let bytes = |field: Option<&[u8]>| field.map_or(Json::Null, |field| hex(field).into());
    let headers: Vec<Json> = record.headers.iter().map(|h| json!([h.key, bytes(h.value)])).collect();
    let sequence = match header.base_sequence {
        -1 => -1,
        base => ((i64::from(base) + record.offset - header.base_offset) & i64::from(i32::MAX)) as i32,
    };
    json!({
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "sequence": sequence,
        "key": bytes(record.key),
        "value": bytes(record.value),
        "headers": headers,
    })
}

#[test]
fn every_golden_batch_has_the_fields_and_records_that_kafka_reads() {
    let mut decompressor = Decompressor::new();
    let (mut rows, mut legacy) = (0, 0);
    for row in golden("records-2.3.1.tsv") {
        let [id, magic, codec, time, batch_fields, records, bytes] = &row[..] else { panic!("{row:?}") };
        let place = format!("{id} {magic} {codec} {time}");
        let data = Bytes::from(unhex(bytes));
        let (mut our_batches, mut our_records) = (Vec::new(), Vec::new());
        for batch in Batches::new(data) {
            let batch = batch.unwrap_or_else(|e| panic!("{place}: {e}"));
            batch.verify_crc().unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_eq!(batch.header().attributes.compression().expect("a codec").name(), codec, "{place}");
            assert_eq!(batch.header().attributes.is_log_append_time(), time == "LogAppendTime", "{place}");
            assert_eq!(batch.header().magic.to_string(), *magic, "{place}");
            let open = batch.open(&mut decompressor, LIMIT).unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_eq!(open.header().next_offset(), batch.next_offset(), "{place}");
            assert_eq!(open.iter().count(), open.header().count as usize, "{place}");
            our_batches.push(fields(open.header(), batch.bytes().len()));
            for each in &open {
                our_records.push(record(&each.unwrap_or_else(|e| panic!("{place}: {e}")), open.header()));
            }
        }
        assert_eq!(Json::from(our_batches), parse(batch_fields), "{place}");
        assert_eq!(Json::from(our_records), parse(records), "{place}");
        (rows, legacy) = (rows + 1, legacy + usize::from(magic != "2"));
    }
    println!("{rows} record sets read, {legacy} of them of the formats v0 and v1");
    assert_eq!((rows, legacy), (82, 36));
}

#[test]
fn every_golden_batch_v2_is_written_again_from_its_fields_and_records_byte_by_byte() {
    let mut written = 0;
    for row in golden("records-2.3.1.tsv").iter().filter(|row| row[1] == "2") {
        let theirs = Bytes::from(unhex(&row[6]));
        let header = BatchHeader::read(&theirs).expect("a header");
        assert_eq!(header.write(), theirs[..HEADER_LEN], "{}", row[0]);
        let forgetful = BatchHeader { batch_length: 0, crc: 0, ..header };
        assert_eq!(hex(&forgetful.batch(&theirs[HEADER_LEN..])), hex(&theirs), "{}", row[0]);
        written += 1;
    }
    assert_eq!(written, 46);
}

#[test]
fn the_marks_of_a_transactions_end_are_read_and_written_as_kafka_does() {
    let mut marks = 0;
    for row in golden("records-2.3.1.tsv").iter().filter(|row| row[0].starts_with("end-txn")) {
        let theirs = Bytes::from(unhex(&row[6]));
        let batch = Batches::new(theirs.clone()).next().expect("a batch").expect("whole");
        let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
        let record = open.iter().next().expect("one").expect("a record");
        let mark = EndTxnMarker::read(&record).expect("a mark");
        let control = if row[0].ends_with("ABORT") { ControlType::Abort } else { ControlType::Commit };
        assert_eq!(mark.control, control);
        let header = batch.header();
        assert!(header.attributes.is_control() && header.attributes.is_transactional());
        let ours = mark.batch(
            header.producer_id,
            header.producer_epoch,
            record.timestamp_ms,
            header.base_offset,
            header.partition_leader_epoch,
        );
        assert_eq!(hex(&ours), hex(&theirs));
        let short = Record { value: record.value.map(|value| &value[..5]), ..record };
        assert_eq!(EndTxnMarker::read(&short), None);
        marks += 1;
    }
    assert_eq!(marks, 2);
}

fn parse(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn every_plain_golden_batch_is_built_again_byte_by_byte() {
    let mut built = 0;
    for row in golden("records-2.3.1.tsv") {
        let plain = row[1] == "2" && row[2] == "none" && row[3] == "CreateTime";
        if !plain || row[0].starts_with("end-txn") || row[0].starts_with("empty") {
            continue;
        }
        let theirs = Bytes::from(unhex(&row[6]));
        let batch = Batches::new(theirs.clone()).next().expect("a batch").expect("whole");
        let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
        let header = batch.header();
        let builder = || BatchBuilder::with_capacity(64).with_attributes(header.attributes);
        let (mut ours, mut raw) = (builder(), builder());
        for record in &open {
            let record = record.expect("a record");
            let headers: Vec<Header<'_>> = record.headers.iter().collect();
            ours.append(record.timestamp_ms, record.key, record.value, &headers);
            raw.append_raw_headers(record.timestamp_ms, record.key, record.value, record.headers);
        }
        for builder in [ours, raw] {
            let mut sealed = builder.seal(Compression::None, None, &mut Compressor::new()).expect("seals");
            sealed.stamp(ProducerStamp {
                producer_id: header.producer_id,
                producer_epoch: header.producer_epoch,
                base_sequence: header.base_sequence,
            });
            let placed = place(&sealed.bytes(), header.base_offset, header.partition_leader_epoch);
            assert_eq!(hex(&placed), hex(&theirs), "{}", row[0]);
        }
        built += 1;
    }
    assert_eq!(built, 8);
}

#[test]
fn varints_and_hashes_are_kafkas() {
    let mut rows = 0;
    for row in golden("primitives-2.3.1.tsv") {
        let [kind, input, output] = &row[..] else { panic!("{row:?}") };
        match kind.as_str() {
            "varint" => {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, input.parse().expect("an int"));
                assert_eq!(hex(&bytes), *output);
                assert_eq!(get_varint(&mut &bytes[..]), input.parse().ok());
            }
            "varlong" => {
                let mut bytes = Vec::new();
                put_varlong(&mut bytes, input.parse().expect("a long"));
                assert_eq!(hex(&bytes), *output);
                assert_eq!(get_varlong(&mut &bytes[..]), input.parse().ok());
            }
            "murmur2" => assert_eq!(ottla_protocol::murmur2(&unhex(input)).to_string(), *output),
            "partition_of_12" => {
                assert_eq!(ottla_protocol::partition_for_key(&unhex(input), 12).to_string(), *output);
            }
            "crc32" => assert_eq!(format!("{:x}", crc32fast::hash(&unhex(input))), *output),
            "crc32c" => assert_eq!(format!("{:x}", crc32c::crc32c(&unhex(input))), *output),
            // Headers are in golden.rs, group payloads in group.rs.
            _ => continue,
        }
        rows += 1;
    }
    assert_eq!(rows, 75);
    assert_eq!(get_varint(&mut &[0xff; 6][..]), None, "a varint without an end");
    assert_eq!(get_varlong(&mut &[0xff; 11][..]), None, "a varlong without an end");
    assert_eq!(get_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), None, "33 bits");
}

fn sealed(codec: Compression, records: i64) -> Bytes {
    let mut open = BatchBuilder::with_capacity(100);
    for i in 0..records {
        let value = format!(r#"{{"id":{i},"note":"数据 {}"}}"#, i * i);
        open.append(1_000 + i, Some(i.to_string().as_bytes()), Some(value.as_bytes()), &[]);
    }
    open.seal(codec, None, &mut Compressor::new()).expect("seals").bytes()
}

#[test]
fn a_flipped_bit_under_the_checksum_is_a_wrong_crc() {
    let good = sealed(Compression::None, 3);
    for at in 21..good.len() {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        let batch = Batches::new(bad.into()).next().expect("a batch").expect("its head is whole");
        let error = batch.verify_crc().expect_err("the bytes have changed");
        assert!(matches!(error.kind, RecordsErrorKind::WrongCrc { .. }));
        assert!(error.to_string().starts_with("batch at offset 0 (byte 0): wrong CRC-32C: it says "), "{error}");
    }
}

#[test]
fn a_batch_cut_anywhere_ends_the_data_and_what_came_before_counts() {
    let first = sealed(Compression::Lz4, 5);
    let both = [&first[..], &sealed(Compression::Zstd, 5)[..]].concat();
    for end in first.len()..both.len() {
        let mut batches = Batches::new(Bytes::copy_from_slice(&both[..end]));
        assert!(batches.next().expect("the first").is_ok());
        assert!(batches.next().is_none(), "cut at {end}");
        assert_eq!(batches.saw_partial(), end > first.len());
    }
}

#[test]
fn a_batch_of_an_impossible_length_is_an_error_and_one_too_long_is_a_cut_one() {
    let with_length = |length: i32| {
        let mut bad = sealed(Compression::None, 1).to_vec();
        bad[8..12].copy_from_slice(&length.to_be_bytes());
        let mut batches = Batches::new(bad.into());
        (batches.next(), batches.saw_partial())
    };
    for length in [-1, 0, 13, i32::MIN] {
        let (next, _) = with_length(length);
        let error = next.expect("something").expect_err("no batch has such a length");
        assert_eq!(error.kind, RecordsErrorKind::BadLength(length));
    }
    assert!(matches!(with_length(i32::MAX), (None, true)));
}

#[test]
fn an_unknown_codec_and_an_unknown_format_are_named() {
    let mut bad = sealed(Compression::None, 1).to_vec();
    bad[22] = 6;
    let batch = Batches::new(bad.into()).next().expect("a batch").expect("whole");
    let error = batch.open(&mut Decompressor::new(), LIMIT).expect_err("codec 6");
    assert_eq!(error.kind, RecordsErrorKind::UnknownCodec(6));
    let mut bad = sealed(Compression::None, 1).to_vec();
    bad[16] = 3;
    let error = Batches::new(bad.into()).next().expect("something").expect_err("magic 3");
    assert_eq!(error.kind, RecordsErrorKind::UnknownMagic(3));
}

#[test]
fn a_count_that_the_records_do_not_meet_is_an_error_both_ways() {
    for count in [0_i32, 2, 4, i32::MAX] {
        let mut bad = sealed(Compression::None, 3).to_vec();
        bad[57..61].copy_from_slice(&count.to_be_bytes());
        let batch = Batches::new(bad.into()).next().expect("a batch").expect("whole");
        let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
        assert!(open.iter().take(10).any(|record| record.is_err()), "a count of {count} passed");
        assert!(open.iter().count() <= 4, "it goes on after the error");
    }
}

#[test]
fn every_codec_gives_back_what_it_was_given_at_any_size() {
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    let text: Vec<u8> =
        (0..400_000_u32).flat_map(|i| format!("{{\"id\":{i},\"价\":{}}}", i * 7 % 97).into_bytes()).collect();
    let mut seed = 9_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    })
    .take(300_000)
    .collect();
    for codec in Compression::ALL {
        for data in [&text, &noise] {
            for len in [0, 1, 2, 15, 100, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 131_073, 262_144, 300_000] {
                let mut out = vec![1, 2, 3];
                compressor.compress(codec, None, &data[..len], &mut out).expect("compresses");
                assert_eq!(out[..3], [1, 2, 3], "it appends");
                let back = decompressor.decompress(codec, &out[3..], len).expect("fits exactly");
                assert!(back == data[..len], "{codec} at {len}");
            }
        }
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 10 << 20];
    for codec in Compression::ALL {
        let mut bomb = Vec::new();
        Compressor::new().compress(codec, None, &zeros, &mut bomb).expect("compresses");
        for limit in [0, 1, 4096, (10 << 20) - 1] {
            let error = Decompressor::new().decompress(codec, &bomb, limit).expect_err("over the limit");
            assert_eq!(error, CompressionError::OverLimit { codec, limit });
        }
        assert!(Decompressor::new().decompress(codec, &bomb, 10 << 20).is_ok(), "{codec} at its limit");
    }
}

#[test]
fn compressed_data_cut_or_changed_anywhere_never_panics_and_a_cut_is_an_error() {
    let text: Vec<u8> = (0..3_000_u32).flat_map(|i| i.to_string().into_bytes()).collect();
    let mut decompressor = Decompressor::new();
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let mut good = Vec::new();
        Compressor::new().compress(codec, None, &text, &mut good).expect("compresses");
        for end in (1..good.len()).step_by(3) {
            let back = decompressor.decompress(codec, &good[..end], LIMIT);
            assert!(back.map_or(true, |back| back.len() < text.len()), "{codec} cut at {end} of {}", good.len());
        }
        for at in 0..good.len().min(3_000) {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            let _ = decompressor.decompress(codec, &bad, LIMIT);
        }
        assert_eq!(decompressor.decompress(codec, &good, LIMIT).expect("the context is still good"), text);
    }
}

#[test]
fn snappy_is_read_raw_framed_and_framed_twice() {
    let raw = snap::raw::Encoder::new().compress_vec(b"raw, as librdkafka writes it").expect("compresses");
    let mut decompressor = Decompressor::new();
    let read =
        |decompressor: &mut Decompressor, bytes: &[u8]| decompressor.decompress(Compression::Snappy, bytes, LIMIT);
    assert_eq!(&read(&mut decompressor, &raw).expect("raw")[..], b"raw, as librdkafka writes it");
    let mut framed = Vec::new();
    Compressor::new().compress(Compression::Snappy, None, b"once", &mut framed).expect("compresses");
    assert_eq!(&framed[..8], b"\x82SNAPPY\0");
    assert_eq!(&read(&mut decompressor, &framed.repeat(2)).expect("twice")[..], b"onceonce");
}

#[test]
fn gzip_members_and_zstd_frames_stand_one_after_the_other() {
    for codec in [Compression::Gzip, Compression::Zstd] {
        let mut one = Vec::new();
        Compressor::new().compress(codec, None, b"one", &mut one).expect("compresses");
        let mut both = one.repeat(2);
        if codec == Compression::Zstd {
            both.extend([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 9, 9]);
        }
        assert_eq!(&Decompressor::new().decompress(codec, &both, LIMIT).expect("both")[..], b"oneone");
    }
}

#[test]
fn lz4_frames_of_other_writers_are_read() {
    // Version 1, linked blocks, block checksums, content size and checksum: "abcdefgh" stored, then a copy of it out of
    // the block before.
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0b0101_1100, 0x40];
    frame.extend(16_u64.to_le_bytes());
    frame.push(0);
    frame.extend((8_u32 | 1 << 31).to_le_bytes());
    frame.extend(b"abcdefgh");
    frame.extend([0; 4]);
    // Token: no literal, match of 4 + 3; offset 8; then five literals, as a block has to end.
    let block = [0x03, 8, 0, 0x10, b'h'];
    frame.extend((block.len() as u32).to_le_bytes());
    frame.extend(block);
    frame.extend([0; 4]);
    frame.extend([0; 4]);
    frame.extend([0; 4]);
    let read = |frame: &[u8]| Decompressor::new().decompress(Compression::Lz4, frame, LIMIT);
    assert!(read(&frame).expect_err("the header's checksum is not right yet").to_string().contains("checksum"));
    let right = (0..=255).find_map(|byte| {
        frame[14] = byte;
        read(&frame).ok()
    });
    assert_eq!(right.as_deref(), Some(&b"abcdefghabcdefgh"[..]));
}

#[test]
fn a_level_is_taken_where_there_are_levels_and_refused_elsewhere() {
    let compress = |codec, level| Compressor::new().compress(codec, Some(level), b"text", &mut Vec::new());
    assert!(compress(Compression::Zstd, 19).is_ok() && compress(Compression::Gzip, 1).is_ok());
    for (codec, level) in [(Compression::Lz4, 3), (Compression::Gzip, 10), (Compression::Zstd, 23)] {
        assert_eq!(compress(codec, level), Err(CompressionError::NoSuchLevel { codec, level }));
    }
}

type OwnedRecord = (i64, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

proptest! {
    #[test]
    fn any_records_come_back_as_they_went_in(
        records in prop::collection::vec(any::<OwnedRecord>(), 1..20),
        codec in prop::sample::select(&Compression::ALL[..]),
    ) {
        let mut open = BatchBuilder::with_capacity(0);
        let mut bound = open.len();
        for (time, key, value, headers) in &records {
            let headers: Vec<Header<'_>> =
                headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
            open.append(*time, key.as_deref(), value.as_deref(), &headers);
            bound += record_size_bound(
                key.as_ref().map_or(0, Vec::len), value.as_ref().map_or(0, Vec::len), &headers);
            prop_assert!(open.len() <= bound);
        }
        let bytes = open.seal(codec, None, &mut Compressor::new()).expect("seals").bytes();
        let batch = Batches::new(bytes).next().expect("a batch").expect("whole");
        batch.verify_crc().expect("the right CRC");
        let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
        let back: Vec<OwnedRecord> = open.iter().map(|record| {
            let record = record.expect("a record");
            (
                record.timestamp_ms,
                record.key.map(<[u8]>::to_vec),
                record.value.map(<[u8]>::to_vec),
                record.headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
            )
        }).collect();
        prop_assert_eq!(back, records);
    }

    #[test]
    fn any_bytes_after_a_header_never_panic(tail in prop::collection::vec(any::<u8>(), 0..300), count in any::<i32>(), codec in 0_u8..8) {
        let mut bytes = sealed(Compression::None, 1).to_vec();
        bytes.truncate(61);
        bytes[22] = codec;
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes.extend(&tail);
        let length = (bytes.len() - 12) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        let batch = Batches::new(bytes.into()).next().expect("a batch").expect("whole");
        if let Ok(open) = batch.open(&mut Decompressor::new(), LIMIT) {
            let _ = open.iter().take(1_000).count();
        }
    }
}
