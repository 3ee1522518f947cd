//! Files and KDCs of MIT's own tools: they write what we read, and read what we write.
//!
//! Within the crate, since nothing of Kerberos is public.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ottla_brokers::{Kdc, KdcOptions, KinitWith, run};

use super::ccache::CredentialCache;
use super::config::{Krb5Config, Sources};
use super::dns::ResolvConf;
use super::enctype::Enctype;
use super::error::KerberosError;
use super::kdc::{Patience, Transport, Via};
use super::keytab::Keytab;
use super::principal::{Principal, PrincipalName};

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
    let line = |entry: &super::keytab::KeytabEntry| {
        let key: String = entry.key.bytes.iter().map(|b| format!("{b:02x}")).collect();
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
        assert_eq!(tgt.flags & super::ticket::HeldTicket::INITIAL, super::ticket::HeldTicket::INITIAL);
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

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(short as u8),
        long => out.extend([&[0x82][..], &(long as u16).to_be_bytes()].concat()),
    }
    out.extend(content);
    out
}

/// An AS-REQ of this name, written here by hand (RFC 4120 §5.4.1).
fn as_req(name: &str) -> Vec<u8> {
    let number = |tag, bytes: &[u8]| der(tag, &der(2, bytes));
    let names = |kind, parts: &[&str]| {
        let parts: Vec<_> = parts.iter().map(|part| der(0x1b, part.as_bytes())).collect();
        der(0x30, &[number(0xa0, &[kind]), der(0xa1, &der(0x30, &parts.concat()))].concat())
    };
    let body = [
        der(0xa0, &der(3, &[0; 5])),
        der(0xa1, &names(1, &[name])),
        der(0xa2, &der(0x1b, b"TEST.LOCAL")),
        der(0xa3, &names(2, &["krbtgt", "TEST.LOCAL"])),
        der(0xa5, &der(0x18, b"20370101000000Z")),
        number(0xa7, &[1, 2, 3, 4]),
        der(0xa8, &der(0x30, &der(2, &[18]))),
    ];
    let body = der(0xa4, &der(0x30, &body.concat()));
    der(0x6a, &der(0x30, &[number(0xa1, &[5]), number(0xa2, &[10]), body].concat()))
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
        let reply = transport.exchange("TEST.LOCAL", &as_req("nobody"), via).await.unwrap();
        assert_eq!(reply[0], 0x7e, "KRB-ERROR");
        let long = "n".repeat(1500);
        assert!(transport.exchange("TEST.LOCAL", &as_req(&long), via).await.is_ok());
    }
    let dead = format!("127.0.0.1:{}", ottla_brokers::free_port().unwrap());
    let beside = transport(&kdc, |mut conf| {
        conf.realms[0].1.insert(0, dead.clone());
        conf
    });
    assert!(beside.exchange("TEST.LOCAL", &as_req("nobody"), Via::Configured).await.is_ok());
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
