//! Message sets, formats v0 and v1: mixed with batches, compressed, placed, converted, and what nobody should have written.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]

mod support;

use bytes::Bytes;
use ottla_protocol::compression::{Compression, CompressionError, Compressor, Decompressor};
use ottla_protocol::records::*;
use support::{golden, hex, unhex};

const LIMIT: usize = 1 << 20;
const OLD_CODECS: [Compression; 4] = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4];

/// Offset, time, key, value.
type Row = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>);

fn read(data: impl Into<Bytes>) -> Result<Vec<Row>, RecordsError> {
    let mut rows = Vec::new();
    for batch in Batches::new(data.into()) {
        let batch = batch?;
        batch.verify_crc()?;
        for record in &batch.open(&mut Decompressor::new(), LIMIT)? {
            let record = record?;
            assert!(record.headers.is_empty());
            let owned = |field: Option<&[u8]>| field.map(<[u8]>::to_vec);
            rows.push((record.offset, record.timestamp_ms, owned(record.key), owned(record.value)));
        }
    }
    Ok(rows)
}

fn builder(format: MessageFormat, codec: Compression) -> MessageSetBuilder {
    MessageSetBuilder::new(format, codec).expect("the format has the codec")
}

fn seal(set: MessageSetBuilder) -> Bytes {
    set.seal(None, &mut Compressor::new()).expect("seals")
}

/// Three records at 50, 51 and 57: compaction has been here.
fn compacted(format: MessageFormat, codec: Compression) -> Bytes {
    let mut set = builder(format, codec).with_base_offset(50);
    set.append(1_000, Some(b"a"), Some(b"one"));
    set.append(3_000, None, Some(b"two"));
    set.append_at(57, 2_000, Some(b"c"), None);
    seal(set)
}

fn rows(format: MessageFormat) -> Vec<Row> {
    let time = |time| if format == MessageFormat::V0 { -1 } else { time };
    vec![
        (50, time(1_000), Some(b"a".to_vec()), Some(b"one".to_vec())),
        (51, time(3_000), None, Some(b"two".to_vec())),
        (57, time(2_000), Some(b"c".to_vec()), None),
    ]
}

/// A message with a right checksum around whatever is given.
fn message(offset: i64, magic: u8, attributes: u8, time: i64, value: Option<&[u8]>) -> Vec<u8> {
    let mut covered = vec![magic, attributes];
    if magic > 0 {
        covered.extend(time.to_be_bytes());
    }
    covered.extend((-1_i32).to_be_bytes());
    covered.extend(value.map_or(-1, |value| value.len() as i32).to_be_bytes());
    covered.extend(value.unwrap_or_default());
    entry(offset, &covered)
}

fn entry(offset: i64, covered: &[u8]) -> Vec<u8> {
    let size = covered.len() as i32 + 4;
    let crc = crc32fast::hash(covered);
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc.to_be_bytes(), covered].concat()
}

fn gzip(set: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().compress(Compression::Gzip, None, set, &mut out).expect("compresses");
    out
}

#[test]
fn every_format_and_codec_gives_back_records_offsets_and_times() {
    for format in [MessageFormat::V0, MessageFormat::V1] {
        for codec in OLD_CODECS {
            let data = compacted(format, codec);
            assert_eq!(read(data.clone()).expect("reads"), rows(format), "{format:?} {codec}");
            let last = Batches::new(data).last().expect("a batch").expect("whole");
            assert_eq!(last.next_offset(), 58, "{format:?} {codec}");
        }
    }
}

