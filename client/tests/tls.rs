//! TLS against the development broker: who is believed, what is refused and in which words, and certificates that change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ottla_client::{
    Client, ClientBuilder, Error, ErrorKind, NewTopic, OffsetAt, Outgoing, Pem, ProducerOptions, TlsIdentity,
    TlsOptions, TlsVersion, TopicPartition, TrustedCa,
};
use ottla_devbroker::{DevBroker, TlsVersion as ServerVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// A broker that shows this certificate, and if `mutual` wants one.
fn listening(certificate: &str, mutual: bool) -> ottla_devbroker::Builder {
    let key = if certificate == "server-rsa.pem" { "server-rsa.key" } else { "server.key" };
    let ca = mutual.then(|| text("ca.pem"));
    DevBroker::builder().listen("localhost:0").tls(&text(certificate), &text(key), ca.as_deref())
}

fn trusting() -> TlsOptions {
    TlsOptions { ca: TrustedCa::Pem(Pem::file(path("ca.pem"))), ..TlsOptions::default() }
}

fn showing(certificate: &str, key: &str) -> TlsOptions {
    let identity = TlsIdentity::new(Pem::file(path(certificate)), Pem::file(path(key))).key_password("key-secret");
    TlsOptions { identity: Some(identity), ..trusting() }
}

fn only(version: TlsVersion) -> TlsOptions {
    TlsOptions { min_version: version, max_version: version, ..trusting() }
}

fn client(servers: Vec<String>) -> ClientBuilder {
    Client::builder()
        .bootstrap(servers)
        .connect_timeout(Duration::from_secs(30))
        .api_timeout(Duration::from_secs(20))
        .retry_backoff(Duration::from_millis(5), Duration::from_millis(20))
        .reconnect_backoff(Duration::from_millis(5), Duration::from_millis(20))
}

async fn connect(broker: &DevBroker, tls: TlsOptions) -> Result<Client, Error> {
    client(broker.bootstrap()).tls(tls).connect().await
}

/// Why a client with these options cannot talk to this broker.
async fn refusal(broker: ottla_devbroker::Builder, tls: TlsOptions) -> Error {
    let broker = broker.start().await.unwrap();
    connect(&broker, tls).await.map(drop).unwrap_err()
}

fn says(error: &Error, words: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
    assert!(!error.is_retriable(), "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word:?} is missing in: {error}");
    }
}

/// Sends records and finds them in the broker's log.
async fn round_trip(broker: &DevBroker, tls: TlsOptions) {
    let client = connect(broker, tls).await.unwrap();
    let topic = NewTopic { name: "orders".to_owned(), partitions: 1, replicas: 1 };
    let _ = client.create_topic(&topic).await.unwrap();
    let before = broker.offsets("orders", 0).unwrap().1;
    let producer = client.producer(ProducerOptions::default()).await.unwrap();
    let topic = producer.topic("orders").await.unwrap();
    // A value of more than a record of TLS (16 KiB) and many small ones.
    let large = vec![b'x'; 300_000];
    let mut sent = vec![topic.send(Outgoing { value: Some(&large), ..Outgoing::default() }).await.unwrap()];
    for _ in 0..500 {
        sent.push(topic.send(Outgoing { value: Some(b"{}"), ..Outgoing::default() }).await.unwrap());
    }
    for delivery in sent {
        delivery.await.unwrap();
    }
    let partition = TopicPartition::new("orders", 0);
    let ends = client.offsets(std::slice::from_ref(&partition), OffsetAt::Latest).await.unwrap();
    assert_eq!(ends[&partition], before + 501);
}

#[tokio::test]
async fn records_go_through_tls_in_both_versions_with_both_kinds_of_server_key() {
    for certificate in ["server.pem", "server-rsa.pem"] {
        for version in [ServerVersion::V1_2, ServerVersion::V1_3] {
            let broker = listening(certificate, false).tls_versions(&[version]).start().await.unwrap();
            round_trip(&broker, trusting()).await;
        }
    }
}

