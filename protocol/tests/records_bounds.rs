//! Record batches at their edges: widths, deltas, room, limits, and each field of a record put wrong on purpose.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]

use bytes::Bytes;
use ottla_protocol::compression::{Compression, CompressionError, Compressor, Decompressor};
use ottla_protocol::records::*;
use proptest::prelude::*;

const LIMIT: usize = 64 << 20;

/// A record as a test holds it.
#[derive(Debug, Clone, PartialEq)]
struct Owned {
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

fn owned(timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Owned {
    Owned { timestamp_ms, key: key.map(<[u8]>::to_vec), value: value.map(<[u8]>::to_vec), headers: Vec::new() }
}

/// One byte after the other, as the format's description has it: nothing of this is shared with the crate.
fn varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value as u64) << 1) ^ (if value < 0 { u64::MAX } else { 0 });
    loop {
        let last = rest < 128;
        out.push((rest % 128) as u8 + if last { 0 } else { 128 });
        rest /= 128;
        if last {
            return;
        }
    }
}

fn field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    varint(out, field.map_or(-1, |field| field.len() as i64));
    out.extend(field.unwrap_or_default());
}

fn plain(records: &[Owned]) -> Vec<u8> {
    let mut out = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let mut body = vec![0];
        varint(&mut body, record.timestamp_ms.wrapping_sub(records[0].timestamp_ms));
        varint(&mut body, index as i64);
        field(&mut body, record.key.as_deref());
        field(&mut body, record.value.as_deref());
        varint(&mut body, record.headers.len() as i64);
        for (key, value) in &record.headers {
            field(&mut body, Some(key.as_bytes()));
            field(&mut body, value.as_deref());
        }
        varint(&mut out, body.len() as i64);
        out.extend(body);
    }
    out
}

fn build(records: &[Owned]) -> BatchBuilder {
    let mut open = BatchBuilder::with_capacity(0);
    for record in records {
        let headers: Vec<Header<'_>> =
            record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        open.append(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &headers);
    }
    open
}

fn seal(open: BatchBuilder, codec: Compression) -> SealedBatch {
    open.seal(codec, None, &mut Compressor::new()).expect("seals")
}

fn only(bytes: Bytes) -> Batch {
    Batches::new(bytes).next().expect("a batch").expect("whole")
}

fn read_back(bytes: Bytes) -> Vec<Owned> {
    let batch = only(bytes);
    batch.verify_crc().expect("the right CRC");
    let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
    open.iter()
        .map(|record| {
            let record = record.expect("a record");
            Owned {
                timestamp_ms: record.timestamp_ms,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: record.headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect(),
            }
        })
        .collect()
}