#[test]
fn the_messages_in_a_compressed_one_have_right_checksums_of_their_own() {
    // The Java consumer checks these and not the wrapper's (`Fetcher.maybeEnsureValid`).
    for format in [MessageFormat::V0, MessageFormat::V1] {
        let wrapper = compacted(format, Compression::Gzip);
        let value = &wrapper[wrapper.len() - value_len(&wrapper, format)..];
        let set = Decompressor::new().decompress(Compression::Gzip, value, LIMIT).expect("gzip");
        let inner: Vec<i64> = Batches::new(set)
            .map(|message| {
                let message = message.expect("whole");
                message.verify_crc().expect("its own checksum");
                assert_eq!(message.header().count, 1);
                message.header().base_offset
            })
            .collect();
        let expected = if format == MessageFormat::V0 { [50, 51, 57] } else { [0, 1, 7] };
        assert_eq!(inner, expected, "absolute in v0, relative in v1");
    }
}

fn value_len(wrapper: &[u8], format: MessageFormat) -> usize {
    let head = if format == MessageFormat::V0 { 22 } else { 30 };
    wrapper.len() - head - 4
}

#[test]
fn formats_stand_mixed_in_one_answer_and_a_cut_tail_is_no_error() {
    let mut new = BatchBuilder::with_capacity(100);
    new.append(9_000, Some(b"n"), Some(b"new"), &[]);
    let new = new.seal(Compression::Zstd, None, &mut Compressor::new()).expect("seals").bytes();
    let old = [compacted(MessageFormat::V0, Compression::Lz4), compacted(MessageFormat::V1, Compression::None)];
    let data = [&old[0][..], &old[1], &place(&new, 60, 0), &old[1]].concat();
    let expected = [
        rows(MessageFormat::V0),
        rows(MessageFormat::V1),
        vec![(60, 9_000, Some(b"n".to_vec()), Some(b"new".to_vec()))],
        rows(MessageFormat::V1),
    ]
    .concat();
    assert_eq!(read(data.clone()).expect("reads"), expected);
    let whole = data.len() - (compacted(MessageFormat::V1, Compression::None).len() - 37);
    for end in whole..data.len() {
        let mut batches = Batches::new(Bytes::copy_from_slice(&data[..end]));
        let read: usize = batches.by_ref().map(|batch| batch.expect("whole").bytes().len()).sum();
        assert!(read <= end && batches.saw_partial() == (read < end), "cut at {end}");
    }
}

#[test]
fn log_append_time_is_the_wrappers_whatever_the_messages_in_it_say() {
    let inner = [message(0, 1, 0, 5, Some(b"x")), message(1, 1, 8, 6, Some(b"y"))].concat();
    let times = |attributes| -> Vec<i64> {
        let wrapper = message(101, 1, attributes, 77, Some(&gzip(&inner)));
        read(wrapper).expect("reads").iter().map(|row| row.1).collect()
    };
    assert_eq!(times(1 | 8), [77, 77]);
    assert_eq!(times(1), [5, 6], "under CreateTime each its own");
    let mut set = builder(MessageFormat::V1, Compression::None).with_log_append_time(99);
    set.append(1, None, Some(b"plain"));
    assert_eq!(read(seal(set)).expect("reads")[0].1, 99);
}

#[test]
fn relative_offsets_end_at_the_wrappers_and_a_wrapper_of_offset_0_begins_at_0() {
    let inner = [message(3, 1, 0, 5, Some(b"x")), message(9, 1, 0, 6, Some(b"y"))].concat();
    let offsets = |offset: i64| -> Result<Vec<i64>, RecordsError> {
        let rows = read(message(offset, 1, 1, 77, Some(&gzip(&inner))))?;
        Ok(rows.iter().map(|row| row.0).collect())
    };
    assert_eq!(offsets(109).expect("reads"), [103, 109]);
    assert_eq!(offsets(9).expect("reads"), [3, 9]);
    assert_eq!(offsets(0).expect("as some librdkafka wrote it"), [3, 9]);
    let error = offsets(8).expect_err("less than what is in it");
    assert!(error.to_string().contains("less than that of the last message"), "{error}");
    let batch = Batches::new(message(109, 1, 1, 77, Some(&gzip(&inner))).into()).next().expect("one").expect("whole");
    assert_eq!((batch.header().count, batch.next_offset()), (-1, 110), "closed, only its end is known");
    let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
    let header = open.header();
    assert_eq!((header.base_offset, header.last_offset_delta, header.count), (103, 6, 2));
}

