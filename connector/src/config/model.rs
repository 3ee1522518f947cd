//! The checked configuration: what the rest of the connector works with. Every value here is valid; where a value
//! came from and what was wrong with it is the business of the reading side.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use ottla_client::{ClientBuilder, OauthBearer, ScramHash, TlsOptions, TokenEndpoint};
use ottla_protocol::compression::Compression;

pub use super::kerberos::{Kerberos, KerberosCredential, Krb5Conf};
use super::mistake::shown;
pub use super::tls::trusted;
pub use super::topics::{ExpressionError, TopicExpression};
use crate::secret::Secret;
use crate::target::partitioning::PartitionBy;

/// One checked config file.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file it was read from, as given by the user.
    pub file: PathBuf,
    /// Where tasks keep what they have to remember on this machine: the positions of file sources.
    pub state_dir: PathBuf,
    /// The connections by name.
    pub connections: BTreeMap<String, Connection>,
    /// The tasks by name. Their `source` and `target` are keys of `connections`.
    pub tasks: BTreeMap<String, Task>,
    /// How long tasks may drain after the first signal; `None` for [`SHUTDOWN_TIMEOUT`].
    pub shutdown_timeout: Option<Duration>,
    /// The connections that each task of the file names, broken tasks included.
    pub ends: BTreeMap<String, Vec<String>>,
}

/// How long draining may take after the first signal, unless configured: less than the 30 s after which Kubernetes kills
/// a container (`terminationGracePeriodSeconds`).
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

impl Config {
    /// The connection a task reads from. `None` only for a task of another config.
    pub fn source_of(&self, task: &Task) -> Option<&Connection> {
        self.connections.get(&task.source)
    }

    /// The connection a task writes to. `None` only for a task of another config.
    pub fn target_of(&self, task: &Task) -> Option<&Connection> {
        self.connections.get(&task.target)
    }
}

/// A named end that records come from or go to (`[connections.NAME]`).
#[derive(Debug, Clone)]
pub struct Connection {
    /// The table's name.
    pub name: String,
    /// What the connection may be used for.
    pub role: Role,
    /// What a source does with a message that is not a JSON object.
    pub on_bad_message: OnError,
    /// What happens when the target refuses a record.
    pub on_push_error: OnError,
    /// What is at the other end.
    pub kind: Kind,
    /// Which of its secrets others get at.
    pub exposures: Vec<Exposure>,
}

/// A secret that others get at: on the network, or in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exposure {
    /// Which one, and how.
    pub problem: String,
    /// What to do about it.
    pub help: String,
}

impl Exposure {
    /// The exposure of a secret in a file with these permission bits; `None` if only its owner gets at it.
    pub fn of_file(what: &str, path: &str, mode: u32) -> Option<Self> {
        let can = match (mode & 0o044 != 0, mode & 0o022 != 0) {
            (false, false) => return None,
            (true, false) => "read",
            (false, true) => "change",
            (true, true) => "read and change",
        };
        let who = if mode & 0o006 == 0 { "its group" } else { "other users" };
        let path = shown(path);
        let problem = format!("{who} can {can} the {what} `{path}` (mode {mode:04o})");
        Some(Self { problem, help: format!("`chmod 600 {path}` leaves it to its owner") })
    }
}

/// The kinds of connections with their own settings.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A Kafka cluster.
    Kafka(Kafka),
    /// A file of JSON objects, one a line, or standard input and output.
    Jsonl(Jsonl),
}

/// Settings of a Kafka cluster.
#[derive(Debug, Clone)]
pub struct Kafka {
    /// Where to reach it.
    pub bootstrap: Bootstrap,
    /// Which topics are read; as a target, a plain name is the topic written to.
    pub topics: TopicExpression,
    /// How many replicas must have a record before it counts as written.
    pub acks: AckLevel,
    /// How written batches are compressed.
    pub compression: Compression,
    /// Which partition of the topic written to a record goes to; `None` is the source's for topics, and spread for lines.
    pub partition_by: Option<PartitionBy>,
    /// How large a request and a record may be, in bytes; `None` leaves a record's size to the topic.
    pub max_request_bytes: Option<usize>,
    /// The login, if the cluster asks for one.
    pub auth: Option<Auth>,
    /// How connections are protected; `None` is plain TCP. Its files were there and fitted together when it was checked.
    pub tls: Option<Box<TlsOptions>>,
}

/// What `max_request_bytes` may be: a batch's header and a short record at least, and what brokers take at most
/// (`socket.request.max.bytes`).
pub const REQUEST_BYTES: std::ops::RangeInclusive<usize> = 256..=100 << 20;

/// Where a cluster is reached first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bootstrap {
    /// The development broker inside this process; all connections that say so share one.
    Embedded,
    /// `host:port` each, IPv6 addresses in brackets; at least one, all checked.
    Servers(Vec<String>),
}

/// The acknowledgement levels of the original's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AckLevel {
    /// 0: not acknowledged; a lost record goes unnoticed.
    None,
    /// 1: written by the partition's leader.
    Leader,
    /// -1, the default. The original calls it "most in-sync replicas"; on the wire it is the same as `All`.
    #[default]
    Majority,
    /// -1: written by all in-sync replicas.
    All,
}

impl AckLevel {
    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Leader => "leader",
            Self::Majority => "majority",
            Self::All => "all",
        }
    }
}

impl fmt::Display for AckLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What an incremental task does when a partition has no leader, or its leader cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnUnavailable {
    /// Read the others, say so, and read it when it is there again.
    #[default]
    Continue,
    /// Stop the task after two minutes.
    Stop,
}

impl OnUnavailable {
    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Stop => "stop",
        }
    }
}

