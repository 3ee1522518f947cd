//! Bytes that a user hands over: keys, tickets, settings, certificates, names.

use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::within;
use crate::kerberos::ccache::CredentialCache;
use crate::kerberos::config::{ConfigFiles, Krb5Config, Sources, Whose};
use crate::kerberos::dns::ResolvConf;
use crate::kerberos::hosts_file;
use crate::kerberos::kdc::address::Address;
use crate::kerberos::keytab::Keytab;
use crate::kerberos::principal::{Principal, PrincipalName};
use crate::net::tls::{certificate, pem as tls_pem};

/// A keytab. Its keys have no more bytes than came, each can be found or is of a length that its type does not have, and base64
/// of the same bytes is the same keytab.
pub fn keytab(data: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Keytab::from_base64(text);
    }
    let encoded = Keytab::from_base64(&STANDARD.encode(data));
    let read = match Keytab::parse(data) {
        Ok(read) => read,
        Err(error) => {
            within(&error, data.len());
            assert_eq!(encoded.err(), Some(error));
            return false;
        }
    };
    assert_eq!(format!("{:?}", encoded.expect("the same bytes")), format!("{read:?}"));
    let keys: usize = read.entries().iter().map(|entry| entry.key.bytes.len()).sum();
    assert!(keys <= data.len());
    // Not all: looking for each among all takes its square.
    for entry in read.entries().iter().take(32) {
        let found = read.find(&entry.principal, entry.key.enctype, Some(entry.kvno));
        let fits = entry.key.enctype.key_length().is_none_or(|length| length == entry.key.bytes.len());
        assert!(found.is_ok() || !fits || read.entries().len() > 1, "{entry:?}");
        assert!(read.enctypes(&entry.principal).contains(&entry.key.enctype));
    }
    !read.entries().is_empty()
}

/// A credential cache. What is written of it is read as the same, and hardly longer than what came: three bytes for one that
/// is not UTF-8, and a name type that the oldest version lacks.
pub fn ccache(data: &[u8]) -> bool {
    let read = match CredentialCache::parse(data) {
        Ok(read) => read,
        Err(error) => {
            within(&error, data.len());
            return false;
        }
    };
    let written = read.to_bytes();
    assert!(written.len() <= 3 * data.len() + 64, "{} bytes of {}", written.len(), data.len());
    let again = CredentialCache::parse(&written).expect("what we write we read");
    assert!(*again.to_bytes() == *written, "written, read and written again it differs");
    assert_eq!(format!("{again:?}"), format!("{read:?}"));
    assert!(read.tgt().is_none_or(|ticket| ticket.client == read.principal));
    let _ = read.service(&PrincipalName::service("kafka", "broker"));
    read.tickets().next().is_some()
}

/// Files named `0`, `1` and so on, which may include each other and the directory `d` of all but the first.
struct Files<'a>(Vec<&'a [u8]>);

impl ConfigFiles for Files<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let name = path.strip_prefix("d").unwrap_or(path).to_str().and_then(|name| name.parse::<usize>().ok());
        let file = name.and_then(|at| self.0.get(at));
        file.map(|bytes| bytes.to_vec()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        if directory != Path::new("d") {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok((1..self.0.len()).map(|at| at.to_string()).collect())
    }
}

/// krb5.conf and what it includes, separated by zero bytes. It ends whatever includes what; no list of encryption types is
/// empty or has one that may not be used; a mistake has a file and a line that is there.
pub fn krb5_conf(data: &[u8]) -> bool {
    let files: Vec<_> = data.split(|byte| *byte == 0).take(16).collect();
    if let Ok(text) = std::str::from_utf8(files[0]) {
        let _ = Krb5Config::from_text(text);
    }
    let config = match Krb5Config::load(&Sources::Files(vec!["0".into()]), &Files(files.clone())) {
        Ok(config) => config,
        Err(error) => {
            let lines = files.iter().map(|file| file.split(|byte| *byte == b'\n').count()).max();
            assert!(Some(error.line) <= lines && !error.file.is_empty() && !error.problem.is_empty(), "{error}");
            return false;
        }
    };
    for list in [&config.tkt_enctypes, &config.tgs_enctypes, &config.permitted_enctypes] {
        assert!(!list.is_empty() && list.iter().all(|enctype| config.crypto().permits(*enctype)), "{list:?}");
    }
    for name in ["a.b.example.com", ".", "EXAMPLE.COM"] {
        let _ = (config.realm_of_host(name), config.realms_between(name, "EXAMPLE.COM"));
        for kdc in config.realm(name).iter().flat_map(|realm| &realm.kdc) {
            address(kdc);
        }
    }
    let whose = Whose { uid: Some(7), username: None, temporary: None };
    let _ = (config.ccache_name(None, &whose), config.keytab_name(|_| None, &whose, |name| name.len() % 2 == 0));
    config.default_realm.is_some()
}

/// An address as it is shown is the same address.
fn address(text: &str) {
    if let Ok(address) = Address::parse(text) {
        let again = Address::parse(&address.to_string()).expect("what we show we read");
        assert_eq!((again.host, again.port), (address.host, address.port), "{text:?}");
    }
}

/// resolv.conf: some servers, not many, no wait without measure, and few names in place of one.
pub fn resolv_conf(data: &[u8]) -> bool {
    let conf = ResolvConf::parse(&String::from_utf8_lossy(data));
    assert!((1..=3).contains(&conf.servers.len()), "{conf:?}");
    assert!((1..=30).contains(&conf.timeout.as_secs()) && (1..=5).contains(&conf.attempts), "{conf:?}");
    for name in ["a", "a.", "a.b.c"] {
        let names = conf.candidates(name);
        assert!((1..=7).contains(&names.len()) && names.iter().all(|one| one.starts_with('a') && !one.ends_with('.')));
    }
    conf != ResolvConf::default()
}

/// hosts: what is found of a name is there. Every name that is in it is found, and is the one of its line's address or of another
/// line with that address.
pub fn hosts(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let mut is_any_found = false;
    // Not all: looking for each among all takes its square.
    for word in text.split_ascii_whitespace().take(64) {
        if let Some(host) = hosts_file::by_name(&text, word) {
            assert!((1..=32).contains(&host.addresses.len()) && text.contains(host.name), "{host:?}");
            let names = host.addresses.iter().map(|address| hosts_file::by_address(&text, *address));
            assert!(names.clone().all(|name| name.is_some_and(|name| text.contains(name))), "{host:?}");
            is_any_found = true;
        }
    }
    is_any_found
}

/// A principal's name, and a KDC's address. As it is shown it is the same principal.
pub fn principal(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    address(&text);
    let Ok(principal) = Principal::parse(&text, None) else { return false };
    assert!(!principal.realm.is_empty());
    let again = Principal::parse(&principal.to_string(), None).expect("what we show we read");
    assert_eq!(again, principal, "{text:?}");
    true
}

/// Certificates and a private key. No error repeats the text; what is no certificate has no times.
pub fn pem(data: &[u8]) -> bool {
    let key = [None, Some("key-secret")].map(|password| tls_pem::private_key(data, password));
    if let (Err(error), _) | (_, Err(error)) = (&key[0], &key[1]) {
        assert!(error.len() < 400, "{error}");
    }
    let certificates = tls_pem::certificates(data);
    for found in certificates.iter().flatten() {
        let _ = certificate::validity(found);
        assert!(found.len() < data.len(), "base64 is longer");
    }
    let _ = certificate::validity(data);
    certificates.is_ok() || key[1].is_ok()
}