#[test]
fn zstd_in_an_old_format_is_refused_by_name_both_ways() {
    for magic in [0, 1] {
        let error = read(message(1, magic, 4, 0, Some(b"frame"))).expect_err("no zstd before v2");
        assert!(error.to_string().contains(&format!("message format v{magic} has no zstd")), "{error}");
        let format = MessageFormat::from_magic(magic as i8).expect("a format");
        let error = MessageSetBuilder::new(format, Compression::Zstd).expect_err("neither when it is written");
        assert_eq!(error, CompressionError::NotInFormat { codec: Compression::Zstd, magic: magic as i8 });
    }
    let error = read(message(1, 1, 6, 0, Some(b"?"))).expect_err("codec 6");
    assert_eq!(error.kind, RecordsErrorKind::UnknownCodec(6));
}

#[test]
fn a_compressed_message_in_a_compressed_one_is_refused_and_so_is_an_empty_one() {
    let what = |value: Option<&[u8]>| read(message(9, 1, 1, 0, value)).expect_err("refused").to_string();
    let bomb = message(0, 1, 1, 0, Some(&gzip(&message(0, 1, 0, 0, Some(b"x")))));
    let nested = [message(0, 1, 0, 0, Some(b"first")), bomb].concat();
    let text = what(Some(&gzip(&nested)));
    assert!(text.contains("record 1: a compressed message inside a compressed message"), "{text}");
    assert!(what(None).contains("without a value"));
    assert!(what(Some(b"")).contains("holds none"));
    assert!(what(Some(&gzip(&message(0, 2, 0, 0, Some(b"x"))))).contains("neither v0 nor v1"));
}

#[test]
fn the_lz4_header_checksum_is_wrong_in_format_v0_and_only_there() {
    let checksum = |format| {
        let data = compacted(format, Compression::Lz4);
        let frame = data.len() - value_len(&data, format);
        (data[frame + 6], data, frame + 6)
    };
    assert_eq!(checksum(MessageFormat::V0).0, 0x1a, "KAFKA-3160");
    assert_eq!(checksum(MessageFormat::V1).0, 0x82);
    for (format, readable) in [(MessageFormat::V0, true), (MessageFormat::V1, false)] {
        let (right, data, at) = checksum(format);
        let mut bad = data.to_vec();
        bad[at] = right ^ 0xff;
        let crc = crc32fast::hash(&bad[16..]);
        bad[12..16].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(read(bad).is_ok(), readable, "{format:?}");
    }
}

#[test]
fn attribute_bits_that_the_formats_lack_mean_nothing() {
    for magic in [0, 1] {
        let batch = Batches::new(message(4, magic, 0xf0, 7, None).into()).next().expect("one").expect("whole");
        let attributes = batch.header().attributes;
        assert!(!attributes.is_control() && !attributes.is_transactional());
        assert_eq!(read(batch.bytes().clone()).expect("reads").len(), 1);
    }
    let timed = Batches::new(message(4, 0, 8, 0, None).into()).next().expect("one").expect("whole");
    assert!(!timed.header().attributes.is_log_append_time(), "format v0 has no time");
}

#[test]
fn a_flipped_bit_under_the_checksum_of_a_message_is_a_wrong_crc() {
    for format in [MessageFormat::V0, MessageFormat::V1] {
        let good = compacted(format, Compression::Snappy);
        for at in (12..16).chain(17..good.len()) {
            let mut bad = good.to_vec();
            bad[at] ^= 4;
            let batch = Batches::new(bad.into()).next().expect("a message").expect("its head is whole");
            let error = batch.verify_crc().expect_err("the bytes have changed");
            assert!(error.to_string().contains("wrong CRC-32: it says"), "{at}: {error}");
        }
    }
}

