//! SASL PLAIN over a socket, in both framings.

mod support;

use bytes::Bytes;
use ottla_devbroker::{DevBroker, Release};
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
