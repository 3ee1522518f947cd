//! What a user says of Kerberos, and what becomes of it before anything is asked.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::super::ccache::{CredentialCache, ccache_path};
use super::super::config::{Krb5Config, Sources, Whose};
use super::super::error::KerberosError;
use super::super::exchange::Password;
use super::super::keytab::{Keytab, keytab_path};
use super::super::principal::Principal;

/// How a client proves itself by Kerberos 5: with a keytab, a password or a credential cache, and as whom.
///
/// ```
/// use ottla_client::{Client, KerberosOptions};
///
/// let kerberos = KerberosOptions::keytab("/etc/security/etl.keytab").principal("etl@EXAMPLE.COM");
/// let client = Client::builder().bootstrap(["broker.example.com:9092"]).sasl_kerberos(kerberos);
/// ```
///
/// A broker's principal is `SERVICE/HOST`, the host lower-cased. It stands in the bootstrap list or in the cluster's metadata,
/// and becomes what krb5.conf wants of it, as with MIT's library (1.18 and later): with `dns_canonicalize_hostname = true`, the
/// default, the first name of its line in `/etc/hosts`, else what DNS says it is an alias of, and then, with `rdns = true`, the
/// default, the name of its address; with `fallback` that only if the KDC does not know it as it stands; with `false` never. A
/// short name that stands as it is gets `qualify_shortname` behind it, or the first domain of `/etc/resolv.conf`. What cannot
/// be looked up stands as it is; no login waits longer than 5 s for that, or than a quarter of the time for connecting.
///
/// Whoever answers DNS for this machine chooses the name then, so that another service of the realm could pass for the broker.
/// `dns_canonicalize_hostname = false` takes names from nobody, `rdns = false` none from the owners of addresses, and with
/// [`KerberosOptions::service_host`] no host is looked up at all.
///
/// The host's realm is found in `[domain_realm]`, else the client's KDC is asked for it; [`KerberosOptions::service_realm`]
/// overrides both.
///
/// Debug output shows no secret.
#[derive(Clone)]
pub struct KerberosOptions {
    pub(super) credential: Credential,
    pub(super) principal: Option<String>,
    pub(super) service_name: String,
    pub(super) service_realm: Option<String>,
    pub(super) service_host: Option<String>,
    pub(super) krb5_conf: Krb5Conf,
    pub(super) write_back: bool,
}

/// With what a client proves itself.
#[derive(Clone)]
pub(super) enum Credential {
    Keytab(KeytabSource),
    /// The file that environment and krb5.conf say.
    DefaultKeytab,
    Password(Password),
    /// The cache's name; `None` is the default one.
    Cache(Option<String>),
}

#[derive(Clone)]
pub(super) enum KeytabSource {
    /// Read anew for each log-in, so that a new key is found.
    File(PathBuf),
    Bytes(Arc<Zeroizing<Vec<u8>>>),
    Base64(Arc<Zeroizing<String>>),
}

#[derive(Clone)]
pub(super) enum Krb5Conf {
    System,
    File(PathBuf),
    Text(String),
    Base64(String),
}

impl KerberosOptions {
    fn new(credential: Credential) -> Self {
        Self {
            credential,
            principal: None,
            service_name: "kafka".to_owned(),
            service_realm: None,
            service_host: None,
            krb5_conf: Krb5Conf::System,
            write_back: false,
        }
    }

    /// The keys in this file. It is read at the start, and again for each log-in. `FILE:` may stand before the path.
    #[must_use]
    pub fn keytab(path: impl Into<PathBuf>) -> Self {
        Self::new(Credential::Keytab(KeytabSource::File(path.into())))
    }

    /// The keys in the file that is meant where nobody names one: `KRB5_CLIENT_KTNAME`, else `default_client_keytab_name` of
    /// krb5.conf if that file is there, as MIT's library finds a client's; else `KRB5_KTNAME`, else `default_keytab_name`, else
    /// `/etc/krb5.keytab`, as `kinit -k` finds a host's.
    #[must_use]
    pub fn default_keytab() -> Self {
        Self::new(Credential::DefaultKeytab)
    }

