//! Logins that end are renewed on the connection in use (KIP-368), and refused ones are not tried for ever.

mod net_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use net_support::{Conversation, OFFERED, Peer, offered};
use ottla_client::{
    Client, ConsumerOptions, ErrorKind, NewTopic, Outgoing, ProducerOptions, ScramHash, TopicPartition,
};
use ottla_devbroker::{DevBroker, Fault};
use ottla_protocol::messages::{
    FindCoordinatorResponse, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeResponse,
};
use ottla_protocol::{ApiKey, ErrorCode};

const USERS: &[(&str, &str)] = &[("etl", "open-sesame")];

/// More than a loaded machine takes for any of this.
const PATIENCE: Duration = Duration::from_mins(2);

/// Sends and reads records, in order and without an error, until that many logins were renewed in a row on the connections
/// that there are. A machine that stands still for longer than a login lasts may cost connections; then it counts anew.
async fn work_until_renewed(broker: &DevBroker, client: &Client, renewals: u64) -> u64 {
    client.create_topic(&NewTopic { name: "t".to_owned(), partitions: 1, replicas: 1 }).await.unwrap();
    let producer = client.producer(ProducerOptions::default()).await.unwrap();
    let topic = producer.topic("t").await.unwrap();
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(&[(TopicPartition::new("t", 0), 0)]).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    let (mut sent, mut read) = (0_u64, 0_u64);
    let logins = || (broker.requests(ApiKey::API_VERSIONS), broker.requests(ApiKey::SASL_HANDSHAKE));
    let mut before = logins();
    while logins().1 - before.1 < renewals {
        assert!(Instant::now() < deadline, "connections were replaced all the time");
        let value = sent.to_string();
        let record = Outgoing { value: Some(value.as_bytes()), ..Outgoing::default() };
        topic.send(record).await.unwrap().await.unwrap();
        sent += 1;
        while read < sent {
            for record in &consumer.next().await.unwrap() {
                let value = record.unwrap().value.unwrap().to_vec();
                assert_eq!(String::from_utf8(value).unwrap(), read.to_string(), "in order and once");
                read += 1;
            }
        }
        if logins().0 != before.0 {
            before = logins();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sent
}

#[tokio::test]
async fn a_login_is_renewed_on_its_connection_while_records_go_in_and_out() {
    let builder = DevBroker::builder().sasl_scram_sha_256(USERS).max_reauth(Duration::from_millis(1500));
    let broker = builder.start().await.unwrap();
    let builder = net_support::builder(broker.bootstrap()).sasl_scram(ScramHash::Sha256, "etl", "open-sesame");
    let client = builder.connect().await.unwrap();
    // Two busy connections, each renewed about four times.
    let sent = work_until_renewed(&broker, &client, 8).await;
    assert!(sent > 8, "{sent}");
}

/// Answers ApiVersions and logs the client in for so long.
async fn log_in(talk: &mut Conversation, lifetime_ms: i64) {
    let asked = talk.asked().await.unwrap();
    talk.answer(&asked, &offered(OFFERED)).await;
    let asked = talk.asked().await.unwrap();
    talk.answer(&asked, &SaslHandshakeResponse::default()).await;
    accept(talk, lifetime_ms).await;
}

async fn accept(talk: &mut Conversation, session_lifetime_ms: i64) {
    let asked = talk.asked().await.unwrap();
    assert_eq!(asked.read::<SaslAuthenticateRequest>().auth_bytes.0, "\0etl\0open-sesame");
    talk.answer(&asked, &SaslAuthenticateResponse { session_lifetime_ms, ..SaslAuthenticateResponse::default() }).await;
}

/// The error says which question it answers; it is not retriable, so the call ends with it.
fn coordinator(error_code: ErrorCode) -> FindCoordinatorResponse {
    FindCoordinatorResponse { error_code, ..FindCoordinatorResponse::default() }
}

#[tokio::test]
async fn an_answer_owed_from_before_reaches_its_asker_and_what_is_asked_meanwhile_waits() {
    let peer = Peer::start(|mut talk| async move {
        log_in(&mut talk, 4000).await;
        let Some(before) = talk.next_special().await else { return };
        assert_eq!(before.api(), ApiKey::FIND_COORDINATOR);
        let handshake = talk.asked().await.unwrap();
        assert_eq!(handshake.api(), ApiKey::SASL_HANDSHAKE);
        talk.answer(&before, &coordinator(ErrorCode::INVALID_GROUP_ID)).await;
        // Time for the other question to come, were it not held back.
        tokio::time::sleep(Duration::from_millis(200)).await;
        talk.answer(&handshake, &SaslHandshakeResponse::default()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        accept(&mut talk, 0).await;
        let after = talk.next_special().await.unwrap();
        assert_eq!(after.api(), ApiKey::FIND_COORDINATOR);
        talk.answer(&after, &coordinator(ErrorCode::INVALID_REQUEST)).await;
        while talk.next_special().await.is_some() {}
    })
    .await;
    let client = Arc::new(peer.builder().sasl_plain("etl", "open-sesame").connect().await.unwrap());
    let ask = |group: &'static str| {
        let client = client.clone();
        tokio::spawn(
            async move { client.committed(group, &[TopicPartition::new("t", 0)]).await.unwrap_err().to_string() },
        )
    };
    let before = ask("before");
    while peer.count(ApiKey::SASL_HANDSHAKE) < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = ask("after");
    let (before, after) = (before.await.unwrap(), after.await.unwrap());
    assert!(before.contains("before") && before.contains("INVALID_GROUP_ID"), "{before}");
    assert!(after.contains("after") && after.contains("INVALID_REQUEST"), "{after}");
}

#[tokio::test]
async fn an_idle_connection_is_not_renewed_until_it_is_wanted_and_then_without_being_closed() {
    let broker = DevBroker::builder().sasl_plain(USERS).max_reauth(Duration::from_millis(1400)).start().await.unwrap();
    let builder = net_support::builder(broker.bootstrap()).sasl_plain("etl", "open-sesame");
    let client = builder.connect().await.unwrap();
    client.topics().await.unwrap();
    let (logins, dialled) = (broker.requests(ApiKey::SASL_HANDSHAKE), broker.requests(ApiKey::API_VERSIONS));
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let renewed = broker.requests(ApiKey::SASL_HANDSHAKE) - logins;
    assert!(renewed <= 1, "{renewed} renewals for nobody");
    client.topics().await.unwrap();
    assert_eq!(broker.requests(ApiKey::SASL_HANDSHAKE), logins + renewed + 1);
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), dialled, "the connection was replaced");
}

