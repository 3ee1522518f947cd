//! OAUTHBEARER against the development broker, which takes unsecured tokens as Kafka does for development: from a provider,
//! and from an endpoint over https.

mod net_support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use net_support::unsecured;
use ottla_client::{BearerToken, ErrorKind, OauthBearer, Pem, TokenFuture, TokenProvider, TrustedCa};
use ottla_devbroker::{DevBroker, Release, TokenEndpoint};
use ottla_protocol::ApiKey;

/// Of a token: a machine that stands still for half of it would cost a connection.
const LIFE: Duration = Duration::from_secs(4);

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
    let (options, made) = maker(LIFE, false);
    let client = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap();
    client.topics().await.unwrap();
    let dialled = broker.requests(ApiKey::API_VERSIONS);
    let start = std::time::Instant::now();
    while made.load(Ordering::Relaxed) < 4 {
        assert!(start.elapsed() < 20 * LIFE, "no token is renewed");
        client.topics().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Three lives were renewed, each not before about half of it.
    assert!(start.elapsed() > LIFE, "{:?}", start.elapsed());
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), dialled, "no connection was replaced");
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_said_before_anything_is_tried() {
    let options = maker(Duration::ZERO, false).0.extension("auth", "x");
    let error = net_support::builder(["127.0.0.1:1".to_owned()]).sasl_oauthbearer(options).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("auth"), "{error}");
}

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

/// A token endpoint over https that shows this certificate, and how it is asked by who believes the tests' authority.
async fn endpoint(shown: &str) -> (TokenEndpoint, OauthBearer) {
    let text = |name| std::fs::read_to_string(certificate(name)).unwrap();
    let endpoint = TokenEndpoint::start(&text(shown), &text("server.key"), None).await.unwrap();
    let mut settings = ottla_client::TokenEndpoint::new(endpoint.url(), "shop", "hunter2");
    settings.tls.ca = TrustedCa::Pem(Pem::file(certificate("ca.pem")));
    (endpoint, OauthBearer::endpoint(settings))
}

#[tokio::test]
async fn a_token_that_came_over_https_logs_in() {
    for release in [Release::V0_11, Release::V2_3] {
        let broker = broker(release).await;
        let (endpoint, options) = endpoint("server.pem").await;
        let client = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap();
        assert!(client.topics().await.unwrap().is_empty());
        assert_eq!(endpoint.connections(), 1, "one token serves all connections");
        assert!(endpoint.heard().starts_with("POST /token HTTP/1.1\r\n"), "{}", endpoint.heard());
    }
}

#[tokio::test]
async fn an_endpoint_that_is_not_believed_ends_the_login_and_never_hears_the_secret() {
    let broker = broker(Release::V2_3).await;
    for (shown, words) in [
        ("other-ca-server.pem", "authority that is not trusted here"),
        ("other-name.pem", "is for elsewhere.test, *.elsewhere.test, not for localhost"),
        ("expired.pem", "expired at 2020-01-31"),
    ] {
        let (endpoint, options) = endpoint(shown).await;
        let error = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        assert!(error.is_from_login() && !error.is_retriable(), "{error}");
        let told = error.to_string();
        assert!(told.contains(&endpoint.url()) && told.contains(words) && !told.contains("hunter2"), "{told}");
        assert!(endpoint.connections() > 0);
        assert_eq!(endpoint.heard(), "", "{shown}");
    }
    assert_eq!(broker.requests(ApiKey::SASL_AUTHENTICATE), 0);
}

#[tokio::test]
async fn a_redirect_ends_the_login_and_is_not_followed() {
    let broker = broker(Release::V2_3).await;
    let (first, options) = endpoint("server.pem").await;
    let (second, _) = endpoint("server.pem").await;
    first.answer(&format!("302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n", second.url()));
    let error = net_support::builder(broker.bootstrap()).sasl_oauthbearer(options).connect().await.unwrap_err();
    let told = error.to_string();
    assert!(told.contains(&first.url()) && told.contains(&format!("302 redirects to {}", second.url())), "{told}");
    assert!(told.contains("is not followed") && !told.contains("hunter2"), "{told}");
    assert_eq!(second.connections(), 0);
}

/// The warnings of this thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<String>>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut |_: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            writeln!(self.0.lock().unwrap(), "{value:?}").unwrap();
        });
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn a_secret_that_goes_out_in_the_clear_is_warned_of_at_each_start_and_one_that_does_not_is_not() {
    for (url, exposed) in [
        ("http://id.example.org/token", true),
        ("http://127.0.0.1:1/token", false),
        ("https://id.example.org/token", false),
    ] {
        let warnings = Warnings::default();
        let guard = tracing::subscriber::set_default(warnings.clone());
        let mut settings = ottla_client::TokenEndpoint::new(url, "shop", "hunter2");
        settings.tls.ca = TrustedCa::Pem(Pem::file(certificate("ca.pem")));
        // Nothing listens there: the warning does not wait for a broker.
        let builder = net_support::builder(["127.0.0.1:1".to_owned()]).api_timeout(Duration::from_millis(50));
        builder.sasl_oauthbearer(OauthBearer::endpoint(settings)).connect().await.unwrap_err();
        drop(guard);
        let said = warnings.0.lock().unwrap().clone();
        assert_eq!(said.contains("over plain http") && said.contains(url), exposed, "{url}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
