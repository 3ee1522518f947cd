//! The client's options: typed, with units, checked before anything is tried.

mod server;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::kerberos::login::KerberosOptions;
use crate::net::tls::Tls;
use crate::sasl::{Credentials, OauthBearer, ScramHash};

pub(crate) use server::{Server, write_host_port};
pub use tls::{Pem, TlsIdentity, TlsOptions, TlsSession, TlsVersion, TrustedCa};

/// Longer waits mean the same as this one, and would overflow the clock.
const LONGEST_WAIT: Duration = Duration::from_hours(365 * 24);

/// Everything a connection needs to know. Defaults are Kafka's own where Kafka has them.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) bootstrap: Vec<Server>,
    pub(crate) client_id: Arc<str>,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) tls: Option<Arc<Tls>>,
    /// For one server: resolve, connect and authenticate.
    pub(crate) connect_timeout: Duration,
    /// From asking to the answer.
    pub(crate) request_timeout: Duration,
    /// For a whole call, all its retries included (`default.api.timeout.ms`).
    pub(crate) api_timeout: Duration,
    pub(crate) metadata_max_age: Duration,
    pub(crate) retry_backoff: Duration,
    pub(crate) retry_backoff_max: Duration,
    pub(crate) reconnect_backoff: Duration,
    pub(crate) reconnect_backoff_max: Duration,
    /// Below the broker's ten minutes, so that the client is the one to close (`connections.max.idle.ms`).
    pub(crate) max_idle: Duration,
    /// The largest answer taken, in bytes.
    pub(crate) frame_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bootstrap: Vec::new(),
            client_id: Arc::from("ottla"),
            credentials: None,
            tls: None,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_mins(1),
            metadata_max_age: Duration::from_mins(5),
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            max_idle: Duration::from_mins(9),
            frame_limit: ottla_protocol::frame::DEFAULT_LIMIT,
        }
    }
}

impl Options {
    /// A peer's words, fit to be shown.
    pub(crate) fn clean(&self, words: &str) -> String {
        self.credentials.as_ref().map(Credentials::peer_text).unwrap_or_default().clean(words)
    }

    /// Bounds every wait; says which of them are zero and must not be.
    fn check_waits(&mut self) -> Vec<String> {
        let delays = [
            &mut self.retry_backoff,
            &mut self.retry_backoff_max,
            &mut self.reconnect_backoff,
            &mut self.reconnect_backoff_max,
        ];
        for delay in delays {
            *delay = (*delay).min(LONGEST_WAIT);
        }
        let waits = [
            ("connect_timeout", &mut self.connect_timeout),
            ("request_timeout", &mut self.request_timeout),
            ("api_timeout", &mut self.api_timeout),
            ("metadata_max_age", &mut self.metadata_max_age),
            ("max_idle", &mut self.max_idle),
        ];
        let mut wrong = Vec::new();
        for (name, wait) in waits {
            *wait = (*wait).min(LONGEST_WAIT);
            if wait.is_zero() {
                wrong.push(format!("{name} is zero"));
            }
        }
        wrong
    }
}

/// Servers as `host:port`: made of one text with commas between them, or of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bootstrap(Vec<String>);

impl<S: Into<String>> FromIterator<S> for Bootstrap {
    fn from_iter<I: IntoIterator<Item = S>>(servers: I) -> Self {
        let split = |servers: S| {
            let servers: String = servers.into();
            servers.split(',').map(|server| server.trim().to_owned()).collect::<Vec<_>>()
        };
        Self(servers.into_iter().flat_map(split).filter(|server| !server.is_empty()).collect())
    }
}

impl From<&str> for Bootstrap {
    fn from(servers: &str) -> Self {
        Self::from_iter([servers])
    }
}

impl From<String> for Bootstrap {
    fn from(servers: String) -> Self {
        Self::from_iter([servers])
    }
}

impl From<&String> for Bootstrap {
    fn from(servers: &String) -> Self {
        Self::from_iter([servers])
    }
}

impl<S: Into<String>> From<Vec<S>> for Bootstrap {
    fn from(servers: Vec<S>) -> Self {
        Self::from_iter(servers)
    }
}

impl<S: Into<String>, const N: usize> From<[S; N]> for Bootstrap {
    fn from(servers: [S; N]) -> Self {
        Self::from_iter(servers)
    }
}