#[test]
fn a_message_that_contradicts_itself_is_named() {
    let what = |covered: &[u8]| read(entry(3, covered)).expect_err("refused");
    let null = [0xff; 4];
    assert_eq!(what(&[0; 9]).kind, RecordsErrorKind::BadLength(13));
    assert_eq!(what(&[&[1, 0][..], &[0; 12]].concat()).kind, RecordsErrorKind::BadLength(18), "too short for v1");
    let cases: [(&[&[u8]], &str); 4] = [
        (&[&[0, 0], &[0, 0, 0, 9], &null], "its key"),
        (&[&[0, 0], &[0xff, 0xff, 0xff, 0xfe], &null], "its key"),
        (&[&[0, 0], &null, &[0x7f, 0xff, 0xff, 0xff]], "its value"),
        (&[&[0, 0], &null, &null, &[0]], "more than what is in it"),
    ];
    for (parts, named) in cases {
        let text = what(&parts.concat()).to_string();
        assert!(text.starts_with("batch at offset 3 (byte 0): record 0: ") && text.contains(named), "{named}: {text}");
    }
}

#[test]
fn what_is_converted_down_keeps_offsets_and_says_what_is_lost() {
    let mut all = Vec::new();
    let mut rows = Vec::new();
    for (i, codec) in OLD_CODECS.into_iter().enumerate() {
        let base = 10 * i as i64;
        let mut batch = BatchBuilder::with_capacity(100);
        batch.append(base + 1, Some(b"k"), Some(b"v"), &[Header { key: "h", value: None }]);
        batch.append(base + 2, None, Some(&[b'x'; 300]), &[]);
        let sealed = batch.seal(codec, None, &mut Compressor::new()).expect("seals");
        all.extend_from_slice(&place(&sealed.bytes(), base, 1));
        let marker = EndTxnMarker { control: ControlType::Commit, coordinator_epoch: 1 };
        all.extend_from_slice(&marker.batch(1, 0, 5, base + 2, 1));
        rows.push((base, base + 1, Some(b"k".to_vec()), Some(b"v".to_vec())));
        rows.push((base + 1, base + 2, None, Some(vec![b'x'; 300])));
    }
    let old = compacted(MessageFormat::V0, Compression::Gzip);
    all.extend_from_slice(&old);
    let (compressor, decompressor) = (&mut Compressor::new(), &mut Decompressor::new());
    for format in [MessageFormat::V0, MessageFormat::V1] {
        let data = Bytes::copy_from_slice(&all);
        let down = down_convert(data, format, compressor, decompressor, LIMIT).expect("converts");
        assert_eq!((down.headers_lost, down.control_batches), (4, 4));
        assert!(down.records.ends_with(&old), "what is old enough stays as it is");
        let mut back = read(down.records.clone()).expect("reads");
        back.truncate(8);
        for row in &mut rows {
            row.1 = if format == MessageFormat::V0 { -1 } else { row.0 + 1 };
        }
        assert_eq!(back, rows, "{format:?}");
        // And up again, into one batch of a producer.
        let up = up_convert(down.records, decompressor, LIMIT).expect("rebatches");
        let up = up.seal(Compression::Zstd, None, compressor).expect("seals").bytes();
        let up = read(up).expect("reads");
        assert_eq!(up.len(), 11);
        assert!(up.iter().zip(&rows).all(|(up, row)| (up.1, &up.2, &up.3) == (row.1, &row.2, &row.3)));
        assert!(up.iter().map(|row| row.0).eq(0..11));
    }
}

