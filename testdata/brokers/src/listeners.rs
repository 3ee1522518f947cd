//! Where a broker listens, and what it asks of those who come.

use std::collections::BTreeMap;

use crate::files::Properties;
use crate::{Error, KafkaOptions, Release, ServerCertificate, jaas, ports};

/// A listener of a broker. The name is Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Listener {
    /// `PLAINTEXT`, without security; every broker has it.
    Plaintext,
    /// `SASL_PLAINTEXT`: PLAIN, and on a secured broker SCRAM-SHA-256, SCRAM-SHA-512 and GSSAPI.
    SaslPlaintext,
    /// `SASL_SSL`: the same mechanisms over TLS.
    SaslSsl,
    /// `SSL`: TLS, where a client may show a certificate and need not.
    Ssl,
    /// `OAUTH`: OAUTHBEARER with unsecured tokens (KIP-255), over plaintext, and no other mechanism. From 2.0 on.
    Oauth,
    /// `SSL_EXPIRED`: TLS with [`ServerCertificate::Expired`].
    SslExpired,
    /// `SSL_OTHER_NAME`: TLS with [`ServerCertificate::OtherName`].
    SslOtherName,
    /// `SSL_OTHER_CA`: TLS with [`ServerCertificate::OtherCa`].
    SslOtherCa,
}

impl Listener {
    /// All that a secured broker has.
    pub const ALL: [Self; 8] = [
        Self::Plaintext,
        Self::SaslPlaintext,
        Self::SaslSsl,
        Self::Ssl,
        Self::Oauth,
        Self::SslExpired,
        Self::SslOtherName,
        Self::SslOtherCa,
    ];

    /// Kafka's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::SaslPlaintext => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
            Self::Ssl => "SSL",
            Self::Oauth => "OAUTH",
            Self::SslExpired => "SSL_EXPIRED",
            Self::SslOtherName => "SSL_OTHER_NAME",
            Self::SslOtherCa => "SSL_OTHER_CA",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::SaslPlaintext | Self::Oauth => "SASL_PLAINTEXT",
            Self::SaslSsl => "SASL_SSL",
            Self::Ssl | Self::SslExpired | Self::SslOtherName | Self::SslOtherCa => "SSL",
        }
    }

    /// The start of the name of a property that is for this listener alone (KIP-103).
    fn property(self, name: &str) -> String {
        format!("listener.name.{}.{name}", self.name().to_ascii_lowercase())
    }

    /// Whether a cluster of these options has it.
    fn exists(self, release: &Release, options: &KafkaOptions) -> bool {
        match self {
            Self::Plaintext => true,
            Self::SaslPlaintext => options.has_sasl(),
            Self::Oauth => options.security.is_some() && release.at_least(2, 0),
            _ => options.security.is_some(),
        }
    }

    /// The name under which clients are to reach it: a service's principal and a certificate are for a host name, this
    /// crate's own requests know none.
    pub(crate) fn host(self, options: &KafkaOptions) -> &'static str {
        if self == Self::Plaintext || options.security.is_none() { "127.0.0.1" } else { "localhost" }
    }
}

/// Where one broker listens.
#[derive(Debug, Clone)]
pub(crate) struct Ports {
    pub(crate) listeners: BTreeMap<Listener, u16>,
    /// The KRaft controller's.
    pub(crate) controller: u16,
}

impl Ports {
    /// Free ones for all listeners that these options ask for.
    pub(crate) fn free(release: &Release, options: &KafkaOptions) -> Result<Self, Error> {
        let wanted = Listener::ALL.into_iter().filter(|listener| listener.exists(release, options));
        let listeners = wanted.map(|listener| Ok((listener, ports::free()?))).collect::<Result<_, Error>>()?;
        Ok(Self { listeners, controller: ports::free()? })
    }

    /// The port of the listener without security.
    pub(crate) fn plain(&self) -> u16 {
        self.listeners.get(&Listener::Plaintext).copied().unwrap_or_default()
    }
}

