//! Bytes from a peer that is broken or bad, of each API, version and direction: no panic, every error with its address, and
//! never more memory than a small multiple of what came.

mod support;

use bytes::Bytes;
use ottla_protocol::messages::{AnyMessage, Body};
use support::bodies;
use support::random::{Bytes as Written, Length, Wanted, body};
use support::schema::{Field, schemas};

/// How many bytes of memory a byte of the frame may take. The worst honest case is an array of structs that are nearly
/// nothing on the wire: `JoinGroupResponseMember` of version 0 is 6 bytes there and 80 here. A growing `Vec` has the old
/// and the new memory at once, three times what is in it.
const MULTIPLE: usize = 48;

/// What an error takes, whatever came: its box, and its way through the message.
const FIXED: usize = 512;

/// Reads a body, and holds the reader to its memory.
fn read(message: &Body, version: i16, body: &[u8], worst: &mut f64) -> Result<AnyMessage, String> {
    let (bytes, mut result) = (Bytes::copy_from_slice(body), None);
    let taken = allocation_counter::measure(|| result = Some(message.read(version, bytes.clone()))).bytes_max as usize;
    let place = format!("{} v{version}", message.name);
    assert!(taken <= MULTIPLE * body.len() + FIXED, "{place}: {taken} bytes of memory for {}: {body:02x?}", body.len());
    *worst = worst.max(taken.saturating_sub(FIXED) as f64 / body.len().max(1) as f64);
    let read = result.expect("measured").map_err(|e| e.to_string());
    if let Err(error) = &read {
        assert!(error.starts_with(&format!("{place}: ")), "{error}");
    }
    read
}

/// Bodies by chance of each API, version and direction, with the places of their lengths.
fn written(each: usize, mut visit: impl FnMut(&'static Body, i16, &Written)) {
    let (schemas, mut rng) = (schemas(), fastrand::Rng::with_seed(0x6f74_746c_6100_0006));
    for message in Body::ALL {
        let fields: &[Field] = &schemas[&(message.key.0, message.direction)];
        for version in message.versions.clone() {
            for _ in 0..each {
                let value = body(&mut rng, fields, &Wanted::any(version));
                visit(message, version, &Written::of(fields, &value, version));
            }
        }
    }
}

/// The body with another number in the place of a length.
fn claim(body: &[u8], length: &Length, claimed: i64) -> Vec<u8> {
    let mut bad = body.to_vec();
    bad[length.at..length.at + length.width].copy_from_slice(&claimed.to_be_bytes()[8 - length.width..]);
    bad
}

#[test]
fn a_length_that_is_negative_or_beyond_the_end_is_an_error_with_the_address_of_its_field() {
    let (mut lies, mut worst) = (0, 0.0);
    written(10, |message, version, written| {
        for length in &written.lengths {
            let left = written.bytes.len() - length.at - length.width;
            let (min, max) = if length.width == 2 { (-0x8000, 0x7fff) } else { (-0x8000_0000, 0x7fff_ffff) };
            let null = if length.nullable { -2 } else { -1 };
            for claimed in [null, -2, min, max, max / 2, left as i64 + 1] {
                if claimed > max || (0..=left as i64).contains(&claimed) {
                    continue;
                }
                let error = read(message, version, &claim(&written.bytes, length, claimed), &mut worst)
                    .expect_err("a lie is no length");
                let address = format!("{} v{version}: {}: ", message.name, length.path);
                assert!(error.starts_with(&address), "{claimed} in {address}{error}");
                lies += 1;
            }
        }
    });
    println!("{lies} lies, at worst {worst:.1} bytes of memory a byte");
    assert!(lies > 80_000, "{lies}");
}

#[test]
fn a_count_that_the_rest_could_just_hold_takes_a_small_multiple_of_it() {
    let (mut counts, mut worst) = (0, 0.0);
    written(10, |message, version, written| {
        for length in &written.lengths {
            // Zeros are empty texts and arrays: the most elements that so many bytes can be.
            for (size, claimed) in [(4096, 4096), (4096, 1024), (4096, 500), (64, 64), (5, 5)] {
                let mut bad = claim(&written.bytes, length, claimed);
                bad.truncate(length.at + length.width);
                bad.resize(bad.len() + size, 0);
                let _ = read(message, version, &bad, &mut worst);
                counts += 1;
            }
        }
    });
    println!("{counts} counts, at worst {worst:.1} bytes of memory a byte");
    assert!(counts > 70_000, "{counts}");
}

#[test]
fn a_body_cut_at_any_byte_is_an_error_and_takes_no_more_memory_than_a_whole_one() {
    let (mut cuts, mut worst) = (0, 0.0);
    written(4, |message, version, written| {
        for end in 0..written.bytes.len().min(2_000) {
            read(message, version, &written.bytes[..end], &mut worst).expect_err("a cut body is not a body");
            cuts += 1;
        }
    });
    println!("{cuts} cuts, at worst {worst:.1} bytes of memory a byte");
    assert!(cuts > 90_000, "{cuts}");
}

#[test]
fn any_bit_flipped_and_any_four_bytes_made_a_length_never_panic_and_take_no_more_memory() {
    let (mut bad_bodies, mut worst) = (0, 0.0);
    for (message, version, body) in bodies() {
        for at in 0..body.len() {
            for bit in 0..8 {
                let mut bad = body.clone();
                bad[at] ^= 1 << bit;
                let _ = read(message, version, &bad, &mut worst);
                bad_bodies += 1;
            }
            for claimed in [i32::MAX, 1 << 24, -1, -2, i32::MIN] {
                let mut bad = body.clone();
                let end = body.len().min(at + 4);
                bad[at..end].copy_from_slice(&claimed.to_be_bytes()[..end - at]);
                let _ = read(message, version, &bad, &mut worst);
                bad_bodies += 1;
            }
        }
    }
    println!("{bad_bodies} bad bodies, at worst {worst:.1} bytes of memory a byte");
    assert!(bad_bodies > 500_000, "{bad_bodies}");
}