impl<S: AsRef<str>> From<&[S]> for Bootstrap {
    fn from(servers: &[S]) -> Self {
        servers.iter().map(AsRef::as_ref).collect()
    }
}

impl<S: AsRef<str>> From<&Vec<S>> for Bootstrap {
    fn from(servers: &Vec<S>) -> Self {
        Self::from(servers.as_slice())
    }
}

/// Collects options; [`ClientBuilder::connect`](crate::ClientBuilder::connect) checks them all at once.
#[derive(Debug, Clone, Default)]
pub struct ClientBuilder {
    options: Options,
    bootstrap: Vec<String>,
    tls: Option<TlsOptions>,
}

impl ClientBuilder {
    /// The servers asked first, as `host:port` (`[::1]:9092` for IPv6), in one text with commas or as a list; the rest of the
    /// cluster is learned from them. Repeated calls add.
    ///
    /// ```
    /// use ottla_client::Client;
    ///
    /// let one = Client::builder().bootstrap("kafka1:9092,kafka2:9092");
    /// let list = Client::builder().bootstrap(["kafka1:9092", "kafka2:9092"]);
    /// let owned = Client::builder().bootstrap(vec!["kafka1:9092".to_owned()]);
    /// ```
    #[must_use]
    pub fn bootstrap(mut self, servers: impl Into<Bootstrap>) -> Self {
        self.bootstrap.extend(servers.into().0);
        self
    }

    /// The client's name in the brokers' logs and quotas. Default: `ottla`.
    #[must_use]
    pub fn client_id(mut self, client_id: &str) -> Self {
        self.options.client_id = client_id.into();
        self
    }

    /// SASL/PLAIN with this user and password (RFC 4616). The password travels as it is: over plain TCP anyone on the way
    /// can read it.
    #[must_use]
    pub fn sasl_plain(mut self, username: &str, password: &str) -> Self {
        self.options.credentials = Some(Credentials::plain(username, password));
        self
    }

    /// SASL/SCRAM with this user and password (RFC 5802, RFC 7677). The password does not travel, but whoever records the
    /// exchange can try passwords against it.
    #[must_use]
    pub fn sasl_scram(mut self, hash: ScramHash, username: &str, password: &str) -> Self {
        self.options.credentials = Some(Credentials::scram(hash, username, password));
        self
    }

    /// SASL/SCRAM with a delegation token (KIP-48): its id and its HMAC, in base64 as Kafka's tools print it.
    #[must_use]
    pub fn sasl_delegation_token(mut self, hash: ScramHash, token_id: &str, hmac: &str) -> Self {
        self.options.credentials = Some(Credentials::delegation_token(hash, token_id, hmac));
        self
    }

