//! TLS from the config file and from the command line, against the development broker.

use std::path::PathBuf;

use ottla_devbroker::{Builder, DevBroker, TokenEndpoint};

use super::connections::{kafka, outcome, test};
use super::{finish, ottla, project};

fn path(name: &str) -> PathBuf {
    project().join("testdata/tls").join(name)
}

fn listening(certificate: &str, mutual: bool) -> Builder {
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    let ca = mutual.then(|| text("ca.pem"));
    DevBroker::builder().listen("localhost:0").tls(&text(certificate), &text("server.key"), ca.as_deref())
}

fn config(broker: &DevBroker, more: &str) -> String {
    let tls = format!("tls = {{ ca = \"{}\"{more} }}\n", path("ca.pem").display());
    kafka(&broker.bootstrap()[0], &format!("topics = \"orders\"\n{tls}"))
}

fn identity(certificate: &str) -> String {
    let (cert, key) = (path(certificate), path("client-p256.key"));
    format!(", cert = \"{}\", key = \"{}\"", cert.display(), key.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tls_step_says_what_was_agreed_on() {
    let broker = listening("server.pem", true).sasl_plain(&[("etl", "s3cret-planted")]).start().await.unwrap();
    broker.create_topic("orders", 1).unwrap();
    let login = "auth = { mechanism = \"plain\", username = \"etl\", password = \"${env:PLANTED}\" }\n";
    let (steps, printed) = test(config(&broker, &identity("client-p256.pem")) + login, 0).await;
    assert_eq!((outcome(&steps, "TLS"), outcome(&steps, "SASL")), ("pass", "pass"), "{printed}");
    assert!(printed.contains("TLS 1.3 with TLS13_") && printed.contains("valid until 2120-01-01"), "{printed}");
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_tls_fails_its_step_and_what_follows_is_skipped() {
    for (certificate, mutual, more, words) in [
        ("expired.pem", false, String::new(), "expired at 2020-01-31"),
        ("other-name.pem", false, String::new(), "is for elsewhere.test"),
        ("other-ca-server.pem", false, String::new(), "authority that is not trusted here"),
        ("server.pem", true, String::new(), "wants a client certificate, and none is set"),
        ("server.pem", true, identity("client-other-ca.pem"), "refused this client's certificate"),
    ] {
        let broker = listening(certificate, mutual).start().await.unwrap();
        let (steps, printed) = test(config(&broker, &more), 3).await;
        assert_eq!((outcome(&steps, "TCP"), outcome(&steps, "TLS")), ("pass", "fail"), "{printed}");
        assert!(steps.iter().skip(4).all(|(_, outcome)| outcome == "skipped") && steps.len() == 16, "{steps:?}");
        assert!(printed.contains(words), "{words}: {printed}");
        broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_with_tls_and_one_without_are_told_apart() {
    let broker = listening("server.pem", false).start().await.unwrap();
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], ""), 3).await;
    assert_eq!(outcome(&steps, "TLS"), "fail", "{printed}");
    assert!(printed.contains("TLS is off") && printed.contains("add `tls = {}`"), "{printed}");
    let plain = DevBroker::builder().listen("localhost:0").start().await.unwrap();
    let (steps, printed) = test(config(&plain, ""), 3).await;
    assert_eq!(outcome(&steps, "TLS"), "fail", "{printed}");
    assert!(printed.contains("is this the broker's TLS port"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verification_passes_with_a_warning() {
    let broker = listening("expired.pem", false).start().await.unwrap();
    let (steps, printed) = test(config(&broker, ", insecure_skip_verification = true"), 0).await;
    assert_eq!(outcome(&steps, "TLS"), "warn", "{printed}");
    assert!(printed.contains("not verified"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_copied_through_tls() {
    let broker = listening("server.pem", true).start().await.unwrap();
    let url = format!(
        "kafka+tls://{}/orders?ca={}&cert={}&key={}",
        broker.bootstrap()[0],
        path("ca.pem").display(),
        path("client-p256.pem").display(),
        path("client-p256.key").display()
    );
    let copied = tokio::task::spawn_blocking(move || {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("in.jsonl"), "{\"a\":1}\n{\"a\":2}\n").unwrap();
        finish(ottla(directory.path()).args(["copy", "in.jsonl", &url])).ends_with(0);
        finish(ottla(directory.path()).args(["copy", &url, "-"])).ends_with(0).stdout
    });
    assert_eq!(copied.await.unwrap(), "{\"a\":1}\n{\"a\":2}\n");
    assert_eq!(broker.log("orders", 0).unwrap().len(), 2);
}

/// A token endpoint that shows this certificate.
async fn endpoint(certificate: &str) -> TokenEndpoint {
    let text = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    TokenEndpoint::start(&text(certificate), &text("server.key"), None).await.unwrap()
}

fn tokens_of(url: &str, more: &str) -> String {
    let login = "client_id = \"shop\", client_secret = \"${env:PLANTED}\"";
    format!(
        "topics = \"orders\"\nauth = {{ mechanism = \"oauthbearer\", token_endpoint = \"{url}\", {login}{more} }}\n"
    )
}

fn believing(ca: &str) -> String {
    format!(", token_endpoint_ca = \"{}\"", path(ca).display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_an_endpoint_over_https_logs_in() {
    let broker = DevBroker::builder().sasl_oauthbearer().start().await.unwrap();
    broker.create_topic("orders", 1).unwrap();
    let endpoint = endpoint("server.pem").await;
    let auth = tokens_of(&endpoint.url(), &believing("ca.pem"));
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], &auth), 0).await;
    assert_eq!(outcome(&steps, "SASL"), "pass", "{printed}");
    assert!(endpoint.heard().contains("grant_type=client_credentials"), "{}", endpoint.heard());
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_gives_no_token_fails_the_login_with_its_reason_and_its_fix() {
    let broker = DevBroker::builder().sasl_oauthbearer().start().await.unwrap();
    let redirecting = endpoint("server.pem").await;
    redirecting.answer("302 Found\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n");
    let away = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let owner = "check `token_endpoint` and `token_endpoint_ca` of `auth` with the endpoint's owner";
    for (endpoint, more, reason, fix) in [
        (endpoint("expired.pem").await, believing("ca.pem"), "the endpoint's certificate expired at 2020-01-31", owner),
        (endpoint("other-name.pem").await, believing("ca.pem"), "is for elsewhere.test", owner),
        (endpoint("server.pem").await, believing("other-ca.pem"), "authority that is not trusted here", owner),
        (endpoint("server.pem").await, String::new(), "authorit", "add `token_endpoint_ca = "),
        (redirecting, believing("ca.pem"), "302 redirects to https://elsewhere.test/", "where the token comes from"),
    ] {
        let (steps, printed) = test(kafka(&broker.bootstrap()[0], &tokens_of(&endpoint.url(), &more)), 3).await;
        assert_eq!((outcome(&steps, "TLS"), outcome(&steps, "SASL")), ("skipped", "fail"), "{printed}");
        // In JSON a quote has a backslash before it.
        let told = printed.replace("\\\"", "\"");
        assert!(told.contains(reason) && told.contains(fix) && told.contains(&endpoint.url()), "{told}");
    }
    let auth = tokens_of(&format!("https://{away}/token"), &believing("ca.pem"));
    let (steps, printed) = test(kafka(&broker.bootstrap()[0], &auth), 3).await;
    assert_eq!(outcome(&steps, "SASL"), "fail", "{printed}");
    assert!(printed.contains("refused") && printed.contains("that this machine can reach the endpoint"), "{printed}");
    broker.shutdown().await;
}
