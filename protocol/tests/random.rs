//! The third rung: bodies by chance, written by a writer that knows only Kafka's schema data. Whatever it writes is read
//! with the same values by name, and comes back byte-equal; and no value gets lost in a version that cannot carry it.

mod support;

use ottla_protocol::messages::Body;
use support::random::{Bytes, Wanted, body};
use support::read;
use support::schema::{Field, schemas};

/// Of each (API, version, direction).
const BODIES: usize = 1_000;

#[test]
fn a_thousand_bodies_by_chance_of_each_version_come_back_with_their_values_and_byte_equal() {
    let (schemas, mut rng, mut bodies) = (schemas(), fastrand::Rng::with_seed(0x6f74_746c_6100_0004), 0);
    for message in Body::ALL {
        let fields = &schemas[&(message.key.0, message.direction)];
        for version in message.versions.clone() {
            for _ in 0..BODIES {
                let value = body(&mut rng, fields, &Wanted::any(version));
                let written = Bytes::of(fields, &value, version).bytes;
                let (ours, again) = read(message, version, &written)
                    .unwrap_or_else(|e| panic!("{} v{version}: {e}: {value}", message.name));
                assert_eq!(ours, value, "{} v{version}", message.name);
                assert_eq!(again, written, "{} v{version}: {value}", message.name);
                bodies += 1;
            }
        }
    }
    println!("{bodies} bodies");
    assert_eq!(bodies, 304_000, "a message or a version has gone missing");
}

/// The way to each field that `version` lacks, though it has all that the field stands in; and whether it is ignorable.
fn lacking(fields: &[Field], version: i16, way: &[&'static str], out: &mut Vec<(Vec<&'static str>, i16, bool)>) {
    for field in fields {
        let way = [way, &[field.name]].concat();
        if field.versions.contains(&version) {
            lacking(&field.fields, version, &way, out);
        } else {
            out.push((way, *field.versions.end(), field.ignorable));
        }
    }
}

#[test]
fn a_value_in_a_version_without_its_field_is_an_error_with_its_address_or_dropped_where_ignorable() {
    let (schemas, mut rng) = (schemas(), fastrand::Rng::with_seed(0x6f74_746c_6100_0005));
    let (mut refused, mut dropped) = (0, 0);
    for message in Body::ALL {
        let fields = &schemas[&(message.key.0, message.direction)];
        for version in message.versions.clone() {
            let mut lacks = Vec::new();
            lacking(fields, version, &[], &mut lacks);
            for (way, last, ignorable) in lacks {
                let from = last.min(*message.versions.end());
                let value = body(&mut rng, fields, &Wanted { version: from, also: version, odd: &way });
                let place = format!("{} v{from} in v{version}: {}: {value}", message.name, way.join("."));
                let bytes = Bytes::of(fields, &value, from).bytes;
                let written = message.read(from, bytes.into()).expect(&place).write(version);
                if ignorable {
                    let without = Bytes::of(fields, &value, version).bytes;
                    assert_eq!(written.expect(&place).concat(), without, "{place}");
                    dropped += 1;
                } else {
                    let error = written.expect_err(&place).to_string();
                    let address =
                        format!("{} v{version}: {}: has a value, but is there only", message.name, way.join("[0]."));
                    assert!(error.starts_with(&address), "{place}: {error}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} refused, {dropped} dropped");
    assert_eq!((refused, dropped), (165, 159), "a field or a version has gone missing");
}

#[test]
fn a_body_of_one_version_written_in_another_has_the_defaults_of_what_was_not_said() {
    let (schemas, mut rng, mut bodies) = (schemas(), fastrand::Rng::with_seed(0x6f74_746c_6100_0007), 0);
    for message in Body::ALL {
        let fields = &schemas[&(message.key.0, message.direction)];
        for (from, to) in message.versions.clone().flat_map(|from| message.versions.clone().map(move |to| (from, to))) {
            for _ in 0..20 {
                let value = body(&mut rng, fields, &Wanted { version: from, also: to, odd: &[] });
                let place = format!("{} v{from} as v{to}: {value}", message.name);
                let read = message.read(from, Bytes::of(fields, &value, from).bytes.into()).expect(&place);
                let written = read.write(to).expect(&place).concat();
                assert_eq!(written, Bytes::of(fields, &value, to).bytes, "{place}");
                bodies += 1;
            }
        }
    }
    println!("{bodies} bodies in another version");
    assert!(bodies > 25_000, "{bodies}");
}