/// The bytes of a batch around these record bytes, with a right checksum: only the records may be wrong.
fn around(records: &[u8], count: i32) -> Bytes {
    let mut bytes = seal(build(&[owned(0, None, None)]), Compression::None).bytes()[..HEADER_LEN].to_vec();
    bytes.extend(records);
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

/// Reads to the first error.
fn trouble(records: &[u8], count: i32) -> RecordsError {
    let batch = only(around(records, count));
    batch.verify_crc().expect("only the records are wrong");
    let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
    open.iter().find_map(Result::err).expect("something is wrong")
}

#[test]
fn every_width_of_length_and_delta_is_encoded_as_the_format_says() {
    let lengths = [0, 1, 62, 63, 64, 65, 127, 128, 8_170, 8_181, 8_190, 8_191, 8_192, 8_193, 1 << 20, (1 << 20) + 1];
    let deltas =
        [0, 1, 63, 64, -64, -65, 8_191, 8_192, -8_192, -8_193, 1 << 20, 1 << 31, -(1 << 41), i64::MAX, i64::MIN];
    let noise: Vec<u8> = (0..=1_u32 << 20).map(|i| (i * 7 / 3) as u8).collect();
    for len in lengths {
        let bytes = &noise[..len];
        for delta in deltas {
            let records = [
                owned(0, Some(bytes), None),
                owned(delta, None, Some(bytes)),
                owned(delta, Some(&bytes[..len.min(70)]), Some(bytes)),
                owned(0, Some(b""), Some(b"")),
            ];
            let sealed = seal(build(&records), Compression::None);
            assert!(sealed.bytes()[HEADER_LEN..] == plain(&records), "length {len}, delta {delta}");
            if delta == 8_192 {
                assert!(read_back(sealed.bytes()) == records, "length {len}");
            }
        }
    }
}

#[test]
fn a_small_record_is_the_same_bytes_with_room_and_without() {
    let noise: Vec<u8> = (0..9_000_u32).map(|i| (i * 7 / 3) as u8 | 1).collect();
    let lengths = [0, 1, 2, 50, 57, 58, 62, 63, 64, 100, 127, 128, 8_165, 8_176, 8_180, 8_184, 8_191, 8_192];
    // As many before them as make an offset take one byte, two, and three.
    for before in [1, 64, 8_192] {
        let mut records = vec![owned(0, Some(b""), Some(b"")); before];
        for (key, len, delta) in (0..=9_usize).flat_map(|key| lengths.map(|len| (key, len, key as i64 * 20 - 100))) {
            records.push(owned(delta, key.checked_sub(1).map(|key| &noise[..key]), Some(&noise[..len])));
        }
        let expected = plain(&records);
        for room in [0, expected.len() / 2, expected.len() + HEADER_LEN, expected.len() * 2] {
            let mut open = BatchBuilder::in_buffer(Vec::with_capacity(room));
            for record in &records {
                open.append(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &[]);
            }
            assert!(open.records() == expected, "{before} before, room for {room}");
        }
    }
}

#[test]
fn offsets_count_on_through_every_width() {
    // Keys of every length up to 200 and times that go both ways: heads from 5 bytes to more than a register holds.
    let keys = [b'k'; 200];
    let records: Vec<Owned> = (0..20_000)
        .map(|i: i64| owned(i * 37 % 9_001 - 100, keys.get(..i as usize % 211), Some(&keys[..i as usize % 23])))
        .collect();
    let bytes = seal(build(&records), Compression::None).bytes();
    assert!(bytes[HEADER_LEN..] == plain(&records));
    let open = only(bytes).open(&mut Decompressor::new(), LIMIT).expect("opens");
    assert!(open.iter().map(|record| record.expect("a record").offset).eq(0..20_000));
    assert_eq!(open.header().last_offset_delta, 19_999);
    assert_eq!(open.header().next_offset(), 20_000);
}

#[test]
fn a_batch_filled_to_the_last_byte_of_its_buffer_does_not_move() {
    for len in 0..200 {
        let record = owned(5, Some(b"key"), Some(&vec![b'v'; len]));
        let records = vec![record; 3];
        let exact = build(&records).len();
        let mut open = BatchBuilder::in_buffer(Vec::with_capacity(exact));
        for r in &records {
            open.append(r.timestamp_ms, r.key.as_deref(), r.value.as_deref(), &[]);
        }
        assert_eq!(open.len(), exact);
        let back = seal(open, Compression::None).recycle().expect("nobody else has it");
        assert_eq!(back.capacity(), exact, "it grew for bytes that it did not keep");
    }
}

#[test]
fn a_buffer_goes_round_without_being_allocated_again() {
    let mut buffer = Vec::with_capacity(4_096);
    for codec in [Compression::None, Compression::Lz4, Compression::None, Compression::Zstd] {
        let mut open = BatchBuilder::in_buffer(buffer);
        open.append(1, None, Some(&[b'x'; 1_000]), &[]);
        let mut sealed = seal(open, codec);
        let wire = sealed.bytes();
        buffer = if codec == Compression::None {
            assert!(sealed.take_spare().is_none());
            assert!(seal(build(&[owned(0, None, None)]), codec).take_spare().is_none());
            drop(wire);
            sealed.recycle().expect("nobody else has it")
        } else {
            let spare = sealed.take_spare().expect("what it was compressed from");
            assert!(sealed.take_spare().is_none(), "only once");
            assert_eq!(sealed.bytes(), wire, "the batch itself stays");
            spare
        };
        assert_eq!(buffer.capacity(), 4_096, "{codec}");
    }
}

#[test]
fn a_batch_on_its_way_is_not_changed_by_a_new_stamp() {
    let mut sealed = seal(build(&[owned(1, None, Some(b"v"))]), Compression::Gzip);
    let first = ProducerStamp { producer_id: 7, producer_epoch: 1, base_sequence: i32::MAX };
    sealed.stamp(first);
    let sent = sealed.bytes();
    let copy = sent.to_vec();
    sealed.stamp(ProducerStamp { producer_id: 8, producer_epoch: 0, base_sequence: 0 });
    assert_eq!(sent, copy);
    for (bytes, id, sequence) in [(sent, 7, i32::MAX), (sealed.bytes(), 8, 0)] {
        let batch = only(bytes);
        batch.verify_crc().expect("each has its own checksum");
        assert_eq!((batch.header().producer_id, batch.header().base_sequence), (id, sequence));
    }
    let records = [owned(1, None, Some(b"v"))];
    let mut twice = seal(build(&records), Compression::Lz4);
    twice.stamp(first);
    let once = build(&records).seal_stamped(Compression::Lz4, None, &mut Compressor::new(), first).expect("seals");
    assert_eq!(once.bytes(), twice.bytes());
}

#[test]
fn a_broker_places_a_batch_without_a_new_checksum() {
    let sealed = seal(build(&[owned(1, None, Some(b"v")), owned(2, None, None)]), Compression::Snappy);
    let placed = only(place(&sealed.bytes(), 1_000, 3));
    placed.verify_crc().expect("neither field is under it");
    assert_eq!((placed.header().base_offset, placed.header().partition_leader_epoch), (1_000, 3));
    assert_eq!(placed.next_offset(), 1_002);
    let open = placed.open(&mut Decompressor::new(), LIMIT).expect("opens");
    assert!(open.iter().map(|record| record.expect("a record").offset).eq([1_000, 1_001]));
    assert!(place(&Bytes::from_static(b"short"), 1, 1) == b"short"[..], "what is no batch stays as it is");
}

#[test]
fn the_greatest_time_is_stated_and_the_first_is_the_first() {
    let sealed =
        seal(build(&[owned(50, None, None), owned(90, None, None), owned(-10, None, None)]), Compression::None);
    let header = *only(sealed.bytes()).header();
    assert_eq!((header.first_timestamp, header.max_timestamp), (50, 90));
    assert_eq!((sealed.count(), header.count, header.last_offset_delta, header.base_offset), (3, 3, 2, 0));
    let past = only(seal(build(&[owned(-5, None, None)]), Compression::None).bytes());
    assert_eq!(past.header().max_timestamp, -5, "before 1970 too");
}

#[test]
fn under_log_append_time_the_brokers_time_is_every_records() {
    let mut bytes = seal(build(&[owned(1, None, None), owned(2, None, None)]), Compression::None).bytes().to_vec();
    bytes[22] |= 8;
    bytes[35..43].copy_from_slice(&77_i64.to_be_bytes());
    let open = only(bytes.into()).open(&mut Decompressor::new(), LIMIT).expect("opens");
    assert!(open.iter().map(|record| record.expect("a record").timestamp_ms).eq([77, 77]));
}

#[test]
fn a_compressed_batch_opens_to_its_limit_and_no_further() {
    let records = vec![owned(1, None, Some(&vec![0; 100_000])); 20];
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let sealed = seal(build(&records), codec);
        let payload = sealed.uncompressed_len() - HEADER_LEN;
        assert!(sealed.len() < payload / 10);
        let batch = only(place(&sealed.bytes(), 400, 0));
        assert!(batch.open(&mut Decompressor::new(), payload).is_ok(), "{codec}");
        let error = batch.open(&mut Decompressor::new(), payload - 1).expect_err("a byte too much");
        let limit = CompressionError::OverLimit { codec, limit: payload - 1 };
        assert_eq!((error.base_offset, error.at), (Some(400), 0));
        assert_eq!(error.kind, RecordsErrorKind::Compression(limit));
    }
}

