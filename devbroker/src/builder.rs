//! What the broker is to be like.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::cluster::TopicDefaults;
use crate::connections::Limits;
use crate::sasl::{Hash, Logins, Users, Verifiers};
use crate::{DevBroker, Error, Release, TokenServer};

/// The most nodes there may be.
const MAX_NODES: usize = 64;

/// The largest request taken (`socket.request.max.bytes`).
pub(crate) const MAX_FRAME: usize = ottla_protocol::frame::DEFAULT_LIMIT;

/// Settings of a [`DevBroker`], each with a default that suits tests. Made by [`DevBroker::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing listens until `start`"]
pub struct Builder {
    listen: String,
    nodes: usize,
    #[cfg(feature = "tls")]
    tls: Option<crate::tls::Options>,
    pub(crate) settings: Settings,
}

/// What the running broker goes by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) release: Release,
    pub(crate) auto_create: bool,
    pub(crate) topics: TopicDefaults,
    pub(crate) logins: Logins,
    /// How often SCRAM passwords are hashed.
    scram_iterations: u32,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<crate::tls::Acceptor>,
    pub(crate) session_timeout: RangeInclusive<Duration>,
    pub(crate) rebalance_delay: Duration,
    pub(crate) fetch_sessions: usize,
    pub(crate) connections: Limits,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:0".to_owned(),
            nodes: 1,
            #[cfg(feature = "tls")]
            tls: None,
            settings: Settings {
                release: Release::default(),
                auto_create: true,
                topics: TopicDefaults {
                    partitions: 1,
                    replicas: 1,
                    max_message_bytes: 1_000_012,
                    retention_bytes: None,
                },
                logins: Logins::default(),
                scram_iterations: 4096,
                #[cfg(feature = "tls")]
                tls: None,
                session_timeout: Duration::from_secs(6)..=Duration::from_mins(30),
                rebalance_delay: Duration::ZERO,
                fetch_sessions: 1000,
                connections: Limits { total: 1000, per_peer: 1000 },
            },
        }
    }
}

