//! What can go wrong, as data: callers ask it questions and never match its text.

use std::fmt;
use std::sync::Arc;

use ottla_protocol::{ApiKey, ErrorCode};

use crate::TopicPartition;

/// An error of the client. Cheap to clone; its `Display` is whole on its own: where, what, and what to do about it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an answer to a question of its own")]
struct Inner {
    kind: ErrorKind,
    code: Option<ErrorCode>,
    message: String,
    broker: Option<Arc<str>>,
    api: Option<ApiKey>,
    topic: Option<Arc<str>>,
    partition: Option<i32>,
    offset: Option<i64>,
    gave_up: Option<String>,
    maybe_written: bool,
    fatal: bool,
    repeated: bool,
    login: bool,
    starting: bool,
    source: Option<Arc<dyn std::error::Error + Send + Sync + 'static>>,
}

/// The kinds of failure. An open set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is wrong; nothing was tried.
    Config,
    /// A host name has no address.
    Resolve,
    /// No connection could be made.
    Connect,
    /// The TLS handshake failed: a certificate, a name, a version or a cipher, on one side or the other.
    Tls,
    /// The broker refused the credentials or the mechanism, takes no login, or did not prove itself; or there are no
    /// credentials to be had.
    Authentication,
    /// The broker and this client have no version of an API in common.
    Versions,
    /// The broker's release lacks what was asked for.
    Unsupported,
    /// The answer did not come in time.
    Timeout,
    /// The connection broke before the answer came.
    Disconnected,
    /// The broker answered with an error code.
    Broker,
    /// There is no such topic or partition.
    UnknownTopic,
    /// The position is not in the log.
    OffsetOutOfRange,
    /// Records are not what they should be: a batch or its checksum.
    Corrupt,
    /// The peer is not a Kafka broker, or broke the protocol: bytes of another protocol, a broken frame, an answer to another
    /// request, an answer that contradicts itself. Its connection is closed; a later try makes another one.
    Protocol,
    /// A record, batch or message is larger than a limit.
    TooLarge,
    /// Another producer or member has taken over this one's identity.
    Fenced,
    /// The producer's buffer is full.
    BufferFull,
    /// The handle was closed.
    Closed,
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The broker's error code, if it sent one. [`Client::offsets`](crate::Client::offsets) gives a 78 to brokers that do not
    /// know it.
    pub fn code(&self) -> Option<ErrorCode> {
        self.0.code
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_retriable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Disconnected
            | ErrorKind::Protocol
            | ErrorKind::BufferFull => true,
            // A topic that does not exist does not come by waiting.
            ErrorKind::UnknownTopic => false,
            _ => self.0.code.is_some_and(ErrorCode::is_retriable),
        }
    }

    /// Whether a call may try again by itself: also for a topic that the broker does not know, since right after a topic was
    /// created brokers differ. How often is the call's business.
    pub(crate) fn may_be_retried(&self) -> bool {
        self.is_retriable() || self.0.code == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
    }

    /// Whether the handle that reported it is of no use any more.
    pub fn is_fatal(&self) -> bool {
        self.0.fatal || matches!(self.0.kind, ErrorKind::Fenced | ErrorKind::Closed)
    }

    /// Whether the broker may have applied the request although it failed here.
    pub fn maybe_written(&self) -> bool {
        self.0.maybe_written
    }

    /// The API that was asked, if one was.
    pub fn api(&self) -> Option<ApiKey> {
        self.0.api
    }

    /// The topic it is about, if it is about one.
    pub fn topic(&self) -> Option<&str> {
        self.0.topic.as_deref()
    }

    /// The partition it is about, if it is about one.
    pub fn partition(&self) -> Option<i32> {
        self.0.partition
    }

    /// The offset it is about, if it is about one.
    pub fn offset(&self) -> Option<i64> {
        self.0.offset
    }

    /// Whether it came up during a login: in getting a ticket or a token for it, or in the exchange with the broker. Such an
    /// error need not be the credentials' fault; [`Error::kind`] says what it is.
    pub fn is_from_login(&self) -> bool {
        self.0.login
    }

    /// Whether the metadata that led to it is out of date.
    pub(crate) fn is_stale_metadata(&self) -> bool {
        match self.0.kind {
            ErrorKind::Resolve
            | ErrorKind::Connect
            | ErrorKind::Timeout
            | ErrorKind::Disconnected
            | ErrorKind::Protocol => true,
            _ => self.0.code.is_some_and(ErrorCode::is_invalid_metadata),
        }
    }

    /// An error of this kind. `message` says what happened and what to do; where it happened is added by the other methods.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            kind,
            code: None,
            message: message.into(),
            broker: None,
            api: None,
            topic: None,
            partition: None,
            offset: None,
            gave_up: None,
            maybe_written: false,
            fatal: false,
            repeated: false,
            login: false,
            starting: false,
            source: None,
        }))
    }

    /// The broker's error code as an error. Code 3 is [`ErrorKind::UnknownTopic`], 1 [`ErrorKind::OffsetOutOfRange`],
    /// 47 and 82 [`ErrorKind::Fenced`], 10 and 18 [`ErrorKind::TooLarge`], 33, 34 and 58 [`ErrorKind::Authentication`].
    pub(crate) fn from_code(code: ErrorCode) -> Self {
        let kind = match code {
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => ErrorKind::UnknownTopic,
            ErrorCode::OFFSET_OUT_OF_RANGE => ErrorKind::OffsetOutOfRange,
            ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::FENCED_INSTANCE_ID => ErrorKind::Fenced,
            ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => ErrorKind::TooLarge,
            ErrorCode::SASL_AUTHENTICATION_FAILED
            | ErrorCode::UNSUPPORTED_SASL_MECHANISM
            | ErrorCode::ILLEGAL_SASL_STATE => ErrorKind::Authentication,
            _ => ErrorKind::Broker,
        };
        Self::new(kind, code.to_string()).edit(|inner| inner.code = Some(code))
    }

    /// The handle was closed, by the user or by being dropped.
    pub(crate) fn closed(what: &str) -> Self {
        Self::new(ErrorKind::Closed, format!("{what} was closed"))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Adds words that are fit to be shown: a broker's have to come out of [`PeerText`](crate::PeerText).
    pub(crate) fn said(self, words: Option<&str>) -> Self {
        match words {
            Some(words) if !words.is_empty() => {
                self.edit(|inner| inner.message = format!("{} ({words})", inner.message))
            }
            _ => self,
        }
    }

    /// Adds what to do.
    pub(crate) fn advice(self, advice: &str) -> Self {
        self.edit(|inner| {
            inner.message.push_str("; ");
            inner.message.push_str(advice);
        })
    }

    /// Adds the broker, unless it is named already.
    pub(crate) fn on_broker(self, broker: impl Into<Arc<str>>) -> Self {
        self.edit(|inner| inner.broker = inner.broker.take().or_else(|| Some(broker.into())))
    }

    /// Adds the API, unless it is named already; for a missing right also which one it is.
    pub(crate) fn in_api(self, api: ApiKey) -> Self {
        if self.0.api.is_some() {
            return self;
        }
        let right = self.0.code.and_then(|code| missing_right(code, api));
        let error = self.edit(|inner| inner.api = Some(api));
        right.into_iter().fold(error, |error, right| error.advice(&right))
    }

    /// Adds topic and partition, unless a topic is named already.
    pub(crate) fn at(self, place: &TopicPartition) -> Self {
        if self.0.topic.is_some() {
            return self;
        }
        self.edit(|inner| {
            inner.topic = Some(place.topic.clone());
            inner.partition = Some(place.partition);
        })
    }

    /// Adds the topic, unless one is named already.
    pub(crate) fn at_topic(self, topic: &Arc<str>) -> Self {
        self.edit(|inner| inner.topic = inner.topic.take().or_else(|| Some(topic.clone())))
    }

    /// Adds the offset.
    pub(crate) fn at_offset(self, offset: i64) -> Self {
        self.edit(|inner| inner.offset = Some(offset))
    }

    /// Adds that no more attempts are made, and after how many and how long. The innermost count stands.
    pub(crate) fn gave_up(self, attempts: u32, after: std::time::Duration) -> Self {
        let plural = if attempts == 1 { "" } else { "s" };
        let text = || format!("gave up after {attempts} attempt{plural} in {after:.1?}");
        self.edit(|inner| inner.gave_up = inner.gave_up.take().or_else(|| Some(text())))
    }

    /// Says whether the broker may have applied the request.
    pub(crate) fn written_maybe(self, maybe: bool) -> Self {
        self.edit(|inner| inner.maybe_written = maybe)
    }

    /// Says that the handle is of no use any more.
    pub(crate) fn fatal(self) -> Self {
        self.edit(|inner| inner.fatal = true)
    }

    /// Adds whom it is about, where that is no broker.
    pub(crate) fn at_endpoint(self, endpoint: &str) -> Self {
        self.edit(|inner| inner.message = format!("{endpoint}: {}", inner.message))
    }

    /// Says that it came up during a login.
    pub(crate) fn while_logging_in(self) -> Self {
        self.edit(|inner| inner.login = true)
    }

    /// Says that the broker answered but does not know its cluster yet.
    pub(crate) fn while_starting(self) -> Self {
        self.edit(|inner| inner.starting = true)
    }

    /// Whether the broker answered but does not know its cluster yet.
    pub(crate) fn is_from_starting(&self) -> bool {
        self.0.starting
    }

    /// Says that it was reported before and nothing was tried since.
    pub(crate) fn repeated(self) -> Self {
        self.edit(|inner| inner.repeated = true)
    }

    /// Whether it was reported before and nothing was tried since.
    pub(crate) fn is_repeated(&self) -> bool {
        self.0.repeated
    }

    /// Adds the cause, for programs: the message has to say it too.
    pub(crate) fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.edit(|inner| inner.source = Some(Arc::new(source)))
    }
}

