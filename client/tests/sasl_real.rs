//! Logins on a real Kafka, of the release that `OTTLA_KAFKA` names.

mod net_support;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use net_support::unsecured;
use ottla_brokers::{Certificates, Error, Kafka, KafkaOptions, Kdc, Listener, Release, skipped};
use ottla_client::{
    BearerToken, Client, ClientBuilder, ConsumerOptions, ErrorKind, OauthBearer, Outgoing, Pem, ProducerOptions,
    ScramHash, TlsOptions, TokenFuture, TokenProvider, TopicPartition, TrustedCa,
};

const USER: &str = "alice";
const PASSWORD: &str = "alice-secret";
/// How long a login lasts, where the release has such a thing.
const LIFE: Duration = Duration::from_secs(4);

struct Rig {
    _kdc: Kdc,
    certificates: Arc<Certificates>,
    kafka: Kafka,
}

/// One broker for all tests of this file.
fn rig() -> &'static Rig {
    static RIG: OnceLock<Result<Rig, String>> = OnceLock::new();
    let rig = RIG.get_or_init(|| set_up().map_err(|error| error.to_string()));
    rig.as_ref().unwrap_or_else(|reason| panic!("no secured broker: {reason}"))
}

fn set_up() -> Result<Rig, Error> {
    let (kdc, certificates, release) = (Kdc::start()?, Certificates::shared()?, Release::from_env()?);
    let options = KafkaOptions::default().secured(&kdc, &certificates)?;
    let options = if release.at_least(2, 2) { options.max_reauth(LIFE) } else { options };
    let options = if release.at_least(1, 1) { options.delegation_tokens(&release) } else { options };
    let kafka = Kafka::start_with(release, options)?;
    Ok(Rig { _kdc: kdc, certificates, kafka })
}

impl Rig {
    fn builder(&self, listener: Listener) -> ClientBuilder {
        let builder = Client::builder().bootstrap([self.kafka.address_of(0, listener).unwrap()]);
        if listener != Listener::SaslSsl {
            return builder;
        }
        let ca = TrustedCa::Pem(Pem::file(self.certificates.ca()));
        builder.tls(TlsOptions { ca, ..TlsOptions::default() })
    }
}

/// Every mechanism with a user and a password.
fn mechanisms() -> [fn(ClientBuilder, &str) -> ClientBuilder; 3] {
    [
        |builder, password| builder.sasl_plain(USER, password),
        |builder, password| builder.sasl_scram(ScramHash::Sha256, USER, password),
        |builder, password| builder.sasl_scram(ScramHash::Sha512, USER, password),
    ]
}

struct Unsecured;

