//! What identifies a record, so that a position can be held against the log that it was taken from.
//!
//! Before topic ids (KIP-516) nothing in the protocol tells a topic from one that was deleted and created again under its
//! name. A record does: it never changes as long as it is in the log, so another record at its offset means another log.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use ottla_protocol::ErrorCode;
use ottla_protocol::compression::Decompressor;
use ottla_protocol::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchablePartitionResponse, FetchableTopic, Message,
};
use ottla_protocol::records::{Batches, Record, RecordsError};
use tokio::task::JoinSet;

use super::leader::Leader;
use super::{by_leader, by_topic, worst};
use crate::TopicPartition;
use crate::client::Client;
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::cluster::Cluster;
use crate::net::retry::Retry;

/// Fetch versions with record batches v2 (Kafka 0.11) up to our last.
const VERSIONS: std::ops::RangeInclusive<i16> = 4..=11;
/// How many bytes of one partition are asked for at first, and by how much more each time they do not hold a whole batch.
const FIRST_BYTES: i32 = 16 << 10;
const MORE: i32 = 8;
/// How many bytes one broker may answer at once. A first batch larger than that comes whole (KIP-74).
const ANSWER_BYTES: i32 = 8 << 20;
/// How large a batch may become when it is decompressed.
const BATCH_BYTES: usize = 64 << 20;
/// How often a leader is asked for a record beyond its high watermark: one that was just elected may not know yet how far its
/// log is committed (KIP-207).
const MISSES_BELIEVED: u32 = 5;

/// A record's offset, its timestamp and a hash of its key and value.
///
/// Compaction and retention remove records and never change one, nor do transactions, rebalances or elections. So a record
/// with the same offset and another fingerprint is in another log.
///
/// ```
/// use ottla_client::RecordFingerprint;
///
/// let fingerprint: RecordFingerprint = "41,1575158400000,00000000e3069283".parse()?;
/// assert_eq!((fingerprint.offset, fingerprint.timestamp_ms), (41, 1_575_158_400_000));
/// assert_eq!(fingerprint.to_string(), "41,1575158400000,00000000e3069283");
/// # Ok::<(), ottla_client::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordFingerprint {
    /// Where it is.
    pub offset: i64,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// CRC-32C of the key in the upper half, of the value in the lower; all ones where there is none.
    pub hash: u64,
}

impl RecordFingerprint {
    /// The fingerprint of a record. Reads its key and value once.
    pub fn of(record: &Record<'_>) -> Self {
        let half = |bytes: Option<&[u8]>| u64::from(bytes.map_or(u32::MAX, crc32c::crc32c));
        let hash = half(record.key) << 32 | half(record.value);
        Self { offset: record.offset, timestamp_ms: record.timestamp_ms, hash }
    }
}

impl fmt::Display for RecordFingerprint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{},{},{:016x}", self.offset, self.timestamp_ms, self.hash)
    }
}

impl FromStr for RecordFingerprint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts = || {
            let mut parts = text.splitn(3, ',');
            let (offset, timestamp_ms) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let hash = parts.next().filter(|hash| hash.len() == 16)?;
            Some(Self { offset, timestamp_ms, hash: u64::from_str_radix(hash, 16).ok()? })
        };
        let what = "a record's fingerprint is its offset, its timestamp and 16 hexadecimal digits, with commas between";
        parts().ok_or_else(|| Error::new(ErrorKind::Config, what))
    }
}