#[test]
fn records_cut_at_any_byte_are_an_error_that_names_the_record() {
    let records = [owned(0, Some(b"a"), Some(b"one")), owned(2, None, Some(b"two"))];
    let mut with_header = owned(3, None, None);
    with_header.headers = vec![("h".to_owned(), Some(b"x".to_vec())), (String::new(), None)];
    let all = [&records[..], &[with_header]].concat();
    let good = plain(&all);
    let starts = [0, plain(&all[..1]).len(), plain(&all[..2]).len()];
    for cut in 0..good.len() {
        let error = trouble(&good[..cut], 3);
        let broken = starts.iter().rposition(|start| *start <= cut).expect("the first") as i32;
        let RecordsErrorKind::BadRecord { index, .. } = error.kind else { panic!("cut at {cut}: {error}") };
        assert_eq!(index, broken, "cut at {cut}: {error}");
    }
    assert_eq!(trouble(&[&good[..], &[0, 0]].concat(), 3).kind, RecordsErrorKind::Trailing(2));
    assert_eq!(trouble(&good, 2).kind, RecordsErrorKind::Trailing(good.len() - starts[2]));
    assert_eq!(read_back(around(&good, 3)), all);
}

#[test]
fn each_field_of_a_record_that_is_wrong_is_named() {
    let wrong = |bytes: &[u8]| trouble(bytes, 1).to_string();
    // Length, attributes, timestamp, offset, key length, value length, headers.
    let cases: [(&[u8], &str); 12] = [
        (&[0x01], "its length is negative"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "its length does not end"),
        (&[14, 0, 0, 0, 1, 1, 0], "longer than what is left"),
        (&[0], "before its attributes"),
        (&[2, 0], "its timestamp does not end"),
        (&[4, 0, 0], "its offset does not end"),
        (&[12, 0, 0, 0, 3, 1, 0], "its key"),
        (&[12, 0, 0, 0, 1, 40, 0], "its value"),
        (&[12, 0, 0, 0, 1, 1, 1], "its header count is negative"),
        (&[14, 0, 0, 0, 1, 1, 2, 1], "has no name"),
        (&[18, 0, 0, 0, 1, 1, 2, 2, 0xff, 1], "not UTF-8"),
        (&[14, 0, 0, 0, 1, 1, 0, 0], "more than what is in it"),
    ];
    for (bytes, what) in cases {
        let text = wrong(bytes);
        assert!(text.starts_with("batch at offset 0 (byte 0): record 0: ") && text.contains(what), "{what}: {text}");
    }
    assert!(wrong(&[22, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0]).contains("header"), "2^31-1 headers");
}