#[tokio::test]
async fn a_client_may_be_held_to_one_version() {
    let broker = listening("server.pem", false).start().await.unwrap();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        round_trip(&broker, only(version)).await;
    }
}

#[tokio::test]
async fn every_form_of_client_key_logs_in_under_both_versions() {
    for version in [ServerVersion::V1_2, ServerVersion::V1_3] {
        let broker = listening("server.pem", true).tls_versions(&[version]).start().await.unwrap();
        for (certificate, key) in [
            ("client-rsa.pem", "client-rsa.key"),
            ("client-rsa.pem", "client-rsa-pkcs1.key"),
            ("client-rsa.pem", "client-rsa-encrypted.key"),
            ("client-p256.pem", "client-p256.key"),
            ("client-p256.pem", "client-p256-sec1.key"),
            ("client-p256.pem", "client-p256-scrypt.key"),
            ("client-p384.pem", "client-p384.key"),
            ("client-p384.pem", "client-p384-sec1.key"),
            ("client-ed25519.pem", "client-ed25519.key"),
            ("client-chain.pem", "client-p256.key"),
            ("client-both.pem", "client-both.pem"),
        ] {
            let connected = connect(&broker, showing(certificate, key)).await;
            connected.unwrap_or_else(|e| panic!("{certificate}, {key}, {version:?}: {e}"));
        }
    }
}

#[tokio::test]
async fn an_authority_may_be_a_text_or_lie_in_a_directory() {
    let broker = listening("server.pem", true).start().await.unwrap();
    let identity = TlsIdentity::new(Pem::text(text("client-p256.pem")), Pem::text(text("client-p256.key")));
    let inline =
        TlsOptions { ca: TrustedCa::Pem(Pem::text(text("ca.pem"))), identity: Some(identity), ..TlsOptions::default() };
    round_trip(&broker, inline).await;
    let directory = TlsOptions { ca: TrustedCa::Directory(path("")), ..showing("client-p256.pem", "client-p256.key") };
    round_trip(&broker, directory).await;
}

