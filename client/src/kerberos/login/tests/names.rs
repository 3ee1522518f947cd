//! What a broker is called when its ticket is asked for.

use super::super::super::dns::ResolvConf;
use super::*;

/// A login in whose file of hosts every name of the second is one of the first.
fn with_names(options: &KerberosOptions, hosts: &str) -> (Arc<KerberosLogin>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hosts");
    std::fs::write(&path, hosts).unwrap();
    // No server: names that are not in the file are asked of nobody.
    let resolv_conf = ResolvConf { servers: Vec::new(), ..ResolvConf::default() };
    let service = NameService { hosts: path, resolv_conf };
    let login = KerberosLogin::with(options, Duration::from_secs(5), SystemTime::now, service).unwrap();
    (login, directory)
}

#[tokio::test]
async fn a_brokers_principal_has_the_canonical_name_of_its_host_and_that_ones_realm() {
    let kdc = Kdc::start().await;
    kdc.world().realm("R").services.push("krbtgt/S".to_owned());
    kdc.world().realm("S").services.push("kafka/rack.s.test".to_owned());
    let settings =
        format!("[domain_realm]\n.s.test = S\n.r.test = NOWHERE\n[realms]\nS = {{\nkdc = {}\n}}", kdc.address);
    let options = kdc.options_with(KerberosOptions::password("alice", "secret"), &settings);
    let (login, _directory) = with_names(&options, "127.0.0.1 rack.s.test a.r.test b.r.test\n");
    let ticket = login.ticket_for("a.r.test").await.unwrap();
    assert_eq!(ticket.ticket.server.to_string(), "kafka/rack.s.test@S");
    assert_eq!(kdc.asked()[2..], ["TGS krbtgt/S@R", "TGS kafka/rack.s.test@S"]);
    login.ticket_for("b.r.test").await.unwrap();
    login.ticket_for("127.0.0.1").await.unwrap();
    assert!(kdc.asked().is_empty(), "one ticket for one principal");
}

#[tokio::test]
async fn as_a_fallback_the_kdc_is_asked_for_the_name_as_it_stands_first_and_once() {
    let kdc = Kdc::start().await;
    let settings =
        "dns_canonicalize_hostname = fallback\nqualify_shortname = \"\"\n[domain_realm]\nlost.test = NOWHERE\n";
    let options = kdc.options_with(KerberosOptions::password("alice", "secret"), settings);
    let hosts = "127.0.0.1 broker balancer.test lost.test\n127.0.0.2 nobody.test broker.test\n";
    let (login, _directory) = with_names(&options, hosts);
    for _ in 0..3 {
        login.ticket_for("balancer.test").await.unwrap();
    }
    assert_eq!(kdc.asked()[2..], ["TGS kafka/balancer.test@R", "TGS kafka/broker@R"]);
    login.ticket_for("lost.test").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS krbtgt/NOWHERE@R", "TGS kafka/broker@R"], "each name has its own realm");
    kdc.world().realm("R").services.push("kafka/broker.test".to_owned());
    login.ticket_for("broker.test").await.unwrap();
    assert_eq!(kdc.asked(), ["TGS kafka/broker.test@R"], "it is known as it stands");
    let error = login.ticket_for("unknown.test").await.unwrap_err();
    assert_eq!(error.code(), Some(KrbErrorCode::S_PRINCIPAL_UNKNOWN));
    assert_eq!(kdc.asked(), ["TGS kafka/unknown.test@R"]);
    kdc.world().realm("R").tgs_refuses = Some((12, 9));
    login.ticket_for("nobody.test").await.unwrap_err();
    assert!(
        kdc.asked().iter().all(|asked| asked == "TGS kafka/nobody.test@R"),
        "another refusal is no question of names"
    );
}

#[tokio::test]
async fn one_host_can_stand_for_all_brokers_whatever_they_are_called() {
    let kdc = Kdc::start().await;
    for canonicalize in ["true", "fallback", "false"] {
        let settings = format!("dns_canonicalize_hostname = {canonicalize}\nqualify_shortname = x.test");
        let options = kdc.options_with(KerberosOptions::password("alice", "secret"), &settings).service_host("Broker");
        let (login, _directory) = with_names(&options, "127.0.0.1 rack.test broker a.test\n");
        for host in ["a.test", "b.test", "127.0.0.1"] {
            login.ticket_for(host).await.unwrap();
        }
        assert_eq!(kdc.asked(), WALK_IN, "{canonicalize}");
        let (login, _directory) = with_names(&options.service_host("rack"), "127.0.0.1 broker rack a.test\n");
        login.ticket_for("a.test").await.unwrap_err();
        assert_eq!(kdc.asked()[2..], ["TGS kafka/rack@R"], "{canonicalize}");
    }
}
