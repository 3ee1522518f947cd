//! Fetch: batches as they are stored, by long poll, within sessions.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use ottla_protocol::messages::{FetchRequest, FetchResponse, FetchablePartitionResponse, FetchableTopicResponse};
use ottla_protocol::{ApiKey, ErrorCode, IsolationLevel};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::{Call, Reply, Serve};
use crate::cluster::Cluster;
use crate::session::{Key, Wanted};

/// The first version that can carry record batches v2.
const FIRST_WITH_BATCHES: i16 = 4;

/// The first version with a whole-answer limit, and with one whole batch however large it is.
const FIRST_WITH_LIMIT: i16 = 3;

/// The first version with an error at the top.
const FIRST_WITH_SESSIONS: i16 = 7;

/// How long a request may wait at most. Clients ask for less; this only keeps an absurd number from overflowing.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

type Answers = Vec<(Key, Wanted, FetchablePartitionResponse)>;

impl Serve for FetchRequest {
    fn refuse(&self, version: i16, error: ErrorCode) -> Reply<FetchResponse> {
        if version >= FIRST_WITH_SESSIONS {
            return Reply::Answer(FetchResponse { error_code: error, ..FetchResponse::default() });
        }
        let topics = self.topics.iter().map(|topic| FetchableTopicResponse {
            name: topic.name.clone(),
            partitions: topic.fetch_partitions.iter().map(|asked| failed(asked.partition_index, error)).collect(),
        });
        Reply::Answer(FetchResponse { topics: topics.collect(), ..FetchResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<FetchResponse> {
        let begun = call.shared.sessions(call.node).begin(call.shared.now(), &self);
        let (context, wanted) = match begun {
            Ok(begun) => begun,
            Err(error) => return self.refuse(call.version, error),
        };
        let answers = Poll::new(&self, call).answers(wanted).await;
        let (session_id, answers) = call.shared.sessions(call.node).finish(call.shared.now(), context, answers);
        let mut topics = by_topic(answers);
        harm(call, &mut topics);
        Reply::Answer(FetchResponse { session_id, topics, ..FetchResponse::default() })
    }
}

fn failed(partition_index: i32, error_code: ErrorCode) -> FetchablePartitionResponse {
    FetchablePartitionResponse {
        partition_index,
        error_code,
        high_watermark: -1,
        records: Some(Bytes::new()),
        ..FetchablePartitionResponse::default()
    }
}

/// One request's long poll.
struct Poll<'a, 'c> {
    call: &'a Call<'c>,
    min_bytes: usize,
    max_bytes: usize,
    deadline: Instant,
    committed_only: bool,
}

impl<'a, 'c> Poll<'a, 'c> {
    fn new(request: &FetchRequest, call: &'a Call<'c>) -> Self {
        let wait = Duration::from_millis(request.max_wait.max(0) as u64).min(LONGEST_WAIT);
        Self {
            call,
            min_bytes: request.min_bytes.max(0) as usize,
            max_bytes: request.max_bytes.max(0) as usize,
            deadline: Instant::now() + wait,
            committed_only: request.isolation_level == IsolationLevel::READ_COMMITTED,
        }
    }

    /// Reads until there is enough, an error, or no more time.
    async fn answers(&self, wanted: Vec<(Key, Wanted)>) -> Answers {
        let forced = self.forced(&wanted);
        let waiter = Arc::new(Notify::new());
        loop {
            let (answers, enough) = self.read(&wanted, &forced, &waiter);
            if enough || timeout_at(self.deadline, waiter.notified()).await.is_err() {
                return answers;
            }
        }
    }

    /// The errors that faults put on partitions. Asked once a request, not once a look.
    fn forced(&self, wanted: &[(Key, Wanted)]) -> Vec<Option<ErrorCode>> {
        let mut faults = self.call.shared.faults();
        if !faults.any_of_partitions() {
            return vec![None; wanted.len()];
        }
        let of = |key: &Key| faults.partition(self.call.node, ApiKey::FETCH, &key.topic, key.partition);
        let mut of = of;
        wanted.iter().map(|(key, _)| of(key)).collect()
    }

    /// One look at all partitions; whether the answer need not wait. If it must, `waiter` will be told.
    fn read(&self, wanted: &[(Key, Wanted)], forced: &[Option<ErrorCode>], waiter: &Arc<Notify>) -> (Answers, bool) {
        let mut cluster = self.call.shared.cluster();
        let mut room = if self.call.version < FIRST_WITH_LIMIT { usize::MAX } else { self.max_bytes };
        let (mut bytes, mut any_error) = (0, false);
        let mut answers = Vec::with_capacity(wanted.len());
        for ((key, wanted), forced) in wanted.iter().zip(forced) {
            let answer = match forced {
                Some(error) => failed(key.partition, *error),
                None => self.partition(&mut cluster, key, wanted, room, bytes == 0),
            };
            let len = answer.records.as_ref().map_or(0, Bytes::len);
            bytes += len;
            room = room.saturating_sub(len);
            any_error |= !answer.error_code.is_ok();
            answers.push((key.clone(), *wanted, answer));
        }
        let enough = any_error || wanted.is_empty() || bytes >= self.min_bytes || Instant::now() >= self.deadline;
        if !enough {
            for (key, _) in wanted {
                if let Some(partition) = cluster.partition_mut(&key.topic, key.partition) {
                    partition.wait(waiter);
                }
            }
        }
        (answers, enough)
    }

    fn partition(
        &self,
        cluster: &mut Cluster,
        key: &Key,
        wanted: &Wanted,
        room: usize,
        first: bool,
    ) -> FetchablePartitionResponse {
        let found = match cluster.led(self.call.node, &key.topic, key.partition, wanted.leader_epoch) {
            Ok(found) => found,
            Err(error) => return failed(key.partition, error),
        };
        let limit = room.min(wanted.max_bytes.max(0) as usize);
        let records = match found.log.read(wanted.offset, limit, first) {
            // Down-conversion is what a real broker may have switched off (message.downconversion.enable).
            Ok(records) if self.call.version < FIRST_WITH_BATCHES && !records.is_empty() => {
                return failed(key.partition, ErrorCode::UNSUPPORTED_VERSION);
            }
            Ok(records) => records,
            Err(error) => return failed(key.partition, error),
        };
        FetchablePartitionResponse {
            partition_index: key.partition,
            high_watermark: found.log.end(),
            last_stable_offset: found.log.end(),
            log_start_offset: found.log.start(),
            aborted: self.committed_only.then(Vec::new),
            records: Some(records),
            ..FetchablePartitionResponse::default()
        }
    }
}

/// Groups what is in order already.
fn by_topic(answers: Vec<(Key, FetchablePartitionResponse)>) -> Vec<FetchableTopicResponse> {
    let mut topics: Vec<FetchableTopicResponse> = Vec::new();
    for (key, answer) in answers {
        match topics.last_mut() {
            Some(topic) if *topic.name == *key.topic => topic.partitions.push(answer),
            _ => topics.push(FetchableTopicResponse { name: key.topic.to_string(), partitions: vec![answer] }),
        }
    }
    topics
}

/// Lets the faults of records loose on an answer.
fn harm(call: &Call<'_>, topics: &mut [FetchableTopicResponse]) {
    let mut faults = call.shared.faults();
    if !faults.any_of_records() {
        return;
    }
    let carries = |topic: &str, answer: &FetchablePartitionResponse, only: Option<(&str, i32)>| {
        let meant = only.is_none_or(|(name, index)| name == topic && index == answer.partition_index);
        meant && answer.records.as_ref().is_some_and(|records| !records.is_empty())
    };
    let met = faults.records(call.node, |only| {
        topics.iter().any(|topic| topic.partitions.iter().any(|answer| carries(&topic.name, answer, only)))
    });
    for fault in met {
        let only = fault.partition.as_ref().map(|(topic, partition)| (topic.as_str(), *partition));
        for topic in &mut *topics {
            for answer in topic.partitions.iter_mut().filter(|answer| carries(&topic.name, answer, only)) {
                answer.records = answer.records.take().map(|records| harmed(&records, fault.cut));
            }
        }
    }
}

/// A copy with the last byte flipped, or without the last 8 bytes. The end of a batch is always covered by its checksum.
fn harmed(records: &Bytes, cut: bool) -> Bytes {
    let mut copy = BytesMut::from(&records[..]);
    if cut {
        copy.truncate(copy.len().saturating_sub(8));
    } else if let Some(last) = copy.last_mut() {
        *last ^= 0xff;
    }
    copy.freeze()
}
