//! The task that reads from one broker: asks, takes the answer in, asks on. It decides nothing: `Board`, `FetchSession`
//! and `errors::judge` do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchablePartitionResponse, FetchableTopic, FetchableTopicResponse,
    ForgottenTopic,
};
use ottla_protocol::records::Batches;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::board::Board;
use super::buffer::{Chunk, Hold, Item};
use super::errors::{self, Verdict};
use super::{Shared, log_ends};
use crate::core::fetch_session::{Ask, FetchSession};
use crate::core::isolation::{AbortFilter, Aborted, Isolation};
use crate::core::metadata::NodeId;
use crate::core::position::{Arrival, Span};
use crate::core::watch::{Moment, Watch};
use crate::net::Lane;
use crate::{Error, TopicPartition};

/// The first Fetch version with record batches v2 and isolation (Kafka 0.11), the first with sessions, our last.
const OLDEST: i16 = 4;
const SESSIONS: i16 = 7;
const NEWEST: i16 = 11;

/// How long the ends of a log may take to be asked when a position is not in it: they only make the error better.
const ENDS_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads from `node` until it is dropped.
pub(super) async fn run(shared: Arc<Shared>, node: NodeId, wake: Arc<Notify>) {
    let _closing = Closing { shared: shared.clone(), node };
    let mut session = FetchSession::new();
    let mut watch = Watch::default();
    loop {
        shared.budget.room().await;
        {
            let mut board = shared.board();
            let max_bytes = shared.options.share_of(board.busy_brokers()).min(shared.options.partition_max_bytes);
            board.brief(node, &mut session, max_bytes);
        }
        if session.is_empty() {
            wake.notified().await;
            continue;
        }
        match fetch(&shared, node, &mut session).await {
            Ok(answer) => {
                let now = Moment::now();
                if !watch.answered(now) {
                    shared.board().unwatched(node, now.instant);
                }
                take(&shared, node, &mut session, answer).await;
            }
            Err(error) => {
                session.lost();
                failed(&shared, node, error);
            }
        }
    }
}

/// A fetch task that ends, even by a panic, leaves no partition behind unread.
struct Closing {
    shared: Arc<Shared>,
    node: NodeId,
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.shared.board().desk_closed(self.node, Instant::now());
        self.shared.homeless.notify_one();
    }
}

async fn fetch(
    shared: &Shared,
    node: NodeId,
    session: &mut FetchSession<TopicPartition>,
) -> Result<FetchResponse, Error> {
    let connection = shared.cluster.connection(node, Lane::Fetch).await?;
    let version = connection.version_for(ApiKey::FETCH, OLDEST..=NEWEST)?;
    let max_bytes = shared.options.share_of(shared.board().busy_brokers());
    let request = request(shared, max_bytes, session.ask(version >= SESSIONS));
    let timeout = shared.options.fetch_max_wait.saturating_add(shared.request_timeout);
    let answer = connection.submit_as(version, &request, timeout).await?.await?;
    match session.answered(answer.error_code, answer.session_id) {
        Ok(()) => Ok(answer),
        Err(code) => Err(Error::from_code(code).in_api(ApiKey::FETCH).on_broker(connection.peer().clone())),
    }
}

fn request(shared: &Shared, max_bytes: i32, ask: Ask<TopicPartition>) -> FetchRequest {
    let mut topics: Vec<FetchableTopic> = Vec::new();
    for (partition, want) in ask.partitions {
        // Neighbours share a topic; the order of partitions means something, so they are not sorted.
        if topics.last().is_none_or(|last| *last.name != *partition.topic) {
            topics.push(FetchableTopic { name: partition.topic.to_string(), ..FetchableTopic::default() });
        }
        let Some(last) = topics.last_mut() else { continue };
        last.fetch_partitions.push(FetchPartition {
            partition_index: partition.partition,
            // No epoch: brokers before 2.4 may fence a client for a whole reassignment by a stale one (KAFKA-8069 ff.).
            current_leader_epoch: -1,
            fetch_offset: want.offset,
            log_start_offset: -1,
            max_bytes: want.max_bytes,
        });
    }
    FetchRequest {
        replica_id: -1,
        max_wait: shared.options.max_wait_ms(),
        min_bytes: shared.options.fetch_min_bytes,
        max_bytes,
        isolation_level: shared.options.isolation.level(),
        session_id: ask.session_id,
        epoch: ask.epoch,
        topics,
        forgotten: forgotten(ask.forgotten),
        rack_id: String::new(),
    }
}