/// Writes all that a broker's properties say of its listeners.
pub(crate) fn put(set: &mut Properties, options: &KafkaOptions, ports: &Ports, kraft: bool) {
    let all = || ports.listeners.iter().map(|(listener, port)| (*listener, port));
    let mut bound: Vec<_> = all().map(|(listener, port)| format!("{}://127.0.0.1:{port}", listener.name())).collect();
    let advertised: Vec<_> =
        all().map(|(listener, port)| format!("{}://{}:{port}", listener.name(), listener.host(options))).collect();
    let mut protocols: Vec<_> =
        all().map(|(listener, _)| format!("{}:{}", listener.name(), listener.protocol())).collect();
    if kraft {
        bound.push(format!("CONTROLLER://127.0.0.1:{}", ports.controller));
        protocols.push("CONTROLLER:PLAINTEXT".to_owned());
        set.put("controller.listener.names", "CONTROLLER");
    }
    set.put("listeners", bound.join(","));
    set.put("advertised.listeners", advertised.join(","));
    set.put("listener.security.protocol.map", protocols.join(","));
    put_sasl(set, options, ports);
    put_tls(set, options);
}

fn put_sasl(set: &mut Properties, options: &KafkaOptions, ports: &Ports) {
    if !options.has_sasl() {
        return;
    }
    let modules = jaas::modules(options);
    set.put("sasl.enabled.mechanisms", modules.iter().map(|(mechanism, _)| *mechanism).collect::<Vec<_>>().join(","));
    for listener in [Listener::SaslPlaintext, Listener::SaslSsl] {
        for (mechanism, module) in modules.iter().filter(|_| ports.listeners.contains_key(&listener)) {
            let name = format!("{}.sasl.jaas.config", mechanism.to_ascii_lowercase());
            set.put(&listener.property(&name), module);
        }
    }
    if ports.listeners.contains_key(&Listener::Oauth) {
        set.put(&Listener::Oauth.property("sasl.enabled.mechanisms"), "OAUTHBEARER");
        set.put(&Listener::Oauth.property("oauthbearer.sasl.jaas.config"), jaas::OAUTHBEARER);
    }
    if options.security.is_some() {
        set.put("sasl.kerberos.service.name", "kafka");
        // Java finds no default realm, and without a rule that fits the broker drops whoever logged in well.
        set.put(
            "sasl.kerberos.principal.to.local.rules",
            "RULE:[1:$1@$0](.*)s/@.*//,RULE:[2:$1@$0](.*)s/@.*//,DEFAULT",
        );
    }
}

fn put_tls(set: &mut Properties, options: &KafkaOptions) {
    let Some(security) = &options.security else { return };
    for (store, path) in
        [("keystore", security.key_store(ServerCertificate::Valid)), ("truststore", security.trust_store())]
    {
        set.put(&format!("ssl.{store}.type"), "PKCS12");
        set.put(&format!("ssl.{store}.location"), path.display());
        set.put(&format!("ssl.{store}.password"), security.store_password);
    }
    set.put("ssl.key.password", security.store_password);
    // One listener for clients with and without a certificate.
    set.put("ssl.client.auth", "requested");
    for (listener, certificate) in [
        (Listener::SslExpired, ServerCertificate::Expired),
        (Listener::SslOtherName, ServerCertificate::OtherName),
        (Listener::SslOtherCa, ServerCertificate::OtherCa),
    ] {
        set.put(&listener.property("ssl.keystore.location"), security.key_store(certificate).display());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_security_there_is_no_listener_but_those_asked_for() {
        let release = "2.3.1".parse().expect("a release");
        let with = |options: &KafkaOptions| {
            let ports = Ports::free(&release, options).expect("free ports");
            ports.listeners.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(with(&KafkaOptions::default()), [Listener::Plaintext]);
        let options = KafkaOptions::default().sasl_plain("alice", "secret");
        assert_eq!(with(&options), [Listener::Plaintext, Listener::SaslPlaintext]);
    }
}