#[tokio::test]
async fn a_login_goes_through_tls() {
    let broker = listening("server.pem", false).sasl_plain(&[("etl", "open-sesame")]).start().await.unwrap();
    let with = |password| client(broker.bootstrap()).tls(trusting()).sasl_plain("etl", password);
    with("open-sesame").connect().await.unwrap();
    assert_eq!(with("wrong").connect().await.unwrap_err().kind(), ErrorKind::Authentication);
    let error = connect(&broker, trusting()).await.unwrap_err();
    assert!(error.to_string().contains("wants SASL"), "{error}");
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused_with_the_dates() {
    says(
        &refusal(listening("expired.pem", false), trusting()).await,
        &["expired at 2020-01-31 00:00:00 UTC", "it is 20"],
    );
    let error = refusal(listening("not-yet-valid.pem", false), trusting()).await;
    says(&error, &["only from 2110-01-01 00:00:00 UTC", "clock"]);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_both_names() {
    let error = refusal(listening("other-name.pem", false), trusting()).await;
    says(&error, &["is for elsewhere.test, *.elsewhere.test, not for localhost"]);
    let named = |name: &str| TlsOptions { server_name: Some(name.to_owned()), ..trusting() };
    let broker = listening("other-name.pem", false).start().await.unwrap();
    for name in ["elsewhere.test", "k1.elsewhere.test"] {
        connect(&broker, named(name)).await.unwrap();
    }
    says(&connect(&broker, named("a.b.elsewhere.test")).await.unwrap_err(), &["not for a.b.elsewhere.test"]);
}

#[tokio::test]
async fn a_certificate_is_good_for_an_address_that_it_names() {
    let broker = listening("server.pem", false).listen("127.0.0.1:0").start().await.unwrap();
    connect(&broker, trusting()).await.unwrap();
    let error = refusal(listening("other-name.pem", false).listen("127.0.0.1:0"), trusting()).await;
    says(&error, &["not for 127.0.0.1"]);
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() {
    says(&refusal(listening("other-ca-server.pem", false), trusting()).await, &["authority that is not trusted here"]);
}

#[tokio::test]
async fn a_certificate_that_is_not_for_servers_or_is_an_authoritys_is_refused() {
    says(&refusal(listening("no-server.pem", false), trusting()).await, &["not meant for a server", "serverAuth"]);
    // What `openssl req -x509` makes if nothing else is said, trusted by itself.
    let itself = TlsOptions { ca: TrustedCa::Pem(Pem::file(path("authority.pem"))), ..TlsOptions::default() };
    says(&refusal(listening("authority.pem", false), itself).await, &["is an authority's", "CA:true"]);
}

#[tokio::test]
async fn versions_that_do_not_meet_are_named() {
    for (server, client, words) in [
        (ServerVersion::V1_2, TlsVersion::V1_3, "TLS 1.3 alone"),
        (ServerVersion::V1_3, TlsVersion::V1_2, "TLS 1.2 alone"),
    ] {
        let error = refusal(listening("server.pem", false).tls_versions(&[server]), only(client)).await;
        says(&error, &["version of TLS", words, "ssl.enabled.protocols"]);
    }
}

#[tokio::test]
async fn a_broker_that_misses_a_client_certificate_is_heard_in_both_versions() {
    for version in [ServerVersion::V1_2, ServerVersion::V1_3] {
        // In TLS 1.3 the refusal races with our first question; each order has to give the reason.
        for _ in 0..20 {
            let error = refusal(listening("server.pem", true).tls_versions(&[version]), trusting()).await;
            says(&error, &["wants a client certificate, and none is set"]);
        }
    }
}

#[tokio::test]
async fn a_broker_that_refuses_a_client_certificate_is_heard_in_both_versions() {
    for version in [ServerVersion::V1_2, ServerVersion::V1_3] {
        for certificate in ["client-expired.pem", "client-other-ca.pem"] {
            let tls = showing(certificate, "client-p256.key");
            let error = refusal(listening("server.pem", true).tls_versions(&[version]), tls).await;
            says(&error, &["refused this client's certificate"]);
        }
    }
}

#[tokio::test]
async fn a_port_without_tls_and_a_port_with_it_are_told_apart() {
    let plain = DevBroker::builder().listen("localhost:0").start().await.unwrap();
    let error = connect(&plain, trusting()).await.unwrap_err();
    assert!(error.to_string().contains("a listener without TLS closes like this"), "{error}");
    let broker = listening("server.pem", false).start().await.unwrap();
    let error = client(broker.bootstrap()).connect().await.unwrap_err();
    says(&error, &["speaks TLS on this port, and TLS is off"]);
}

/// A server that answers whatever comes with these bytes and closes.
async fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut hello = [0; 4096];
            let _ = socket.read(&mut hello).await;
            let _ = socket.write_all(bytes).await;
            // Not a reset: what was sent has to arrive.
            let _ = tokio::time::timeout(Duration::from_millis(50), socket.read(&mut hello)).await;
        }
    });
    address
}

