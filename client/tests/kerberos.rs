//! Kerberos where it fails before the broker hears of it: options that are wrong, KDCs that are silent.

use std::net::{TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use ottla_client::{Client, ErrorKind, KerberosOptions};
use ottla_devbroker::DevBroker;

fn conf(kdc: &str) -> String {
    format!("[libdefaults]\ndefault_realm = R\ndns_canonicalize_hostname = false\n[realms]\nR = {{\nkdc = {kdc}\n}}\n")
}

#[tokio::test]
async fn a_silent_kdc_is_named_before_the_time_for_connecting_is_over() {
    let broker = DevBroker::builder().sasl_plain(&[("etl", "secret")]).start().await.unwrap();
    // It takes requests by UDP and connections, and never says a word.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let _udp = UdpSocket::bind(address).unwrap();
    let kerberos = KerberosOptions::password("alice", "hunter2").krb5_conf_text(&conf(&address.to_string()));
    let within = Duration::from_secs(3);
    let builder = Client::builder().bootstrap(broker.bootstrap()).sasl_kerberos(kerberos);
    let start = Instant::now();
    let connecting = builder.connect_timeout(within).request_timeout(within).api_timeout(within).connect();
    let Err(error) = connecting.await else { panic!("nobody gave a ticket") };
    assert!(start.elapsed() < within + Duration::from_secs(20), "{:?}", start.elapsed());
    let message = error.to_string();
    for part in ["no KDC of realm R answers", &format!("{address} by UDP"), &format!("{address} by TCP")] {
        assert!(message.contains(part), "{part:?} is missing in {message:?}");
    }
    assert!(error.is_retriable() && error.is_from_login() && error.kind() == ErrorKind::Connect, "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[tokio::test]
async fn what_is_wrong_with_the_options_is_told_with_all_else_before_anything_is_tried() {
    let kerberos = KerberosOptions::keytab("/nonexistent/etl.keytab").krb5_conf_text(&conf("localhost"));
    let builder = Client::builder().bootstrap(["no-port"]).sasl_kerberos(kerberos);
    let Err(error) = builder.connect().await else { panic!("no keytab is there") };
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = error.to_string();
    assert!(message.contains("no-port") && message.contains("/nonexistent/etl.keytab"), "{message}");
}
