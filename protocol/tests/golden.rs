//! The second rung: bodies that Kafka 2.3.1's own classes wrote. Decoded, compared by name and value, encoded again to
//! the same bytes.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use ottla_protocol::header::{RequestHeader, split_correlation_id};
use ottla_protocol::wire::{Value, Writer};
use ottla_protocol::{ApiKey, header};
use serde_json::Value as Json;
use support::{find, golden, hex, read, unhex};

/// Kafka's classes of 2.3.1 name some fields otherwise than the schema data does: ours:theirs, by API.
const NAMES: &[(ApiKey, &str)] = &[
    (
        ApiKey::PRODUCE,
        "timeout_ms:timeout topics:topic_data name:topic partitions:data partition_index:partition \
         records:record_set partitions:partition_responses log_append_time_ms:log_append_time",
    ),
    (
        ApiKey::FETCH,
        "max_wait:max_wait_time name:topic fetch_partitions:partitions partition_index:partition \
         max_bytes:partition_max_bytes epoch:session_epoch forgotten:forgotten_topics_data \
         forgotten_partition_indexes:partitions topics:responses partitions:partition_responses \
         records:record_set aborted:aborted_transactions",
    ),
    (
        ApiKey::LIST_OFFSETS,
        "name:topic partition_index:partition topics:responses partitions:partition_responses \
         old_style_offsets:offsets'",
    ),
    (
        ApiKey::LEADER_AND_ISR,
        "partition_states_v0:partition_states topic_name:topic partition_index:partition leader_key:leader \
         isr_replicas:isr broker_id:id host_name:host name:topic",
    ),
    (
        ApiKey::STOP_REPLICA,
        "partitions_v0:partitions topic_name:topic partition_index:partition topics:partitions name:topic \
         partition_indexes:partition_ids",
    ),
    (
        ApiKey::UPDATE_METADATA,
        "partition_states_v0:partition_states topic_name:topic partition_index:partition brokers:live_brokers \
         v0_host:host v0_port:port endpoints:end_points security_protocol:security_protocol_type \
         listener:listener_name",
    ),
    (
        ApiKey::OFFSET_FETCH,
        "name:topic partition_indexes:partitions topics:responses partitions:partition_responses \
         partition_index:partition committed_offset:offset committed_leader_epoch:leader_epoch",
    ),
    (ApiKey::API_VERSIONS, "api_keys:api_versions index:api_key"),
    (ApiKey::DELETE_RECORDS, "name:topic partition_index:partition timeout_ms:timeout"),
    (ApiKey::OFFSET_FOR_LEADER_EPOCH, "name:topic partition_index:partition"),
    (ApiKey::ADD_PARTITIONS_TO_TXN, "name:topic results:errors results:partition_errors partition_index:partition"),
    (ApiKey::END_TXN, "committed:transaction_result"),
    (
        ApiKey::WRITE_TXN_MARKERS,
        "markers:transaction_markers name:topic partition_indexes:partitions partition_index:partition",
    ),
    (
        ApiKey::TXN_OFFSET_COMMIT,
        "name:topic partition_index:partition committed_offset:offset committed_metadata:metadata \
         committed_leader_epoch:leader_epoch",
    ),
    (
        ApiKey::DESCRIBE_ACLS,
        "resource_name_filter:resource_name principal_filter:principal host_filter:host \
         resource_pattern_type:resource_pattern_type_filter name:resource_name pattern_type:resource_pattern_type",
    ),
    (ApiKey::CREATE_ACLS, "results:creation_responses"),
    (
        ApiKey::DELETE_ACLS,
        "resource_type_filter:resource_type resource_name_filter:resource_name principal_filter:principal \
         host_filter:host pattern_type_filter:resource_pattern_type_filter filter_results:filter_responses \
         pattern_type:resource_pattern_type",
    ),
    (
        ApiKey::DESCRIBE_CONFIGS,
        "configuration_keys:config_names include_synoyms:include_synonyms results:resources \
         configs:config_entries name:config_name value:config_value synonyms:config_synonyms source:config_source",
    ),
    (ApiKey::ALTER_CONFIGS, "configs:config_entries name:config_name value:config_value"),
    (
        ApiKey::ALTER_REPLICA_LOG_DIRS,
        "dirs:log_dirs path:log_dir name:topic results:topics topic_name:topic partition_index:partition",
    ),
    (
        ApiKey::DESCRIBE_LOG_DIRS,
        "partition_index:partitions results:log_dirs name:topic partition_index:partition partition_size:size \
         is_future_key:is_future",
    ),
    (
        ApiKey::CREATE_PARTITIONS,
        "topics:topic_partitions name:topic assignments:assignment timeout_ms:timeout results:topic_errors",
    ),
    (
        ApiKey::CREATE_DELEGATION_TOKEN,
        "principal_name:name max_lifetime_ms:max_life_time issue_timestamp_ms:issue_timestamp \
         expiry_timestamp_ms:expiry_timestamp max_timestamp_ms:max_timestamp",
    ),
    (ApiKey::RENEW_DELEGATION_TOKEN, "renew_period_ms:renew_time_period expiry_timestamp_ms:expiry_timestamp"),
    (ApiKey::EXPIRE_DELEGATION_TOKEN, "expiry_time_period_ms:expiry_time_period expiry_timestamp_ms:expiry_timestamp"),
    (ApiKey::DESCRIBE_DELEGATION_TOKEN, "principal_name:name tokens:token_details"),
    (ApiKey::DELETE_GROUPS, "groups_names:groups results:group_error_codes"),
];

