//! What a log shows of a message: short, readable, and no credential.

mod support;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::*;
use support::bodies;

#[test]
fn record_data_shows_how_many_bytes_it_has() {
    let partition = FetchablePartitionResponse {
        records: Some(Bytes::from(vec![7; 1_000_000])),
        error_code: ErrorCode::NONE,
        ..Default::default()
    };
    let shown = format!("{partition:?}");
    assert!(shown.contains("records: 1000000 bytes") && shown.contains("aborted: null"), "{shown}");
    assert!(shown.len() < 300, "{shown}");
}

#[test]
fn a_long_array_shows_its_beginning_and_how_much_more_there_is() {
    let partitions = vec![MetadataResponsePartition::default(); 10_000];
    let topics = vec![MetadataResponseTopic { name: "orders".into(), partitions, ..Default::default() }];
    let shown = format!("{:?}", MetadataResponse { topics, ..Default::default() });
    assert!(shown.contains(r#"name: "orders""#) && shown.contains("… 9984 more]"), "{shown}");
    assert!(shown.len() < 4_000, "{} characters", shown.len());
    let whole = format!("{:?}", OffsetFetchRequestTopic { name: String::new(), partition_indexes: (0..16).collect() });
    assert!(whole.ends_with("14, 15] }"), "{whole}");
}

#[test]
fn no_message_shows_bytes_one_by_one() {
    for (message, version, body) in bodies() {
        let shown = format!("{:?}", message.read(version, body.into()).expect("a golden body"));
        assert!(shown.starts_with(message.name) && !shown.contains("b\"") && shown.len() < 4_000, "{shown}");
    }
}

#[test]
fn a_credential_never_shows() {
    let token = || Secret(Bytes::from_static(b"\0etl\0hunter2"));
    for shown in [
        format!("{:?}", SaslAuthenticateRequest { auth_bytes: token() }),
        format!("{:?}", SaslAuthenticateResponse { auth_bytes: token(), ..Default::default() }),
        format!("{:?}", CreateDelegationTokenResponse { hmac: token(), ..Default::default() }),
        format!("{:?}", DescribedDelegationToken { hmac: token(), ..Default::default() }),
        format!("{:?}", RenewDelegationTokenRequest { hmac: token(), ..Default::default() }),
        format!("{:#?}", ExpireDelegationTokenRequest { hmac: token(), ..Default::default() }),
    ] {
        assert!(!shown.contains("hunter2") && shown.contains("12 secret bytes"), "{shown}");
    }
}
