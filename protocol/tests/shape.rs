//! The first rung: every field of every message against Kafka's schema data: name, order, type, versions, nullability,
//! default, ignorable. It alone sees two neighbouring fields of one type exchanged: bytes are blind to that.

mod support;

use std::collections::BTreeSet;

use ottla_protocol::messages::Body;
use ottla_protocol::wire::{FieldShape, Gate, Shape};
use support::golden;

/// A row of `fields-2.3.1.tsv` in our words.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    path: String,
    wire: String,
    versions: Vec<i16>,
    nullable: Vec<i16>,
    default: String,
    ignorable: bool,
}

/// Where the declaration says something else than the data, and why. At 2.3.1 these APIs were still encoded by hand-written
/// classes; their JSON stood beside, unused, and leaves out what those classes send.
const DEVIATIONS: &[(&str, &str)] = &[
    // `ListOffsetRequest.Builder` sends an absent epoch as -1, and drops it below version 4.
    ("ListOffsetRequest.topics.partitions.current_leader_epoch", "-1 ignorable"),
    // `ListOffsetRequest` asks version 0 for one offset a partition.
    ("ListOffsetRequest.topics.partitions.max_num_offsets", "1 ignorable"),
    // `ListOffsetResponse.UNKNOWN_EPOCH`.
    ("ListOffsetResponse.topics.partitions.leader_epoch", "-1 ignorable"),
    // `RecordBatch.NO_PARTITION_LEADER_EPOCH` in `OffsetFetchResponse`.
    ("OffsetFetchResponse.topics.partitions.committed_leader_epoch", "-1 ignorable"),
    // `FetchResponse.INVALID_PREFERRED_REPLICA_ID`.
    ("FetchResponse.topics.partitions.preferred_read_replica", "-1 ignorable"),
    // Before version 2 the group's error stands in each partition: `OffsetFetchResponse` leaves it out above.
    ("OffsetFetchResponse.error_code", " ignorable"),
];

fn snake(camel: &str) -> String {
    let mut name = String::new();
    for c in camel.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    name
}

fn versions(text: &str, of: &BTreeSet<i16>) -> Vec<i16> {
    let (min, max) = match text.split_once(['+', '-']) {
        _ if text.is_empty() => return Vec::new(),
        Some((min, "")) => (min.parse().expect(text), i16::MAX),
        Some((min, max)) => (min.parse().expect(text), max.parse().expect(text)),
        None => (text.parse().expect(text), text.parse().expect(text)),
    };
    of.iter().copied().filter(|v| (min..=max).contains(v)).collect()
}

/// The default as Rust's type would have it, so that "0", "" and "false" are no default.
fn default(text: &str) -> String {
    let text = text.trim_matches('"');
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(&hex.replace('_', ""), 16).expect(text).to_string();
    }
    match text {
        "i32::MIN" => i32::MIN.to_string(),
        "null" | "false" | "0" => String::new(),
        other => other.to_owned(),
    }
}

fn kafkas_fields(body: &Body, of: &BTreeSet<i16>) -> Vec<Field> {
    let (key, direction) = (body.key.0.to_string(), body.direction.to_string());
    let rows = golden("fields-2.3.1.tsv");
    let rows = rows.iter().filter(|row| row[0] == key && row[1] == direction);
    rows.map(|row| {
        let wire = match row[3].strip_prefix("[]") {
            Some(element @ ("int32" | "int64" | "string")) => format!("[]{element}"),
            Some(name) => format!("[]{name}"),
            None => row[3].clone(),
        };
        let present = versions(&row[4], of);
        let nullable = versions(&row[5], of).into_iter().filter(|v| present.contains(v)).collect();
        let path = row[2].split('.').map(snake).collect::<Vec<_>>().join(".");
        Field { path, wire, versions: present, nullable, default: default(&row[6]), ignorable: row[7] == "true" }
    })
    .collect()
}