impl TokenProvider for Unsecured {
    fn token(&self) -> TokenFuture<'_> {
        Box::pin(async { Ok(BearerToken::new(&unsecured(USER, Duration::from_mins(10)))?) })
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven), MIT's KDC and openssl: run testdata/test"]
async fn plain_and_scram_log_in_to_a_real_broker_with_the_right_password_and_no_other() {
    for listener in [Listener::SaslPlaintext, Listener::SaslSsl] {
        for with in mechanisms() {
            let client = with(rig().builder(listener), PASSWORD).connect().await.unwrap();
            assert_eq!(client.brokers().len(), 1);
            client.topics().await.unwrap();
            let error = with(rig().builder(listener), "wrong-one").connect().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
            assert!(!error.to_string().contains("wrong-one"), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven), MIT's KDC and openssl: run testdata/test"]
async fn a_real_broker_names_the_mechanisms_it_has() {
    let tokens = OauthBearer::provider(Unsecured);
    let error = rig().builder(Listener::SaslPlaintext).sasl_oauthbearer(tokens).connect().await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{text}");
    assert!(
        ["asked for OAUTHBEARER", "PLAIN", "SCRAM-SHA-256", "GSSAPI"].iter().all(|part| text.contains(part)),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven), MIT's KDC and openssl: run testdata/test"]
async fn an_unsecured_token_logs_in_to_a_real_broker_and_an_expired_one_is_told_as_such() {
    let release = Release::from_env().unwrap();
    if !release.at_least(2, 0) {
        let test = "an_unsecured_token_logs_in_to_a_real_broker_and_an_expired_one_is_told_as_such";
        return skipped(test, &release, "it has no OAUTHBEARER (KIP-255)");
    }
    let tokens = OauthBearer::provider(Unsecured).extension("traceId", "7");
    let client = rig().builder(Listener::Oauth).sasl_oauthbearer(tokens).connect().await.unwrap();
    client.topics().await.unwrap();
    let directory = std::env::temp_dir().join(format!("ottla-real-token-{}", std::process::id()));
    std::fs::write(&directory, "not.a-web.token").unwrap();
    let tokens = OauthBearer::file(&directory);
    let error = rig().builder(Listener::Oauth).sasl_oauthbearer(tokens).connect().await.unwrap_err();
    std::fs::remove_file(&directory).unwrap();
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    assert!(error.to_string().contains("invalid_token"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven), MIT's KDC and openssl: run testdata/test"]
async fn a_delegation_token_logs_in_to_a_real_broker_by_its_hmac_and_no_other() {
    let release = Release::from_env().unwrap();
    if !release.at_least(1, 1) {
        let test = "a_delegation_token_logs_in_to_a_real_broker_by_its_hmac_and_no_other";
        return skipped(test, &release, "it has no delegation tokens (KIP-48)");
    }
    let (kafka, module) = (&rig().kafka, "org.apache.kafka.common.security.scram.ScramLoginModule");
    let owner = format!(
        "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=SCRAM-SHA-256\n\
         sasl.jaas.config={module} required username=\"{USER}\" password=\"{PASSWORD}\";\n"
    );
    let address = kafka.address_of(0, Listener::SaslPlaintext).unwrap();
    let (id, hmac) = kafka.create_delegation_token(&address, &owner).unwrap();
    let wrong = hmac.chars().rev().collect::<String>();
    // Brokers hear of a token a moment after the one that made it.
    let deadline = Instant::now() + Duration::from_secs(30);
    let first =
        || rig().builder(Listener::SaslPlaintext).sasl_delegation_token(ScramHash::Sha256, &id, &hmac).connect();
    while let Err(error) = first().await {
        assert!(Instant::now() < deadline, "{error}");
    }
    for (listener, hash) in [(Listener::SaslPlaintext, ScramHash::Sha256), (Listener::SaslSsl, ScramHash::Sha512)] {
        let with = |hmac: &str| rig().builder(listener).sasl_delegation_token(hash, &id, hmac);
        with(&hmac).connect().await.unwrap().topics().await.unwrap();
        let error = with(&wrong).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert!(!error.to_string().contains(&wrong), "{error}");
        // The same name and secret as a user's, without saying that they are a token's.
        let error = rig().builder(listener).sasl_scram(hash, &id, &hmac).connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    }
}

/// The local ports of this process's established connections to a port, from the kernel.
fn connections_to(port: u16) -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    let columns = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let ours = columns.filter(|c| c.get(3) == Some(&"01") && c[2].ends_with(&format!(":{port:04X}")));
    ours.map(|c| c[1].to_owned()).collect()
}

/// Produces and consumes, in order and without an error, until the connections that there are have lasted through so many
/// lives of a login. A machine that stands still for half a life may cost connections; then it counts anew.
async fn work_through(client: &Client, name: &str, port: u16, lives: u32) -> u64 {
    let producer = client.producer(ProducerOptions::default()).await.unwrap();
    let topic = producer.topic(name).await.unwrap();
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(&[(TopicPartition::new(name, 0), 0)]).await.unwrap();
    let (mut sent, mut read) = (0_u64, 0_u64);
    let (start, mut since, mut before, mut turns) = (Instant::now(), Instant::now(), BTreeSet::new(), 0);
    while since.elapsed() < lives * LIFE {
        for _ in 0..10 {
            let value = sent.to_string();
            let record = Outgoing { value: Some(value.as_bytes()), ..Outgoing::default() };
            topic.send(record).await.unwrap().await.unwrap();
            sent += 1;
        }
        while read < sent {
            for record in &consumer.next().await.unwrap() {
                let value = record.unwrap().value.unwrap().to_vec();
                assert_eq!(String::from_utf8(value).unwrap(), read.to_string(), "in order and once");
                read += 1;
            }
        }
        let now = connections_to(port);
        if before.len() < 2 || !before.is_subset(&now) {
            assert!(start.elapsed() < 20 * lives * LIFE, "connections are replaced all the time: {before:?}, {now:?}");
            turns += i32::from(before.len() >= 2);
            (since, before) = (Instant::now(), now);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    println!("{name}: {sent} records, connections were replaced {turns} times");
    sent
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka (Java, Maven), MIT's KDC and openssl: run testdata/test"]
async fn logins_of_a_few_seconds_are_renewed_on_a_real_broker_while_records_go_in_and_out() {
    let release = Release::from_env().unwrap();
    if !release.at_least(2, 2) {
        let test = "logins_of_a_few_seconds_are_renewed_on_a_real_broker_while_records_go_in_and_out";
        return skipped(test, &release, "its logins do not end (KIP-368)");
    }
    let admin = rig().kafka.admin().unwrap();
    for (name, listener) in
        [("scram", Listener::SaslPlaintext), ("scram-tls", Listener::SaslSsl), ("bearer", Listener::Oauth)]
    {
        admin.create_topic(name, 1, 1).unwrap();
        let builder = rig().builder(listener);
        let builder = match listener {
            Listener::Oauth => builder.sasl_oauthbearer(OauthBearer::provider(Unsecured)),
            _ => builder.sasl_scram(ScramHash::Sha512, USER, PASSWORD),
        };
        let client = builder.connect().await.unwrap();
        let address = rig().kafka.address_of(0, listener).unwrap();
        let port = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let sent = work_through(&client, name, port, 3).await;
        assert!(sent > 0, "{sent}");
    }
}