#[tokio::test]
async fn each_last_word_of_a_server_has_its_own_meaning() {
    for (alert, tls, words) in [
        (&[0x15, 3, 3, 0, 2, 2, 40][..], trusting(), "no cipher, curve or signature in common (HandshakeFailure)"),
        (&[0x15, 3, 3, 0, 2, 2, 71], trusting(), "no cipher, curve or signature in common (InsufficientSecurity)"),
        (&[0x15, 3, 3, 0, 2, 2, 70], trusting(), "TLS 1.2 to TLS 1.3"),
        (&[0x15, 3, 3, 0, 2, 2, 112], trusting(), "no certificate for the name"),
        (&[0x15, 3, 3, 0, 2, 2, 42], trusting(), "wants a client certificate, and none is set"),
        (&[0x15, 3, 3, 0, 2, 2, 46], showing("client-p256.pem", "client-p256.key"), "(CertificateUnknown)"),
        (&[0x15, 3, 3, 0, 2, 2, 80], trusting(), "broke off the TLS connection (InternalError)"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", trusting(), "is no TLS"),
        (b"\x00\x00\x00\x0a\x00\x00\x00\x00\x00\x23\x00\x00\x00\x00", trusting(), "is no TLS"),
    ] {
        let server = answering(alert).await;
        says(&client(vec![server]).tls(tls).connect().await.unwrap_err(), &[words]);
    }
}

#[tokio::test]
async fn a_server_that_never_answers_the_hello_is_a_timeout_in_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let quick = client(vec![server]).connect_timeout(Duration::from_millis(200)).api_timeout(Duration::from_secs(2));
    let error = quick.tls(trusting()).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("in the TLS handshake"), "{error}");
}

#[tokio::test]
async fn verification_is_off_only_where_the_option_says_so() {
    for certificate in ["expired.pem", "other-name.pem", "other-ca-server.pem"] {
        let broker = listening(certificate, false).start().await.unwrap();
        assert!(connect(&broker, trusting()).await.is_err(), "{certificate}");
        let blind = TlsOptions { insecure_skip_verification: true, ..TlsOptions::default() };
        connect(&broker, blind).await.unwrap();
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_on_the_next_connection() {
    let directory = tempfile::tempdir().unwrap();
    let files = [("client-p256.pem", "shown.pem"), ("client-p256.key", "shown.key"), ("ca.pem", "ca.pem")];
    let put = |name: &str, as_name: &str| std::fs::copy(path(name), directory.path().join(as_name)).unwrap();
    for (name, as_name) in files {
        put(name, as_name);
    }
    let pem = |name: &str| Pem::file(directory.path().join(name));
    let tls = TlsOptions {
        ca: TrustedCa::Pem(pem("ca.pem")),
        identity: Some(TlsIdentity::new(pem("shown.pem"), pem("shown.key"))),
        ..TlsOptions::default()
    };
    let broker = listening("server.pem", true).start().await.unwrap();
    let client = connect(&broker, tls).await.unwrap();
    let ask = async || {
        // Every connection is a new one.
        broker.kill_node(0).await.unwrap();
        broker.restart_node(0).await.unwrap();
        client.offsets(&[TopicPartition::new("orders", 0)], OffsetAt::Latest).await
    };
    broker.create_topic("orders", 1).unwrap();
    ask().await.unwrap();
    put("client-other-ca.pem", "shown.pem");
    says(&ask().await.unwrap_err(), &["refused this client's certificate"]);
    put("client-ed25519.pem", "shown.pem");
    says(&ask().await.unwrap_err(), &["refused this client's certificate"]);
    put("client-ed25519.key", "shown.key");
    ask().await.unwrap();
    put("other-ca.pem", "ca.pem");
    says(&ask().await.unwrap_err(), &["authority that is not trusted here"]);
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_said_before_anything_is_tried() {
    let mut wrong = showing("client-p256.pem", "client-rsa-encrypted.key");
    let error = client(vec!["localhost:1".to_owned()]).tls(wrong.clone()).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("is not the one of"), "{error}");
    let pem = Pem::file(path("client-rsa-encrypted.key"));
    wrong.identity = Some(TlsIdentity::new(Pem::file(path("client-rsa.pem")), pem).key_password("open-sesame"));
    let error = wrong.check(std::time::SystemTime::now()).unwrap_err();
    assert!(error.to_string().contains("password is wrong"), "{error}");
    assert!(!format!("{error} {error:?} {wrong:?}").contains("open-sesame"));
    assert!(showing("client-p256.pem", "client-p256.key").check(std::time::SystemTime::now()).unwrap().is_empty());
}
