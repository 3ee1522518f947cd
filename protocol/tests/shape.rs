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

/// Structs that have another name here, by path: the data has `AlterConfigsResource` and `AlterableConfig` twice, once
/// with and once without an operation.
const RENAMED: &[(&str, &str, &str)] = &[
    ("IncrementalAlterConfigsRequest.resources", "[]IncrementalAlterConfigsResource", "[]AlterConfigsResource"),
    ("IncrementalAlterConfigsRequest.resources.configs", "[]IncrementalAlterableConfig", "[]AlterableConfig"),
];

/// A declaration's default as the data would write it.
fn default(text: &str) -> String {
    match text.replace(' ', "").as_str() {
        "PatternType::LITERAL" => PatternType::LITERAL.0.to_string(),
        "ConfigSource::NOT_SAID" => ConfigSource::NOT_SAID.0.to_string(),
        other => schema::default(other),
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
            default: field.default.clone(),
            ignorable: field.ignorable,
        });
        kafkas_fields(&format!("{path}."), &field.fields, &present, out);
    }
}

/// The data's name of a struct, given ours.
fn renamed(message: &str, mut ours: Field) -> Field {
    let path = format!("{message}.{}", ours.path);
    if let Some((_, _, theirs)) = RENAMED.iter().find(|(at, here, _)| *at == path && *here == ours.wire) {
        (*theirs).clone_into(&mut ours.wire);
    }
    ours
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
            default: default(field.default.unwrap_or_default()),
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
        kafkas_fields("", &schemas[&(message.key.0, message.direction)], &of, &mut kafkas);
        let ours: Vec<Field> = ours.into_iter().map(|field| renamed(message.name, field)).collect();
        assert_eq!(ours, kafkas, "{}", message.name);
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
