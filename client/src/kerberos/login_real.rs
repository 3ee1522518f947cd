//! A clock that is wrong, with a real KDC and a real broker. Within the crate, since no user may set the client's clock.

use std::time::{Duration, SystemTime};

use ottla_brokers::{Certificates, Kafka, KafkaOptions, Kdc, Listener, Release};

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
