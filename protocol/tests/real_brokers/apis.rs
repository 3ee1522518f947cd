//! Every API that a client may send, in every version that both sides know, asked of a real broker. Each answer has to say
//! what was expected, decode to its last byte and encode again to the bytes that came.

use ottla_brokers::{Kafka, KafkaOptions, Release};
use ottla_protocol::ApiKey;
use ottla_protocol::messages::{ApiVersionsRequest, Body, Direction};

use crate::peer::{Peer, common, fine};
use crate::{cluster, groups, logs, security, topics, transactions};

/// What only brokers send to each other.
const BETWEEN_BROKERS: [ApiKey; 5] = [
    ApiKey::LEADER_AND_ISR,
    ApiKey::STOP_REPLICA,
    ApiKey::UPDATE_METADATA,
    ApiKey::CONTROLLED_SHUTDOWN,
    ApiKey::WRITE_TXN_MARKERS,
];

/// A broker with an authorizer, a SASL listener and delegation tokens, so that every API has something to say.
fn options(release: &Release) -> KafkaOptions {
    let authorizer = match () {
        () if !release.uses_zookeeper() => "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        () if release.at_least(2, 4) => "kafka.security.authorizer.AclAuthorizer",
        () => "kafka.security.auth.SimpleAclAuthorizer",
    };
    KafkaOptions::default()
        .sasl_plain("alice", "alice-secret")
        .property("authorizer.class.name", authorizer)
        .property("super.users", "User:ANONYMOUS;User:alice")
        .property("delete.topic.enable", "true")
        .property("delegation.token.master.key", "a key for tests")
        .property("delegation.token.secret.key", "a key for tests")
}

#[test]
#[ignore = "needs a real Kafka (Java, Maven): run testdata/test"]
fn every_answer_of_a_real_broker_decodes_to_its_last_byte_and_encodes_to_the_same_bytes() {
    let release = Release::from_env().expect("a release");
    let kafka = Kafka::start_with(release.clone(), options(&release)).expect("a broker starts");
    let mut peer = Peer::connect(&kafka.address(0));

    peer.each(|_| ApiVersionsRequest::default(), |_, answer| fine(answer.error_code, "ApiVersions"));
    topics::made_and_described(&mut peer);
    logs::written_and_read(&mut peer, &release);
    groups::lived(&mut peer);
    transactions::committed_and_aborted(&mut peer);
    cluster::configured(&mut peer);
    security::permitted(&mut peer);
    security::logged_in(&mut peer, &kafka.sasl_bootstrap().expect("a SASL listener"));
    topics::deleted(&mut peer);

    everything_was_asked(&peer, &release);
}

/// Compares what was asked with what both sides have, and prints the counts.
fn everything_was_asked(peer: &Peer, release: &Release) {
    let asked = peer.asked();
    let (mut apis, mut versions) = (0, 0);
    for body in Body::ALL.iter().filter(|body| body.direction == Direction::Request) {
        if BETWEEN_BROKERS.contains(&body.key) {
            continue;
        }
        let Some(both) = common(body.key, body.versions.clone(), peer.ranges()) else {
            println!("{}: Kafka {release} and this crate have no version in common", body.key);
            continue;
        };
        let these = asked.get(&body.key).cloned().unwrap_or_default();
        let missing: Vec<_> =
            both.filter(|version| !these.contains(version) && !refuses(release, body.key, *version)).collect();
        assert!(missing.is_empty(), "{} was not asked in {missing:?}", body.key);
        (apis, versions) = (apis + 1, versions + these.len());
    }
    println!("Kafka {release}: {apis} APIs in {versions} versions");
}

/// What a broker states and yet does not take: Produce 0 to 2 of 4.x is there for old librdkafka's eyes (KAFKA-18659).
pub(crate) fn refuses(release: &Release, key: ApiKey, version: i16) -> bool {
    key == ApiKey::PRODUCE && release.at_least(4, 0) && version < 3
}