    /// TLS on every connection. Without it everything goes over plain TCP.
    #[must_use]
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = Some(tls);
        self
    }

    /// SASL/OAUTHBEARER (RFC 7628, KIP-255) with tokens from a provider, a file or a token endpoint. Each token travels as it
    /// is: over plain TCP anyone on the way can use it until it ends.
    #[must_use]
    pub fn sasl_oauthbearer(mut self, options: OauthBearer) -> Self {
        self.options.credentials = Some(Credentials::oauthbearer(options));
        self
    }

    /// SASL/GSSAPI with Kerberos 5 (RFC 4752, RFC 4121): by keytab, password or credential cache. Brokers prove themselves too.
    /// What comes after the login is neither encrypted nor protected; use TLS for that.
    #[must_use]
    pub fn sasl_kerberos(mut self, options: KerberosOptions) -> Self {
        self.options.credentials = Some(Credentials::kerberos(options));
        self
    }

    /// How long one server may take to be resolved, connected and authenticated. Default: 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.options.connect_timeout = timeout;
        self
    }

    /// How long one request may take from asking to its answer (`request.timeout.ms`). Default: 30 s.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// How long a call may take with all its retries (`default.api.timeout.ms`). Default: 60 s.
    #[must_use]
    pub fn api_timeout(mut self, timeout: Duration) -> Self {
        self.options.api_timeout = timeout;
        self
    }

    /// After what time metadata is refreshed although nothing went wrong (`metadata.max.age.ms`). Default: 5 min.
    #[must_use]
    pub fn metadata_max_age(mut self, age: Duration) -> Self {
        self.options.metadata_max_age = age;
        self
    }

    /// The first delay between two tries of a call and the longest one (`retry.backoff.ms`, KIP-580).
    /// Default: 100 ms to 1 s.
    #[must_use]
    pub fn retry_backoff(mut self, first: Duration, limit: Duration) -> Self {
        self.options.retry_backoff = first;
        self.options.retry_backoff_max = limit;
        self
    }

    /// The first delay between two attempts to connect to a broker and the longest one (`reconnect.backoff.ms` and
    /// `reconnect.backoff.max.ms`). Default: 50 ms to 1 s.
    #[must_use]
    pub fn reconnect_backoff(mut self, first: Duration, limit: Duration) -> Self {
        self.options.reconnect_backoff = first;
        self.options.reconnect_backoff_max = limit;
        self
    }

    /// After what time an unused connection is closed (`connections.max.idle.ms`). Default: 9 min.
    #[must_use]
    pub fn max_idle(mut self, idle: Duration) -> Self {
        self.options.max_idle = idle;
        self
    }

    /// The largest answer taken, in bytes. A larger one breaks its connection. Default: 100 MiB.
    #[must_use]
    pub fn frame_limit(mut self, bytes: usize) -> Self {
        self.options.frame_limit = bytes;
        self
    }

    /// Credentials that a test made itself.
    #[cfg(test)]
    pub(crate) fn credentials(mut self, credentials: Credentials) -> Self {
        self.options.credentials = Some(credentials);
        self
    }

    /// The options, or one error that lists all that is wrong with them.
    pub(crate) fn options(self) -> Result<Options, Error> {
        let mut options = self.options;
        let mut wrong = Vec::new();
        if self.bootstrap.is_empty() {
            wrong.push("bootstrap names no server; give at least one as host:port".to_owned());
        }
        for text in &self.bootstrap {
            match Server::parse(text) {
                Ok(server) => options.bootstrap.push(server),
                Err(problem) => wrong.push(format!("bootstrap server {text:?}: {problem}")),
            }
        }
        if let Some(credentials) = &options.credentials {
            let problem = credentials.problem();
            wrong.extend(problem.or_else(|| credentials.open(options.connect_timeout).err()));
        }
        match self.tls.map(Tls::new) {
            Some(Ok(tls)) => {
                tls.warn();
                options.tls = Some(Arc::new(tls));
            }
            Some(Err(problems)) => wrong.extend(problems),
            None => {}
        }
        if options.client_id.len() > i16::MAX as usize {
            wrong.push("client_id is longer than 32767 bytes".to_owned());
        }
        wrong.extend(options.check_waits());
        if wrong.is_empty() { Ok(options) } else { Err(Error::new(ErrorKind::Config, wrong.join("\n"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let builder = ClientBuilder::default()
            .bootstrap(["good:9092", "no-port", "::1:9092"])
            .sasl_plain("", "secret-of-mine")
            .api_timeout(Duration::ZERO);
        let error = builder.options().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert_eq!(text.lines().count(), 4, "{text}");
        for part in ["\"no-port\"", "\"::1:9092\"", "user name", "api_timeout is zero"] {
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
        assert!(!text.contains("secret-of-mine"));
    }

    #[test]
    fn servers_come_in_one_text_or_in_a_list() {
        let expected = ["a:9092", "[::1]:9093", "c:9094"].map(str::to_owned);
        let owned = expected.to_vec();
        let given: [Bootstrap; 7] = [
            "a:9092,[::1]:9093, c:9094".into(),
            "a:9092,[::1]:9093,c:9094,".to_owned().into(),
            ["a:9092", "[::1]:9093,c:9094"].into(),
            owned.clone().into(),
            (&owned).into(),
            owned.as_slice().into(),
            owned.iter().collect(),
        ];
        for servers in given {
            assert_eq!(servers.0, expected);
        }
        assert!(ClientBuilder::default().bootstrap("").options().unwrap_err().to_string().contains("names no server"));
    }

    #[test]
    fn a_password_is_never_shown() {
        let builder = ClientBuilder::default().bootstrap(["a:1"]).sasl_plain("etl", "secret-of-mine");
        assert!(!format!("{builder:?}").contains("secret-of-mine"));
        assert!(!format!("{:?}", builder.options().unwrap()).contains("secret-of-mine"));
    }
}
