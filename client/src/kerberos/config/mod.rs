//! krb5.conf as people have it: what it says that a client which proves itself to a Kafka broker has to know (krb5.conf(5)).
//!
//! Keys that are not known are passed over, as MIT's library does. A mistake is an error with file, line and text, also
//! where MIT would quietly take its default: a span of time that is none changes what the user asked for.

mod profile;
mod realms;
mod values;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::crypto::Crypto;
use super::enctype::Enctype;
use super::error::KerberosError;
use profile::{Disk, Section, Value};

pub(crate) use profile::{ConfigError, ConfigFiles};
pub(crate) use realms::RealmConfig;
pub(crate) use values::Whose;

/// MIT's library reads this file if `KRB5_CONFIG` names no other.
const DEFAULT_PATH: &str = "/etc/krb5.conf";
/// No request sent over UDP may be longer (MIT `HARD_UDP_LIMIT`).
const UDP_LIMIT: usize = 32_700;

/// What errors call a text that is not in a file.
const INLINE: &str = "the inline krb5.conf";

/// One text, and no other file.
struct Inline<'a>(&'a str);

impl ConfigFiles for Inline<'_> {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path == Path::new(INLINE) { Ok(self.0.as_bytes().to_vec()) } else { Err(cannot_include()) }
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Err(cannot_include())
    }
}

fn cannot_include() -> io::Error {
    io::Error::other("an inline krb5.conf cannot include files")
}

/// Which files are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sources {
    /// The files in `KRB5_CONFIG`, separated by colons, or the system's file. That there is none is no mistake then: a KDC
    /// may be found by DNS.
    Environment(Option<String>),
    /// Files that have to be there.
    Files(Vec<PathBuf>),
}

/// How the host name of a service is turned into the one in its principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Canonicalize {
    /// By DNS, always.
    Always,
    /// Not at all.
    Never,
    /// By DNS, if the name as it stands is not known to the KDC.
    Fallback,
}

/// What krb5.conf says, with MIT's defaults where it says nothing.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "the file has that many switches")]
pub(crate) struct Krb5Config {
    /// The realm of a principal without one.
    pub(crate) default_realm: Option<String>,
    /// For tickets from a password or key, best first. Never empty.
    pub(crate) tkt_enctypes: Vec<Enctype>,
    /// For tickets from another ticket, best first. Never empty.
    pub(crate) tgs_enctypes: Vec<Enctype>,
    /// What may be used at all, best first. Never empty.
    pub(crate) permitted_enctypes: Vec<Enctype>,
    /// `allow_rc4` or `allow_weak_crypto`.
    pub(crate) allow_rc4: bool,
    /// Whether DNS is asked for KDCs where the file names none.
    pub(crate) dns_lookup_kdc: bool,
    /// Whether DNS is asked for a host's realm.
    pub(crate) dns_lookup_realm: bool,
    /// `dns_canonicalize_hostname`.
    pub(crate) canonicalize: Canonicalize,
    /// Whether canonicalizing goes through the address, too.
    pub(crate) rdns: bool,
    /// What short names that are not canonicalized get behind them; empty for nothing, `None` for the system's domain.
    pub(crate) qualify_shortname: Option<String>,
    /// Requests up to this size, in bytes, go by UDP first.
    pub(crate) udp_preference_limit: usize,
    /// How far clocks may be apart.
    pub(crate) clockskew: Duration,
    /// Whether the KDC's clock is followed where ours differs.
    pub(crate) kdc_timesync: bool,
    /// As it stands in the file; [`Self::ccache_name`] is the one to use.
    default_ccache_name: Option<String>,
    default_keytab_name: Option<String>,
    default_client_keytab_name: Option<String>,
    /// How long a ticket is asked for.
    pub(crate) ticket_lifetime: Duration,
    /// How long a ticket that can be renewed is asked for; `None` asks for one that cannot.
    pub(crate) renew_lifetime: Option<Duration>,
    /// Whether tickets that can be forwarded are asked for.
    pub(crate) forwardable: bool,
    /// Whether tickets are good from any address.
    pub(crate) noaddresses: bool,
    realms: Vec<(String, RealmConfig)>,
    /// Lower-cased host or suffix, and its realm.
    domain_realm: Vec<(String, String)>,
    /// Client's realm, service's realm, and the realms between the two.
    capaths: Vec<(String, String, Vec<String>)>,
}