impl Client {
    /// Reads one record of each partition and returns its fingerprint; `None` where the log has no record at that offset
    /// (compaction or retention removed it, or the log ends before it). Every partition asked for is in the result.
    ///
    /// # Errors
    /// A leader cannot be asked in time, a partition does not exist, or a batch is corrupt.
    pub async fn fingerprints(
        &self,
        records: &[(TopicPartition, i64)],
    ) -> Result<HashMap<TopicPartition, Option<RecordFingerprint>>, Error> {
        let options = self.cluster.options();
        let mut retry = Retry::new(options, options.api_timeout);
        let mut search = Search {
            wanted: records.iter().cloned().collect(),
            found: HashMap::with_capacity(records.len()),
            bytes: FIRST_BYTES,
        };
        let mut misses = 0;
        while !search.wanted.is_empty() {
            let before = search.wanted.len();
            let failures = match retry.within(search.ask_leaders(&self.cluster)).await {
                Ok(failures) => failures,
                Err(error) => search.failures(&error),
            };
            let failures = match worst(&failures) {
                Some(_) => failures,
                None if search.wanted.len() < before => continue,
                // Nothing failed and nothing came: not even one answer had room for a batch.
                None if search.bytes < i32::MAX => {
                    search.bytes = search.bytes.saturating_mul(MORE);
                    continue;
                }
                None => search.failures(&Error::from_code(ErrorCode::OFFSET_NOT_AVAILABLE)),
            };
            let Some(error) = worst(&failures) else { continue };
            misses += 1;
            if misses >= MISSES_BELIEVED && search.believe(&failures) {
                continue;
            }
            if error.kind() == ErrorKind::UnknownTopic && misses >= MISSES_BELIEVED {
                return Err(error);
            }
            retry.pause(error).await?;
            let topics: Vec<_> = failures.iter().map(|failure| failure.0.topic.clone()).collect();
            // Whatever it says: without leaders the next turn fails as this one did.
            let _ = retry.within(self.cluster.refresh(&topics)).await;
        }
        Ok(search.found)
    }
}

/// A call's state.
struct Search {
    /// The offset to look at, by partition, of those without an answer yet.
    wanted: HashMap<TopicPartition, i64>,
    found: HashMap<TopicPartition, Option<RecordFingerprint>>,
    /// How many bytes of a partition are asked for.
    bytes: i32,
}

impl Search {
    /// Asks every leader once, all at the same time. Returns what failed and why.
    async fn ask_leaders(&mut self, cluster: &Cluster) -> Result<Vec<(TopicPartition, Error)>, Error> {
        let mut places: Vec<_> = self.wanted.keys().cloned().collect();
        places.sort_unstable();
        let mut metadata = cluster.snapshot();
        if places.iter().any(|place| metadata.leader(&place.topic, place.partition).is_none()) {
            let topics: HashSet<_> = places.iter().map(|place| place.topic.clone()).collect();
            metadata = cluster.refresh(&topics.into_iter().collect::<Vec<_>>()).await?;
        }
        let (leaders, mut failures) = by_leader(&places, &metadata);
        let mut asked = JoinSet::new();
        for leader in leaders {
            let (cluster, request) = (cluster.clone(), self.request(&leader.places));
            asked.spawn(async move { (ask(&cluster, &leader, &request).await, leader) });
        }
        while let Some(answer) = asked.join_next().await {
            let (answer, leader) =
                answer.map_err(|e| Error::new(ErrorKind::Closed, format!("the question was cut off: {e}")))?;
            let name = |error: Error, place: &TopicPartition| {
                error.at(place).in_api(FetchRequest::KEY).on_broker(leader.node.to_string())
            };
            match answer {
                Ok(answer) => {
                    let refused = self.take(answer);
                    failures.extend(refused.into_iter().map(|(place, error)| (place.clone(), name(error, &place))));
                }
                Err(error) => {
                    failures.extend(leader.places.iter().map(|place| (place.clone(), name(error.clone(), place))));
                }
            }
        }
        Ok(failures)
    }

    /// The same error for everything that is still wanted.
    fn failures(&self, error: &Error) -> Vec<(TopicPartition, Error)> {
        self.wanted.keys().map(|place| (place.clone(), error.clone().at(place))).collect()
    }

    fn request(&self, places: &[TopicPartition]) -> FetchRequest {
        let partition = |place: &TopicPartition| FetchPartition {
            partition_index: place.partition,
            current_leader_epoch: -1,
            fetch_offset: self.wanted.get(place).copied().unwrap_or(0),
            max_bytes: self.bytes,
            ..FetchPartition::default()
        };
        let topics = by_topic(places.iter().map(|place| (place, partition(place))));
        let topics = topics.into_iter().map(|(name, fetch_partitions)| FetchableTopic { name, fetch_partitions });
        FetchRequest { replica_id: -1, max_bytes: ANSWER_BYTES, topics: topics.collect(), ..FetchRequest::default() }
    }