fn forgotten(partitions: Vec<TopicPartition>) -> Vec<ForgottenTopic> {
    let mut topics: HashMap<Arc<str>, Vec<i32>> = HashMap::new();
    for partition in partitions {
        topics.entry(partition.topic).or_default().push(partition.partition);
    }
    let topics = topics.into_iter();
    topics
        .map(|(name, indexes)| ForgottenTopic { name: name.to_string(), forgotten_partition_indexes: indexes })
        .collect()
}

fn failed(shared: &Shared, node: NodeId, error: Error) {
    let mut board = shared.board();
    if error.is_retriable() || error.is_stale_metadata() {
        tracing::debug!(%error, "fetching failed; it is tried again");
        board.broker_failed(node, &error, Instant::now(), fastrand::f64());
        drop(board);
        shared.cluster.want_refresh();
        shared.homeless.notify_one();
    } else {
        tracing::warn!(%error, "fetching failed");
        board.broker_refused(node, error);
        drop(board);
    }
    shared.arrived.notify_one();
}

/// One partition's part of an answer, as far as it can be read without the board.
struct Part {
    partition: TopicPartition,
    /// The offset it answers for.
    asked: i64,
    answer: FetchablePartitionResponse,
    records: Bytes,
    extent: Extent,
}

/// What the batch headers of an answer add up to.
#[derive(Default)]
struct Extent {
    /// Where the first batch begins.
    start: Option<i64>,
    /// Where the last whole batch ends.
    end: Option<i64>,
    /// How many bytes the whole batches have.
    len: usize,
    /// A batch that cannot be read stands behind the whole ones. Found again, and told, when it is to be delivered.
    broken: bool,
}

fn extent(records: &Bytes) -> Extent {
    let mut extent = Extent::default();
    for batch in Batches::new(records.clone()) {
        let span = batch.ok().and_then(|batch| {
            extent.len += batch.bytes().len();
            let header = batch.header();
            let span = Span::new(header.base_offset, header.last_offset_delta);
            // Only a batch that is not read yet may be the next one.
            span.filter(|span| extent.end.is_none_or(|end| span.follows(end)))
        });
        let Some(span) = span else {
            extent.broken = true;
            break;
        };
        extent.start = extent.start.or(Some(span.base()));
        extent.end = extent.end.max(Some(span.next()));
    }
    extent
}

fn parts(session: &FetchSession<TopicPartition>, topics: Vec<FetchableTopicResponse>) -> Vec<Part> {
    let mut parts = Vec::new();
    for topic in topics {
        let name: Arc<str> = topic.name.into();
        for mut answer in topic.partitions {
            let partition = TopicPartition { topic: name.clone(), partition: answer.partition_index };
            // What was not asked for is no business of ours.
            let Some(asked) = session.asked(&partition) else { continue };
            let records = answer.records.take().unwrap_or_default();
            let extent = extent(&records);
            parts.push(Part { partition, asked, answer, records, extent });
        }
    }
    parts
}

/// Takes an answer in: buffers its data, and deals with each partition's error.
async fn take(shared: &Shared, node: NodeId, session: &mut FetchSession<TopicPartition>, answer: FetchResponse) {
    // An answer that the broker throttled is empty whatever there is (KIP-219); one about the session says nothing.
    let is_telling = answer.error_code.is_ok() && answer.throttle_time_ms <= 0;
    let parts = parts(session, answer.topics);
    let is_silent = is_telling && parts.iter().all(|part| part.records.is_empty());
    let mut taken = Taken { isolation: shared.options.isolation, ..Taken::default() };
    {
        let mut board = shared.board();
        for part in parts {
            if board.is_awaited(node, &part.partition, part.asked) {
                take_part(&mut board, node, part, &mut taken);
            }
        }
        if is_silent {
            board.silent(node);
        }
        let hold = shared.budget.hold(taken.data.iter().map(|part| part.records.len()).sum());
        for part in taken.data {
            session.served(&part.partition);
            let watched_since = board.watched_since(&part.partition);
            board.enqueue(Item::Data(chunk(part, watched_since, &hold)));
        }
    }
    if taken.refresh {
        shared.cluster.want_refresh();
    }
    shared.homeless.notify_one();
    shared.arrived.notify_one();
    tell_out_of_range(shared, node, taken.out_of_range).await;
}