    /// The keys in a keytab's bytes. They are copied; the caller's own copy is the caller's to erase.
    #[must_use]
    pub fn keytab_bytes(bytes: &[u8]) -> Self {
        Self::new(Credential::Keytab(KeytabSource::Bytes(Arc::new(Zeroizing::new(bytes.to_vec())))))
    }

    /// The keys in a keytab's bytes as base64 text, with any white space in it.
    #[must_use]
    pub fn keytab_base64(text: &str) -> Self {
        Self::new(Credential::Keytab(KeytabSource::Base64(Arc::new(Zeroizing::new(text.to_owned())))))
    }

    /// A password, which never travels. It needs a [`principal`](Self::principal).
    #[must_use]
    pub fn password(principal: &str, password: &str) -> Self {
        Self::new(Credential::Password(Password::new(password))).principal(principal)
    }

    /// The tickets that `kinit` left: in the cache of this name (`FILE:/path` or a path), or in the default one (`KRB5CCNAME`,
    /// `default_ccache_name`, or MIT's default). It is read whenever a ticket is needed; a ticket that can be renewed is
    /// renewed in memory. The file is written only if [`write_back`](Self::write_back) says so.
    #[must_use]
    pub fn credential_cache(name: Option<&str>) -> Self {
        Self::new(Credential::Cache(name.map(str::to_owned)))
    }

    /// Whether tickets that were renewed, or got for brokers, are put into the credential cache too, where `klist` shows them
    /// and other programs find them. The file is replaced as a whole and stays its owner's alone (mode 0600); what another
    /// program writes at the same moment may be lost, as with MIT's own library. A file that cannot be written is a warning:
    /// the tickets serve from memory. Default: no. Without a credential cache it means nothing.
    #[must_use]
    pub fn write_back(mut self, on: bool) -> Self {
        self.write_back = on;
        self
    }

    /// As whom to log in: `name`, `name/instance`, or either with `@REALM` (else `default_realm` of krb5.conf). Default: the
    /// only one in the keytab; the cache's owner.
    #[must_use]
    pub fn principal(mut self, principal: &str) -> Self {
        self.principal = Some(principal.to_owned());
        self
    }

    /// The first part of the brokers' principals (`sasl.kerberos.service.name`). Default: `kafka`.
    #[must_use]
    pub fn service_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.service_name);
        self
    }

    /// The realm of the brokers' principals. Default: by `[domain_realm]`, else as the client's KDC says.
    #[must_use]
    pub fn service_realm(mut self, realm: &str) -> Self {
        self.service_realm = Some(realm.to_owned());
        self
    }

    /// The host in the principals of all brokers, in place of each one's own: for a load balancer, a tunnel, or a cluster that
    /// has one principal. It is lower-cased and otherwise taken as it is, whatever krb5.conf says of names. Default: each
    /// broker's own.
    #[must_use]
    pub fn service_host(mut self, host: &str) -> Self {
        self.service_host = Some(host.to_owned());
        self
    }

    /// The krb5.conf to read. Default: the files in `KRB5_CONFIG`, else `/etc/krb5.conf`.
    #[must_use]
    pub fn krb5_conf(mut self, path: impl Into<PathBuf>) -> Self {
        self.krb5_conf = Krb5Conf::File(path.into());
        self
    }

    /// The text of a krb5.conf. It cannot include files.
    #[must_use]
    pub fn krb5_conf_text(mut self, text: &str) -> Self {
        self.krb5_conf = Krb5Conf::Text(text.to_owned());
        self
    }

    /// The text of a krb5.conf in base64, with any white space in it.
    #[must_use]
    pub fn krb5_conf_base64(mut self, text: &str) -> Self {
        self.krb5_conf = Krb5Conf::Base64(text.to_owned());
        self
    }

    /// Reads the files that are named and checks all that can be checked without asking anyone, as it is done again when a
    /// client is made. A credential cache need not be there yet.
    pub fn check(&self) -> Result<(), KerberosMistake> {
        let told = |setting| move |error: KerberosError| KerberosMistake { setting, problem: error.to_string() };
        let config = krb5_config(self).map_err(told(KerberosSetting::Krb5Conf))?;
        source(self, &config).map(drop).map_err(|(setting, error)| told(setting)(error))
    }
}