/// The aliases of one API, and which of them were needed.
struct Names {
    aliases: Vec<(&'static str, &'static str)>,
    needed: BTreeSet<(&'static str, &'static str)>,
}

impl Names {
    fn of(key: ApiKey) -> Self {
        let rows = NAMES.iter().filter(|(api, _)| *api == key).flat_map(|(_, pairs)| pairs.split_whitespace());
        let aliases = rows.map(|pair| pair.split_once(':').expect(pair)).collect();
        Self { aliases, needed: BTreeSet::new() }
    }

    fn same(&self, ours: &str, theirs: &str) -> bool {
        ours == theirs || self.aliases.contains(&(ours, theirs))
    }

    /// Names in order. That no other order would do is what makes two fields exchanged visible.
    fn compare(&mut self, place: &str, ours: &[&str], theirs: &[&str]) {
        assert_eq!(ours.len(), theirs.len(), "{place}: our fields {ours:?}, theirs {theirs:?}");
        for (i, our) in ours.iter().enumerate() {
            for (j, their) in theirs.iter().enumerate() {
                assert_eq!(self.same(our, their), i == j, "{place}: our {our}, their {their}, at {i} and {j}");
            }
            self.needed.extend(self.aliases.iter().filter(|alias| **alias == (*our, theirs[i])));
        }
    }
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

fn compare(names: &mut Names, place: &str, ours: &Value, theirs: &Json) {
    match (ours, theirs) {
        (Value::Struct(fields), Json::Object(object)) => {
            let (their_names, their_values): (Vec<_>, Vec<_>) = unwrapped(object).into_iter().unzip();
            names.compare(place, &fields.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &their_names);
            for ((name, value), their_value) in fields.iter().zip(their_values) {
                compare(names, &format!("{place}.{name}"), value, their_value);
            }
        }
        (Value::List(values), Json::Array(array)) => {
            assert_eq!(values.len(), array.len(), "{place}: elements");
            for (i, (value, their_value)) in values.iter().zip(array).enumerate() {
                compare(names, &format!("{place}[{i}]"), value, their_value);
            }
        }
        // A struct of one field is a plain element here.
        (Value::Int(_) | Value::Text(_), Json::Object(object)) if object.len() == 1 => {
            compare(names, place, ours, object.values().next().expect("one"));
        }
        (Value::Struct(fields), single) if fields.len() == 1 => compare(names, place, &fields[0].1, single),
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
    let mut names: BTreeMap<i16, Names> = ApiKey::ALL.iter().map(|key| (key.0, Names::of(*key))).collect();
    let mut seen = BTreeSet::new();
    let mut bodies = 0;
    for row in golden("messages-2.3.1.tsv") {
        let [key, _, kind, version, variant, values, body] = &row[..] else { panic!("{row:?}") };
        let message = find(key, kind).unwrap_or_else(|| panic!("no {kind} {key}"));
        let version: i16 = version.parse().expect("a version");
        let place = format!("{} v{version} {variant}", message.name);
        let (ours, again) = read(message, version, &unhex(body)).unwrap_or_else(|e| panic!("{place}: {e}"));
        let names = names.get_mut(&message.key.0).expect("every API has its names");
        compare(names, &place, &ours, &serde_json::from_str(values).expect("JSON"));
        assert_eq!(hex(&again), *body, "{place}");
        seen.insert((message.name, version));
        bodies += 1;
    }
    println!("{bodies} bodies of {} (API, direction, version)", seen.len());
    assert_eq!((seen.len(), bodies), (304, 912), "a body has gone missing");
    for (key, names) in names {
        let idle: Vec<_> = names.aliases.iter().filter(|alias| !names.needed.contains(alias)).collect();
        assert!(idle.is_empty(), "{}: nobody needs {idle:?}", ApiKey(key));
    }
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

#[test]
fn an_answer_to_a_version_of_apiversions_that_the_broker_lacks_is_read_in_the_layout_of_version_0() {
    use ottla_protocol::ErrorCode;
    use ottla_protocol::messages::{ApiVersionsResponse, ApiVersionsResponseKey, Message};

    let key = ApiVersionsResponseKey { index: 18, min_version: 0, max_version: 2 };
    let answer = |error_code, api_keys| ApiVersionsResponse { error_code, api_keys, throttle_time_ms: 0 };
    let body = |version, answer: &ApiVersionsResponse| answer.write(version).expect("encodes").concat().into();
    let refused = ErrorCode::UNSUPPORTED_VERSION;
    // Before Kafka 2.4 the refusal is bare, from then on it names the range of ApiVersions itself (KIP-511).
    for refusal in [answer(refused, Vec::new()), answer(refused, vec![key.clone()])] {
        let read = ApiVersionsResponse::read_answer(99, body(0, &refusal)).expect("readable");
        assert_eq!(read, (0, refusal.clone()));
        assert_eq!(ApiVersionsResponse::read_answer(2, body(0, &refusal)).expect("readable"), (0, refusal));
    }
    let served = answer(ErrorCode::NONE, vec![key]);
    assert_eq!(ApiVersionsResponse::read_answer(2, body(2, &served)).expect("readable"), (2, served.clone()));
    // Version 0's layout without that error is no refusal, but an answer that was cut.
    assert!(ApiVersionsResponse::read_answer(2, body(0, &served)).is_err());
}