/// What an answer came to, partition by partition.
#[derive(Default)]
struct Taken {
    isolation: Isolation,
    data: Vec<Part>,
    out_of_range: Vec<(TopicPartition, i64)>,
    /// Some partition is not where the metadata says.
    refresh: bool,
}

fn take_part(board: &mut Board, node: NodeId, part: Part, taken: &mut Taken) {
    let code = part.answer.error_code;
    match errors::judge(code) {
        Verdict::Good => take_data(board, node, part, taken),
        Verdict::OutOfRange => {
            board.halt(&part.partition);
            taken.out_of_range.push((part.partition, part.asked));
        }
        Verdict::Fatal => board.fail(&part.partition, errors::of_code(code, &part.partition, part.asked)),
        verdict @ (Verdict::Refresh | Verdict::Retry) => {
            taken.refresh |= verdict == Verdict::Refresh;
            let error = errors::of_code(code, &part.partition, part.asked);
            tracing::debug!(%error, "fetching a partition failed; it is tried again");
            board.retry_later(&part.partition, &error, Instant::now(), fastrand::f64());
        }
    }
}

fn take_data(board: &mut Board, node: NodeId, part: Part, taken: &mut Taken) {
    let Part { partition, asked, records, extent, .. } = &part;
    if extent.broken && extent.end.is_none_or(|end| end <= *asked) {
        board.halt(partition);
        taken.data.push(part);
        return;
    }
    board.named_end(partition, readable_end(&part.answer, taken.isolation));
    match board.arrive(node, partition, *asked, extent.end) {
        Arrival::Stale => {}
        Arrival::Data => {
            // What was read before ended with a batch, so in the same log this one cannot have begun before.
            if extent.start.is_some_and(|start| start < *asked) {
                board.doubt(partition, Instant::now());
            }
            if extent.broken {
                board.halt(partition);
            }
            taken.data.push(part);
        }
        Arrival::Backwards => board.fail(partition, errors::absurd_batch(partition, *asked, BACKWARDS)),
        Arrival::Empty if records.is_empty() => {}
        Arrival::Empty => {
            let error = errors::absurd_batch(partition, *asked, CUT);
            if board.cut_answer(partition) {
                board.fail(partition, error);
            } else {
                board.retry_later(partition, &error, Instant::now(), fastrand::f64());
            }
        }
    }
}

/// Up to where a partition may be read. Where nobody has a transaction open the two are the same.
fn readable_end(answer: &FetchablePartitionResponse, isolation: Isolation) -> i64 {
    match isolation {
        Isolation::ReadCommitted if answer.last_stable_offset >= 0 => answer.last_stable_offset,
        _ => answer.high_watermark,
    }
}

const BACKWARDS: &str = "the broker answered with batches that all end before the offset that was asked for";
const CUT: &str = "the broker answers with only the beginning of a batch, shorter than the batch says it is";

fn chunk(part: Part, watched_since: Option<Instant>, hold: &Arc<Hold>) -> Chunk {
    let aborted = part.answer.aborted.unwrap_or_default();
    let aborted = aborted.into_iter().map(|a| Aborted { producer_id: a.producer_id, first_offset: a.first_offset });
    Chunk {
        partition: part.partition,
        batches: Batches::new(part.records),
        left: if part.extent.broken { usize::MAX } else { part.extent.len },
        filter: AbortFilter::new(aborted.collect()),
        high_watermark: part.answer.high_watermark,
        end: None,
        watched_since: watched_since.unwrap_or_else(Instant::now),
        _hold: hold.clone(),
    }
}

/// Tells the user of positions that are not in their logs, with the logs' ends if they can be had soon.
async fn tell_out_of_range(shared: &Shared, node: NodeId, partitions: Vec<(TopicPartition, i64)>) {
    if partitions.is_empty() {
        return;
    }
    let names: Vec<TopicPartition> = partitions.iter().map(|(partition, _)| partition.clone()).collect();
    let asked = tokio::time::timeout(ENDS_TIMEOUT, log_ends::ask(shared, node, &names)).await;
    let ends = asked.ok().and_then(Result::ok).unwrap_or_default();
    let mut board = shared.board();
    for (partition, offset) in partitions {
        // The user may have sought elsewhere meanwhile.
        if board.is_halted_at(&partition, offset) {
            let error = errors::out_of_range(&partition, offset, ends.get(&partition).copied());
            board.enqueue(Item::Failed { partition: Some(partition), error });
        }
    }
    drop(board);
    shared.arrived.notify_one();
}
