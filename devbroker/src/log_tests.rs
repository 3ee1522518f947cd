use super::*;
use crate::sequence::Stamp;

/// A batch of `count` records that takes `len` bytes; the log never looks inside.
fn batch(count: i32, len: usize) -> Checked {
    Checked { bytes: Bytes::from(vec![0xab; len]), last_offset_delta: count - 1, max_timestamp: 0, stamp: None }
}

fn at_time(count: i32, max_timestamp: i64) -> Checked {
    Checked { max_timestamp, ..batch(count, 100) }
}

/// The base offsets of the batches in `records`, each `len` bytes long.
fn bases(records: &Bytes, len: usize) -> Vec<i64> {
    assert_eq!(records.len() % len, 0, "whole batches only");
    records.chunks(len).map(|batch| i64::from_be_bytes(batch[..8].try_into().unwrap())).collect()
}

fn log_of(batches: usize, len: usize) -> Log {
    let mut log = Log::new();
    for _ in 0..batches {
        log.append(&batch(10, len), 3).unwrap();
    }
    log
}

#[test]
fn offsets_follow_each_other_without_a_gap() {
    let mut log = Log::new();
    assert_eq!(log.append(&batch(3, 100), 0).unwrap().base_offset, 0);
    assert_eq!(log.append(&batch(1, 100), 0).unwrap().base_offset, 3);
    assert_eq!(log.append(&batch(5, 100), 0).unwrap().base_offset, 4);
    assert_eq!(log.end(), 9);
}

#[test]
fn only_base_offset_and_leader_epoch_are_touched() {
    let mut log = log_of(2, 100);
    let records = log.read(10, 1000, true).unwrap();
    let mut expected = vec![0xab; 100];
    expected[..8].copy_from_slice(&10_i64.to_be_bytes());
    expected[12..16].copy_from_slice(&3_i32.to_be_bytes());
    assert_eq!(records, expected);
}

#[test]
fn a_read_begins_with_the_batch_that_holds_the_offset() {
    let mut log = log_of(5, 100);
    assert_eq!(bases(&log.read(25, 1000, true).unwrap(), 100), [20, 30, 40]);
    assert_eq!(bases(&log.read(30, 1000, true).unwrap(), 100), [30, 40]);
}

