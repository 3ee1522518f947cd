//! Files and KDCs of MIT's own tools: they write what we read, and read what we write.
//!
//! Within the crate, since nothing of Kerberos is public.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ottla_brokers::{Kdc, KdcOptions, KinitWith, run};

use super::ccache::CredentialCache;
use super::config::{Krb5Config, Sources};
use super::crypto::Crypto;
use super::dns::ResolvConf;
use super::enctype::Enctype;
use super::error::KerberosError;
use super::error_code::KrbErrorCode;
use super::kdc::{Patience, Transport, Via};
use super::keytab::{Keytab, KeytabEntry};
use super::messages::{Exchange, KdcReq, KdcReqBody, KrbError, Message as _, MethodData};
use super::principal::{Principal, PrincipalName};
use super::ticket::HeldTicket;
use super::time::KerberosTime;

const PASSWORD: KinitWith<'_> = KinitWith::Password("alice-secret");

fn kdc_with_alice(options: KdcOptions) -> Kdc {
    let kdc = Kdc::start_with(options).unwrap();
    kdc.add_principal("alice", "alice-secret").unwrap();
    kdc
}

fn alice() -> Principal {
    Principal::parse("alice@TEST.LOCAL", None).unwrap()
}

/// Runs one of MIT's tools with this krb5.conf and cache; gives what it printed.
fn tool(kdc: &Kdc, conf: Option<&Path>, cache: Option<&Path>, words: &[&str], input: &str) -> String {
    let mut command = Command::new(words[0]);
    command.envs(kdc.environment(cache)).env("LC_ALL", "C").args(&words[1..]);
    if let Some(conf) = conf {
        command.env("KRB5_CONFIG", conf);
    }
    run(&mut command, input.as_bytes(), Duration::from_secs(20)).unwrap().success().unwrap().text()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A line for each key as `klist -k -e -K` writes it, without the columns' spaces.
fn as_klist(keytab: &Keytab) -> Vec<String> {
    let line = |entry: &KeytabEntry| {
        let key = entry.key.bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().concat();
        format!("{} {} ({}) (0x{key})", entry.kvno, entry.principal, entry.key.enctype)
    };
    keytab.entries().iter().map(line).collect()
}

fn klist_of(kdc: &Kdc, keytab: &Path) -> Vec<String> {
    let printed = tool(kdc, None, None, &["klist", "-k", "-e", "-K", text(keytab)], "");
    let squeezed = |line: &str| line.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    // Three lines of heading.
    printed.lines().skip(3).map(squeezed).collect()
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn keytabs_of_kadmin_are_read_key_by_key_with_old_versions_and_holes() {
    let kdc = kdc_with_alice(KdcOptions::default());
    kdc.add_random_principal("kafka/localhost").unwrap();
    let path = kdc.keytab("mixed.keytab", &["alice", "kafka/localhost"]).unwrap();
    kdc.change_password("alice", "another").unwrap();
    kdc.kadmin("TEST.LOCAL", &["ktadd", "-norandkey", "-k", text(&path), "alice"]).unwrap();
    let keytab = Keytab::load(&path).unwrap();
    assert_eq!(as_klist(&keytab), klist_of(&kdc, &path));
    assert_eq!(keytab.entries().len(), 12, "{keytab}");
    assert_eq!(keytab.enctypes(&alice()).len(), 4);
    for (asked, found) in [(None, 2), (Some(1), 1), (Some(2), 2)] {
        assert_eq!(keytab.find(&alice(), Enctype::AES256_SHA2, asked).unwrap().kvno, found);
    }
    assert!(keytab.find(&alice(), Enctype::AES256_SHA2, Some(3)).is_err());

    let size = std::fs::metadata(&path).unwrap().len();
    kdc.kadmin("TEST.LOCAL", &["ktremove", "-k", text(&path), "alice", "1"]).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().len(), size, "what was taken out left holes");
    let keytab = Keytab::load(&path).unwrap();
    assert_eq!(as_klist(&keytab), klist_of(&kdc, &path));
    assert_eq!(keytab.entries().len(), 8, "{keytab}");
    assert!(keytab.find(&alice(), Enctype::AES128_SHA1, Some(1)).is_err());
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_keytab_of_ktutil_keeps_versions_beyond_8_bits() {
    let kdc = kdc_with_alice(KdcOptions::default());
    let path = kdc.directory().join("high.keytab");
    let add =
        |kvno: u32| format!("addent -password -p alice@TEST.LOCAL -k {kvno} -e aes256-cts-hmac-sha1-96\npw{kvno}\n");
    let commands = format!("{}{}wkt {}\nquit\n", add(255), add(70_000), text(&path));
    tool(&kdc, None, None, &["ktutil"], &commands);
    let keytab = Keytab::load(&path).unwrap();
    assert_eq!(as_klist(&keytab), klist_of(&kdc, &path));
    assert_eq!(keytab.find(&alice(), Enctype::AES256_SHA1, None).unwrap().kvno, 70_000);
    assert_eq!(keytab.find(&alice(), Enctype::AES256_SHA1, Some(255)).unwrap().kvno, 255);
}

/// A cache of `kinit` in a version of the format, with a service ticket in it.
fn kinit_in_version(kdc: &Kdc, version: u8) -> PathBuf {
    let conf = kdc.client_conf().libdefault("ccache_type", &version.to_string());
    let conf = conf.write(&kdc.directory().join(format!("version-{version}.conf"))).unwrap();
    let cache = kdc.directory().join(format!("cc-{version}"));
    tool(kdc, Some(&conf), Some(&cache), &["kinit", "-r", "1h", "alice"], "alice-secret\n");
    tool(kdc, Some(&conf), Some(&cache), &["kvno", "kafka/localhost"], "");
    cache
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn caches_of_kinit_are_read_in_every_version_and_ours_serve_klist_and_kvno() {
    let kdc = kdc_with_alice(KdcOptions::default());
    for service in ["kafka/localhost", "other/localhost"] {
        kdc.add_random_principal(service).unwrap();
    }
    for version in 1..=4 {
        let path = kinit_in_version(&kdc, version);
        assert_eq!(std::fs::read(&path).unwrap()[..2], [5, version]);
        let cache = CredentialCache::load(&path).unwrap();
        assert_eq!(cache.principal, alice(), "version {version}");
        let (tgt, service) =
            (cache.tgt().unwrap(), cache.service(&PrincipalName::service("kafka", "localhost")).unwrap());
        assert_eq!(tgt.session_key.bytes.len(), tgt.session_key.enctype.key_length().unwrap());
        assert_eq!(tgt.flags & HeldTicket::INITIAL, HeldTicket::INITIAL);
        assert!(tgt.renew_till.unwrap() > tgt.auth_time && tgt.end_time > tgt.start_time);
        assert_eq!(service.server.realm, "TEST.LOCAL");
        assert_eq!(cache.tickets().count(), 2, "version {version}: notes are no tickets");

        let ours = kdc.directory().join(format!("ours-{version}"));
        cache.save(&ours).unwrap();
        let listed = |path: &Path| {
            let printed = tool(&kdc, None, None, &["klist", "-e", "-f", "-C", "-c", text(path)], "");
            printed.lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(listed(&ours), listed(&path), "version {version}");
        // MIT's library uses our cache, and adds to it.
        let said = tool(&kdc, None, Some(&ours), &["kvno", "other/localhost"], "");
        assert!(said.contains("kvno = 1"), "{said}");
        assert_eq!(CredentialCache::load(&ours).unwrap().tickets().count(), 3);
    }
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn the_offset_of_the_kdcs_clock_is_in_the_cache() {
    let kdc = kdc_with_alice(KdcOptions { clock_offset_seconds: 1000, ..KdcOptions::default() });
    let cache = CredentialCache::load(&kdc.kinit("alice", PASSWORD, &[]).unwrap()).unwrap();
    let (seconds, _) = cache.kdc_offset.unwrap();
    assert!((990..=1010).contains(&seconds), "{seconds}");
}

fn as_req(name: &str) -> Vec<u8> {
    let body = KdcReqBody {
        options: 0,
        client: Some(PrincipalName::new(PrincipalName::NT_PRINCIPAL, [name])),
        realm: "TEST.LOCAL".to_owned(),
        server: Some(PrincipalName::krbtgt("TEST.LOCAL")),
        till: KerberosTime::from(SystemTime::now()).plus_seconds(3600),
        renew_till: None,
        nonce: 5,
        enctypes: Enctype::DEFAULT.into(),
    };
    KdcReq { exchange: Exchange::As, padata: MethodData::default(), body }.to_der().to_vec()
}

/// What the KDC says of a name.
async fn refusal(transport: &Transport, name: &str, via: Via) -> KrbErrorCode {
    let reply = transport.exchange("TEST.LOCAL", &as_req(name), via).await.unwrap();
    KrbError::from_der(&reply).unwrap().code
}

fn transport(kdc: &Kdc, change: impl FnOnce(ottla_brokers::Krb5Conf) -> ottla_brokers::Krb5Conf) -> Transport {
    let path = change(kdc.client_conf()).write(&kdc.directory().join("ours.conf")).unwrap();
    let config = Krb5Config::from_disk(&Sources::Files(vec![path])).unwrap();
    assert_eq!(config.default_realm.as_deref(), Some("TEST.LOCAL"));
    Transport::new(Arc::new(config), ResolvConf::system(), Patience::default())
}

#[tokio::test]
#[ignore = "needs MIT's KDC: run testdata/test"]
async fn a_kdc_answers_by_udp_and_by_tcp_and_one_that_is_dead_is_passed_over() {
    let kdc = kdc_with_alice(KdcOptions::default());
    for via in [Via::Configured, Via::Tcp] {
        let transport = transport(&kdc, |conf| conf);
        assert_eq!(refusal(&transport, "nobody", via).await, KrbErrorCode::C_PRINCIPAL_UNKNOWN);
        assert_eq!(refusal(&transport, "alice", via).await, KrbErrorCode::PREAUTH_REQUIRED);
        let long = "n".repeat(1500);
        assert_eq!(refusal(&transport, &long, via).await, KrbErrorCode::C_PRINCIPAL_UNKNOWN);
    }
    let dead = format!("127.0.0.1:{}", ottla_brokers::free_port().unwrap());
    let beside = transport(&kdc, |mut conf| {
        conf.realms[0].1.insert(0, dead.clone());
        conf
    });
    assert_eq!(refusal(&beside, "nobody", Via::Configured).await, KrbErrorCode::C_PRINCIPAL_UNKNOWN);
    kdc.stop();
    match beside.exchange("TEST.LOCAL", &as_req("nobody"), Via::Configured).await.unwrap_err() {
        KerberosError::Unreachable { tried, .. } => {
            for address in [&dead, kdc.address()] {
                assert!(tried.iter().any(|line| line.starts_with(address)), "{address}: {tried:?}");
            }
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
#[ignore = "needs MIT's KDC: run testdata/test"]
async fn a_reply_that_does_not_fit_into_udp_comes_by_tcp() {
    let kdc = kdc_with_alice(KdcOptions { max_datagram: Some(120), ..KdcOptions::default() });
    let transport = transport(&kdc, |conf| conf);
    assert_eq!(refusal(&transport, "alice", Via::Configured).await, KrbErrorCode::PREAUTH_REQUIRED);
}

#[test]
#[ignore = "needs MIT's KDC: run testdata/test"]
fn a_keytab_has_the_keys_that_the_password_makes() {
    let kdc = kdc_with_alice(KdcOptions::default());
    let keytab = Keytab::load(&kdc.keytab("alice.keytab", &["alice"]).unwrap()).unwrap();
    assert_eq!(keytab.enctypes(&alice()).len(), 4);
    for enctype in keytab.enctypes(&alice()) {
        let key = Crypto::default().string_to_key(enctype, b"alice-secret", b"TEST.LOCALalice", None).unwrap();
        assert!(keytab.find(&alice(), enctype, None).unwrap().key.bytes == key.bytes, "{enctype}");
    }
}
