//! The KDC against MIT's own clients.

use std::net::{TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ottla_brokers::{Enctype, Error, Kdc, KdcOptions, KdcTransport, KinitWith, run};

const PASSWORD: KinitWith<'_> = KinitWith::Password("alice-secret");

fn kdc(options: KdcOptions) -> Result<Kdc, Error> {
    let kdc = Kdc::start_with(options)?;
    kdc.add_principal("alice", "alice-secret")?;
    Ok(kdc)
}

/// Gets a service ticket with MIT's `kvno`, which prints the version of the service's key.
fn kvno(kdc: &Kdc, cache: &Path, args: &[&str]) -> Result<String, Error> {
    let mut command = Command::new("kvno");
    command.envs(kdc.environment(Some(cache))).args(args);
    Ok(run(&mut command, &[], Duration::from_secs(20))?.success()?.text())
}

/// What `kinit` said when it was refused.
fn refusal(kdc: &Kdc, principal: &str, with: KinitWith<'_>) -> String {
    kdc.kinit(principal, with, &[]).expect_err("kinit is refused").to_string()
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn kinit_by_password_and_by_keytab_gets_tickets_of_each_enctype_alone() -> Result<(), Error> {
    for enctype in Enctype::AES {
        let kdc = kdc(KdcOptions::default().enctypes(&[enctype]))?;
        let keytab = kdc.keytab("alice.keytab", &["alice"])?;
        kdc.add_random_principal("kafka/localhost")?;
        for with in [PASSWORD, KinitWith::Keytab(&keytab)] {
            let cache = kdc.kinit("alice", with, &[])?;
            assert!(kvno(&kdc, &cache, &["kafka/localhost"])?.contains("kvno = 1"));
            let both = format!("Etype (skey, tkt): {}, {}", enctype.name(), enctype.name());
            let held = kdc.klist(&cache)?;
            assert_eq!(held.matches(&both).count(), 2, "ticket-granting and service ticket: {held}");
        }
    }
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_kdc_of_one_transport_answers_by_it_and_by_no_other() -> Result<(), Error> {
    for (transport, udp, tcp) in [(KdcTransport::Udp, true, false), (KdcTransport::Tcp, false, true)] {
        let kdc = kdc(KdcOptions::default().transport(transport))?;
        kdc.kinit("alice", PASSWORD, &[])?;
        assert_eq!(TcpStream::connect(kdc.address()).is_ok(), tcp, "{transport:?}");
        // A port that can be bound is one that nobody listens on.
        assert_eq!(UdpSocket::bind(kdc.address()).is_err(), udp, "{transport:?}");
    }
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn an_answer_too_long_for_udp_is_refused_there_and_sent_by_tcp() -> Result<(), Error> {
    // Refusals fit, tickets do not.
    let small = KdcOptions { max_datagram: Some(600), ..KdcOptions::default() };
    kdc(small.clone())?.kinit("alice", PASSWORD, &[])?;
    let without_tcp = kdc(small.transport(KdcTransport::Udp))?;
    let refused = refusal(&without_tcp, "alice", PASSWORD);
    assert!(refused.contains("Cannot contact any KDC"), "{refused}");
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn each_reason_to_refuse_a_principal_can_be_made() -> Result<(), Error> {
    let kdc = kdc(KdcOptions::default())?;
    let keytab = kdc.keytab("alice.keytab", &["alice"])?;
    assert!(refusal(&kdc, "nobody", PASSWORD).contains("not found in Kerberos database"));
    let wrong = refusal(&kdc, "alice", KinitWith::Password("wrong"));
    assert!(wrong.contains("Password incorrect"), "{wrong}");
    kdc.modify("alice", &["-allow_tix"])?;
    assert!(refusal(&kdc, "alice", PASSWORD).contains("credentials have been revoked"));
    kdc.modify("alice", &["+allow_tix", "-pwexpire", "yesterday"])?;
    assert!(refusal(&kdc, "alice", KinitWith::Keytab(&keytab)).contains("Password has expired"));
    kdc.modify("alice", &["-pwexpire", "never"])?;
    kdc.kinit("alice", KinitWith::Keytab(&keytab), &[])?;
    kdc.change_key("alice")?;
    let stale = refusal(&kdc, "alice", KinitWith::Keytab(&keytab));
    assert!(stale.contains("Preauthentication failed"), "{stale}");
    kdc.change_password("alice", "alice-secret")?;
    kdc.kinit("alice", PASSWORD, &[])?;
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_principal_may_need_no_pre_authentication_or_keep_the_salt_of_an_old_name() -> Result<(), Error> {
    let kdc = kdc(KdcOptions::default())?;
    kdc.rename("alice", "alicia")?;
    kdc.kinit("alicia", PASSWORD, &[])?;
    assert!(kdc.log().contains("NEEDED_PREAUTH: alicia"), "{}", kdc.log());
    kdc.modify("alicia", &["-requires_preauth"])?;
    let before = kdc.log().len();
    kdc.kinit("alicia", PASSWORD, &[])?;
    assert!(!kdc.log()[before..].contains("NEEDED_PREAUTH"), "{}", kdc.log());
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_short_life_and_a_wrong_clock_are_as_asked() -> Result<(), Error> {
    let kdc = kdc(KdcOptions::default().max_life(Duration::from_secs(30)).clock_offset_seconds(600))?;
    let held = kdc.klist(&kdc.kinit("alice", PASSWORD, &[])?)?;
    let seconds = |time: &str| -> i32 { time.split(':').fold(0, |sum, part| sum * 60 + part.parse().unwrap_or(0)) };
    let ticket: Vec<_> = held.lines().find(|line| line.contains("krbtgt/")).expect("a ticket").split(' ').collect();
    let life = seconds(ticket[4]) - seconds(ticket[1]);
    assert_eq!(life.rem_euclid(86_400), 30, "{held}");
    // MIT's client forgives the clock of a KDC unless told otherwise.
    kdc.client_conf().libdefault("kdc_timesync", "0").write(&kdc.krb5_conf())?;
    let late = refusal(&kdc, "alice", PASSWORD);
    assert!(late.contains("Clock skew too great"), "{late}");
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_client_of_one_kdc_is_referred_to_the_realm_of_another() -> Result<(), Error> {
    let home = kdc(KdcOptions::default().realms(&["HOME.TEST"]).domain(".elsewhere.test", "AWAY.TEST"))?;
    let away = Kdc::start_with(KdcOptions::default().realms(&["AWAY.TEST"]))?;
    away.add_random_principal("kafka/broker.elsewhere.test")?;
    home.trust("HOME.TEST", &away, "AWAY.TEST")?;
    let mut conf = home.client_conf();
    conf.domains.clear();
    conf.write(&home.krb5_conf())?;
    let cache = home.kinit("alice", PASSWORD, &[])?;
    assert!(kvno(&home, &cache, &["-S", "kafka", "broker.elsewhere.test"])?.contains("kvno = 1"));
    assert!(away.log().contains("alice@HOME.TEST for kafka/broker.elsewhere.test@AWAY.TEST"), "{}", away.log());
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn one_kdc_serves_two_realms_that_trust_each_other() -> Result<(), Error> {
    let kdc = kdc(KdcOptions::default().realms(&["ONE.TEST", "TWO.TEST"]))?;
    kdc.add_principal("bob@TWO.TEST", "bob-secret")?;
    kdc.add_random_principal("kafka/localhost")?;
    kdc.trust("ONE.TEST", &kdc, "TWO.TEST")?;
    let cache = kdc.kinit("bob@TWO.TEST", KinitWith::Password("bob-secret"), &[])?;
    assert!(kvno(&kdc, &cache, &["kafka/localhost@ONE.TEST"])?.contains("kvno = 1"));
    Ok(())
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_stopped_kdc_is_unreachable_and_knows_its_principals_when_it_is_back() -> Result<(), Error> {
    let kdc = kdc(KdcOptions::default())?;
    kdc.stop();
    let unreachable = refusal(&kdc, "alice", PASSWORD);
    assert!(unreachable.contains("Cannot contact any KDC"), "{unreachable}");
    kdc.start_again()?;
    kdc.kinit("alice", PASSWORD, &[])?;
    Ok(())
}
