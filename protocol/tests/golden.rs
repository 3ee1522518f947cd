//! The second rung: bodies that Kafka 2.3.1's own classes wrote. Decoded, compared by name and value, encoded again to
//! the same bytes.

mod support;

use std::collections::BTreeSet;

use ottla_protocol::header::{RequestHeader, split_correlation_id};
use ottla_protocol::messages::Body;
use ottla_protocol::wire::{Value, Writer};
use ottla_protocol::{ApiKey, header};
use serde_json::Value as Json;
use support::{find, golden, hex, read, unhex};

/// Kafka's classes of 2.3.1 name some fields otherwise than the schema data does: ours, theirs.
const NAMES: &[(&str, &str)] = &[
    ("timeout_ms", "timeout"),
    ("topics", "topic_data"),
    ("topics", "responses"),
    ("topics", "topic_metadata"),
    ("topics", "create_topic_requests"),
    ("topics", "topic_errors"),
    ("name", "topic"),
    ("partitions", "data"),
    ("partitions", "partition_responses"),
    ("partitions", "partition_metadata"),
    ("partition_index", "partition"),
    ("partition_index", "partition_id"),
    ("records", "record_set"),
    ("log_append_time_ms", "log_append_time"),
    ("max_wait", "max_wait_time"),
    ("epoch", "session_epoch"),
    ("fetch_partitions", "partitions"),
    ("forgotten", "forgotten_topics_data"),
    ("forgotten_partition_indexes", "partitions"),
    ("aborted", "aborted_transactions"),
    ("old_style_offsets", "offsets'"),
    ("leader_id", "leader"),
    ("max_bytes", "partition_max_bytes"),
    ("replica_nodes", "replicas"),
    ("isr_nodes", "isr"),
    ("key", "coordinator_key"),
    ("key", "group_id"),
    ("key_type", "coordinator_type"),
    ("generation_id", "group_generation_id"),
    ("committed_offset", "offset"),
    ("committed_leader_epoch", "leader_epoch"),
    ("commit_timestamp", "timestamp"),
    ("committed_metadata", "metadata"),
    ("retention_time_ms", "retention_time"),
    ("partition_indexes", "partitions"),
    ("session_timeout_ms", "session_timeout"),
    ("rebalance_timeout_ms", "rebalance_timeout"),
    ("protocols", "group_protocols"),
    ("name", "protocol_name"),
    ("metadata", "protocol_metadata"),
    ("protocol_name", "group_protocol"),
    ("leader", "leader_id"),
    ("metadata", "member_metadata"),
    ("assignments", "group_assignment"),
    ("assignment", "member_assignment"),
    ("mechanisms", "enabled_mechanisms"),
    ("api_keys", "api_versions"),
    ("index", "api_key"),
    ("assignments", "replica_assignment"),
    ("broker_ids", "replicas"),
    ("configs", "config_entries"),
    ("name", "config_name"),
    ("value", "config_value"),
    ("auth_bytes", "sasl_auth_bytes"),
];

fn same_name(ours: &str, theirs: &str) -> bool {
    ours == theirs || NAMES.contains(&(ours, theirs))
}

/// Kafka's classes wrap some fields in a struct of their own, which has no bytes: seen from here it is not there.
fn unwrapped(theirs: &serde_json::Map<String, Json>) -> Vec<(&str, &Json)> {
    let mut fields = Vec::new();
    for (name, value) in theirs {
        match value {
            Json::Object(inner) => fields.extend(unwrapped(inner)),
            _ => fields.push((name.as_str(), value)),
        }
    }
    fields
}

