//! Kerberos with a real KDC and a real broker, of the release that `OTTLA_KAFKA` names (0.11 takes raw tokens).

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use ottla_brokers::{
    Certificates, Enctype, Kafka, KafkaOptions, Kdc, KdcOptions, KdcTransport, KinitWith, Listener, Release,
};
use ottla_client::{
    Client, ConsumerOptions, Error, ErrorKind, KerberosOptions, NewTopic, Outgoing, ProducerOptions, TopicPartition,
};

const SECRET: &str = "alice-secret";
/// Starting, logging in and two round trips, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

struct Rig {
    kdc: Kdc,
    kafka: Kafka,
}

/// One KDC and one broker for most tests of this file; guards end them with the process.
fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| Rig::start(KdcOptions::default()))
}

impl Rig {
    fn start(options: KdcOptions) -> Self {
        let kdc = Kdc::start_with(options).unwrap();
        kdc.add_principal("alice", SECRET).unwrap();
        let options = KafkaOptions::default().secured(&kdc, &Certificates::shared().unwrap()).unwrap();
        let kafka = Kafka::start_with(Release::from_env().unwrap(), options).unwrap();
        Self { kdc, kafka }
    }

    fn address(&self) -> String {
        self.kafka.address_of(0, Listener::SaslPlaintext).unwrap()
    }

    async fn connect(&self, options: KerberosOptions) -> Result<Client, Error> {
        connect(&self.address(), options).await
    }

    fn by_password(&self) -> KerberosOptions {
        KerberosOptions::password("alice", SECRET).krb5_conf(self.kdc.krb5_conf())
    }

    /// Sends and reads back ten records of a topic of this name.
    async fn round_trip(&self, options: KerberosOptions, topic: &str) {
        let client = self.connect(options).await.unwrap_or_else(|e| panic!("{topic}: {e}"));
        round_trip(&client, topic).await;
    }

    /// What the client says of a login that fails.
    async fn refused(&self, options: KerberosOptions) -> (ErrorKind, String) {
        let Err(error) = self.connect(options).await else { panic!("the login succeeds") };
        (error.kind(), error.to_string())
    }
}

async fn connect(address: &str, options: KerberosOptions) -> Result<Client, Error> {
    let builder = Client::builder().bootstrap([address]).sasl_kerberos(options);
    let connecting = builder.connect_timeout(Duration::from_secs(20)).api_timeout(Duration::from_secs(40)).connect();
    tokio::time::timeout(PATIENCE, connecting).await.expect("in time")
}

