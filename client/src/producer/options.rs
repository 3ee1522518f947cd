//! What a producer may be told.

use std::time::Duration;

use ottla_protocol::compression::Compression;

use crate::core::accumulator::Limits;
use crate::core::partitioner::Unkeyed;
use crate::error::{Error, ErrorKind};

/// Who has to have a record before it counts as acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Acks {
    /// Nobody: it counts once it is written to the socket, no offset is known, and a broker's error is never heard of.
    None,
    /// The partition's leader. Lost if the leader is lost before others have copied it.
    Leader,
    /// Every replica in sync, of which the topic can demand a number (`min.insync.replicas`).
    #[default]
    All,
}

impl Acks {
    /// As the wire has it.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Leader => 1,
            Self::All => -1,
        }
    }
}

/// How a producer sends. The defaults lose nothing and write nothing twice.
#[derive(Debug, Clone)]
pub struct ProducerOptions {
    /// Who has to have a record. Kafka: `acks`. Default: [`Acks::All`].
    pub acks: Acks,
    /// Whether a record that is sent again can never be written twice (KIP-98), with up to five batches of a partition under
    /// way. Only with [`Acks::All`]; with others it has no effect. Without it one batch of a partition is under way at a time,
    /// since a retry would otherwise change the order. Kafka: `enable.idempotence`. Default: on.
    pub idempotent: bool,
    /// The codec. Kafka: `compression.type`. Default: none.
    pub compression: Compression,
    /// The codec's level; `None` is the codec's own default.
    pub level: Option<i32>,
    /// How long a batch waits for more records. Kafka: `linger.ms`. Default: 5 ms.
    pub linger: Duration,
    /// At this many bytes, before compression, a batch is sent without waiting. A larger record gets a batch of its own.
    /// Kafka: `batch.size`. Default: 128 KiB.
    pub batch_bytes: usize,
    /// How many bytes of records the producer holds; when they are taken, [`send`](crate::TopicProducer::send) waits. A record
    /// larger than that waits until nothing else is held.
    /// Kafka: `buffer.memory`. Default: 32 MiB.
    pub buffer_bytes: usize,
    /// How long a record may take from being handed over to its end, retries included. What is on its way when the time is
    /// over is awaited, so the end comes at most one `request_timeout` later. It begins again, for all that wait in the
    /// partition, whenever a batch that the broker refused is halved to find the record at fault. At least
    /// `linger + request_timeout`.
    /// Kafka: `delivery.timeout.ms` (KIP-91). Default: 120 s.
    pub delivery_timeout: Duration,
    /// How long to wait for an answer before the connection is given up. Kafka: `request.timeout.ms`. Default: 30 s.
    pub request_timeout: Duration,
    /// How large a request may become, before compression; so may a record. Kafka: `max.request.size`. Default: `None`, which
    /// leaves a record's size to the topic (`max.message.bytes`: the broker refuses what is larger), and gathers batches into
    /// requests of 1 MiB.
    pub max_request_bytes: Option<usize>,
    /// How long to wait before a batch is sent again, after the first failure. It doubles with each further one, spread by a
    /// fifth to both sides (KIP-580). Kafka: `retry.backoff.ms`. Default: 100 ms.
    pub retry_backoff: Duration,
    /// What that grows to, until a batch of the partition is acknowledged. Kafka: `retry.backoff.max.ms`. Default: 1 s.
    pub retry_backoff_max: Duration,
    /// Whether nothing that was handed over for a partition after a failed record is sent: its deliveries fail with
    /// [`ErrorKind::Closed`] and the record's error in the text. Whoever sends the failed record again later then overtakes
    /// nothing. Default: off.
    pub stop_at_failure: bool,
    /// Whether records without a partition go where [`unkeyed`](Self::unkeyed) says although they have a key. Kafka:
    /// `partitioner.ignore.keys` (KIP-794). Default: off.
    pub ignore_keys: bool,
    /// Where records go that have neither partition nor key. Default: [`Unkeyed::Sticky`].
    pub unkeyed: Unkeyed,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            level: None,
            linger: Duration::from_millis(5),
            batch_bytes: 128 << 10,
            buffer_bytes: 32 << 20,
            delivery_timeout: Duration::from_mins(2),
            request_timeout: Duration::from_secs(30),
            max_request_bytes: None,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(1),
            stop_at_failure: false,
            ignore_keys: false,
            unkeyed: Unkeyed::Sticky,
        }
    }
}

/// How large a request becomes of which nothing else is said: Kafka's own default (`max.request.size`).
const REQUEST_BYTES: usize = 1 << 20;

/// The smallest batch: a header and a short record.
const SMALLEST_BATCH: usize = 256;