impl Default for Krb5Config {
    /// What holds without any file.
    fn default() -> Self {
        Self {
            default_realm: None,
            tkt_enctypes: Enctype::DEFAULT.into(),
            tgs_enctypes: Enctype::DEFAULT.into(),
            permitted_enctypes: Enctype::DEFAULT.into(),
            allow_rc4: false,
            dns_lookup_kdc: true,
            dns_lookup_realm: false,
            canonicalize: Canonicalize::Always,
            rdns: true,
            qualify_shortname: None,
            udp_preference_limit: 1465,
            clockskew: Duration::from_mins(5),
            kdc_timesync: true,
            default_ccache_name: None,
            default_keytab_name: None,
            default_client_keytab_name: None,
            ticket_lifetime: Duration::from_hours(24),
            renew_lifetime: None,
            forwardable: false,
            noaddresses: true,
            realms: Vec::new(),
            domain_realm: Vec::new(),
            capaths: Vec::new(),
        }
    }
}

impl Krb5Config {
    /// Reads these files and all that they include from the disk.
    pub(crate) fn from_disk(sources: &Sources) -> Result<Self, KerberosError> {
        Self::load(sources, &Disk).map_err(|e| KerberosError::Config(e.to_string()))
    }

    /// The same, from wherever files are.
    pub(crate) fn load(sources: &Sources, files: &dyn ConfigFiles) -> Result<Self, ConfigError> {
        let (paths, required) = match sources {
            Sources::Files(paths) => (paths.clone(), true),
            Sources::Environment(Some(list)) if !list.is_empty() => {
                (list.split(':').map(PathBuf::from).collect(), false)
            }
            Sources::Environment(_) => (vec![PathBuf::from(DEFAULT_PATH)], false),
        };
        let (root, found) = profile::read(&paths, files)?;
        if required && found < paths.len() {
            let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
            return Err(ConfigError {
                file: names.join(", "),
                line: 0,
                text: String::new(),
                problem: "there is no such file".to_owned(),
            });
        }
        Self::from_profile(&root)
    }

    /// Reads the text of a file that is not there as one. It cannot include others.
    pub(crate) fn from_text(text: &str) -> Result<Self, ConfigError> {
        Self::load(&Sources::Files(vec![PathBuf::from(INLINE)]), &Inline(text))
    }