/// Which ACL an API wants (the protocol's guide, "Authorization and ACLs"; `KafkaApis` of 2.3.1).
fn missing_right(code: ErrorCode, api: ApiKey) -> Option<String> {
    let (operation, resource) = match (code, api) {
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ApiKey::PRODUCE) => ("Write", "--topic TOPIC"),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ApiKey::FETCH | ApiKey::OFFSET_COMMIT) => ("Read", "--topic TOPIC"),
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED, ApiKey::METADATA | ApiKey::LIST_OFFSETS | ApiKey::OFFSET_FETCH) => {
            ("Describe", "--topic TOPIC")
        }
        (ErrorCode::TOPIC_AUTHORIZATION_FAILED | ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ApiKey::CREATE_TOPICS) => {
            ("Create", "--topic TOPIC")
        }
        (ErrorCode::GROUP_AUTHORIZATION_FAILED, _) => ("Read", "--group GROUP"),
        (ErrorCode::CLUSTER_AUTHORIZATION_FAILED, ApiKey::INIT_PRODUCER_ID) => ("IdempotentWrite", "--cluster"),
        _ => return None,
    };
    Some(format!(
        "the user needs the right: kafka-acls --add --allow-principal User:NAME --operation {operation} {resource}"
    ))
}

impl Inner {
    /// `orders-3 at offset 12, Produce to broker 1 at kafka:9092`
    fn place(&self) -> String {
        let partition = match (&self.topic, self.partition) {
            (Some(topic), Some(partition)) => Some(format!("{topic}-{partition}")),
            (Some(topic), None) => Some(format!("topic {topic}")),
            (None, partition) => partition.map(|partition| format!("partition {partition}")),
        };
        let offset = self.offset.map(|offset| format!("offset {offset}"));
        let record = [partition, offset].into_iter().flatten().collect::<Vec<_>>().join(" at ");
        let request = match (self.api, &self.broker) {
            (Some(api), Some(broker)) => format!("{api} to {broker}"),
            (Some(api), None) => api.to_string(),
            (None, Some(broker)) => broker.to_string(),
            (None, None) => String::new(),
        };
        let parts = [record, request].into_iter().filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.0.place();
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.0.message)?;
        if let Some(gave_up) = &self.0.gave_up {
            write!(f, " ({gave_up})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_and_what_and_how_often() {
        let error = Error::from_code(ErrorCode::NOT_LEADER_FOR_PARTITION)
            .at(&TopicPartition::new("orders", 3))
            .at_offset(12)
            .in_api(ApiKey::FETCH)
            .on_broker("broker 1 at kafka:9092")
            .gave_up(4, std::time::Duration::from_millis(1500));
        assert_eq!(
            error.to_string(),
            "orders-3 at offset 12, Fetch to broker 1 at kafka:9092: NOT_LEADER_FOR_PARTITION (6): The broker does not lead \
             the partition. (gave up after 4 attempts in 1.5s)"
        );
        assert!(error.is_retriable() && error.is_stale_metadata() && !error.is_fatal() && !error.maybe_written());
    }

    #[test]
    fn a_missing_right_is_named_once() {
        let error = Error::from_code(ErrorCode::GROUP_AUTHORIZATION_FAILED)
            .in_api(ApiKey::OFFSET_FETCH)
            .in_api(ApiKey::OFFSET_COMMIT);
        let text = error.to_string();
        assert!(text.contains("--operation Read --group GROUP") && text.matches("kafka-acls").count() == 1, "{text}");
        let other = Error::from_code(ErrorCode::NOT_LEADER_FOR_PARTITION).in_api(ApiKey::FETCH);
        assert!(!other.to_string().contains("kafka-acls"), "{other}");
    }

    #[test]
    fn the_first_place_named_stands() {
        let error = Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
            .on_broker("broker 1")
            .on_broker("broker 2")
            .at(&TopicPartition::new("a", 0))
            .at(&TopicPartition::new("b", 1));
        assert_eq!(error.kind(), ErrorKind::UnknownTopic);
        assert_eq!((error.topic(), error.partition()), (Some("a"), Some(0)));
        assert!(error.to_string().contains("broker 1"), "{error}");
    }
}
