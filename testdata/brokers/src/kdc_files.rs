//! `krb5.conf` and `kdc.conf`.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Enctype, Error, KdcOptions, KdcTransport};

/// A client's `krb5.conf`, to be changed and written. `Display` is its text.
///
/// [`Kdc::client_conf`](crate::Kdc::client_conf) gives the one that fits a KDC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Krb5Conf {
    /// `default_realm`; empty leaves it out.
    pub default_realm: String,
    /// Further relations of `[libdefaults]`, in order.
    pub libdefaults: Vec<(String, String)>,
    /// Realms, each with its KDCs as `host:port` in the order they are to be tried in.
    pub realms: Vec<(String, Vec<String>)>,
    /// `[domain_realm]`: host or `.domain`, realm.
    pub domains: Vec<(String, String)>,
}

impl Krb5Conf {
    /// One that fits a KDC at this `host:port`.
    pub(crate) fn of(options: &KdcOptions, address: &str) -> Self {
        let default_realm = options.realms.first().cloned().unwrap_or_default();
        let mut domains = options.domains.clone();
        if domains.is_empty() {
            domains.push(("localhost".to_owned(), default_realm.clone()));
        }
        let realms = options.realms.iter().map(|realm| (realm.clone(), vec![address.to_owned()])).collect();
        Self { default_realm, libdefaults: libdefaults(options), realms, domains }
    }

    /// One more relation of `[libdefaults]`, in place of an earlier one of that name.
    #[must_use]
    pub fn libdefault(mut self, name: &str, value: &str) -> Self {
        self.libdefaults.retain(|(other, _)| other != name);
        self.libdefaults.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes it to a file.
    pub fn write(&self, path: &Path) -> Result<PathBuf, Error> {
        std::fs::write(path, self.to_string()).map_err(Error::file(path))?;
        Ok(path.to_owned())
    }
}

impl fmt::Display for Krb5Conf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[libdefaults]")?;
        if !self.default_realm.is_empty() {
            writeln!(f, "  default_realm = {}", self.default_realm)?;
        }
        relations(f, "  ", &self.libdefaults)?;
        writeln!(f, "[realms]")?;
        for (realm, addresses) in &self.realms {
            writeln!(f, "  {realm} = {{")?;
            addresses.iter().try_for_each(|address| writeln!(f, "    kdc = {address}"))?;
            writeln!(f, "  }}")?;
        }
        writeln!(f, "[domain_realm]")?;
        relations(f, "  ", &self.domains)
    }
}

fn relations(f: &mut impl fmt::Write, indent: &str, pairs: &[(String, String)]) -> fmt::Result {
    pairs.iter().try_for_each(|(name, value)| writeln!(f, "{indent}{name} = {value}"))
}

fn libdefaults(options: &KdcOptions) -> Vec<(String, String)> {
    let enctypes = joined(&options.enctypes, "");
    // Without `permitted_enctypes` a KDC makes session keys of enctypes that none of its principals has.
    let mut pairs = vec![("permitted_enctypes", enctypes.as_str())];
    for name in ["dns_lookup_kdc", "dns_lookup_realm", "rdns", "dns_canonicalize_hostname"] {
        pairs.push((name, "false"));
    }
    match options.transport {
        KdcTransport::UdpAndTcp => {}
        KdcTransport::Udp => pairs.push(("udp_preference_limit", "1465")),
        KdcTransport::Tcp => pairs.push(("udp_preference_limit", "1")),
    }
    if options.enctypes.contains(&Enctype::Rc4) {
        pairs.push(("allow_weak_crypto", "true"));
        // A KDC since 1.21 (and Debian's 1.20 with the fix of CVE-2025-3576) makes no session key of it otherwise.
        pairs.push(("allow_rc4", "true"));
    }
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What the KDC itself reads as `krb5.conf`: the client's, and where to log.
pub(crate) fn kdc_krb5_conf(conf: &Krb5Conf, directory: &Path) -> String {
    let log = directory.display();
    format!("{conf}[logging]\n  kdc = FILE:{log}/kdc.log\n  admin_server = FILE:{log}/kadmin.log\n")
}

pub(crate) fn kdc_conf(options: &KdcOptions, address: &str, directory: &Path) -> String {
    // An empty list stands for "not at all"; a missing one would be port 88.
    let on = |off: KdcTransport| if options.transport == off { "\"\"" } else { address };
    let (udp, tcp) = (on(KdcTransport::Tcp), on(KdcTransport::Udp));
    let small = options.max_datagram.map_or(String::new(), |bytes| format!("  kdc_max_dgram_reply_size = {bytes}\n"));
    let realms: String = options.realms.iter().map(|realm| realm_block(realm, options, directory)).collect();
    format!("[kdcdefaults]\n  kdc_listen = {udp}\n  kdc_tcp_listen = {tcp}\n{small}[realms]\n{realms}")
}

fn realm_block(realm: &str, options: &KdcOptions, directory: &Path) -> String {
    let place = directory.join(realm);
    let settings = [
        ("database_name", format!("{}.principal", place.display())),
        ("key_stash_file", format!("{}.stash", place.display())),
        ("max_life", format!("{}s", options.max_life.as_secs())),
        ("max_renewable_life", format!("{}s", options.max_renewable_life.as_secs())),
        ("default_principal_flags", "+preauth".to_owned()),
        // Clients that know no realm of a broker ask for it under a plain name type, too.
        ("host_based_services", "kafka".to_owned()),
        ("supported_enctypes", joined(&options.enctypes, ":normal")),
    ];
    let mut text = format!("  {realm} = {{\n");
    let settings = settings.map(|(name, value)| (name.to_owned(), value));
    // Writing into a string cannot fail.
    let _ = relations(&mut text, "    ", &settings).and_then(|()| relations(&mut text, "    ", &options.settings));
    text + "  }\n"
}

fn joined(enctypes: &[Enctype], suffix: &str) -> String {
    enctypes.iter().map(|enctype| format!("{}{suffix}", enctype.name())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transport_that_is_off_is_an_empty_list_not_a_missing_one() {
        for (transport, udp, tcp) in [
            (KdcTransport::UdpAndTcp, "h:1", "h:1"),
            (KdcTransport::Udp, "h:1", "\"\""),
            (KdcTransport::Tcp, "\"\"", "h:1"),
        ] {
            let text = kdc_conf(&KdcOptions::default().transport(transport), "h:1", Path::new("d"));
            assert!(text.contains(&format!("kdc_listen = {udp}\n  kdc_tcp_listen = {tcp}\n")), "{text}");
        }
    }

    #[test]
    fn one_enctype_alone_is_the_only_one_of_keys_and_of_sessions() {
        let options = KdcOptions::default().enctypes(&[Enctype::Aes128Sha2]);
        let conf = Krb5Conf::of(&options, "h:1").to_string();
        assert!(conf.contains("permitted_enctypes = aes128-cts-hmac-sha256-128\n"), "{conf}");
        let kdc = kdc_conf(&options, "h:1", Path::new("d"));
        assert!(kdc.contains("supported_enctypes = aes128-cts-hmac-sha256-128:normal\n"), "{kdc}");
    }
}