    fn from_profile(root: &Section) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        if let Some(section) = root.section("libdefaults") {
            config.read_defaults(section)?;
            config.read_enctypes(section)?;
        }
        if let Some(section) = root.section("realms") {
            config.realms = realms::realms(section)?;
        }
        if let Some(section) = root.section("domain_realm") {
            config.domain_realm = realms::domain_realm(section);
        }
        if let Some(section) = root.section("capaths") {
            config.capaths = realms::capaths(section);
        }
        Ok(config)
    }

    fn read_defaults(&mut self, section: &Section) -> Result<(), ConfigError> {
        let text = |name| section.value(name).map(|value| value.text.clone());
        self.default_realm = text("default_realm");
        self.default_ccache_name = text("default_ccache_name");
        self.default_keytab_name = text("default_keytab_name");
        self.default_client_keytab_name = text("default_client_keytab_name");
        self.qualify_shortname = text("qualify_shortname");
        for (name, switch) in [
            ("dns_lookup_kdc", &mut self.dns_lookup_kdc),
            ("dns_lookup_realm", &mut self.dns_lookup_realm),
            ("rdns", &mut self.rdns),
            ("kdc_timesync", &mut self.kdc_timesync),
            ("forwardable", &mut self.forwardable),
            ("noaddresses", &mut self.noaddresses),
        ] {
            set(switch, section.value(name), boolean)?;
        }
        set(&mut self.canonicalize, section.value("dns_canonicalize_hostname"), canonicalize)?;
        set(&mut self.udp_preference_limit, section.value("udp_preference_limit"), udp_limit)?;
        set(&mut self.clockskew, section.value("clockskew"), duration)?;
        let mut renew = Duration::ZERO;
        set(&mut renew, section.value("renew_lifetime"), duration)?;
        self.renew_lifetime = Some(renew).filter(|renew| !renew.is_zero());
        let mut life = Duration::ZERO;
        set(&mut life, section.value("ticket_lifetime"), duration)?;
        if !life.is_zero() {
            self.ticket_lifetime = life;
        }
        Ok(())
    }

    /// What the two kinds of request ask for is what is permitted, unless a list of their own says otherwise (MIT 1.18).
    fn read_enctypes(&mut self, section: &Section) -> Result<(), ConfigError> {
        for name in ["allow_rc4", "allow_weak_crypto"] {
            let mut allowed = false;
            set(&mut allowed, section.value(name), boolean)?;
            self.allow_rc4 |= allowed;
        }
        let allow_rc4 = self.allow_rc4;
        let read = |value: &Value| match values::enctypes(&value.text, allow_rc4) {
            list if list.is_empty() && allow_rc4 => Err(value.wrong("none of these encryption types can be used here")),
            list if list.is_empty() => {
                Err(value.wrong("none of these encryption types can be used here (RC4 only with allow_rc4 = true)"))
            }
            list => Ok(list),
        };
        self.permitted_enctypes = values::enctypes("DEFAULT", allow_rc4);
        set(&mut self.permitted_enctypes, section.value("permitted_enctypes"), read)?;
        self.tkt_enctypes.clone_from(&self.permitted_enctypes);
        self.tgs_enctypes.clone_from(&self.permitted_enctypes);
        set(&mut self.tkt_enctypes, section.value("default_tkt_enctypes"), read)?;
        set(&mut self.tgs_enctypes, section.value("default_tgs_enctypes"), read)
    }

    /// What cryptography may be used.
    pub(crate) fn crypto(&self) -> Crypto {
        if self.allow_rc4 { Crypto::allowing_rc4() } else { Crypto::default() }
    }

    /// The credential cache to use: `KRB5CCNAME` if it is set, else what the file says, else MIT's default. An error says
    /// what cannot be put in for a `%{…}`.
    pub(crate) fn ccache_name(&self, from_environment: Option<&str>, whose: &Whose) -> Result<String, String> {
        match from_environment.filter(|name| !name.is_empty()) {
            Some(name) => Ok(name.to_owned()),
            None => values::expanded(self.default_ccache_name.as_deref().unwrap_or("FILE:/tmp/krb5cc_%{uid}"), whose),
        }
    }

    /// The keytab to use, if nobody says which: `KRB5_CLIENT_KTNAME`; `default_client_keytab_name`, if that file `is_there`;
    /// `KRB5_KTNAME`; `default_keytab_name`; the system's. MIT's initiators have the first two, its `kinit -k` the others.
    pub(crate) fn keytab_name(
        &self,
        environment: impl Fn(&str) -> Option<String>,
        whose: &Whose,
        is_there: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let variable = |name| environment(name).filter(|value| !value.is_empty());
        if let Some(name) = variable("KRB5_CLIENT_KTNAME") {
            return Ok(name);
        }
        if let Some(name) = &self.default_client_keytab_name {
            let name = values::expanded(name, whose)?;
            if is_there(&name) {
                return Ok(name);
            }
        }
        match variable("KRB5_KTNAME") {
            Some(name) => Ok(name),
            None => values::expanded(self.default_keytab_name.as_deref().unwrap_or("FILE:/etc/krb5.keytab"), whose),
        }
    }
}

/// Sets what a value says, if there is one.
fn set<T>(
    target: &mut T,
    value: Option<&Value>,
    read: impl FnOnce(&Value) -> Result<T, ConfigError>,
) -> Result<(), ConfigError> {
    if let Some(value) = value {
        *target = read(value)?;
    }
    Ok(())
}

/// MIT reads some switches as integers (`kdc_timesync`), where every number but 0 switches on.
fn boolean(value: &Value) -> Result<bool, ConfigError> {
    let number = || value.text.parse::<i32>().ok().map(|number| number != 0);
    values::boolean(&value.text).or_else(number).ok_or_else(|| value.wrong("neither yes nor no; write true or false"))
}

fn duration(value: &Value) -> Result<Duration, ConfigError> {
    values::duration(&value.text).ok_or_else(|| value.wrong("no span of time; write 300, 1d2h or 10:30"))
}

fn canonicalize(value: &Value) -> Result<Canonicalize, ConfigError> {
    if value.text.eq_ignore_ascii_case("fallback") {
        return Ok(Canonicalize::Fallback);
    }
    boolean(value).map(|always| if always { Canonicalize::Always } else { Canonicalize::Never })
}

fn udp_limit(value: &Value) -> Result<usize, ConfigError> {
    let limit = value.text.parse::<usize>().map_err(|_| value.wrong("no number of bytes"))?;
    Ok(limit.min(UDP_LIMIT))
}

#[cfg(test)]
mod tests;
