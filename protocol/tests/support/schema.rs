//! Kafka's schema data, `fields-2.3.1.tsv`, as a tree. It knows nothing of this crate's encoder.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::golden;

/// A field as the data has it.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// In snake case.
    pub(crate) name: String,
    /// Kafka's word: `int32`, `[]string`, `[]TopicProduceData` …
    pub(crate) wire: String,
    pub(crate) versions: RangeInclusive<i16>,
    /// In which versions it may be null; empty for never.
    pub(crate) nullable: RangeInclusive<i16>,
    /// As it is written; empty for none.
    pub(crate) default: String,
    pub(crate) ignorable: bool,
    /// The fields of an array's struct.
    pub(crate) fields: Vec<Field>,
}

/// The fields of every body, by key and direction.
pub(crate) fn schemas() -> BTreeMap<(i16, String), Vec<Field>> {
    let mut bodies = BTreeMap::<_, Vec<Field>>::new();
    for row in golden("fields-2.3.1.tsv") {
        let [key, direction, path, wire, versions, nullable, default, ignorable] = &row[..] else { panic!("{row:?}") };
        let mut within = bodies.entry((key.parse().expect("a key"), direction.clone())).or_default();
        let mut path: Vec<&str> = path.split('.').collect();
        let name = path.pop().expect("a name");
        for outer in path {
            within = &mut within.iter_mut().find(|field| field.name == snake(outer)).expect(outer).fields;
        }
        within.push(Field {
            name: snake(name),
            wire: wire.clone(),
            versions: range(versions),
            nullable: range(nullable),
            default: default.clone(),
            ignorable: ignorable == "true",
            fields: Vec::new(),
        });
    }
    bodies
}

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
