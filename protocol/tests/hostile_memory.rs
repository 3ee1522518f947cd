//! Bytes from a peer that is broken or bad, of each API, version and direction: no panic, every error with its address, and
//! never more memory than a small multiple of what came.

mod support;

use bytes::Bytes;
use ottla_protocol::messages::{
    AnyMessage, Body, Message, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use ottla_protocol::wire::{MEMORY_ON_TOP, MEMORY_PER_BYTE};
use support::bodies;
use support::random::{Bytes as Written, Length, Wanted, body};
use support::schema::{Field, schemas};

/// How many bytes of memory a byte of a small body may take: no element is larger in memory or shorter on the wire.
const SMALL_MULTIPLE: usize = 160;

/// What an error takes, whatever came: its box, and its way through the message.
const FIXED: usize = 512;

/// Reads a body, and holds the reader to its memory.
fn read(message: &Body, version: i16, body: &[u8], worst: &mut f64) -> Result<AnyMessage, String> {
    let (bytes, mut result) = (Bytes::copy_from_slice(body), None);
    let taken = allocation_counter::measure(|| result = Some(message.read(version, bytes.clone()))).bytes_max as usize;
    let place = format!("{} v{version}", message.name);
    let bound = (SMALL_MULTIPLE * body.len()).min(MEMORY_PER_BYTE * body.len() + MEMORY_ON_TOP) + FIXED;
    let start = &body[..body.len().min(100)];
    assert!(taken <= bound, "{place}: {taken} bytes of memory for {}: {start:02x?}", body.len());
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
fn a_large_body_of_the_smallest_elements_takes_at_most_four_times_its_size() {
    // Zeros are the smallest elements of every array; ones in their place are elements with an array of one in each.
    const SIZE: usize = 512 * 1024;
    let (mut bodies, mut worst) = (0, 0.0);
    written(1, |message, version, written| {
        for length in written.lengths.iter().filter(|length| length.width == 4) {
            for share in [1, 2, 6, 9, 13, 17, 26] {
                let mut bad = claim(&written.bytes, length, (SIZE / share) as i64);
                bad.truncate(length.at + length.width);
                bad.resize(bad.len() + SIZE, 0);
                let _ = read(message, version, &bad, &mut worst);
                bodies += 1;
            }
        }
    });
    println!(
        "{bodies} bodies, at worst {worst:.1} bytes of memory a byte, of which {} are on top",
        MEMORY_ON_TOP / SIZE
    );
    assert!(bodies > 3_000, "{bodies}");
}

/// Metadata of version 8 of a cluster with so many topics, partitions each and replicas each.
fn cluster(topics: usize, name: impl Fn(usize) -> String, partitions: i32, replicas: i32) -> Bytes {
    let brokers = (0..replicas.max(1)).map(|node_id| MetadataResponseBroker {
        node_id,
        host: "kafka".to_owned(),
        port: 9092,
        rack: None,
    });
    let partition = |partition_index| MetadataResponsePartition {
        partition_index,
        replica_nodes: (0..replicas).collect(),
        isr_nodes: (0..replicas).collect(),
        ..MetadataResponsePartition::default()
    };
    let topics = (0..topics).map(|index| MetadataResponseTopic {
        name: name(index),
        partitions: (0..partitions).map(partition).collect(),
        ..MetadataResponseTopic::default()
    });
    let message =
        MetadataResponse { brokers: brokers.collect(), topics: topics.collect(), ..MetadataResponse::default() };
    message.write(8).expect("metadata").concat().into()
}

#[test]
fn the_metadata_of_large_clusters_is_read_within_the_bound() {
    for (name, body) in [
        ("12,000 topics", cluster(12_000, |index| format!("shop.orders.{index}"), 1, 3)),
        ("10,000 partitions of one topic", cluster(1, |_| "orders".to_owned(), 10_000, 1)),
        ("200,000 topics of short names", cluster(200_000, |index| format!("{index:x}"), 1, 1)),
        ("200,000 partitions without replicas", cluster(20, |index| index.to_string(), 10_000, 0)),
    ] {
        let mut result = None;
        let taken = allocation_counter::measure(|| result = Some(MetadataResponse::read(8, body.clone()))).bytes_max;
        let topics = result.expect("measured").unwrap_or_else(|error| panic!("{name}: {error}")).topics.len();
        let ratio = taken as f64 / body.len() as f64;
        println!("{name}: {topics} topics, {} bytes, {ratio:.2} bytes of memory a byte", body.len());
        assert!(ratio <= MEMORY_PER_BYTE as f64, "{name}: {ratio}");
    }
}

#[test]
fn millions_of_topics_without_names_are_refused_before_they_take_memory() {
    let body = cluster(1_000_000, |_| String::new(), 0, 1);
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(MetadataResponse::read(8, body.clone()))).bytes_max;
    let error = result.expect("measured").expect_err("too dense").to_string();
    assert!(error.contains("MetadataResponse v8: topics") && error.contains("1000000 elements"), "{error}");
    assert!(taken < 10_000, "{taken} bytes");
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
