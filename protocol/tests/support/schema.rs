//! Kafka's schema data, `fields-2.3.1.tsv`, as a tree. It knows nothing of this crate's encoder.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use ottla_protocol::messages::{Body, Direction};

use super::golden;

/// Where the declaration says something else than the data, and why: key, direction, path, default. At 2.3.1 these APIs
/// were still encoded by hand-written classes; their JSON stood beside, unused, and leaves out what those classes send.
/// All are ignorable.
const DEVIATIONS: &[(i16, Direction, &str, &str)] = &[
    // `ListOffsetRequest.Builder` sends an absent epoch as -1, and drops it below version 4.
    (2, Direction::Request, "topics.partitions.current_leader_epoch", "-1"),
    // `ListOffsetRequest` asks version 0 for one offset a partition.
    (2, Direction::Request, "topics.partitions.max_num_offsets", "1"),
    // `ListOffsetResponse.UNKNOWN_EPOCH`.
    (2, Direction::Response, "topics.partitions.leader_epoch", "-1"),
    // `RecordBatch.NO_PARTITION_LEADER_EPOCH` in `OffsetFetchResponse`.
    (9, Direction::Response, "topics.partitions.committed_leader_epoch", "-1"),
    // `FetchResponse.INVALID_PREFERRED_REPLICA_ID`.
    (1, Direction::Response, "topics.partitions.preferred_read_replica", "-1"),
    // Before version 2 the group's error stands in each partition: `OffsetFetchResponse` leaves it out above.
    (9, Direction::Response, "error_code", ""),
];

/// A field as the data has it.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// In snake case.
    pub(crate) name: &'static str,
    /// Kafka's word: `int32`, `[]string`, `[]TopicProduceData` …
    pub(crate) wire: String,
    pub(crate) versions: RangeInclusive<i16>,
    /// In which versions it may be null; empty for never.
    pub(crate) nullable: RangeInclusive<i16>,
    /// Empty if it is the type's own.
    pub(crate) default: String,
    pub(crate) ignorable: bool,
    /// The fields of an array's struct.
    pub(crate) fields: Vec<Field>,
}

/// The fields of every body, by key and direction.
pub(crate) fn schemas() -> BTreeMap<(i16, Direction), Vec<Field>> {
    // ApiVersions' and ListGroups' requests have no field, hence no row.
    let mut bodies: BTreeMap<_, _> = Body::ALL.iter().map(|body| ((body.key.0, body.direction), Vec::new())).collect();
    for row in golden("fields-2.3.1.tsv") {
        let [key, direction, path, wire, versions, nullable, default, ignorable] = &row[..] else { panic!("{row:?}") };
        let direction = if direction == "request" { Direction::Request } else { Direction::Response };
        let fields = bodies.get_mut(&(key.parse().expect("a key"), direction)).expect("a body of ours");
        let (outer, name) = path.rsplit_once('.').unwrap_or(("", path));
        within(fields, &snake_path(outer)).push(Field {
            name: snake(name).leak(),
            wire: wire.clone(),
            versions: range(versions),
            nullable: range(nullable),
            default: self::default(default),
            ignorable: ignorable == "true",
            fields: Vec::new(),
        });
    }
    for (key, direction, path, default) in DEVIATIONS {
        let (outer, name) = path.rsplit_once('.').unwrap_or(("", path));
        let fields = within(bodies.get_mut(&(*key, *direction)).expect("a body"), outer);
        let field = fields.iter_mut().find(|field| field.name == name).expect(path);
        (field.default, field.ignorable) = ((*default).to_owned(), true);
    }
    bodies
}

/// The fields at a path.
fn within<'a>(fields: &'a mut Vec<Field>, path: &str) -> &'a mut Vec<Field> {
    path.split('.')
        .filter(|step| !step.is_empty())
        .fold(fields, |fields, step| &mut fields.iter_mut().find(|field| field.name == step).expect(step).fields)
}

/// A default as it is written, without those that any type has.
pub(crate) fn default(text: &str) -> String {
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

fn snake_path(path: &str) -> String {
    path.split('.').map(snake).collect::<Vec<_>>().join(".")
}

fn snake(camel: &str) -> String {
    let mut name = String::new();
    for c in camel.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(c.to_lowercase());
    }
    // No name in Rust; `DescribeAclsResponse`, the class, says this.
    if name == "type" { "resource_type".to_owned() } else { name }
}

#[expect(clippy::reversed_empty_ranges, reason = "no version at all")]
fn range(text: &str) -> RangeInclusive<i16> {
    let version = |text: &str| text.parse().expect("a version");
    match text.split_once(['+', '-']) {
        _ if text.is_empty() => 0..=-1,
        Some((min, "")) => version(min)..=i16::MAX,
        Some((min, max)) => version(min)..=version(max),
        None => version(text)..=version(text),
    }
}