/// What is wrong with [`KerberosOptions`], as far as that can be known without asking a KDC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KerberosMistake {
    /// Which of them.
    pub setting: KerberosSetting,
    /// What is wrong with it, in words without any secret.
    pub problem: String,
}

impl fmt::Display for KerberosMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for KerberosMistake {}

/// A setting of [`KerberosOptions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KerberosSetting {
    /// The krb5.conf, a file or a text.
    Krb5Conf,
    /// The keytab, a file or its content.
    Keytab,
    /// The password.
    Password,
    /// The credential cache's name.
    Cache,
    /// As whom to log in.
    Principal,
}

impl fmt::Debug for KerberosOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credential = match &self.credential {
            Credential::Keytab(KeytabSource::File(path)) => format!("keytab {}", path.display()),
            Credential::Keytab(_) => "keytab, inline".to_owned(),
            Credential::DefaultKeytab => "default keytab".to_owned(),
            Credential::Password(_) => "password, …".to_owned(),
            Credential::Cache(Some(name)) => format!("credential cache {name}"),
            Credential::Cache(None) => "default credential cache".to_owned(),
        };
        let mut shown = f.debug_struct("KerberosOptions");
        shown.field("credential", &format_args!("{credential}")).field("principal", &self.principal);
        shown.field("service_name", &self.service_name).field("service_realm", &self.service_realm);
        shown.field("service_host", &self.service_host);
        shown.finish_non_exhaustive()
    }
}

/// Where the client's tickets come from, with all that can be known before a KDC is asked.
#[derive(Debug)]
pub(super) enum Source {
    Password(Principal, Password),
    /// In memory, or to be read from the file.
    Keytab(Principal, KeytabFrom),
    /// The owner, if it has to be a certain one.
    Cache(PathBuf, Option<Principal>),
}

#[derive(Debug)]
pub(super) enum KeytabFrom {
    Memory(Arc<Keytab>),
    File(PathBuf),
}

impl KeytabFrom {
    pub(super) fn read(&self) -> Result<Arc<Keytab>, KerberosError> {
        match self {
            Self::Memory(keytab) => Ok(keytab.clone()),
            Self::File(path) => Keytab::load(path).map(Arc::new),
        }
    }
}

/// What krb5.conf says.
pub(super) fn krb5_config(options: &KerberosOptions) -> Result<Krb5Config, KerberosError> {
    match &options.krb5_conf {
        Krb5Conf::System => Krb5Config::from_disk(&Sources::Environment(variable("KRB5_CONFIG"))),
        Krb5Conf::File(path) => Krb5Config::from_disk(&Sources::Files(vec![path.clone()])),
        Krb5Conf::Text(text) => from_text(text),
        Krb5Conf::Base64(text) => {
            let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let bytes = STANDARD.decode(packed);
            let bytes = bytes.map_err(|_| KerberosError::Config("the inline krb5.conf is not base64".to_owned()))?;
            from_text(&String::from_utf8_lossy(&bytes))
        }
    }
}

fn from_text(text: &str) -> Result<Krb5Config, KerberosError> {
    Krb5Config::from_text(text).map_err(|e| KerberosError::Config(e.to_string()))
}