impl ProducerOptions {
    /// Refuses what cannot work, naming the option, its value and what it may be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let largest = i32::MAX as usize;
        let request = self.max_request_bytes.unwrap_or(largest);
        let sizes = [
            ("max_request_bytes", request, SMALLEST_BATCH, largest, "2^31 - 1"),
            ("batch_bytes", self.batch_bytes, SMALLEST_BATCH, request, "max_request_bytes"),
            ("buffer_bytes", self.buffer_bytes, self.batch_bytes, usize::MAX, "anything"),
        ];
        for (name, value, least, most, most_name) in sizes {
            if value < least || value > most {
                return Err(refused(name, &value, &format!("from {least} to {most_name}")));
            }
        }
        if self.request_timeout.is_zero() || i32::try_from(self.request_timeout.as_millis()).is_err() {
            let allowed = "more than 0 and less than 2^31 milliseconds";
            return Err(refused("request_timeout", &format_args!("{:?}", self.request_timeout), allowed));
        }
        let least = self.linger.saturating_add(self.request_timeout);
        if self.delivery_timeout < least || self.delivery_timeout > Duration::from_secs(u64::from(u32::MAX)) {
            let allowed = format!("at least linger + request_timeout, here {least:?}, and at most 2^32 s");
            return Err(refused("delivery_timeout", &format_args!("{:?}", self.delivery_timeout), &allowed));
        }
        if self.retry_backoff > self.delivery_timeout {
            let allowed = format!("at most delivery_timeout, here {:?}", self.delivery_timeout);
            return Err(refused("retry_backoff", &format_args!("{:?}", self.retry_backoff), &allowed));
        }
        if self.retry_backoff_max < self.retry_backoff {
            let allowed = format!("at least retry_backoff, here {:?}", self.retry_backoff);
            return Err(refused("retry_backoff_max", &format_args!("{:?}", self.retry_backoff_max), &allowed));
        }
        let level = self.compression.check_level(self.level);
        level.map_err(|e| Error::new(ErrorKind::Config, format!("the producer's option level: {e}")).with_source(e))
    }

    /// How large the batches of one request may be together.
    pub(super) fn request_bytes(&self) -> usize {
        self.max_request_bytes.unwrap_or(REQUEST_BYTES)
    }

    /// How large a record may be.
    pub(super) fn record_bytes(&self) -> usize {
        self.max_request_bytes.unwrap_or(i32::MAX as usize)
    }

    /// Whether batches are numbered.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.idempotent && self.acks == Acks::All
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            linger: self.linger,
            batch_bytes: self.batch_bytes,
            delivery_timeout: self.delivery_timeout,
            retry_backoff: self.retry_backoff,
            retry_backoff_max: self.retry_backoff_max,
            idempotent: self.is_idempotent(),
            stop_at_failure: self.stop_at_failure,
        }
    }

    pub(super) fn request_timeout_ms(&self) -> i32 {
        i32::try_from(self.request_timeout.as_millis()).unwrap_or(i32::MAX)
    }
}

fn refused(name: &str, value: &dyn std::fmt::Display, allowed: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the producer's option {name} is {value}; it has to be {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut ProducerOptions);

    #[test]
    fn the_defaults_are_allowed_and_nonsense_is_named() {
        ProducerOptions::default().check().unwrap();
        let nonsense: [(&str, Change); 10] = [
            ("batch_bytes", |o| o.batch_bytes = 0),
            ("batch_bytes", |o| o.max_request_bytes = Some(o.batch_bytes - 1)),
            ("buffer_bytes", |o| o.buffer_bytes = o.batch_bytes - 1),
            ("max_request_bytes", |o| o.max_request_bytes = Some(1 << 31)),
            ("request_timeout", |o| o.request_timeout = Duration::ZERO),
            ("delivery_timeout", |o| o.delivery_timeout = o.request_timeout),
            ("delivery_timeout", |o| o.linger = Duration::MAX),
            ("retry_backoff", |o| o.retry_backoff = Duration::from_secs(121)),
            ("retry_backoff_max", |o| o.retry_backoff_max = Duration::from_millis(99)),
            ("level", |o| (o.compression, o.level) = (Compression::Gzip, Some(99))),
        ];
        for (name, change) in nonsense {
            let mut options = ProducerOptions::default();
            change(&mut options);
            let error = options.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn batches_are_numbered_only_if_all_replicas_acknowledge() {
        for (acks, idempotent, numbered) in
            [(Acks::All, true, true), (Acks::All, false, false), (Acks::Leader, true, false), (Acks::None, true, false)]
        {
            let options = ProducerOptions { acks, idempotent, ..ProducerOptions::default() };
            assert_eq!(options.is_idempotent(), numbered);
        }
    }
}
