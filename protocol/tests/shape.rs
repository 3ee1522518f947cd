//! The first rung: every field of every message against Kafka's schema data: name, order, type, versions, nullability,
//! default, ignorable. It alone sees two neighbouring fields of one type exchanged: bytes are blind to that.

mod support;

use std::collections::BTreeSet;

use ottla_protocol::acl::PatternType;
use ottla_protocol::config::ConfigSource;
use ottla_protocol::messages::{Body, Direction};
use ottla_protocol::wire::{FieldShape, Gate, Shape};
use support::golden;
use support::schema::{self, schemas};

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

/// Names that are not the data's: ours, theirs, by path. `type` is no name in Rust; `AlterConfigsResource` and
/// `AlterableConfig` are in the data twice, once with and once without an operation.
const RENAMED: &[(&str, &str)] = &[
    ("DescribeAclsResponse.resources.resource_type", "type"),
    ("IncrementalAlterConfigsRequest.resources", "[]AlterConfigsResource"),
    ("IncrementalAlterConfigsRequest.resources.configs", "[]AlterableConfig"),
];

/// The default as Rust's type would have it, so that "0", "" and "false" are no default.
fn default(text: &str) -> String {
    let text = text.trim_matches('"');
    if let Some(hex) = text.strip_prefix("0x") {
        return i64::from_str_radix(&hex.replace('_', ""), 16).expect(text).to_string();
    }
    match text {
        "i32::MIN" => i32::MIN.to_string(),
        "PatternType::LITERAL" => PatternType::LITERAL.0.to_string(),
        "ConfigSource::NOT_SAID" => ConfigSource::NOT_SAID.0.to_string(),
        "null" | "false" | "0" => String::new(),
        other => other.to_owned(),
    }
}

/// A field of the data is there where all that it stands in is there.
fn kafkas_fields(prefix: &str, fields: &[schema::Field], within: &BTreeSet<i16>, out: &mut Vec<Field>) {
    for field in fields {
        let present: BTreeSet<i16> = within.iter().copied().filter(|v| field.versions.contains(v)).collect();
        let path = format!("{prefix}{}", field.name);
        out.push(Field {
            path: path.clone(),
            wire: field.wire.clone(),
            versions: present.iter().copied().collect(),
            nullable: present.iter().copied().filter(|v| field.nullable.contains(v)).collect(),
            default: default(&field.default),
            ignorable: field.ignorable,
        });
        kafkas_fields(&format!("{path}."), &field.fields, &present, out);
    }
}

/// What the declaration says on purpose where the data says something else.
fn deviate(message: &str, ours: &Field, mut kafkas: Field) -> Field {
    let path = format!("{message}.{}", ours.path);
    if let Some((_, said)) = DEVIATIONS.iter().find(|(deviating, _)| *deviating == path) {
        (kafkas.default, kafkas.ignorable) = (said.replace(" ignorable", ""), true);
    }
    match RENAMED.iter().find(|(renamed, _)| *renamed == path) {
        Some((_, theirs)) if *theirs == kafkas.wire => kafkas.wire.clone_from(&ours.wire),
        Some((_, theirs)) if kafkas.path.ends_with(theirs) => kafkas.path.clone_from(&ours.path),
        _ => {}
    }
    kafkas
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
    let schemas = schemas();
    let (mut fields, mut bodies) = (0, 0);
    for message in Body::ALL {
        let of: BTreeSet<i16> = message.versions.clone().collect();
        let mut ours = Vec::new();
        our_fields("", message.shape, &of, &mut ours);
        let mut kafkas = Vec::new();
        // ApiVersions' and ListGroups' requests have no field, hence no row.
        let fields_of_it = schemas.get(&(message.key.0, message.direction.to_string())).map_or(&[][..], Vec::as_slice);
        kafkas_fields("", fields_of_it, &of, &mut kafkas);
        assert_eq!(ours.len(), kafkas.len(), "{}", message.name);
        for (ours, kafkas) in ours.iter().zip(kafkas) {
            assert_eq!(*ours, deviate(message.name, ours, kafkas), "{}", message.name);
        }
        fields += ours.len();
        bodies += of.len();
    }
    println!("{fields} fields of {} messages, {bodies} bodies", Body::ALL.len());
    assert_eq!((fields, bodies), (609, 304), "a message or a version has gone missing");
}

#[test]
fn every_api_is_there_in_every_version_and_both_directions_in_the_order_of_the_keys() {
    // `api-versions-2.3.1`: the last version of key 0, 1, 2 …; each begins with 0.
    let last = [
        7, 11, 5, 8, 2, 1, 5, 2, 7, 5, 2, 5, 3, 2, 3, 3, 2, 1, 2, 3, 3, 1, 1, 3, 1, 1, 1, 0, 2, 1, 1, 1, 2, 1, 1, 1, 1,
        1, 1, 1, 1, 1, 1, 0, 0,
    ];
    let ours: Vec<_> = Body::ALL.iter().map(|body| (body.key.0, body.direction, body.versions.clone())).collect();
    let kafkas = (0..)
        .zip(last)
        .flat_map(|(key, last)| [Direction::Request, Direction::Response].map(|direction| (key, direction, 0..=last)));
    assert_eq!(ours, kafkas.collect::<Vec<_>>());
    for body in Body::ALL {
        assert_eq!(Body::find(body.key, body.direction).expect("found").name, body.name);
    }
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