/// What to do with a record that cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnError {
    /// Stop the task; the record's position is not passed, so a restart meets it again.
    #[default]
    Stop,
    /// Count it, log it, pass it.
    Skip,
}

impl OnError {
    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Skip => "skip",
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Role {
    /// Only read from.
    Source,
    /// Only written to.
    Target,
    /// Either.
    #[default]
    Both,
}

impl Role {
    /// May a task read from it?
    pub fn reads(self) -> bool {
        self != Self::Target
    }

    /// May a task write to it?
    pub fn writes(self) -> bool {
        self != Self::Source
    }

    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Both => "both",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Settings of a JSONL end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jsonl {
    /// Where the lines are.
    pub path: JsonlPath,
}

/// Where JSONL lines are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonlPath {
    /// A file; a relative path starts at the directory the command was started in.
    File(PathBuf),
    /// `-`: standard input as a source, standard output as a target.
    Stdio,
}

impl fmt::Display for JsonlPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(out),
            Self::Stdio => out.write_str("-"),
        }
    }
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// RFC 4616: account and password, readable by anyone on the wire.
    Plain(Account),
    /// RFC 5802 and RFC 7677: the password is proved and does not travel.
    Scram(ScramHash, Account),
    /// RFC 7628: a token of somebody else's making.
    OauthBearer(Box<Oauth>),
    /// RFC 4752 with Kerberos 5: a ticket, and the broker proves itself too.
    Kerberos(Box<Kerberos>),
}

/// A user and a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub username: String,
    /// Its password.
    pub password: Secret,
}

/// Tokens instead of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oauth {
    /// Where they come from.
    pub source: TokenSource,
    /// SASL extensions sent beside each token (KIP-342), each with its value.
    pub extensions: Vec<(String, String)>,
}

/// Where tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, read again for each login.
    File(PathBuf),
    /// An OAuth 2 token endpoint, asked with the client credentials grant (RFC 6749 §4.4).
    Endpoint {
        /// `https://host/path`.
        url: String,
        /// Whose word counts for it, in the forms of [`trusted`]; `None` for the system's authorities.
        ca: Option<String>,
        /// The client's id.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// What is asked for; `None` for what the endpoint gives by itself.
        scope: Option<String>,
    },
}

/// The SASL mechanisms that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// See [`Auth::Plain`].
    Plain,
    /// See [`Auth::Scram`].
    ScramSha256,
    /// See [`Auth::Scram`].
    ScramSha512,
    /// See [`Auth::OauthBearer`].
    OauthBearer,
    /// See [`Auth::Kerberos`].
    Kerberos,
}

impl Mechanism {
    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::ScramSha256 => "scram-sha-256",
            Self::ScramSha512 => "scram-sha-512",
            Self::OauthBearer => "oauthbearer",
            Self::Kerberos => "kerberos",
        }
    }
}

impl Auth {
    /// How the login is carried out.
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain(_) => Mechanism::Plain,
            Self::Scram(ScramHash::Sha256, _) => Mechanism::ScramSha256,
            Self::Scram(ScramHash::Sha512, _) => Mechanism::ScramSha512,
            Self::OauthBearer(_) => Mechanism::OauthBearer,
            Self::Kerberos(_) => Mechanism::Kerberos,
        }
    }

    /// As whom, in words: a user's name, or where the token comes from.
    pub fn who(&self) -> String {
        match self {
            Self::Plain(account) | Self::Scram(_, account) => format!("as {}", account.username),
            Self::OauthBearer(oauth) => match &oauth.source {
                TokenSource::File(path) => format!("with the token in {}", path.display()),
                TokenSource::Endpoint { url, client_id, .. } => format!("as client {client_id} of {url}"),
            },
            Self::Kerberos(kerberos) => kerberos.who(),
        }
    }

    /// Gives the client this login.
    pub fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        match self {
            Self::Plain(account) => builder.sasl_plain(&account.username, account.password.expose()),
            Self::Scram(hash, account) => builder.sasl_scram(*hash, &account.username, account.password.expose()),
            Self::OauthBearer(oauth) => builder.sasl_oauthbearer(oauth.options()),
            Self::Kerberos(kerberos) => builder.sasl_kerberos(kerberos.options()),
        }
    }
}

impl Oauth {
    /// As the client takes it.
    pub(crate) fn options(&self) -> OauthBearer {
        let options = match &self.source {
            TokenSource::File(path) => OauthBearer::file(path),
            TokenSource::Endpoint { url, ca, client_id, client_secret, scope } => {
                let mut endpoint = TokenEndpoint::new(url, client_id, client_secret.expose());
                endpoint.scope.clone_from(scope);
                endpoint.tls.ca = ca.as_deref().map(trusted).unwrap_or_default();
                OauthBearer::endpoint(endpoint)
            }
        };
        self.extensions.iter().fold(options, |options, (name, value)| options.extension(name, value))
    }
}

/// A named job (`[tasks.NAME]`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The table's name.
    pub name: String,
    /// The connection read from.
    pub source: String,
    /// The connection written to.
    pub target: String,
    /// What part of the source is moved.
    pub mode: Mode,
    /// The consumer group under which the task's positions are kept.
    pub group: String,
    /// A full task whose topic expression matches nothing is complete; otherwise it fails.
    pub allow_empty: bool,
    /// What an incremental task does when a partition cannot be read for a while.
    pub on_unavailable: OnUnavailable,
}

/// What part of the source a task moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// What is there when the task starts, then the task is complete.
    Full,
    /// Only what comes after the task's first start.
    Incremental,
    /// Everything, for ever.
    FullIncremental,
}

impl Mode {
    /// The word used in config files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
            Self::FullIncremental => "full+incremental",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
