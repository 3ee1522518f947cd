//! Every login on both kinds of socket, against a real Kafka of the release that `OTTLA_KAFKA` names and a real MIT KDC: what
//! goes in comes out.

mod producer_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla_brokers::{Certificates, Kafka, KafkaOptions, Kdc, KdcOptions, Listener, Release};
use ottla_client::{
    Client, ClientBuilder, ConsumerOptions, KerberosOptions, Pem, ProducerOptions, ScramHash, TlsOptions,
    TopicPartition, TrustedCa,
};

use producer_support::{numbers, offsets, quick, send_numbers, to, within};

const USER: &str = "alice";
const PASSWORD: &str = "alice-secret";

struct Rig {
    kafka: Kafka,
    kdc: Kdc,
    certificates: Arc<Certificates>,
}

impl Rig {
    fn start(kdc: KdcOptions, adjust: impl Fn(KafkaOptions) -> KafkaOptions) -> Self {
        let kdc = Kdc::start_with(kdc).unwrap();
        kdc.add_principal(USER, PASSWORD).unwrap();
        let certificates = Certificates::shared().unwrap();
        let options = adjust(KafkaOptions::default().secured(&kdc, &certificates).unwrap());
        let kafka = Kafka::start_with(Release::from_env().unwrap(), options).unwrap();
        Self { kafka, kdc, certificates }
    }

    fn kerberos(&self) -> KerberosOptions {
        KerberosOptions::password(USER, PASSWORD).krb5_conf(self.kdc.krb5_conf())
    }

    /// The way to a listener, without a login yet.
    fn to(&self, listener: Listener) -> ClientBuilder {
        let builder = Client::builder().bootstrap([self.kafka.address_of(0, listener).unwrap()]);
        match listener {
            Listener::SaslSsl => {
                let ca = TrustedCa::Pem(Pem::file(self.certificates.ca()));
                builder.tls(TlsOptions { ca, ..TlsOptions::default() })
            }
            _ => builder,
        }
    }

    fn logged_in(&self, builder: ClientBuilder, mechanism: &str) -> ClientBuilder {
        match mechanism {
            "PLAIN" => builder.sasl_plain(USER, PASSWORD),
            "SCRAM-SHA-256" => builder.sasl_scram(ScramHash::Sha256, USER, PASSWORD),
            "SCRAM-SHA-512" => builder.sasl_scram(ScramHash::Sha512, USER, PASSWORD),
            "GSSAPI" => builder.sasl_kerberos(self.kerberos()),
            other => unreachable!("{other}"),
        }
    }
}

async fn read(client: &Client, topic: &str, count: usize) -> Vec<String> {
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    within(consumer.assign(&[(TopicPartition::new(topic, 0), 0)])).await.unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let fetched = within(consumer.next()).await.unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        values.extend(fetched.iter().map(|record| text(record.unwrap().value.unwrap())));
    }
    values
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and KDC (Java, Maven, krb5-kdc, openssl): run testdata/test"]
async fn every_mechanism_over_both_sockets_carries_records() {
    let rig = Rig::start(KdcOptions::default(), |options| options);
    let admin = rig.kafka.admin().unwrap();
    let mut logins = 0;
    for listener in [Listener::SaslPlaintext, Listener::SaslSsl] {
        for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI"] {
            let name = format!("{listener:?}-{mechanism}");
            admin.create_topic(&name, 1, 1).unwrap();
            let client = within(rig.logged_in(rig.to(listener), mechanism).connect()).await;
            let client = client.unwrap_or_else(|e| panic!("{name}: {e}"));
            let producer = within(client.producer(quick())).await.unwrap();
            let topic = within(producer.topic(&name)).await.unwrap();
            assert_eq!(offsets(send_numbers(&topic, 0, 0..200).await).await, (0..200).collect::<Vec<_>>(), "{name}");
            assert_eq!(read(&client, &name, 200).await, numbers(0..200), "{name}");
            logins += 1;
        }
    }
    println!("Kafka {}: {logins} logins", rig.kafka.release());
}

/// How long [`logins_that_end_all_the_time_lose_nothing`] goes on.
fn duration() -> Duration {
    let seconds = std::env::var("OTTLA_LOGIN_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(40))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and KDC (Java, Maven, krb5-kdc, openssl): run testdata/test"]
async fn logins_that_end_all_the_time_lose_nothing() {
    let tickets = KdcOptions::default().max_life(Duration::from_secs(30));
    let rig = Rig::start(tickets, |options| options.max_reauth(Duration::from_secs(10)));
    rig.kafka.admin().unwrap().create_topic("lasting", 1, 1).unwrap();
    let client = within(rig.logged_in(rig.to(Listener::SaslPlaintext), "GSSAPI").connect()).await.unwrap();
    let producer = within(client.producer(ProducerOptions { ..quick() })).await.unwrap();
    let topic = within(producer.topic("lasting")).await.unwrap();
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    within(consumer.assign(&[(TopicPartition::new("lasting", 0), 0)])).await.unwrap();

    let until = Instant::now() + duration();
    let (mut sent, mut read) = (0, Vec::new());
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    while Instant::now() < until {
        pace.tick().await;
        let delivery = within(topic.send(to(0, sent.to_string().as_bytes()))).await.unwrap();
        assert_eq!(within(delivery).await.unwrap().offset, Some(sent), "every record is acknowledged, in its place");
        sent += 1;
        while read.len() < usize::try_from(sent).unwrap() {
            let fetched = within(consumer.next()).await.unwrap();
            read.extend(
                fetched.iter().map(|record| String::from_utf8(record.unwrap().value.unwrap().to_vec()).unwrap()),
            );
        }
    }
    assert_eq!(read, numbers(0..read.len()));
    // Connections of releases that renew logins make a new context each time; the others keep theirs.
    let asked = rig.kdc.log().lines().filter(|line| line.contains("AS_REQ") && line.contains("ISSUE")).count();
    let seconds = usize::try_from(duration().as_secs()).unwrap();
    let renews = Release::from_env().unwrap().at_least(2, 2);
    let at_least = if renews { seconds / 30 + 1 } else { 1 };
    assert!((at_least..=seconds / 20 + 2).contains(&asked), "{asked} tickets in {seconds} s");
    println!("{sent} records in {:?}, tickets of 30 s, logins of 10 s, no error", duration());
}
