//! Logins with MIT's KDC that need more than the public options: a clock that is wrong, and tickets without a broker.

use std::time::{Duration, SystemTime};

use ottla_brokers::{Certificates, Kafka, KafkaOptions, Kdc, KdcOptions, KinitWith, Listener, Release};

use super::login::{KerberosLogin, KerberosOptions};
use crate::sasl::{Credentials, Kerberos};
use crate::{Client, Error};

fn right() -> SystemTime {
    SystemTime::now()
}

fn ahead() -> SystemTime {
    SystemTime::now() + Duration::from_mins(10)
}

fn behind() -> SystemTime {
    SystemTime::now() - Duration::from_mins(10)
}

async fn connect(kafka: &Kafka, options: KerberosOptions, clock: fn() -> SystemTime) -> Result<Client, Error> {
    let login = KerberosLogin::with_clock(&options, Duration::from_secs(20), clock).unwrap();
    let address = kafka.address_of(0, Listener::SaslPlaintext).unwrap();
    let builder = Client::builder().bootstrap([address]).connect_timeout(Duration::from_secs(20));
    builder.credentials(Credentials::Kerberos(Kerberos::with_login(options, login))).connect().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a real Kafka and MIT's KDC: run testdata/test"]
async fn a_clock_10_minutes_off_follows_the_kdcs_or_is_told_with_its_size() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("alice", "alice-secret").unwrap();
    kdc.add_principal_with("free", &["-pw", "alice-secret", "-requires_preauth"]).unwrap();
    let options = KafkaOptions::default().secured(&kdc, &Certificates::shared().unwrap()).unwrap();
    kdc.modify("kafka/localhost", &["-requires_preauth"]).unwrap();
    let kafka = Kafka::start_with(Release::from_env().unwrap(), options).unwrap();
    let strict = kdc.client_conf().libdefault("kdc_timesync", "0");
    let strict = strict.write(&kdc.directory().join("strict.conf")).unwrap();
    for name in ["alice", "free"] {
        let options = || KerberosOptions::password(name, "alice-secret").krb5_conf(kdc.krb5_conf());
        for clock in [right, ahead, behind] {
            connect(&kafka, options(), clock).await.unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        connect(&kafka, options().krb5_conf(&strict), right).await.unwrap();
        for clock in [ahead, behind] {
            let Err(error) = connect(&kafka, options().krb5_conf(&strict), clock).await else { panic!("{name}") };
            let message = error.to_string();
            println!("| clock skew | {message} |");
            assert!(["599 s", "600 s", "601 s"].iter().any(|size| message.contains(size)), "{message}");
            assert!(message.contains("set the clock"), "{message}");
        }
    }
}

/// For whom a host's ticket is.
async fn server(options: &KerberosOptions, host: &str) -> String {
    let login = KerberosLogin::new(options, Duration::from_secs(20)).unwrap();
    login.ticket_for(host).await.unwrap_or_else(|e| panic!("{host}: {e}")).ticket.server.to_string()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MIT's KDC: run testdata/test"]
async fn a_kdc_refers_to_the_realm_of_a_host_that_no_file_names() {
    let home = KdcOptions::default().realms(&["HOME.TEST"]).domain(".elsewhere.test", "AWAY.TEST");
    let home = Kdc::start_with(home).unwrap();
    let away = Kdc::start_with(KdcOptions::default().realms(&["AWAY.TEST"])).unwrap();
    home.add_principal("alice", "alice-secret").unwrap();
    away.add_random_principal("kafka/broker.elsewhere.test").unwrap();
    home.trust("HOME.TEST", &away, "AWAY.TEST").unwrap();
    let mut conf = home.client_conf();
    conf.domains.clear();
    let conf = conf.write(&home.directory().join("no-domains.conf")).unwrap();
    let options = KerberosOptions::password("alice", "alice-secret").krb5_conf(conf);
    assert_eq!(server(&options, "Broker.Elsewhere.TEST").await, "kafka/broker.elsewhere.test@AWAY.TEST");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MIT's KDC: run testdata/test"]
async fn a_realm_beyond_another_is_reached_by_capaths() {
    // Which way is taken is the client's to say here; the KDC would want its own [capaths].
    let options = KdcOptions::default().realms(&["ONE.TEST", "TWO.TEST", "THREE.TEST"]);
    let kdc = Kdc::start_with(options.setting("reject_bad_transit", "false")).unwrap();
    kdc.add_principal("alice@ONE.TEST", "alice-secret").unwrap();
    kdc.add_random_principal("kafka/far.test@THREE.TEST").unwrap();
    kdc.trust("ONE.TEST", &kdc, "TWO.TEST").unwrap();
    kdc.trust("TWO.TEST", &kdc, "THREE.TEST").unwrap();
    let text = std::fs::read_to_string(kdc.krb5_conf()).unwrap();
    let by_way_of_two = format!("{text}\n[capaths]\nONE.TEST = {{\nTHREE.TEST = TWO.TEST\n}}\n");
    let options = KerberosOptions::password("alice@ONE.TEST", "alice-secret").service_realm("THREE.TEST");
    assert_eq!(server(&options.krb5_conf_text(&by_way_of_two), "far.test").await, "kafka/far.test@THREE.TEST");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs MIT's KDC: run testdata/test; takes half a minute"]
async fn a_caches_ticket_is_renewed_in_memory_beyond_its_end() {
    let kdc = Kdc::start_with(KdcOptions::default()).unwrap();
    kdc.add_principal("alice", "alice-secret").unwrap();
    kdc.add_random_principal("kafka/broker.test").unwrap();
    let cache = kdc.kinit("alice", KinitWith::Password("alice-secret"), &["-l", "8s", "-r", "1h"]).unwrap();
    let options = KerberosOptions::credential_cache(cache.to_str()).krb5_conf(kdc.krb5_conf());
    let login = KerberosLogin::new(&options, Duration::from_secs(20)).unwrap();
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(26) {
        login.ticket_for("broker.test").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(kdc.log().contains("TGS_REQ") && !kdc.log().contains("TICKET EXPIRED"), "{}", kdc.log());
}
