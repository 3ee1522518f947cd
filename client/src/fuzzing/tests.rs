//! The doors of the fuzz targets on stable Rust: first what they are known to open for, then the same, damaged, with a fixed
//! seed. A fuzzer finds more, in more time: `fuzz/README.md`.

use std::time::{Duration, Instant};

use fastrand::Rng;

use super::*;

/// What lengths and counts are when somebody means harm, or off by one: of files and DNS, and of DER.
const LENGTHS: [&[u8]; 10] = [
    &[0xFF; 4],
    &[0xFF; 2],
    &[0x7F, 0xFF, 0xFF, 0xFF],
    &[0x80, 0, 0, 0],
    &[0; 4],
    &[0, 0, 0, 1],
    &[0x84, 0xFF, 0xFF, 0xFF, 0xFF],
    &[0x82, 0xFF, 0xFF],
    &[0x80],
    &[0x7F],
];

/// Damages an input in one of the ways that a fuzzer knows.
fn mutate(chance: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    if bytes.is_empty() {
        return bytes.extend(other);
    }
    let at = chance.usize(..bytes.len());
    match chance.u8(..7) {
        0 => bytes.truncate(at),
        1 => drop(bytes.splice(at..at, other.iter().copied().skip(at).take(chance.usize(..32)))),
        2 => drop(bytes.drain(at..bytes.len().min(at + chance.usize(..16)))),
        3 => drop(bytes.splice(at.., other.iter().copied().skip(at))),
        4 => {
            let length = LENGTHS[chance.usize(..LENGTHS.len())];
            let replaced = if chance.bool() { length.len() } else { 1 };
            bytes.splice(at..bytes.len().min(at + replaced), length.iter().copied());
        }
        5 => bytes[at] = chance.u8(..),
        _ => bytes[at] ^= 1 << chance.u8(..8),
    }
}

/// Runs a door over bytes; a panic says which ones, in hex, so that they can be run again. Whether they were taken comes back.
fn enter((name, door): Door, input: &[u8]) -> bool {
    let hex = || input.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    std::panic::catch_unwind(|| door(input)).unwrap_or_else(|_| panic!("{name}: a promise is broken by {}", hex()))
}

/// Damages what a door opens for: cut at every byte, then at random, once or several times over, until so many inputs have
/// passed. The time is a bound for slow machines only; some are damaged even then.
fn batter(name: &str, times: usize) {
    let started = Instant::now();
    let door = *DOORS.iter().find(|(known, _)| *known == name).expect("a door");
    let inputs = corpus(name);
    let mut chance = Rng::with_seed(0x6f74_746c_6100_0005);
    let (mut count, mut taken) = (0, 0);
    for input in &inputs {
        for cut in 0..input.len() {
            taken += usize::from(enter(door, &input[..cut]));
            count += 1;
        }
    }
    for _ in 0..times {
        if started.elapsed() > Duration::from_secs(15) {
            break;
        }
        let mut bytes = inputs[chance.usize(..inputs.len())].clone();
        // Mostly once: damage upon damage is soon noise that every door refuses at once.
        for _ in 0..=chance.usize(..8).saturating_sub(5) {
            let other = chance.usize(..inputs.len());
            mutate(&mut chance, &mut bytes, &inputs[other]);
        }
        taken += usize::from(enter(door, &bytes));
        count += 1;
    }
    println!("{name}: {} inputs, {count} damaged, {taken} of them taken", inputs.len());
}

#[test]
fn every_door_opens_for_what_is_honest() {
    for door in DOORS {
        let inputs = corpus(door.0);
        assert!(!inputs.is_empty(), "{}", door.0);
        for (number, input) in inputs.iter().enumerate() {
            assert!(enter(door, input), "{}: input {number} is not taken", door.0);
        }
    }
}

#[test]
fn every_message_and_every_way_of_a_token_has_an_honest_input() {
    let firsts = |door| corpus(door).iter().map(|input| input[0]).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(firsts("kerberos_messages").len(), super::kerberos::MESSAGES.len());
    // Under RC4 nothing is sealed in a message.
    let sealed_by_rc4 = 4 * 5 + super::exchange::IN_MESSAGE;
    assert_eq!(firsts("gss_tokens"), (0..25).filter(|first| *first != sealed_by_rc4).collect());
}

#[test]
fn a_door_stays_whole_for_no_byte_and_for_few() {
    for door in DOORS {
        enter(door, &[]);
        for first in 0..=255 {
            for rest in [&[][..], &[0], &[0xFF; 3], &[0x7F; 20]] {
                enter(door, &[&[first], rest].concat());
            }
        }
    }
}

/// A test for each door, so that one that breaks hides no other.
macro_rules! batter {
    ($($test:ident: $door:literal, $times:literal;)*) => {
        $(#[test]
        fn $test() {
            batter($door, $times);
        })*

        #[test]
        fn no_door_is_left_out() {
            let battered = [$($door),*];
            assert!(DOORS.iter().all(|(name, _)| battered.contains(name)), "{battered:?}");
        }
    };
}

batter! {
    damaged_credential_caches_break_no_promise: "ccache", 20_000;
    damaged_der_breaks_no_promise: "der", 20_000;
    damaged_dns_answers_break_no_promise: "dns_answer", 40_000;
    damaged_dns_answers_about_hosts_break_no_promise: "dns_host", 40_000;
    damaged_gss_tokens_break_no_promise: "gss_tokens", 2_000;
    damaged_hosts_files_break_no_promise: "hosts", 20_000;
    damaged_answers_of_kdcs_break_no_promise: "kdc_answers", 1_000;
    damaged_kerberos_messages_break_no_promise: "kerberos_messages", 20_000;
    damaged_keytabs_break_no_promise: "keytab", 20_000;
    damaged_settings_break_no_promise: "krb5_conf", 5_000;
    damaged_challenges_break_no_promise: "oauth_challenge", 10_000;
    damaged_pem_breaks_no_promise: "pem", 1_000;
    damaged_principals_break_no_promise: "principal", 20_000;
    damaged_resolver_settings_break_no_promise: "resolv_conf", 20_000;
    damaged_scram_messages_break_no_promise: "scram_server", 500;
}
