//! SASL over a socket in both framings: PLAIN, and a mechanism that the test brings.

mod support;

use std::time::Duration;

use bytes::Bytes;
use ottla_devbroker::{Builder, DevBroker, Release, TokenServer, TokenStep};
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    ApiVersionsRequest, MetadataRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use support::Client;

async fn start() -> (DevBroker, Client) {
    let broker = DevBroker::builder().sasl_plain(&[("etl", "secret"), ("ops", "other")]).start().await.unwrap();
    let client = Client::connect(&broker).await;
    (broker, client)
}

async fn handshake(client: &mut Client, version: i16, mechanism: &str) -> ErrorCode {
    let answer = client.ask(version, &SaslHandshakeRequest { mechanism: mechanism.to_owned() }).await;
    // A broker that asks for no login has none to name.
    assert_eq!(answer.mechanisms.is_empty(), answer.error_code == ErrorCode::ILLEGAL_SASL_STATE);
    answer.error_code
}

async fn token(client: &mut Client, version: i16, token: &'static str) -> SaslAuthenticateResponse {
    client.ask(version, &SaslAuthenticateRequest { auth_bytes: Bytes::from(token).into() }).await
}

async fn raw_token(client: &mut Client, token: &str) {
    client.raw(&(token.len() as i32).to_be_bytes()).await;
    client.raw(token.as_bytes()).await;
}

#[tokio::test]
async fn the_right_password_opens_the_broker() {
    for version in 0..=1 {
        let (_broker, mut client) = start().await;
        client.ask(0, &ApiVersionsRequest::default()).await;
        assert_eq!(handshake(&mut client, 1, "PLAIN").await, ErrorCode::NONE);
        let answer = token(&mut client, version, "\0ops\0other").await;
        assert_eq!((answer.error_code, answer.session_lifetime_ms), (ErrorCode::NONE, 0));
        client.ask(2, &ApiVersionsRequest::default()).await;
        assert_eq!(client.ask(8, &MetadataRequest::default()).await.brokers.len(), 1);
    }
}

