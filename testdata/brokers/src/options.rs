//! How a cluster is to be started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Certificates, Error, Kdc, Release, ServerCertificate};

/// What to start. `KafkaOptions::default()` is one broker without security.
#[derive(Debug, Clone)]
pub struct KafkaOptions {
    /// Number of brokers, 1 or more.
    pub brokers: usize,
    /// Broker properties, laid over the ones this crate chooses.
    pub properties: Vec<(String, String)>,
    /// Users of a second listener with SASL PLAIN; without any there is no such listener. On a secured cluster they are
    /// SCRAM's users as well.
    pub sasl_plain: Vec<SaslUser>,
    /// What makes it a secured cluster; see [`KafkaOptions::secured`].
    pub security: Option<Security>,
    /// The largest heap of a broker's JVM, in MiB.
    pub heap_mib: u32,
    /// Further arguments of a broker's JVM.
    pub jvm: Vec<String>,
}

/// A user name and its password.
#[derive(Debug, Clone)]
pub struct SaslUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// Where a secured cluster finds its keys.
#[derive(Debug, Clone)]
pub struct Security {
    /// The KDC's `krb5.conf`.
    pub(crate) krb5_conf: PathBuf,
    /// The brokers' keytab.
    pub(crate) keytab: PathBuf,
    /// The brokers' principal, with its realm.
    pub(crate) principal: String,
    key_stores: Vec<(ServerCertificate, PathBuf)>,
    trust_store: PathBuf,
    pub(crate) store_password: &'static str,
}

impl Security {
    pub(crate) fn key_store(&self, certificate: ServerCertificate) -> &Path {
        let found = self.key_stores.iter().find(|(which, _)| *which == certificate);
        found.map_or(Path::new(""), |(_, path)| path)
    }

    pub(crate) fn trust_store(&self) -> &Path {
        &self.trust_store
    }
}

impl Default for KafkaOptions {
    fn default() -> Self {
        Self {
            brokers: 1,
            properties: Vec::new(),
            sasl_plain: Vec::new(),
            security: None,
            heap_mib: 384,
            jvm: Vec::new(),
        }
    }
}

impl KafkaOptions {
    /// As many brokers.
    #[must_use]
    pub fn brokers(mut self, brokers: usize) -> Self {
        self.brokers = brokers.max(1);
        self
    }

    /// One more broker property.
    #[must_use]
    pub fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// One more user of the SASL PLAIN listener.
    #[must_use]
    pub fn sasl_plain(mut self, name: &str, password: &str) -> Self {
        self.sasl_plain.push(SaslUser { name: name.to_owned(), password: password.to_owned() });
        self
    }

    /// Every [`Listener`](crate::Listener) there is: GSSAPI as `kafka/localhost` of the KDC's first realm (which is made if
    /// it is not there), TLS with these certificates, and PLAIN and SCRAM for the user `alice` with the password
    /// `alice-secret` beside those of [`KafkaOptions::sasl_plain`].
    ///
    /// KDC and certificates have to live as long as brokers are started. The brokers' keytab is written here: keys that
    /// the principal gets later are not in it.
    pub fn secured(mut self, kdc: &Kdc, certificates: &Certificates) -> Result<Self, Error> {
        self.security = Some(Security {
            krb5_conf: kdc.krb5_conf(),
            keytab: kdc.service("kafka/localhost")?,
            principal: format!("kafka/localhost@{}", kdc.realm()),
            key_stores: ServerCertificate::ALL.map(|which| (which, certificates.key_store(which))).to_vec(),
            trust_store: certificates.trust_store(),
            store_password: certificates.store_password(),
        });
        Ok(self.sasl_plain("alice", "alice-secret"))
    }

    /// Clients have to log in again on a connection before this time is over (KIP-368). From 2.2 on.
    #[must_use]
    pub fn max_reauth(self, life: Duration) -> Self {
        self.property("connections.max.reauth.ms", &life.as_millis().to_string())
    }

    /// Brokers of this release give out delegation tokens (KIP-48). From 1.1 on.
    #[must_use]
    pub fn delegation_tokens(self, release: &Release) -> Self {
        // KIP-681.
        let name = if release.at_least(2, 8) { "delegation.token.secret.key" } else { "delegation.token.master.key" };
        self.property(name, "the brokers' own")
    }

    /// Whether there is a SASL listener.
    pub(crate) fn has_sasl(&self) -> bool {
        !self.sasl_plain.is_empty()
    }
}