async fn round_trip(client: &Client, topic: &str) {
    client.create_topic(&NewTopic { name: topic.to_owned(), partitions: 1, replicas: 1 }).await.unwrap();
    let producer = client.producer(ProducerOptions::default()).await.unwrap();
    let sending = producer.topic(topic).await.unwrap();
    for number in 0..10 {
        let value = number.to_string();
        let record = Outgoing { value: Some(value.as_bytes()), ..Outgoing::default() };
        sending.send(record).await.unwrap().await.unwrap();
    }
    assert_eq!(read(client, topic, 0, 10).await, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// The values of partition 0 from an offset on, as many as there are.
async fn read(client: &Client, topic: &str, from: i64, count: usize) -> Vec<String> {
    let mut consumer = client.consumer(ConsumerOptions::default()).unwrap();
    consumer.assign(&[(TopicPartition::new(topic, 0), from)]).await.unwrap();
    let mut values = Vec::new();
    while values.len() < count {
        let fetched = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("in time").unwrap();
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
        values.extend(fetched.iter().map(|record| text(record.unwrap().value.unwrap())));
    }
    values
}

fn conf_of(kdc: &Kdc, name: &str, change: impl FnOnce(ottla_brokers::Krb5Conf) -> ottla_brokers::Krb5Conf) -> String {
    let path = change(kdc.client_conf()).write(&kdc.directory().join(name)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn a_keytab_a_password_and_a_credential_cache_let_in_and_records_go_both_ways() {
    let rig = rig();
    let conf = rig.kdc.krb5_conf();
    let keytab = rig.kdc.keytab("alice.keytab", &["alice"]).unwrap();
    rig.round_trip(rig.by_password(), "by-password").await;
    rig.round_trip(KerberosOptions::keytab(&keytab).krb5_conf(&conf), "by-keytab").await;
    let bytes = KerberosOptions::keytab_bytes(&std::fs::read(&keytab).unwrap()).principal("alice");
    let inline = bytes.krb5_conf_text(&std::fs::read_to_string(&conf).unwrap());
    rig.round_trip(inline, "by-bytes").await;
    let cache = rig.kdc.kinit("alice", KinitWith::Password(SECRET), &[]).unwrap();
    rig.round_trip(KerberosOptions::credential_cache(Some(text(&cache))).krb5_conf(&conf), "by-cache").await;
    let named = format!("FILE:{}", text(&cache));
    let owner = KerberosOptions::credential_cache(Some(&named)).principal("alice@TEST.LOCAL").krb5_conf(&conf);
    rig.round_trip(owner, "by-named-cache").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn principals_with_an_old_salt_with_no_proof_and_with_two_parts_log_in() {
    let rig = rig();
    let conf = rig.kdc.krb5_conf();
    rig.kdc.add_principal("before", SECRET).unwrap();
    rig.kdc.rename("before", "after").unwrap();
    rig.kdc.add_principal_with("free", &["-pw", SECRET, "-requires_preauth"]).unwrap();
    // A service made with +preauth takes no tickets of clients without (60); the broker's is such a one.
    rig.kdc.modify("kafka/localhost", &["-requires_preauth"]).unwrap();
    rig.kdc.add_principal("etl/host.example.com", "п\u{e4}ss w\u{f6}rd").unwrap();
    for (name, password) in [("after", SECRET), ("free", SECRET), ("etl/host.example.com", "п\u{e4}ss w\u{f6}rd")] {
        let client = rig.connect(KerberosOptions::password(name, password).krb5_conf(&conf)).await;
        client.unwrap_or_else(|e| panic!("{name}: {e}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn each_enctype_alone_lets_in() {
    // Java's acceptors have RFC 8009 from Java 11 on; the tests' is 17.
    for enctype in Enctype::AES.into_iter().chain([Enctype::Rc4]) {
        let rig = Rig::start(KdcOptions::default().enctypes(&[enctype]));
        let conf = conf_of(&rig.kdc, "one.conf", |conf| {
            let allow = if enctype == Enctype::Rc4 { "true" } else { "false" };
            conf.libdefault("permitted_enctypes", enctype.name()).libdefault("allow_rc4", allow)
        });
        let keytab = rig.kdc.keytab("alice.keytab", &["alice"]).unwrap();
        for options in [KerberosOptions::password("alice", SECRET), KerberosOptions::keytab(&keytab)] {
            let client = rig.connect(options.krb5_conf(&conf)).await;
            client.unwrap_or_else(|e| panic!("{enctype:?}: {e}"));
        }
        assert!(rig.kdc.log().contains(enctype.name()), "{enctype:?}: {}", rig.kdc.log());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn a_kdc_by_udp_alone_by_tcp_alone_and_beside_a_dead_one_serves() {
    for transport in [KdcTransport::Udp, KdcTransport::Tcp] {
        let rig = Rig::start(KdcOptions::default().transport(transport));
        rig.connect(rig.by_password()).await.unwrap_or_else(|e| panic!("{transport:?}: {e}"));
    }
    let rig = rig();
    let dead = format!("127.0.0.1:{}", ottla_brokers::free_port().unwrap());
    let conf = conf_of(&rig.kdc, "dead.conf", |mut conf| {
        conf.realms[0].1.insert(0, dead.clone());
        conf
    });
    rig.connect(KerberosOptions::password("alice", SECRET).krb5_conf(&conf)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn a_client_of_a_realm_that_is_trusted_gets_in() {
    let rig = Rig::start(KdcOptions::default());
    let other = Kdc::start_with(KdcOptions::default().realms(&["OTHER.LOCAL"])).unwrap();
    other.add_principal("bob", "bob-secret").unwrap();
    other.trust("OTHER.LOCAL", &rig.kdc, "TEST.LOCAL").unwrap();
    let options = || KerberosOptions::password("bob@OTHER.LOCAL", "bob-secret").krb5_conf(other.krb5_conf());
    rig.connect(options().service_realm("TEST.LOCAL")).await.unwrap();
    let mapped = conf_of(&other, "mapped.conf", |mut conf| {
        conf.domains = vec![("localhost".to_owned(), "TEST.LOCAL".to_owned())];
        conf
    });
    rig.connect(options().krb5_conf(&mapped)).await.unwrap();
    // Without the trust's other half there is no way.
    let unknown = rig.refused(options().service_realm("NOWHERE.LOCAL")).await;
    assert!(unknown.1.contains("krbtgt/NOWHERE.LOCAL@OTHER.LOCAL"), "{}", unknown.1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test; /etc/hosts has to call 127.0.0.1 localhost"]
async fn a_broker_that_is_called_by_its_address_is_met_by_the_name_of_the_address() {
    let rig = rig();
    let address = rig.address().replace("localhost", "127.0.0.1");
    let by_password = |name: &str, settings: &[(&str, &str)]| {
        let conf = conf_of(&rig.kdc, name, |mut conf| {
            conf.libdefaults.retain(|(name, _)| !["rdns", "dns_canonicalize_hostname"].contains(&&**name));
            settings.iter().fold(conf, |conf, (name, value)| conf.libdefault(name, value))
        });
        KerberosOptions::password("alice", SECRET).krb5_conf(conf)
    };
    let defaults = connect(&address, by_password("names.conf", &[])).await;
    round_trip(&defaults.unwrap(), "by-address").await;
    let fallback = by_password("fallback.conf", &[("dns_canonicalize_hostname", "fallback")]);
    connect(&address, fallback).await.unwrap();
    assert!(rig.kdc.log().contains("kafka/127.0.0.1@TEST.LOCAL"), "it is asked for as it stands first");

    for (name, setting) in [("forward.conf", "rdns"), ("never.conf", "dns_canonicalize_hostname")] {
        let as_it_stands = by_password(name, &[(setting, "false")]);
        let Err(error) = connect(&address, as_it_stands.clone()).await else {
            panic!("{setting}: nobody is called so")
        };
        println!("| broker by its address, `{setting} = false` | {error} |");
        let message = error.to_string();
        assert!(message.contains("kafka/127.0.0.1@TEST.LOCAL") && message.contains("service_host"), "{message}");
        connect(&address, as_it_stands.service_host("localhost")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn many_connections_at_once_are_no_replays_and_ask_for_one_ticket() {
    let rig = rig();
    rig.kdc.add_principal("busy", SECRET).unwrap();
    let options = KerberosOptions::password("busy", SECRET).krb5_conf(rig.kdc.krb5_conf());
    // Clones share their tickets.
    let builder = Client::builder().bootstrap([rig.address()]).sasl_kerberos(options);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let connecting = builder.clone().connect_timeout(Duration::from_secs(30)).connect();
        tasks.spawn(async move { connecting.await.map(drop) });
    }
    for result in tasks.join_all().await {
        result.unwrap();
    }
    let log = rig.kdc.log();
    let issued = |kind: &str| {
        log.lines().filter(|line| line.contains(kind) && line.contains("ISSUE") && line.contains("busy@")).count()
    };
    assert_eq!((issued("AS_REQ"), issued("TGS_REQ")), (1, 1), "{log}");
}

/// Prints a line of the table in `docs/kerberos.md`, and wants these parts in it.
async fn failure(rig: &Rig, what: &str, options: KerberosOptions, kind: ErrorKind, parts: &[&str]) {
    let (got, message) = rig.refused(options).await;
    println!("| {what} | {message} |");
    assert_eq!(got, kind, "{what}: {message}");
    for part in parts {
        assert!(message.contains(part), "{what}: {part:?} is missing in {message:?}");
    }
    assert!(!message.contains(SECRET), "{what}: {message}");
}

/// Table of failures: what is provoked, and what the client has to say.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn each_failure_has_its_own_message() {
    let rig = rig();
    let (kdc, conf) = (&rig.kdc, rig.kdc.krb5_conf());
    let by_password = |name: &str, password: &str| KerberosOptions::password(name, password).krb5_conf(&conf);
    let check = async |what, options, kind, parts: &[&str]| failure(rig, what, options, kind, parts).await;
    let refused = ErrorKind::Authentication;

    check("wrong password", by_password("alice", "wrong"), refused, &["the password of alice@TEST.LOCAL", "is wrong"])
        .await;
    check("no such principal", by_password("nobody", SECRET), refused, &["(6)", "nobody@TEST.LOCAL", "spelling"]).await;
    let elsewhere = conf_of(kdc, "elsewhere.conf", |mut conf| {
        conf.realms.push(("ELSEWHERE.LOCAL".to_owned(), vec![kdc.address().to_owned()]));
        conf
    });
    let strange = KerberosOptions::password("alice@ELSEWHERE.LOCAL", SECRET).krb5_conf(&elsewhere);
    check("realm of another KDC", strange, refused, &["alice@ELSEWHERE.LOCAL", "the realm of the principal"]).await;
    let nowhere = by_password("alice@NOWHERE.LOCAL", SECRET);
    check("unknown realm", nowhere, ErrorKind::Connect, &["NOWHERE.LOCAL", "krb5.conf names no kdc"]).await;

    kdc.add_principal("locked", SECRET).unwrap();
    kdc.modify("locked", &["-allow_tix"]).unwrap();
    check("locked account", by_password("locked", SECRET), refused, &["(18)", "locked"]).await;
    kdc.add_principal("expired", SECRET).unwrap();
    kdc.modify("expired", &["-pwexpire", "yesterday"]).unwrap();
    check("expired password", by_password("expired", SECRET), refused, &["(23)", "password has expired"]).await;

    kdc.add_random_principal("stale").unwrap();
    let keytab = kdc.keytab("stale.keytab", &["stale"]).unwrap();
    kdc.change_key("stale").unwrap();
    let stale = KerberosOptions::keytab(&keytab).krb5_conf(&conf);
    check(
        "stale keytab",
        stale,
        refused,
        &["the keytab's aes256-cts-hmac-sha1-96 key of version 1", "make the keytab anew"],
    )
    .await;
    let missing = KerberosOptions::keytab(&keytab).principal("alice").krb5_conf(&conf);
    let has = "the keytab has no key of alice@TEST.LOCAL; it has stale@TEST.LOCAL (kvno 1";
    check("keytab of another", missing, ErrorKind::Config, &[has]).await;

    let other_service = by_password("alice", SECRET).service_name("http");
    check("service unknown", other_service, refused, &["(7)", "http/localhost@TEST.LOCAL", "host name"]).await;

    let dead = format!("127.0.0.1:{}", ottla_brokers::free_port().unwrap());
    let unreachable = conf_of(kdc, "unreachable.conf", |mut conf| {
        conf.realms[0].1 = vec![dead.clone()];
        conf
    });
    let unreachable = KerberosOptions::password("alice", SECRET).krb5_conf(&unreachable);
    check(
        "KDC unreachable",
        unreachable,
        ErrorKind::Connect,
        &["no KDC of realm TEST.LOCAL answers", &dead, "UDP", "TCP"],
    )
    .await;

    let ended = kdc.kinit("alice", KinitWith::Password(SECRET), &["-l", "1s"]).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = KerberosOptions::credential_cache(Some(text(&ended))).krb5_conf(&conf);
    check("ended cache", ended, ErrorKind::Config, &["ended at", "run kinit"]).await;
    let none = KerberosOptions::credential_cache(Some("/nonexistent/cc")).krb5_conf(&conf);
    check("no cache", none, ErrorKind::Config, &["/nonexistent/cc", "run kinit"]).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn a_broker_whose_keytab_is_stale_refuses_and_the_client_says_where_to_look() {
    let rig = Rig::start(KdcOptions::default());
    rig.connect(rig.by_password()).await.unwrap();
    rig.kdc.change_key("kafka/localhost").unwrap();
    let (kind, message) = rig.refused(rig.by_password()).await;
    println!("| stale keytab of the broker | {message} |");
    assert_eq!(kind, ErrorKind::Authentication, "{message}");
    assert!(message.contains("newest key of its principal"), "{message}");
}

/// The name of the broker's keytab.
fn service_keytab(kdc: &Kdc) -> String {
    let names =
        std::fs::read_dir(kdc.directory()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    names.into_iter().find(|name| name.starts_with("service-")).expect("the broker's keytab")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn a_broker_that_was_given_a_new_key_is_met_with_a_new_ticket() {
    let rig = Rig::start(KdcOptions::default());
    let client = rig.connect(rig.by_password()).await.unwrap();
    client.topics().await.unwrap();
    rig.kdc.change_key("kafka/localhost").unwrap();
    rig.kdc.keytab(&service_keytab(&rig.kdc), &["kafka/localhost"]).unwrap();
    rig.kafka.stop(0);
    rig.kafka.start_again(0).unwrap();
    // The ticket that it holds is refused; no call hears of that, since another is got for it.
    client.topics().await.unwrap();
    let issued = |line: &&str| line.contains("TGS_REQ") && line.contains("ISSUE");
    assert_eq!(rig.kdc.log().lines().filter(issued).count(), 2, "{}", rig.kdc.log());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MIT's KDC: run testdata/test"]
async fn a_kdc_whose_clock_is_off_is_named_with_the_skew_where_it_may_not_be_followed() {
    let rig = rig();
    let kdc = Kdc::start_with(KdcOptions::default().clock_offset_seconds(600)).unwrap();
    kdc.add_principal("alice", SECRET).unwrap();
    let conf = conf_of(&kdc, "strict.conf", |conf| conf.libdefault("kdc_timesync", "0"));
    let (kind, message) = rig.refused(KerberosOptions::password("alice", SECRET).krb5_conf(&conf)).await;
    println!("| clock skew | {message} |");
    assert_eq!(kind, ErrorKind::Authentication, "{message}");
    assert!(message.contains("the clocks differ by") && message.contains("set the clock"), "{message}");
}

/// The set-up lets Cyrus SASL and MIT's library in with the same tickets.
#[test]
#[ignore = "needs a real Kafka, MIT's KDC and kcat: run testdata/test"]
fn kcat_gets_in_on_the_same_listener() {
    let rig = rig();
    let cache = rig.kdc.kinit("alice", KinitWith::Password(SECRET), &[]).unwrap();
    let mut command = std::process::Command::new("kcat");
    command.args(["-b", &rig.address(), "-L", "-m", "10", "-X", "security.protocol=sasl_plaintext"]);
    command.args(["-X", "sasl.mechanism=GSSAPI", "-X", "sasl.kerberos.kinit.cmd=true"]);
    command.envs(rig.kdc.environment(Some(&cache)));
    ottla_brokers::run(&mut command, &[], PATIENCE).unwrap().success().unwrap();
}