fn compare(place: &str, ours: &Value, theirs: &Json) {
    match (ours, theirs) {
        (Value::Struct(fields), Json::Object(object)) => {
            let theirs = unwrapped(object);
            assert_eq!(fields.len(), theirs.len(), "{place}: fields");
            for ((name, value), (their_name, their_value)) in fields.iter().zip(theirs) {
                assert!(same_name(name, their_name), "{place}: our {name} is their {their_name}");
                compare(&format!("{place}.{name}"), value, their_value);
            }
        }
        (Value::List(values), Json::Array(array)) => {
            assert_eq!(values.len(), array.len(), "{place}: elements");
            for (i, (value, their_value)) in values.iter().zip(array).enumerate() {
                compare(&format!("{place}[{i}]"), value, their_value);
            }
        }
        // A struct of one field is a plain element here.
        (Value::Int(_) | Value::Text(_), Json::Object(object)) if object.len() == 1 => {
            compare(place, ours, object.values().next().expect("one"));
        }
        (Value::Struct(fields), single) if fields.len() == 1 => compare(place, &fields[0].1, single),
        (Value::Null, Json::Null) => {}
        (Value::Bool(ours), Json::Bool(theirs)) => assert_eq!(ours, theirs, "{place}"),
        (Value::Int(ours), Json::Number(_)) => assert_eq!(Some(*ours), theirs.as_i64(), "{place}"),
        (Value::Text(ours), Json::String(theirs)) => assert_eq!(ours, theirs, "{place}"),
        (Value::Bytes(ours), Json::String(theirs)) => assert_eq!(&hex(ours), theirs, "{place}"),
        (ours, theirs) => panic!("{place}: ours is {ours}, theirs {theirs}"),
    }
}

#[test]
fn every_golden_body_has_the_same_values_by_name_and_encodes_to_the_same_bytes() {
    let mut seen = BTreeSet::new();
    let mut bodies = 0;
    for row in golden("messages-2.3.1.tsv") {
        let [key, _, kind, version, variant, values, body] = &row[..] else { panic!("{row:?}") };
        let Some(message) = find(key, kind) else { continue };
        let version: i16 = version.parse().expect("a version");
        let place = format!("{} v{version} {variant}", message.name);
        let (ours, again) = read(message, version, &unhex(body)).unwrap_or_else(|e| panic!("{place}: {e}"));
        compare(&place, &ours, &serde_json::from_str(values).expect("JSON"));
        assert_eq!(hex(&again), *body, "{place}");
        seen.insert((key.clone(), kind.clone(), version));
        bodies += 1;
    }
    let expected: usize = Body::ALL.iter().map(|m| m.versions.clone().count()).sum();
    println!("{bodies} bodies of {} (API, direction, version)", seen.len());
    assert_eq!((seen.len(), bodies), (expected, 3 * expected), "a body has gone missing");
}

#[test]
fn headers_are_kafkas_with_and_without_a_client_id() {
    let mut headers = 0;
    for row in golden("primitives-2.3.1.tsv") {
        let [kind, input, output] = &row[..] else { panic!("{row:?}") };
        let mut bytes = unhex_or_empty(kind, output).into();
        let field = |name: &str| input.split(',').find_map(|f| f.strip_prefix(&format!("{name}="))).expect(name);
        match kind.as_str() {
            "request_header" => {
                let header = RequestHeader::decode(&mut bytes).expect("a header");
                assert_eq!(header.api_key, ApiKey(field("api_key").parse().expect("a key")));
                assert_eq!(header.api_version.to_string(), field("api_version"));
                assert_eq!(header.correlation_id.to_string(), field("correlation_id"));
                let without = header.api_key == ApiKey::CONTROLLED_SHUTDOWN && header.api_version == 0;
                // Kafka's client writes "no client id" as empty text (`RequestHeader`'s constructor).
                let client_id = (!without).then(|| field("client_id").replace("null", ""));
                assert_eq!(header.client_id, client_id);
                let mut out = Writer::new(0);
                header.encode(&mut out).expect("encodes");
                assert_eq!(hex(&out.into_chunks().concat()), *output);
            }
            "response_header" => {
                assert_eq!(split_correlation_id(&mut bytes).expect("an id").to_string(), field("correlation_id"));
            }
            _ => continue,
        }
        assert!(bytes.is_empty());
        headers += 1;
    }
    assert_eq!(headers, 6);
    assert!(header::no_such_version(9, 0, 8).to_string().contains("0 to 8"));
}

fn unhex_or_empty(kind: &str, text: &str) -> Vec<u8> {
    if kind.ends_with("_header") { unhex(text) } else { Vec::new() }
}
