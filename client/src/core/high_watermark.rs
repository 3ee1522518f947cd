//! Whether the latest offset that a leader names can be believed.
//!
//! A follower learns the high watermark late. Once it leads, it therefore begins with one that is behind, until a follower
//! has fetched from it. Brokers from 2.2 on answer OFFSET_NOT_AVAILABLE meanwhile; those before name the old one as the
//! latest offset (KIP-207), and whoever takes that for the end of the log loses the records between. Where the leader's own
//! log ends they tell as well, though.
//!
//! All that was committed when a call began is in the log of every leader that is cleanly elected from then on. So no log
//! end that a leader names during the call is before it, and a high watermark that has come up to the smallest of them is
//! not behind. The smallest, since new records move the end ahead of the high watermark all the time, and since a new leader
//! cuts off what its predecessor had not committed.

use std::collections::HashMap;

use ottla_protocol::ErrorCode;

use crate::TopicPartition;
use crate::error::Error;

/// The first ListOffsets version whose brokers know when their high watermark is behind (KIP-207, Kafka 2.2).
pub(crate) const FIRST_HONEST: i16 = 5;

/// The smallest log end that leaders named for each partition during one call.
#[derive(Debug, Default)]
pub(crate) struct LogEnds(HashMap<TopicPartition, i64>);

impl LogEnds {
    /// Takes what one leader named: first its log end, after that the high watermark. The error is what a newer broker would
    /// have sent, if this high watermark may be behind.
    pub(crate) fn judge(&mut self, place: &TopicPartition, log_end: i64, high_watermark: i64) -> Result<(), Error> {
        let smallest = self.0.entry(place.clone()).or_insert(log_end);
        *smallest = log_end.min(*smallest);
        if high_watermark >= *smallest {
            return Ok(());
        }
        Err(Error::from_code(ErrorCode::OFFSET_NOT_AVAILABLE).said(Some(&format!(
            "it names {high_watermark} as the latest offset of a log that ends at {log_end}, and which of the rest is committed \
             it learns when its followers have fetched"
        ))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(named: &[(i64, i64)]) -> Vec<bool> {
        let (mut ends, place) = (LogEnds::default(), TopicPartition::new("orders", 3));
        named.iter().map(|(log_end, high_watermark)| ends.judge(&place, *log_end, *high_watermark).is_ok()).collect()
    }

    #[test]
    fn a_high_watermark_is_believed_once_it_comes_up_to_the_log_end() {
        assert_eq!(judge(&[(100, 0), (100, 99), (100, 100)]), [false, false, true]);
        assert_eq!(judge(&[(0, 0)]), [true]);
        assert_eq!(judge(&[(100, 101)]), [true], "there was a record more when it was asked for");
    }

    #[test]
    fn a_log_that_grows_all_the_time_is_waited_for_only_up_to_where_it_first_ended() {
        assert_eq!(judge(&[(100, 80), (120, 99), (140, 120)]), [false, false, true]);
    }

    #[test]
    fn a_log_that_was_cut_is_waited_for_only_up_to_the_cut() {
        assert_eq!(judge(&[(100, 50), (70, 60), (90, 70)]), [false, false, true]);
    }

    #[test]
    fn partitions_do_not_vouch_for_each_other() {
        let mut ends = LogEnds::default();
        ends.judge(&TopicPartition::new("orders", 0), 5, 5).unwrap();
        let error = ends.judge(&TopicPartition::new("orders", 1), 100, 7).unwrap_err();
        assert!(error.is_retriable() && error.code() == Some(ErrorCode::OFFSET_NOT_AVAILABLE), "{error}");
        let text = error.to_string();
        assert!(text.contains("names 7") && text.contains("ends at 100"), "{text}");
    }
}