#[test]
fn what_cannot_be_converted_is_an_error_and_not_a_loss() {
    let (compressor, decompressor) = (&mut Compressor::new(), &mut Decompressor::new());
    let mut batch = BatchBuilder::with_capacity(100);
    batch.append(1, None, Some(&[b'x'; 5_000]), &[]);
    let zstd = batch.seal(Compression::Zstd, None, compressor).expect("seals").bytes();
    let error = down_convert(zstd.clone(), MessageFormat::V1, compressor, decompressor, LIMIT).expect_err("zstd");
    assert!(error.to_string().contains("v1 has no zstd"), "{error}");
    for limit in [100, 4_999, 5_060] {
        let error = up_convert(zstd.clone(), decompressor, limit).expect_err("over the limit");
        let RecordsErrorKind::Compression(CompressionError::OverLimit { limit: stated, .. }) = error.kind else {
            panic!("{error}")
        };
        assert_eq!(stated, limit);
    }
    let broker_time = BatchHeader { attributes: Attributes(8), max_timestamp: 70, ..header_of(&zstd) };
    let plain = broker_time.batch(up_convert(zstd, decompressor, LIMIT).expect("rebatches").records());
    let down = down_convert(plain, MessageFormat::V1, compressor, decompressor, LIMIT).expect("converts");
    assert_eq!(read(down.records).expect("reads")[0].1, 70, "LogAppendTime stays");
}

fn header_of(batch: &Bytes) -> BatchHeader {
    BatchHeader::read(batch).expect("a header")
}

#[test]
fn every_plain_golden_message_set_is_built_again_byte_by_byte() {
    let mut built = 0;
    for row in golden("records-2.3.1.tsv") {
        let [id, magic, codec, time, _, _, bytes] = &row[..] else { panic!("{row:?}") };
        if magic == "2" || codec != "none" {
            continue;
        }
        let theirs = unhex(bytes);
        let format = MessageFormat::from_magic(magic.parse().expect("a magic")).expect("an old format");
        let mut set = builder(format, Compression::None).with_base_offset(100);
        if time == "LogAppendTime" {
            set = set.with_log_append_time(1_571_356_999_000);
        }
        for (_, time, key, value) in read(theirs.clone()).expect("reads") {
            set.append(time, key.as_deref(), value.as_deref());
        }
        assert_eq!(hex(&seal(set)), hex(&theirs), "{id} {magic}");
        built += 1;
    }
    assert_eq!(built, 9);
}

#[test]
fn a_compressed_golden_message_set_is_written_with_the_same_wrapper() {
    let mut written = 0;
    for row in golden("records-2.3.1.tsv") {
        let [id, magic, codec, time, _, _, bytes] = &row[..] else { panic!("{row:?}") };
        let (theirs, codec) = (unhex(bytes), codec.parse().expect("a codec"));
        let Some(format) = MessageFormat::from_magic(magic.parse().expect("a magic")) else { continue };
        if codec == Compression::None {
            continue;
        }
        let mut set = builder(format, codec).with_base_offset(100);
        if time == "LogAppendTime" {
            set = set.with_log_append_time(1_571_356_999_000);
        }
        for (_, time, key, value) in read(theirs.clone()).expect("reads") {
            set.append(time, key.as_deref(), value.as_deref());
        }
        let ours = seal(set);
        let head = if format == MessageFormat::V0 { 22 } else { 30 };
        assert_eq!(hex(&ours[..8]), hex(&theirs[..8]), "{id} v{magic} {codec}: offset");
        assert_eq!(hex(&ours[16..head]), hex(&theirs[16..head]), "{id} v{magic} {codec} {time}: fields");
        let inner = |entry: &[u8]| {
            let mut value = entry[head + 4..].to_vec();
            if codec == Compression::Lz4 {
                value[6] = 0x82;
            }
            Decompressor::new().decompress(codec, &value, LIMIT).expect("decompresses")
        };
        assert!(inner(&ours) == inner(&theirs), "{id} v{magic} {codec} {time}: what is in it");
        written += 1;
    }
    assert_eq!(written, 27);
}