#[tokio::test]
async fn the_right_password_opens_an_old_broker_by_a_raw_token() {
    let builder = DevBroker::builder().sasl_plain(&[("etl", "secret")]).release(Release::V0_11);
    let broker = builder.start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(handshake(&mut client, 0, "PLAIN").await, ErrorCode::NONE);
    raw_token(&mut client, "\0etl\0secret").await;
    assert_eq!(client.frame().await.unwrap(), Bytes::new(), "a frame of no length");
    assert_eq!(client.ask(4, &MetadataRequest::default()).await.brokers.len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_the_connection_closed() {
    let (_broker, mut client) = start().await;
    handshake(&mut client, 1, "PLAIN").await;
    let answer = token(&mut client, 1, "\0etl\0other").await;
    assert_eq!(answer.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert!(answer.error_message.unwrap().contains("Invalid username or password"));
    assert!(client.is_closed().await);

    let (_broker, mut client) = start().await;
    handshake(&mut client, 0, "PLAIN").await;
    raw_token(&mut client, "\0etl\0other").await;
    assert!(client.is_closed().await, "a raw failure is just a close");
}

#[tokio::test]
async fn another_mechanism_is_refused_with_the_list_of_those_there_are() {
    let (_broker, mut client) = start().await;
    assert_eq!(handshake(&mut client, 1, "GSSAPI").await, ErrorCode::UNSUPPORTED_SASL_MECHANISM);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn nothing_is_served_before_the_password() {
    let (broker, mut client) = start().await;
    client.send(8, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);

    let mut client = Client::connect(&broker).await;
    handshake(&mut client, 1, "PLAIN").await;
    let id = client.send(8, &MetadataRequest::default()).await;
    let answer = client.answer::<MetadataRequest>(8, id).await;
    assert_eq!(answer.brokers, [], "an answer that says nothing");
    assert!(client.is_closed().await);

    let mut client = Client::connect(&broker).await;
    client.raw(&600_000_i32.to_be_bytes()).await;
    assert!(client.is_closed().await, "frames are small before the password");
}

#[tokio::test]
async fn sasl_out_of_place_is_an_error_but_no_end() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(handshake(&mut client, 1, "PLAIN").await, ErrorCode::ILLEGAL_SASL_STATE);
    assert_eq!(token(&mut client, 1, "\0etl\0secret").await.error_code, ErrorCode::ILLEGAL_SASL_STATE);
    assert_eq!(client.ask(0, &ApiVersionsRequest::default()).await.error_code, ErrorCode::NONE);
}

/// A mechanism by a script, in GSSAPI's shape: an answer, an offer after an empty token, and the client's last word.
struct Scripted(usize);

impl TokenServer for Scripted {
    fn step(&mut self, token: &[u8]) -> TokenStep {
        self.0 += 1;
        match (self.0, token) {
            (1, b"ticket") => TokenStep::Continue(Bytes::from("proof")),
            (1, b"ticket of nobody") => TokenStep::Continue(Bytes::new()),
            (2, b"") => TokenStep::Continue(Bytes::from("offer")),
            (3, b"choice") => TokenStep::Done { token: None, principal: "alice".to_owned() },
            (3, b"choice of bob") => TokenStep::Done { token: None, principal: "bob".to_owned() },
            (step, _) => TokenStep::Refuse(format!("token {step} is wrong")),
        }
    }
}

fn scripted() -> Builder {
    DevBroker::builder().sasl_mechanism("GSSAPI", || Box::new(Scripted(0)))
}

/// Logs in with this last token; gives the answer to it.
async fn log_in(client: &mut Client, last: &'static str) -> SaslAuthenticateResponse {
    assert_eq!(handshake(client, 1, "GSSAPI").await, ErrorCode::NONE);
    assert_eq!(token(client, 1, "ticket").await.auth_bytes.0, "proof");
    assert_eq!(token(client, 1, "").await.auth_bytes.0, "offer");
    token(client, 1, last).await
}

#[tokio::test]
async fn a_mechanism_that_a_test_brings_is_answered_token_by_token_and_the_last_word_with_no_bytes() {
    let broker = scripted().start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let last = log_in(&mut client, "choice").await;
    assert_eq!((last.error_code, last.auth_bytes.0, last.session_lifetime_ms), (ErrorCode::NONE, Bytes::new(), 0));
    assert_eq!(client.ask(8, &MetadataRequest::default()).await.brokers.len(), 1);
}

#[tokio::test]
async fn raw_tokens_end_with_the_clients_last_word_and_an_ordinary_request_follows() {
    let broker = scripted().release(Release::V0_11).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(handshake(&mut client, 0, "GSSAPI").await, ErrorCode::NONE);
    for (said, answered) in [("ticket", "proof"), ("", "offer")] {
        raw_token(&mut client, said).await;
        assert_eq!(client.frame().await.unwrap(), answered);
    }
    raw_token(&mut client, "choice").await;
    assert!(client.is_silent().await, "not even a frame of no length");
    assert_eq!(client.ask(4, &MetadataRequest::default()).await.brokers.len(), 1);
}

#[tokio::test]
async fn raw_tokens_of_no_length_go_both_ways() {
    let broker = scripted().release(Release::V0_11).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    handshake(&mut client, 0, "GSSAPI").await;
    raw_token(&mut client, "ticket of nobody").await;
    assert_eq!(client.frame().await.unwrap(), Bytes::new(), "what is to be continued is answered");
    raw_token(&mut client, "").await;
    assert_eq!(client.frame().await.unwrap(), "offer");
}

#[tokio::test]
async fn a_brought_mechanism_refuses_in_its_own_words_or_with_a_close() {
    let broker = scripted().start().await.unwrap();
    for refused in 1..=3 {
        let mut client = Client::connect(&broker).await;
        handshake(&mut client, 1, "GSSAPI").await;
        let said = ["ticket", "", "choice"];
        for good in &said[..refused - 1] {
            assert_eq!(token(&mut client, 1, good).await.error_code, ErrorCode::NONE);
        }
        let answer = token(&mut client, 1, "junk").await;
        assert_eq!(answer.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
        assert_eq!(answer.error_message, Some(format!("token {refused} is wrong")));
        assert!(client.is_closed().await);

        let mut client = Client::connect(&broker).await;
        handshake(&mut client, 0, "GSSAPI").await;
        for good in &said[..refused - 1] {
            raw_token(&mut client, good).await;
            client.frame().await.unwrap();
        }
        raw_token(&mut client, "junk").await;
        assert!(client.is_closed().await, "raw token {refused}: just a close");
    }
}

#[tokio::test]
async fn a_brought_mechanism_stands_beside_the_others_by_its_name() {
    let broker = scripted().sasl_plain(&[("etl", "secret")]).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let request = SaslHandshakeRequest { mechanism: "SCRAM-SHA-256".to_owned() };
    let answer = client.ask(1, &request).await;
    assert_eq!(answer.error_code, ErrorCode::UNSUPPORTED_SASL_MECHANISM);
    assert_eq!(answer.mechanisms, ["PLAIN", "GSSAPI"]);
    let mut client = Client::connect(&broker).await;
    handshake(&mut client, 1, "PLAIN").await;
    assert_eq!(token(&mut client, 1, "\0etl\0secret").await.error_code, ErrorCode::NONE);
    let mut client = Client::connect(&broker).await;
    assert_eq!(log_in(&mut client, "choice").await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_login_by_a_brought_mechanism_ends_and_is_renewed_by_a_new_exchange_of_the_same_user() {
    let lifetime = Duration::from_mins(10);
    let broker = scripted().max_reauth(lifetime).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(log_in(&mut client, "choice").await.session_lifetime_ms, 600_000);
    client.ask(8, &MetadataRequest::default()).await;
    // No second login within a second (`KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS`).
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(log_in(&mut client, "choice").await.session_lifetime_ms, 600_000);
    client.ask(8, &MetadataRequest::default()).await;
    tokio::time::sleep(Duration::from_millis(1050)).await;
    let other = log_in(&mut client, "choice of bob").await;
    assert_eq!(other.error_code, ErrorCode::SASL_AUTHENTICATION_FAILED);
    assert!(other.error_message.unwrap().contains("the user may not change"));
    assert!(client.is_closed().await);
}

#[test]
fn a_brought_mechanism_shows_by_its_name() {
    assert!(format!("{:?}", scripted()).contains("\"GSSAPI\""));
}