    /// Takes what an answer settles; returns what failed.
    fn take(&mut self, answer: FetchResponse) -> Vec<(TopicPartition, Error)> {
        let mut failures = Vec::new();
        let mut decompressor = Decompressor::new();
        for topic in answer.topics {
            for partition in topic.partitions {
                let place = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let Some(offset) = self.wanted.get(&place).copied() else { continue };
                match look(partition, offset, &mut decompressor) {
                    Ok(Looked::At(record)) => {
                        self.wanted.remove(&place);
                        self.found.insert(place, record);
                    }
                    Ok(Looked::Nowhere) => {}
                    Err(error) => failures.push((place, error.at_offset(offset))),
                }
            }
        }
        failures
    }

    /// A leader that answered often enough that it does not have an offset yet does not have it.
    /// Returns whether that settled any.
    fn believe(&mut self, failures: &[(TopicPartition, Error)]) -> bool {
        let mut any = false;
        for (place, error) in failures {
            if error.code() == Some(ErrorCode::OFFSET_NOT_AVAILABLE) && self.wanted.remove(place).is_some() {
                self.found.insert(place.clone(), None);
                any = true;
            }
        }
        any
    }
}

async fn ask(cluster: &Cluster, leader: &Leader, request: &FetchRequest) -> Result<FetchResponse, Error> {
    let timeout = cluster.options().request_timeout;
    let answer = cluster.ask_node(&leader.node, Lane::Other, VERSIONS, |_| request.clone(), timeout).await?;
    if answer.error_code.is_ok() { Ok(answer) } else { Err(Error::from_code(answer.error_code)) }
}

/// What an answer says of one partition.
enum Looked {
    /// The record at the offset, if the log has one.
    At(Option<RecordFingerprint>),
    /// The answer had no room for it.
    Nowhere,
}

fn look(answer: FetchablePartitionResponse, offset: i64, decompressor: &mut Decompressor) -> Result<Looked, Error> {
    match answer.error_code {
        ErrorCode::NONE => {}
        ErrorCode::OFFSET_OUT_OF_RANGE => return Ok(Looked::At(None)),
        code => return Err(Error::from_code(code)),
    }
    let corrupt = |error: RecordsError| Error::new(ErrorKind::Corrupt, error.to_string()).with_source(error);
    for batch in Batches::new(answer.records.unwrap_or_default()) {
        let batch = batch.map_err(corrupt)?;
        let header = batch.header();
        if header.base_offset.saturating_add(i64::from(header.last_offset_delta)) < offset {
            continue;
        }
        batch.verify_crc().map_err(corrupt)?;
        let open = batch.open(decompressor, BATCH_BYTES).map_err(corrupt)?;
        for record in &open {
            let record = record.map_err(corrupt)?;
            if record.offset >= offset {
                return Ok(Looked::At((record.offset == offset).then(|| RecordFingerprint::of(&record))));
            }
        }
        return Ok(Looked::At(None));
    }
    if offset >= answer.high_watermark {
        return Err(Error::from_code(ErrorCode::OFFSET_NOT_AVAILABLE));
    }
    Ok(Looked::Nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
        Record { offset: 7, timestamp_ms: -1, key, value, headers: ottla_protocol::records::Headers::default() }
    }

    #[test]
    fn a_fingerprint_is_read_back_as_it_was_written() {
        for record in [record(None, None), record(Some(b"k"), Some(b"{}")), record(Some(b""), None)] {
            let fingerprint = RecordFingerprint::of(&record);
            assert_eq!(fingerprint.to_string().parse::<RecordFingerprint>().unwrap(), fingerprint);
        }
        for text in ["", "1,2", "1,2,3", "a,2,0000000000000000", "1,2,zz00000000000000", "1,2,00000000000000000"] {
            assert_eq!(text.parse::<RecordFingerprint>().unwrap_err().kind(), ErrorKind::Config, "{text}");
        }
    }

    #[test]
    fn key_and_value_each_change_the_fingerprint_and_nothing_is_not_empty() {
        let of = |key, value| RecordFingerprint::of(&record(key, value)).hash;
        let all = [
            of(None, None),
            of(Some(b""), None),
            of(None, Some(b"")),
            of(Some(b"a"), Some(b"b")),
            of(Some(b"b"), Some(b"a")),
            of(None, Some(b"ab")),
            of(Some(b"ab"), None),
        ];
        for (index, hash) in all.iter().enumerate() {
            assert!(!all[..index].contains(hash), "{index}: {all:x?}");
        }
    }
}