#[tokio::test]
async fn a_renewal_that_is_refused_ends_the_connection_with_the_brokers_words() {
    let broker = DevBroker::builder().sasl_plain(USERS).max_reauth(Duration::from_millis(1400)).start().await.unwrap();
    let client = net_support::builder(broker.bootstrap()).sasl_plain("etl", "open-sesame").connect().await.unwrap();
    client.topics().await.unwrap();
    broker.inject(Fault::error(ApiKey::SASL_AUTHENTICATE, ErrorCode::SASL_AUTHENTICATION_FAILED));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let error = client.topics().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
}

#[tokio::test]
async fn a_wrong_password_is_tried_three_times_at_most_until_it_is_asked_for_anew() {
    let broker = DevBroker::builder().sasl_plain(USERS).start().await.unwrap();
    let client = net_support::builder(broker.bootstrap()).sasl_plain("etl", "open-sesame").connect().await.unwrap();
    let refusing = broker.inject(Fault::error(ApiKey::SASL_AUTHENTICATE, ErrorCode::SASL_AUTHENTICATION_FAILED));
    broker.kill_node(0).await.unwrap();
    broker.restart_node(0).await.unwrap();
    let start = Instant::now();
    let mut last = String::new();
    // Until it has been refused for good, and five seconds longer.
    let mut refused_for_good = None;
    while refused_for_good.is_none_or(|since: Instant| since.elapsed() < Duration::from_secs(5)) {
        assert!(start.elapsed() < PATIENCE, "it is not tried three times");
        if refusing.hits() >= 3 {
            refused_for_good.get_or_insert_with(Instant::now);
        }
        let error = client.topics().await.unwrap_err();
        if error.kind() == ErrorKind::Authentication {
            last = error.to_string();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(refusing.hits(), 3);
    assert!(last.contains("refused 3 times and not tried again until it is asked for"), "{last}");
    broker.clear_faults();
    client.topics().await.unwrap_err();
    client.log_in_again();
    client.topics().await.unwrap();
}

#[tokio::test]
async fn a_refused_first_contact_is_one_refusal_however_many_servers_there_are() {
    let broker = DevBroker::builder().nodes(5).sasl_plain(USERS).start().await.unwrap();
    let error = net_support::builder(broker.bootstrap()).sasl_plain("etl", "wrong-one").connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Authentication);
    assert_eq!(broker.requests(ApiKey::SASL_AUTHENTICATE), 1);
}
