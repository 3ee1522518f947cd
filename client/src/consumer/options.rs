//! What a consumer may be told.

use std::time::Duration;

use crate::core::isolation::Isolation;
use crate::{Error, ErrorKind};

/// How a consumer fetches. The defaults suit large batches over a local network; memory stays near `buffer_bytes`.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// How many bytes one answer of one broker may have, about. A first batch larger than that comes whole.
    /// Kafka: `fetch.max.bytes`. Default 8 MiB.
    pub fetch_max_bytes: i32,
    /// How many of them may be of one partition. Kafka: `max.partition.fetch.bytes`. Default 1 MiB.
    pub partition_max_bytes: i32,
    /// How many bytes a broker waits for before it answers. Kafka: `fetch.min.bytes`. Default 1.
    pub fetch_min_bytes: i32,
    /// How long it waits for them. A seek or a new partition can wait as long before it is asked for.
    /// Kafka: `fetch.max.wait.ms`. Default 500 ms.
    pub fetch_max_wait: Duration,
    /// How many fetched bytes, as compressed as they came, may lie ready for [`next`](crate::Consumer::next). Brokers are
    /// asked for more while no more than half of it is taken, and for no more than the other half in all. Only a batch
    /// larger than a broker's share goes beyond it. Default 32 MiB.
    pub buffer_bytes: usize,
    /// Whose records are shown. Default: those of committed transactions and those outside any.
    pub isolation: Isolation,
    /// Whether each batch's CRC-32C is checked. Kafka: `check.crcs`. Default on.
    pub check_crcs: bool,
    /// How large one batch may become when it is decompressed. Default 64 MiB.
    pub max_batch_bytes: usize,
    /// How long a partition may stay unreadable (no leader, no connection, a topic that is gone) before
    /// [`next`](crate::Consumer::next) says so. Reading goes on being tried. Default 120 s.
    pub stall_timeout: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            fetch_max_bytes: 8 << 20,
            partition_max_bytes: 1 << 20,
            fetch_min_bytes: 1,
            fetch_max_wait: Duration::from_millis(500),
            buffer_bytes: 32 << 20,
            isolation: Isolation::default(),
            check_crcs: true,
            max_batch_bytes: 64 << 20,
            stall_timeout: Duration::from_mins(2),
        }
    }
}

impl ConsumerOptions {
    /// Refuses what cannot work, naming the option, its value and what it may be.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let at_least_one = [
            ("fetch_max_bytes", i64::from(self.fetch_max_bytes)),
            ("partition_max_bytes", i64::from(self.partition_max_bytes)),
            ("buffer_bytes", i64::try_from(self.buffer_bytes).unwrap_or(i64::MAX)),
            ("max_batch_bytes", i64::try_from(self.max_batch_bytes).unwrap_or(i64::MAX)),
        ];
        for (name, value) in at_least_one {
            if value < 1 {
                return Err(refused(name, value, "1 or more"));
            }
        }
        if self.fetch_min_bytes < 0 {
            return Err(refused("fetch_min_bytes", self.fetch_min_bytes.into(), "0 or more"));
        }
        let wait = self.fetch_max_wait.as_millis();
        if i32::try_from(wait).is_err() {
            return Err(refused("fetch_max_wait", i64::MAX, "less than 2^31 milliseconds"));
        }
        Ok(())
    }

    /// `fetch_max_wait` as the wire has it.
    pub(super) fn max_wait_ms(&self) -> i32 {
        i32::try_from(self.fetch_max_wait.as_millis()).unwrap_or(i32::MAX)
    }

    /// What one of `brokers` brokers may be asked for at once, so that all of their answers fit into half of the buffer.
    pub(super) fn share_of(&self, brokers: usize) -> i32 {
        let share = self.buffer_bytes / 2 / brokers.max(1);
        i32::try_from(share).unwrap_or(i32::MAX).clamp(1, self.fetch_max_bytes)
    }
}

fn refused(name: &str, value: i64, allowed: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the consumer's option {name} is {value}; it has to be {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Change = fn(&mut ConsumerOptions);

    #[test]
    fn the_defaults_are_allowed_and_nonsense_is_named() {
        ConsumerOptions::default().check().unwrap();
        let nonsense: [(&str, Change); 6] = [
            ("fetch_max_bytes", |o| o.fetch_max_bytes = 0),
            ("partition_max_bytes", |o| o.partition_max_bytes = -1),
            ("fetch_min_bytes", |o| o.fetch_min_bytes = -1),
            ("buffer_bytes", |o| o.buffer_bytes = 0),
            ("max_batch_bytes", |o| o.max_batch_bytes = 0),
            ("fetch_max_wait", |o| o.fetch_max_wait = Duration::MAX),
        ];
        for (name, change) in nonsense {
            let mut options = ConsumerOptions::default();
            change(&mut options);
            let error = options.check().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn all_brokers_answers_fit_into_half_the_buffer() {
        let options = ConsumerOptions::default();
        assert_eq!(options.share_of(1), 8 << 20);
        assert_eq!(options.share_of(4), 4 << 20);
        let small = ConsumerOptions { buffer_bytes: 10, ..options };
        assert_eq!(small.share_of(1), 5);
        assert_eq!(small.share_of(100), 1);
    }
}
