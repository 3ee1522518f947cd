//! TLS against a real Kafka, of the release that `OTTLA_KAFKA` names: Java's side of what `tls.rs` tests against ours.

mod net_support;

use std::sync::Arc;
use std::time::Duration;

use net_support::builder;
use ottla_brokers::{Certificates, ClientKey, Kafka, KafkaOptions, Kdc, Listener, Release};
use ottla_client::{
    Acks, Client, Error, ErrorKind, NewTopic, OffsetAt, Outgoing, Pem, ProducerOptions, TlsIdentity, TlsOptions,
    TlsVersion, TopicPartition, TrustedCa,
};

struct Rig {
    kafka: Kafka,
    certificates: Arc<Certificates>,
    _kdc: Kdc,
}

impl Rig {
    /// A secured broker with this said on top.
    fn start(properties: &[(&str, &str)]) -> Self {
        let kdc = Kdc::start().unwrap();
        let certificates = Certificates::shared().unwrap();
        let mut options = KafkaOptions::default().secured(&kdc, &certificates).unwrap();
        for (name, value) in properties {
            options = options.property(name, value);
        }
        let kafka = Kafka::start_with(Release::from_env().unwrap(), options).unwrap();
        Self { kafka, certificates, _kdc: kdc }
    }

    fn trusting(&self) -> TlsOptions {
        TlsOptions { ca: TrustedCa::Pem(Pem::file(self.certificates.ca())), ..TlsOptions::default() }
    }

    fn only(&self, version: TlsVersion) -> TlsOptions {
        TlsOptions { min_version: version, max_version: version, ..self.trusting() }
    }

    fn showing(&self, key: ClientKey) -> TlsOptions {
        let client = self.certificates.client(key);
        let identity = TlsIdentity::new(Pem::file(client.certificate), Pem::file(client.key));
        let identity = match client.key_password {
            Some(password) => identity.key_password(password),
            None => identity,
        };
        TlsOptions { identity: Some(identity), ..self.trusting() }
    }

    fn address(&self, listener: Listener) -> String {
        self.kafka.address_of(0, listener).unwrap()
    }

    /// Those that the release has: brokers before 2.6 cannot do TLS 1.3 (KIP-573), and on a Java that can they hang in it.
    fn versions() -> &'static [(&'static str, TlsVersion)] {
        let all = &[("TLSv1.2", TlsVersion::V1_2), ("TLSv1.3", TlsVersion::V1_3)];
        if Release::from_env().unwrap().at_least(2, 6) { all } else { &all[..1] }
    }

    async fn connect(&self, listener: Listener, tls: TlsOptions) -> Result<Client, Error> {
        builder([self.address(listener)]).tls(tls).connect().await
    }

    async fn refusal(&self, listener: Listener, tls: TlsOptions) -> String {
        let error = self.connect(listener, tls).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tls, "{error}");
        error.to_string()
    }
}

/// Sends a value larger than a record of TLS and small ones, and finds them acknowledged.
async fn produce(client: &Client, topic: &str) {
    let new = NewTopic { name: topic.to_owned(), partitions: 1, replicas: 1 };
    let _ = client.create_topic(&new).await.unwrap();
    let producer = client.producer(ProducerOptions { acks: Acks::All, ..ProducerOptions::default() }).await.unwrap();
    let to = producer.topic(topic).await.unwrap();
    let large = vec![b'x'; 300_000];
    let mut sent = vec![to.send(Outgoing { value: Some(&large), ..Outgoing::default() }).await.unwrap()];
    for _ in 0..1000 {
        sent.push(to.send(Outgoing { value: Some(b"{}"), ..Outgoing::default() }).await.unwrap());
    }
    for delivery in sent {
        delivery.await.unwrap();
    }
    let partition = TopicPartition::new(topic, 0);
    let ends = client.offsets(std::slice::from_ref(&partition), OffsetAt::Latest).await.unwrap();
    assert_eq!(ends[&partition], 1001);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven) and openssl: run testdata/test"]
async fn tls_with_and_without_a_client_certificate_in_both_versions_on_a_real_broker() {
    let names: Vec<_> = Rig::versions().iter().map(|(name, _)| *name).collect();
    let rig = Rig::start(&[("ssl.enabled.protocols", &names.join(",")), ("ssl.protocol", "TLS")]);
    for (name, version) in Rig::versions() {
        let client = rig.connect(Listener::Ssl, rig.only(*version)).await.unwrap();
        produce(&client, name).await;
        let session = rig.only(*version).handshake(&rig.address(Listener::Ssl), Duration::from_secs(5)).await.unwrap();
        println!("{name}: {session}");
        assert_eq!(session.version(), *version);
    }
    for key in ClientKey::ALL {
        let client = rig.connect(Listener::Ssl, rig.showing(key)).await.unwrap();
        produce(&client, &format!("{key:?}")).await;
    }
    let login = builder([rig.address(Listener::SaslSsl)]).tls(rig.trusting()).sasl_plain("alice", "alice-secret");
    produce(&login.connect().await.unwrap(), "logged-in").await;
    refusals_of_the_client(&rig).await;
}

/// What the client has to find wrong with a broker.
async fn refusals_of_the_client(rig: &Rig) {
    for (listener, words) in [
        (Listener::SslExpired, "expired at 2020-01-31 00:00:00 UTC"),
        (Listener::SslOtherName, "is for elsewhere.test, not for localhost"),
        (Listener::SslOtherCa, "authority that is not trusted here"),
    ] {
        let said = rig.refusal(listener, rig.trusting()).await;
        assert!(said.contains(words), "{said}");
    }
    let error = rig.connect(Listener::Plaintext, rig.trusting()).await.unwrap_err();
    assert!(error.to_string().contains("a listener without TLS closes like this"), "{error}");
    let error = builder([rig.address(Listener::Ssl)]).connect().await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
    println!("TLS listener, client without TLS: {error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven) and openssl: run testdata/test"]
async fn a_real_broker_that_refuses_us_is_heard_in_both_versions() {
    for (protocol, ours) in Rig::versions() {
        let rig = Rig::start(&[
            ("ssl.client.auth", "required"),
            ("ssl.enabled.protocols", protocol),
            ("ssl.protocol", protocol),
        ]);
        rig.connect(Listener::Ssl, rig.showing(ClientKey::Pkcs8)).await.unwrap();
        let said = rig.refusal(Listener::Ssl, rig.trusting()).await;
        assert!(said.contains("wants a client certificate, and none is set"), "{protocol}: {said}");
        let other = if *ours == TlsVersion::V1_2 { TlsVersion::V1_3 } else { TlsVersion::V1_2 };
        let said = rig.refusal(Listener::Ssl, rig.only(other)).await;
        println!("{protocol} alone, client with {other} alone: {said}");
        assert!(said.contains("version of TLS"), "{protocol}: {said}");
        // A certificate of an authority of its own, which the broker has never heard of.
        let elsewhere = Certificates::make().unwrap();
        let strange = elsewhere.client(ClientKey::Sec1);
        let identity = TlsIdentity::new(Pem::file(&strange.certificate), Pem::file(&strange.key));
        let strange = TlsOptions { identity: Some(identity), ..rig.only(*ours) };
        let said = rig.refusal(Listener::Ssl, strange).await;
        assert!(said.contains("refused this client's certificate"), "{protocol}: {said}");
    }
}