#[test]
fn a_read_outside_the_log_is_out_of_range_and_one_at_its_end_is_empty() {
    let mut log = log_of(2, 100);
    assert_eq!(log.read(20, 1000, true).unwrap(), Bytes::new());
    assert_eq!(log.read(21, 1000, true), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(log.read(-1, 1000, true), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
    log.delete_before(10);
    assert_eq!(log.read(9, 1000, true), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
}

#[test]
fn a_limit_cuts_between_batches() {
    let mut log = log_of(5, 100);
    for (limit, expected) in [(0, 0), (99, 0), (100, 1), (199, 1), (200, 2), (399, 3), (500, 5), (9999, 5)] {
        assert_eq!(log.read(0, limit, false).unwrap().len(), expected * 100, "limit {limit}");
    }
}

#[test]
fn one_batch_comes_whole_however_small_the_limit() {
    let mut log = log_of(3, 100);
    assert_eq!(bases(&log.read(10, 1, true).unwrap(), 100), [10]);
}

#[test]
fn everything_can_be_read_whatever_pieces_it_lies_in() {
    for (batches, len) in [(1, 61), (300, 70), (300, 5_000), (40, 300_000), (3, 3_000_000)] {
        let mut log = log_of(batches, len);
        let mut seen = Vec::new();
        while (seen.len() as i64 * 10) < log.end() {
            let records = log.read(seen.len() as i64 * 10, 200_000, true).unwrap();
            assert!(!records.is_empty());
            seen.extend(bases(&records, len));
        }
        let expected: Vec<i64> = (0..batches as i64).map(|i| i * 10).collect();
        assert_eq!(seen, expected, "{batches} batches of {len}");
    }
}

#[test]
fn pieces_are_joined_without_a_gap_whatever_the_limit() {
    let size = |i: usize| 61 + (i * i * 7_919 + i * 104_729) % 30_000;
    let mut log = Log::new();
    for i in 0..200 {
        // Sizes that end pieces everywhere, and reads in between that seal them early.
        log.append(&batch(1, size(i)), 0).unwrap();
        log.read(log.end() - 1, 1, true).unwrap();
    }
    for limit in (1_000..80_000).step_by(3_333).chain([300_000]) {
        for from in 0..200 {
            let records = log.read(from, limit, true).unwrap();
            let (mut at, mut expected) = (0, from);
            while at < records.len() {
                assert_eq!(records[at..at + 8], expected.to_be_bytes(), "limit {limit}, from {from}");
                at += size(expected as usize);
                expected += 1;
            }
            assert_eq!(at, records.len(), "whole batches only");
            assert!(records.len() <= limit || expected == from + 1);
        }
    }
}

#[test]
fn a_reader_at_the_tail_sees_each_append_and_old_reads_keep_their_bytes() {
    let mut log = Log::new();
    let mut held = Vec::new();
    for i in 0..200 {
        log.append(&batch(1, 3_000), 0).unwrap();
        let records = log.read(i, 1 << 20, true).unwrap();
        assert_eq!(bases(&records, 3_000), [i]);
        held.push(records);
    }
    for (i, records) in held.iter().enumerate() {
        assert_eq!(bases(records, 3_000), [i as i64]);
    }
    assert_eq!(bases(&log.read(0, 1 << 20, true).unwrap(), 3_000).len(), 200, "small pieces are joined");
}

#[test]
fn a_repeated_batch_is_not_stored_twice() {
    let mut log = Log::new();
    let stamped = |first: i32| Checked {
        stamp: Some(Stamp { producer_id: 1, epoch: 0, first, last: first + 9 }),
        ..batch(10, 100)
    };
    let first = log.append(&stamped(0), 0).unwrap();
    log.append(&stamped(10), 0).unwrap();
    let again = log.append(&stamped(0), 0).unwrap();
    assert_eq!((again.base_offset, again.repeat), (first.base_offset, true));
    assert_eq!(log.end(), 20);
    assert_eq!(log.append(&stamped(30), 0), Err(ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER));
    assert_eq!(log.end(), 20);
}

#[test]
fn deleted_records_are_gone_but_their_batch_may_begin_before_the_start() {
    let mut log = log_of(5, 100);
    assert_eq!(log.delete_before(25), 25);
    assert_eq!(bases(&log.read(25, 1000, true).unwrap(), 100), [20, 30, 40]);
    assert_eq!(log.batches().len(), 3);
    assert_eq!(log.delete_before(10), 25, "the start never moves back");
    assert_eq!(log.delete_before(99), 50, "nor past the end");
    assert_eq!(log.append(&batch(1, 100), 0).unwrap().base_offset, 50);
    assert_eq!(bases(&log.read(50, 1000, true).unwrap(), 100), [50]);
}

#[test]
fn a_truncated_log_goes_on_from_its_new_end() {
    let mut log = log_of(500, 5_000);
    assert_eq!(log.truncate_to(1_234), 1_230, "a batch that holds the offset goes as a whole");
    assert_eq!(log.append(&batch(1, 5_000), 0).unwrap().base_offset, 1_230);
    assert_eq!(bases(&log.read(1_220, 1 << 20, true).unwrap(), 5_000), [1_220, 1_230]);
    assert_eq!(log.truncate_to(0), 0);
    assert_eq!(log.append(&batch(1, 100), 0).unwrap().base_offset, 0);
}

#[test]
fn a_time_finds_the_first_batch_that_reaches_it() {
    let mut log = Log::new();
    for time in [100, 300, 200, 400] {
        log.append(&at_time(10, time), 0).unwrap();
    }
    let base_for = |log: &Log, time| log.batch_for_time(time).map(|stored| stored.base_offset);
    assert_eq!(base_for(&log, 0), Some(0));
    assert_eq!(base_for(&log, 101), Some(10));
    assert_eq!(base_for(&log, 301), Some(30));
    assert_eq!(base_for(&log, 401), None);
    log.delete_before(10);
    assert_eq!(base_for(&log, 0), Some(10));
}