#[test]
fn a_varint_longer_than_it_may_be_is_an_error_in_every_field_though_it_says_nothing_new() {
    // Zeros that go on: the same value as one byte, in five or six, ten or eleven. Kafka's reader takes no more than five
    // and ten (`ByteUtils.readVarint`, `readVarlong`).
    let zeros = |len: usize| [vec![0x80; len - 1], vec![0]].concat();
    let record = |wide: usize, len: usize| {
        let fields = (1..=5).map(|field| match field {
            3 | 4 if field != wide => vec![1],
            _ if field == wide => zeros(len),
            _ => vec![0],
        });
        let body = [vec![0], fields.collect::<Vec<_>>().concat()].concat();
        let mut out = Vec::new();
        varint(&mut out, body.len() as i64);
        [out, body].concat()
    };
    for (field, most) in [(1, 10), (2, 5), (3, 5), (4, 5), (5, 5)] {
        assert_eq!(read_back(around(&record(field, most), 1)).len(), 1, "field {field} in {most} bytes");
        let error = trouble(&record(field, most + 1), 1);
        assert!(matches!(error.kind, RecordsErrorKind::BadRecord { index: 0, .. }), "field {field}: {error}");
    }
    assert_eq!((get_varint(&mut &zeros(5)[..]), get_varint(&mut &zeros(6)[..])), (Some(0), None));
    assert_eq!((get_varlong(&mut &zeros(10)[..]), get_varlong(&mut &zeros(11)[..])), (Some(0), None));
}

#[test]
fn an_error_says_how_far_into_the_data_its_batch_begins() {
    let first = seal(build(&[owned(1, None, None)]), Compression::None).bytes();
    let mut second = place(&first, 7, 0).to_vec();
    second[30] ^= 1;
    let data = Bytes::from([&first[..], &second[..]].concat());
    let batch = Batches::new(data).nth(1).expect("the second").expect("whole");
    let error = batch.verify_crc().expect_err("a bit has changed");
    let RecordsErrorKind::WrongCrc { stated, computed, .. } = error.kind else { panic!("{error}") };
    assert_ne!(stated, computed);
    assert_eq!((error.at, error.base_offset), (first.len(), Some(7)));
    assert!(error.to_string().contains(&format!("{stated:08x}")) && error.to_string().contains("offset 7 (byte 68)"));
}

#[test]
fn a_length_too_short_is_named_before_a_magic_that_lies_outside_it() {
    for length in 0..14_u8 {
        let mut bytes = seal(build(&[owned(1, None, None)]), Compression::None).bytes().to_vec();
        (bytes[11], bytes[16]) = (length, 9);
        let error = Batches::new(bytes.into()).next().expect("something").expect_err("no batch is so short");
        assert_eq!(error.kind, RecordsErrorKind::BadLength(i32::from(length)));
    }
}

