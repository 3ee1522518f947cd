//! What krb5.conf says about realms: where their KDCs are, whose hosts are whose, which way leads from one to another.

use super::profile::{ConfigError, Section};
use super::{Krb5Config, boolean};

/// A realm's entry in `[realms]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct RealmConfig {
    /// The addresses of its KDCs, in order, as they stand: `host`, `host:port`, `[v6]:port` and others.
    pub(crate) kdc: Vec<String>,
    /// Those that know of a changed password first (`primary_kdc`, before 1.19 `master_kdc`).
    pub(crate) master_kdc: Vec<String>,
    /// What makes a full host name of a short one.
    pub(crate) default_domain: Option<String>,
    /// Overrides [`Krb5Config::kdc_timesync`] for this realm.
    pub(crate) kdc_timesync: Option<bool>,
}

pub(super) fn realms(section: &Section) -> Result<Vec<(String, RealmConfig)>, ConfigError> {
    let read = |(name, section): (&str, &Section)| Ok((name.to_owned(), realm(section)?));
    section.sections().map(read).collect()
}

fn realm(section: &Section) -> Result<RealmConfig, ConfigError> {
    let all = |name| section.values(name).map(|value| value.text.clone());
    Ok(RealmConfig {
        kdc: all("kdc").collect(),
        master_kdc: all("primary_kdc").chain(all("master_kdc")).collect(),
        default_domain: all("default_domain").next(),
        kdc_timesync: section.value("kdc_timesync").map(boolean).transpose()?,
    })
}

/// In any case, although MIT looks up lower-cased hosts only among keys as they stand: nobody means two realms by it.
pub(super) fn domain_realm(section: &Section) -> Vec<(String, String)> {
    section.relations().map(|(name, value)| (name.to_lowercase(), value.text.clone())).collect()
}

pub(super) fn capaths(section: &Section) -> Vec<(String, String, Vec<String>)> {
    let mut paths: Vec<(String, String, Vec<String>)> = Vec::new();
    for (client, section) in section.sections() {
        for (service, value) in section.relations() {
            let known = paths.iter_mut().find(|(from, to, _)| from == client && to == service);
            match known {
                Some((_, _, between)) => between.push(value.text.clone()),
                None => paths.push((client.to_owned(), service.to_owned(), vec![value.text.clone()])),
            }
        }
    }
    paths
}

impl Krb5Config {
    /// What the file says about a realm; case counts.
    pub(crate) fn realm(&self, name: &str) -> Option<&RealmConfig> {
        self.realms.iter().find(|(known, _)| known == name).map(|(_, realm)| realm)
    }

    /// Whether the clock of this realm's KDC is followed.
    pub(crate) fn follows_clock_of(&self, realm: &str) -> bool {
        self.realm(realm).and_then(|realm| realm.kdc_timesync).unwrap_or(self.kdc_timesync)
    }

    /// The realm of a host by `[domain_realm]`: the host itself, then `.suffix` and `suffix`, the longest first (MIT
    /// `profile_host_realm`). `None` if the file does not say.
    pub(crate) fn realm_of_host(&self, host: &str) -> Option<&str> {
        let host = host.trim_end_matches('.').to_lowercase();
        let mut rest = &*host;
        while !rest.is_empty() {
            if let Some((_, realm)) = self.domain_realm.iter().find(|(known, _)| known == rest) {
                return Some(realm);
            }
            rest = match rest.strip_prefix('.') {
                Some(suffix) => suffix,
                None => rest.find('.').map_or("", |dot| &rest[dot..]),
            };
        }
        None
    }

    /// The realms that stand between a client's realm and a service's, in the order of the way, by `[capaths]`; `None` if
    /// the file does not say. A value of `.` means that none does.
    pub(crate) fn realms_between(&self, client: &str, service: &str) -> Option<Vec<&str>> {
        let (_, _, between) = self.capaths.iter().find(|(from, to, _)| from == client && to == service)?;
        Some(between.iter().map(String::as_str).filter(|realm| *realm != ".").collect())
    }
}