fn wire(shape: Shape) -> String {
    match shape {
        Shape::Bool => "bool".into(),
        Shape::Int8 => "int8".into(),
        Shape::Int16 => "int16".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::String => "string".into(),
        Shape::Bytes | Shape::Secret => "bytes".into(),
        Shape::Array(element) => format!("[]{}", wire(*element)),
        Shape::Nullable(inner) => wire(*inner),
        Shape::Struct(shape) => shape.name.into(),
    }
}

fn fields_of(shape: Shape) -> &'static [FieldShape] {
    match shape {
        Shape::Struct(shape) => shape.fields,
        Shape::Array(inner) | Shape::Nullable(inner) => fields_of(*inner),
        _ => &[],
    }
}

/// Fields that a one-field struct of the data wraps are a plain array here.
fn our_fields(prefix: &str, shape: Shape, within: &BTreeSet<i16>, out: &mut Vec<Field>) {
    for field in fields_of(shape) {
        let Gate { min, max, null_from, ignorable } = field.gate;
        let present: BTreeSet<i16> = within.iter().copied().filter(|v| (min..=max).contains(v)).collect();
        let nullable = match field.shape {
            Shape::Nullable(_) => present.iter().copied().filter(|v| *v >= null_from).collect(),
            _ => Vec::new(),
        };
        let path = format!("{prefix}{}", field.name);
        out.push(Field {
            path: path.clone(),
            wire: wire(field.shape),
            versions: present.iter().copied().collect(),
            nullable,
            default: default(&field.default.unwrap_or_default().replace(' ', "")),
            ignorable,
        });
        our_fields(&format!("{path}."), field.shape, &present, out);
    }
}

#[test]
fn every_field_is_kafkas_in_name_order_type_versions_null_default_and_ignorable() {
    let (mut fields, mut bodies) = (0, 0);
    for message in Body::ALL {
        let of: BTreeSet<i16> = message.versions.clone().collect();
        let mut ours = Vec::new();
        our_fields("", message.shape, &of, &mut ours);
        let kafkas: Vec<Field> = kafkas_fields(message, &of)
            .into_iter()
            .map(|mut field| {
                let path = format!("{}.{}", message.name, field.path);
                if let Some((_, said)) = DEVIATIONS.iter().find(|(deviating, _)| *deviating == path) {
                    (field.default, field.ignorable) = (said.replace(" ignorable", ""), true);
                }
                field
            })
            .collect();
        assert_eq!(ours, kafkas, "{}", message.name);
        fields += ours.len();
        bodies += of.len();
    }
    println!("{fields} fields of {} messages, {bodies} bodies", Body::ALL.len());
    assert_eq!((fields, bodies), (215, 164), "a message or a version has gone missing");
}

#[test]
fn every_version_of_every_api_here_is_there() {
    // From `api-versions-2.3.1`: key and last version; each begins with 0.
    let kafkas = [
        (0, 7),
        (1, 11),
        (2, 5),
        (3, 8),
        (8, 7),
        (9, 5),
        (10, 2),
        (11, 5),
        (12, 3),
        (13, 2),
        (14, 3),
        (17, 1),
        (18, 2),
        (19, 3),
        (22, 1),
        (36, 1),
    ];
    let ours: BTreeSet<(i16, i16, i16)> =
        Body::ALL.iter().map(|m| (m.key.0, *m.versions.start(), *m.versions.end())).collect();
    assert_eq!(ours, kafkas.iter().map(|(key, max)| (*key, 0, *max)).collect());
}

#[test]
fn every_error_code_is_kafkas_in_name_and_class() {
    use ottla_protocol::ErrorCode;

    let rows = golden("errors-2.3.1.tsv");
    assert_eq!(rows.len(), 84);
    assert_eq!(ErrorCode::ALL.len(), 84);
    for row in rows {
        let code = ErrorCode(row[0].parse().expect("a code"));
        assert_eq!(code.name(), Some(row[1].as_str()));
        assert_eq!((code.is_retriable(), code.is_invalid_metadata()), (row[2] == "yes", row[3] == "yes"), "{code}");
        assert!(!code.message().is_empty());
    }
    assert_eq!(ErrorCode(999).name(), None);
    assert!(!ErrorCode(999).is_retriable());
}
