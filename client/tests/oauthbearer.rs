//! OAUTHBEARER against the development broker, which takes unsecured tokens as Kafka does for development.

mod net_support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use net_support::unsecured;
use ottla_client::{BearerToken, ErrorKind, OauthBearer, TokenFuture, TokenProvider};
use ottla_devbroker::{DevBroker, Release};
use ottla_protocol::ApiKey;

/// Makes tokens of a given life, and counts them.
struct Maker {
    made: Arc<AtomicU32>,
    lifetime: Duration,
    wrong: bool,
}

impl TokenProvider for Maker {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async move {
            self.made.fetch_add(1, Ordering::Relaxed);
            let token = if self.wrong { "wrong-token".to_owned() } else { unsecured("etl", self.lifetime) };
            Ok(BearerToken::new(&token)?)
        })
    }
}

fn maker(lifetime: Duration, wrong: bool) -> (OauthBearer, Arc<AtomicU32>) {
    let made = Arc::new(AtomicU32::new(0));
    (OauthBearer::provider(Maker { made: made.clone(), lifetime, wrong }), made)
}

async fn broker(release: Release) -> DevBroker {
    DevBroker::builder().release(release).sasl_oauthbearer().start().await.unwrap()
}

#[tokio::test]
async fn a_token_logs_in_over_both_framings_with_extensions_and_one_token_serves_all_connections() {
    for release in [Release::V0_11, Release::V1_0, Release::V2_3] {
        let broker = broker(release).await;
        let (options, made) = maker(Duration::from_mins(5), false);
        let options = options.extension("traceId", "7");
        let client = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap();
        assert!(client.topics().await.unwrap().is_empty());
        assert!(broker.requests(ApiKey::SASL_HANDSHAKE) >= 2);
        assert_eq!(made.load(Ordering::Relaxed), 1, "{release}");
    }
}

#[tokio::test]
async fn a_token_that_the_broker_does_not_take_is_told_with_its_status_and_not_shown() {
    for release in [Release::V0_11, Release::V2_3] {
        let broker = broker(release).await;
        let (options, made) = maker(Duration::ZERO, true);
        let error = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(error.to_string().contains("invalid_token"), "{error}");
        assert!(!error.to_string().contains("wrong-token") && !format!("{error:?}").contains("wrong-token"));
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn an_expired_token_is_not_even_sent() {
    let broker = broker(Release::V2_3).await;
    let (options, _) = maker(Duration::ZERO, false);
    let error = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap_err();
    assert!(error.to_string().contains("has expired"), "{error}");
    assert_eq!(broker.requests(ApiKey::SASL_AUTHENTICATE), 0);
}

#[tokio::test]
async fn a_login_lives_as_long_as_its_token_and_is_renewed_with_a_new_one() {
    let broker = broker(Release::V2_3).await;
    let (options, made) = maker(Duration::from_secs(2), false);
    let client = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap();
    client.topics().await.unwrap();
    let dialled = broker.requests(ApiKey::API_VERSIONS);
    for _ in 0..100 {
        client.topics().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), dialled, "no connection was replaced");
    assert!((3..=6).contains(&made.load(Ordering::Relaxed)), "{}", made.load(Ordering::Relaxed));
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_said_before_anything_is_tried() {
    let options = maker(Duration::ZERO, false).0.extension("auth", "x");
    let error = net_support::builder(["127.0.0.1:1".to_owned()]).sasl_oauthbearer(options).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("auth"), "{error}");
}