impl Builder {
    /// How many nodes; 1 unless said otherwise, at most 64. They are numbered from 0.
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// Where to listen, `host:port`; `127.0.0.1:0` unless said otherwise. Port 0 takes any free one; with another, node 0
    /// has it and the further nodes the ports after it. Clients are told the host as it stands here, but a loopback
    /// address instead of an unspecified one.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// How many partitions a topic gets that comes into being by being asked for; 1 unless said otherwise.
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.settings.topics.partitions = partitions;
        self
    }

    /// How many replicas a topic gets that does not say; 1 unless said otherwise. All replicas share one log here, so
    /// the number decides only which nodes can lead when one is killed.
    pub fn replicas(mut self, replicas: i16) -> Self {
        self.settings.topics.replicas = replicas;
        self
    }

    /// Whether topics come into being by being asked for (`auto.create.topics.enable`); they do unless said otherwise.
    pub fn auto_create(mut self, auto_create: bool) -> Self {
        self.settings.auto_create = auto_create;
        self
    }

    /// The release to play; 2.3 unless said otherwise.
    pub fn release(mut self, release: Release) -> Self {
        self.settings.release = release;
        self
    }

    /// The largest batch a topic takes (`message.max.bytes`); 1,000,012 unless said otherwise, like Kafka.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.settings.topics.max_message_bytes = bytes;
        self
    }

    /// Which session timeouts group members may ask for; 6 s to 30 min unless said otherwise, like Kafka.
    pub fn session_timeout(mut self, range: RangeInclusive<Duration>) -> Self {
        self.settings.session_timeout = range;
        self
    }

    /// How long the first rebalance of an empty group waits for more members (`group.initial.rebalance.delay.ms`); not at
    /// all unless said otherwise. Kafka waits 3 s.
    pub fn initial_rebalance_delay(mut self, delay: Duration) -> Self {
        self.settings.rebalance_delay = delay;
        self
    }

    /// How many fetch sessions a node keeps (KIP-227); 1000 unless said otherwise, like Kafka. 0 for none.
    pub fn fetch_sessions(mut self, slots: usize) -> Self {
        self.settings.fetch_sessions = slots;
        self
    }

    /// How many connections there may be, to all nodes together and from one address; 1000 and 1000 unless said otherwise, at
    /// least 1. With more, the one that has waited longest for its next request is closed.
    pub fn connections(mut self, total: usize, per_address: usize) -> Self {
        self.settings.connections = Limits { total: total.max(1), per_peer: per_address.max(1) };
        self
    }

    /// How many bytes all logs may hold together, as batches are stored; with more, the oldest records of the largest logs
    /// are deleted, about a tenth at a time. No bound unless said otherwise: tests lose nothing.
    pub fn retention_bytes(mut self, bytes: u64) -> Self {
        self.settings.topics.retention_bytes = Some(bytes);
        self
    }

    /// Takes SASL PLAIN of these users, each a name and a password. Once any mechanism is taken, everybody has to log in.
    pub fn sasl_plain(mut self, users: &[(&str, &str)]) -> Self {
        self.settings.logins.plain = Users::new(users);
        self
    }

    /// Takes SASL SCRAM-SHA-256 of these users, each a name and a password; salted and hashed here and not kept.
    pub fn sasl_scram_sha_256(mut self, users: &[(&str, &str)]) -> Self {
        self.settings.logins.scram_sha_256 = Verifiers::new(Hash::Sha256, users, self.settings.scram_iterations);
        self
    }

    /// Takes SASL SCRAM-SHA-512 of these users, each a name and a password; salted and hashed here and not kept.
    pub fn sasl_scram_sha_512(mut self, users: &[(&str, &str)]) -> Self {
        self.settings.logins.scram_sha_512 = Verifiers::new(Hash::Sha512, users, self.settings.scram_iterations);
        self
    }

    /// How often the SCRAM passwords given after this are hashed; 4096 unless said otherwise, like Kafka. 0 counts as 1.
    pub fn scram_iterations(mut self, iterations: u32) -> Self {
        self.settings.scram_iterations = iterations.max(1);
        self
    }

    /// Takes SASL OAUTHBEARER with unsecured JSON Web Tokens (algorithm `none`) of any subject, as Kafka does for
    /// development. A login lasts as long as its token at most.
    pub fn sasl_oauthbearer(mut self) -> Self {
        self.settings.logins.oauthbearer = true;
        self
    }

    /// Takes a SASL mechanism that the caller brings, by its registered name: `GSSAPI`, say, for which this broker has the
    /// framing but no cryptography. `make` is called for each login. Of two with one name the later stands; one of the
    /// broker's own stands before both.
    ///
    /// ```
    /// use ottla_devbroker::{DevBroker, TokenServer, TokenStep};
    ///
    /// struct Anonymous;
    ///
    /// impl TokenServer for Anonymous {
    ///     fn step(&mut self, token: &[u8]) -> TokenStep {
    ///         TokenStep::Done { token: None, principal: String::from_utf8_lossy(token).into_owned() }
    ///     }
    /// }
    ///
    /// let builder = DevBroker::builder().sasl_mechanism("ANONYMOUS", || Box::new(Anonymous));
    /// ```
    pub fn sasl_mechanism(
        mut self,
        name: &'static str,
        make: impl Fn() -> Box<dyn TokenServer> + Send + Sync + 'static,
    ) -> Self {
        self.settings.logins.brought.add(name, Arc::new(make));
        self
    }

    /// How long a login lasts before it has to be renewed (`connections.max.reauth.ms`, KIP-368); for ever unless said
    /// otherwise, as in Kafka. Only releases from 2.2 on tell the client.
    pub fn max_reauth(mut self, lifetime: Duration) -> Self {
        self.settings.logins.max_reauth = Some(lifetime);
        self
    }

    /// Speaks TLS on every node, with this certificate (its chain, in PEM) and its key (PEM, not encrypted). With
    /// `client_ca` (PEM) clients have to show a certificate of that authority (`ssl.client.auth=required`).
    #[cfg(feature = "tls")]
    pub fn tls(mut self, certificate: &str, key: &str, client_ca: Option<&str>) -> Self {
        self.tls = Some(crate::tls::Options {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            client_ca: client_ca.map(str::to_owned),
            versions: self.tls.take().map(|tls| tls.versions).unwrap_or_default(),
        });
        self
    }

    /// Which versions of TLS are taken (`ssl.enabled.protocols`); 1.2 and 1.3 unless said otherwise. Without
    /// [`Builder::tls`] the broker does not start.
    #[cfg(feature = "tls")]
    pub fn tls_versions(mut self, versions: &[crate::TlsVersion]) -> Self {
        self.tls.get_or_insert_default().versions = versions.to_vec();
        self
    }

    /// Starts the broker on the current tokio runtime. Every node listens when this returns.
    #[cfg_attr(not(feature = "tls"), expect(unused_mut, reason = "only TLS is made ready here"))]
    pub async fn start(mut self) -> Result<DevBroker, Error> {
        let (host, port) = self.check()?;
        #[cfg(feature = "tls")]
        {
            self.settings.tls = self.tls.as_ref().map(crate::tls::Acceptor::new).transpose()?;
        }
        DevBroker::start(&host, port, self.nodes, self.settings).await
    }

    fn check(&self) -> Result<(String, u16), Error> {
        let setting =
            |name, value, good, rule| if good { Ok(()) } else { Err(Error::BadSetting { name, value, rule }) };
        let TopicDefaults { partitions, replicas, .. } = self.settings.topics;
        let nodes = self.nodes as i64;
        setting("nodes", nodes, (1..=MAX_NODES).contains(&self.nodes), "1 to 64")?;
        setting("partitions", partitions.into(), (1..=10_000).contains(&partitions), "1 to 10000")?;
        let enough = replicas >= 1 && i64::from(replicas) <= nodes;
        setting("replicas", replicas.into(), enough, "at least 1, at most as many as there are nodes")?;
        parse_address(&self.listen).ok_or_else(|| Error::BadAddress(self.listen.clone()))
    }
}

/// `host:port`, with an IPv6 host in brackets.
fn parse_address(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() || (bare.is_none() && host.contains(':')) {
        return None;
    }
    Some((host.to_owned(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port() {
        assert_eq!(parse_address("localhost:9092"), Some(("localhost".to_owned(), 9092)));
        assert_eq!(parse_address("[::1]:0"), Some(("::1".to_owned(), 0)));
        for text in ["", "9092", ":9092", "localhost", "localhost:", "localhost:99999", "::1:9092"] {
            assert_eq!(parse_address(text), None, "{text:?}");
        }
    }

    #[test]
    fn passwords_do_not_show() {
        let builder = Builder::default().sasl_plain(&[("etl", "hunter2")]).sasl_scram_sha_256(&[("ops", "hunter2")]);
        let shown = format!("{builder:?}");
        assert!(shown.contains("etl") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (builder, name) in [
            (Builder::default().nodes(0), "nodes = 0"),
            (Builder::default().partitions(0), "partitions = 0"),
            (Builder::default().replicas(2), "replicas = 2"),
            (Builder::default().listen("x"), "\"x\""),
        ] {
            let error = builder.check().unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