/// Reads what has to be there from the start. An error says which setting it is about.
pub(super) fn source(
    options: &KerberosOptions,
    config: &Krb5Config,
) -> Result<Source, (KerberosSetting, KerberosError)> {
    let wrong = |setting, problem: &str| Err((setting, KerberosError::Config(problem.to_owned())));
    let parse = |text: &String| Principal::parse(text, config.default_realm.as_deref());
    let principal = options.principal.as_ref().map(parse).transpose();
    let principal = principal.map_err(|problem| (KerberosSetting::Principal, KerberosError::Config(problem)))?;
    match &options.credential {
        Credential::Password(password) if password.is_empty() => {
            wrong(KerberosSetting::Password, "the Kerberos password is empty")
        }
        Credential::Password(password) => match principal {
            Some(principal) => Ok(Source::Password(principal, password.clone())),
            None => wrong(KerberosSetting::Principal, "a Kerberos password needs a principal"),
        },
        Credential::Keytab(source) => from_keytab(keytab(source), principal),
        Credential::DefaultKeytab => from_keytab(default_keytab(config), principal),
        Credential::Cache(name) => match cache_path(name.as_deref(), config) {
            Ok(path) => Ok(Source::Cache(path, principal)),
            Err(error) => Err((KerberosSetting::Cache, error)),
        },
    }
}

fn from_keytab(
    read: Result<(KeytabFrom, Arc<Keytab>), KerberosError>,
    principal: Option<Principal>,
) -> Result<Source, (KerberosSetting, KerberosError)> {
    let (from, keytab) = read.map_err(|error| (KerberosSetting::Keytab, error))?;
    let principal = principal.map_or_else(|| only_principal(&keytab), Ok);
    let principal = principal.map_err(|error| (KerberosSetting::Principal, error))?;
    if keytab.enctypes(&principal).is_empty() {
        let problem = format!("the keytab has no key of {principal}; it has {keytab}");
        return Err((KerberosSetting::Principal, KerberosError::Config(problem)));
    }
    Ok(Source::Keytab(principal, from))
}

fn default_keytab(config: &Krb5Config) -> Result<(KeytabFrom, Arc<Keytab>), KerberosError> {
    let whose = Whose::of_this_process(variable("USER").as_deref());
    let is_there = |name: &str| keytab_path(name).is_ok_and(|path| path.exists());
    let name = config.keytab_name(variable, &whose, is_there).map_err(KerberosError::Config)?;
    keytab(&KeytabSource::File(name.into()))
}

fn keytab(source: &KeytabSource) -> Result<(KeytabFrom, Arc<Keytab>), KerberosError> {
    let from = match source {
        KeytabSource::File(path) => KeytabFrom::File(keytab_path(&path.to_string_lossy())?),
        KeytabSource::Bytes(bytes) => KeytabFrom::Memory(Arc::new(Keytab::parse(bytes)?)),
        KeytabSource::Base64(text) => KeytabFrom::Memory(Arc::new(Keytab::from_base64(text)?)),
    };
    let keytab = from.read()?;
    Ok((from, keytab))
}

fn only_principal(keytab: &Keytab) -> Result<Principal, KerberosError> {
    let mut principals: Vec<_> = keytab.entries().iter().map(|entry| &entry.principal).collect();
    principals.dedup();
    match principals.as_slice() {
        [principal] => Ok((*principal).clone()),
        _ => Err(KerberosError::Config(format!("name the principal, since the keytab has not just one: {keytab}"))),
    }
}

fn cache_path(name: Option<&str>, config: &Krb5Config) -> Result<PathBuf, KerberosError> {
    if let Some(name) = name {
        return ccache_path(name);
    }
    let whose = Whose::of_this_process(variable("USER").as_deref());
    let name = config.ccache_name(variable("KRB5CCNAME").as_deref(), &whose).map_err(KerberosError::Config)?;
    ccache_path(&name)
}

/// Reads the cache; its owner has to be the one that is wanted.
pub(super) fn read_cache(path: &std::path::Path, owner: Option<&Principal>) -> Result<CredentialCache, KerberosError> {
    let cache = CredentialCache::load(path).map_err(|e| match e {
        KerberosError::Config(problem) => KerberosError::Config(format!("{problem}; run kinit")),
        other => other,
    })?;
    match owner {
        Some(owner) if cache.principal != *owner => Err(KerberosError::Config(format!(
            "the credential cache {} is {}'s, not {owner}'s; run kinit as the latter, or name another cache",
            path.display(),
            cache.principal
        ))),
        _ => Ok(cache),
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