#[test]
fn a_batch_that_compaction_emptied_still_moves_the_position() {
    let mut bytes = around(&[], 0).to_vec();
    bytes[23..27].copy_from_slice(&9_i32.to_be_bytes());
    let batch = only(place(&bytes.into(), 100, 0));
    assert_eq!(batch.next_offset(), 110);
    let open = batch.open(&mut Decompressor::new(), LIMIT).expect("opens");
    assert_eq!(open.iter().count(), 0);
}

#[test]
fn a_count_is_a_claim_and_no_size_hint() {
    let open = only(around(&[0; 4], i32::MAX)).open(&mut Decompressor::new(), LIMIT).expect("opens");
    assert_eq!(open.iter().size_hint().0, 0);
    assert_eq!(open.iter().count(), 1, "one error, and the end");
    let negative = only(around(&[], -1)).open(&mut Decompressor::new(), LIMIT).expect_err("no batch has -1 records");
    assert_eq!(negative.kind, RecordsErrorKind::BadCount(-1));
}

#[test]
fn headers_are_copied_as_they_stand_and_the_last_of_a_name_counts() {
    let mut record = owned(1, Some(b"k"), Some(b"v"));
    record.headers = [("op", Some("insert")), ("", None), ("op", Some("delete")), ("空", Some(""))]
        .map(|(key, value)| (key.to_owned(), value.map(|value| value.as_bytes().to_vec())))
        .to_vec();
    let open = only(seal(build(&[record.clone()]), Compression::Zstd).bytes())
        .open(&mut Decompressor::new(), LIMIT)
        .expect("opens");
    let read = open.iter().next().expect("one").expect("a record");
    assert_eq!((read.headers.len(), read.headers.is_empty()), (4, false));
    assert_eq!(read.headers.last("op"), Some(Some(&b"delete"[..])));
    assert_eq!((read.headers.last(""), read.headers.last("no")), (Some(None), None));
    let mut copy = BatchBuilder::with_capacity(100);
    let before = copy.len();
    copy.append_raw_headers(1, read.key, read.value, read.headers);
    // Length, attributes, two deltas, key, value, count.
    assert_eq!(copy.len() - before, 1 + 1 + 2 + 2 + 2 + 1 + read.headers.encoded_len());
    assert_eq!(read_back(seal(copy, Compression::None).bytes()), [record]);
}

fn record() -> impl Strategy<Value = Owned> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    let time = prop_oneof![4 => 0..20_000_i64, 1 => any::<i64>()];
    let headers = prop::collection::vec((any::<String>(), bytes()), 0..4);
    (time, bytes(), bytes(), headers).prop_map(|(timestamp_ms, key, value, headers)| Owned {
        timestamp_ms,
        key,
        value,
        headers,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_records_are_encoded_as_the_format_says(records in prop::collection::vec(record(), 1..40)) {
        let bytes = seal(build(&records), Compression::None).bytes();
        prop_assert_eq!(&bytes[HEADER_LEN..], plain(&records));
        prop_assert_eq!(read_back(bytes), records);
    }

    #[test]
    fn any_change_to_record_bytes_is_read_or_refused(
        records in prop::collection::vec(record(), 1..6),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = plain(&records);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let open = only(around(&bytes, records.len() as i32)).open(&mut Decompressor::new(), LIMIT).expect("opens");
        let mut good = 0;
        for record in &open {
            match record {
                Ok(record) => {
                    good += 1;
                    prop_assert_eq!(record.headers.iter().count(), record.headers.len());
                }
                Err(error) => prop_assert!(error.to_string().contains("batch at offset 0")),
            }
        }
        prop_assert!(good <= records.len());
    }

    #[test]
    fn any_bytes_are_batches_or_an_error_or_a_cut(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 0..300_i32) {
        let mut bytes = bytes;
        if let Some(place) = bytes.get_mut(8..12) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        let whole = bytes.len();
        let mut batches = Batches::new(bytes.into());
        let mut read = 0;
        for batch in batches.by_ref() {
            read += batch.map_or(0, |batch| batch.bytes().len());
        }
        prop_assert!(read <= whole);
        prop_assert!(batches.next().is_none());
    }
}
