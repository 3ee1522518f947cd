//! The doors of the fuzz targets on stable Rust: first what they are known to open for, then the same, damaged, with a fixed
//! seed. A fuzzer finds more, in more time: `fuzz/README.md`.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/entry.rs"]
mod entry;
mod support;

use corpus::corpus;
use entry::{DOORS, Door};

/// Xorshift: the same bytes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// What lengths and counts are when somebody means harm, or off by one.
const LENGTHS: [i32; 8] = [-1, -2, 0, 1, 0x7f, 0x7fff, i32::MAX, i32::MIN];

/// Damages an input in one of the ways that a fuzzer knows.
fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    let at = random.below(bytes.len());
    match random.below(7) {
        0 => bytes.truncate(at),
        1 => {
            bytes.splice(at..at, other.iter().copied().take(random.below(32)));
        }
        2 => {
            bytes.drain(at..bytes.len().min(at + random.below(16)));
        }
        3 => bytes.splice(at.., other.iter().copied().skip(at)).for_each(drop),
        4 => {
            let length = LENGTHS[random.below(LENGTHS.len())].to_be_bytes();
            bytes.iter_mut().skip(at).zip(length).for_each(|(byte, new)| *byte = new);
        }
        5 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = 0xff),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
    }
    bytes
}

/// Runs a door over inputs; a panic says which one, in hex, so that it can be run again.
fn enter((name, door): Door, input: &[u8]) {
    let run = std::panic::catch_unwind(|| door(input));
    assert!(run.is_ok(), "{name}: this input broke a promise: {}", support::hex(input));
}

fn door(name: &str) -> Door {
    *DOORS.iter().find(|(door, _)| *door == name).expect("a door")
}

/// Damages each input of a corpus so many times, once or several times over.
fn batter(name: &str, times: usize) {
    let mut random = Random(0x6f74_746c_6100_0004);
    let inputs = corpus(name);
    assert!(!inputs.is_empty());
    for input in &inputs {
        let mut bytes = input.clone();
        for _ in 0..times {
            // Mostly from the whole input anew: damage upon damage is soon noise that every door refuses at once.
            if random.below(4) > 0 {
                bytes.clone_from(input);
            }
            let other = random.below(inputs.len());
            bytes = mutate(&mut random, &bytes, &inputs[other]);
            enter(door(name), &bytes);
        }
    }
    println!("{name}: {} inputs, {} damaged", inputs.len(), inputs.len() * times);
}

#[test]
fn every_door_opens_for_kafkas_own_bytes() {
    for door in DOORS {
        let inputs = corpus(door.0);
        assert!(inputs.len() > 4, "{}", door.0);
        for input in inputs {
            enter(door, &input);
        }
    }
}

#[test]
fn a_door_stays_whole_for_no_byte_and_for_few() {
    for door in DOORS {
        enter(door, &[]);
        for first in 0..=255 {
            for rest in [&[][..], &[0], &[0xff; 3], &[0x7f; 20]] {
                enter(door, &[&[first], rest].concat());
            }
        }
    }
}

#[test]
fn damaged_messages_break_no_promise() {
    batter("messages", 200);
}

#[test]
fn damaged_requests_break_no_promise() {
    batter("requests", 100);
}

#[test]
fn damaged_records_break_no_promise() {
    batter("records", 400);
}

#[test]
fn damaged_compressed_bytes_break_no_promise() {
    batter("codecs", 400);
}

#[test]
fn damaged_group_payloads_break_no_promise() {
    batter("group", 10_000);
}
