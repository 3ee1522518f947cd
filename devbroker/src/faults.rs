//! Faults that a test injects: which requests they meet, and what they do to them.

use std::collections::HashMap;
use std::time::Duration;

use ottla_protocol::{ApiKey, ErrorCode};

/// Something that goes wrong, for [`DevBroker::inject`](crate::DevBroker::inject). Without further words it meets every
/// request of its API on every node, until it is removed.
///
/// ```
/// # use ottla_devbroker::Fault;
/// # use ottla_protocol::{ApiKey, ErrorCode};
/// // The second and third Produce to node 0 are refused; all others pass.
/// let fault = Fault::error(ApiKey::PRODUCE, ErrorCode::NOT_ENOUGH_REPLICAS).on_node(0).after(1).times(2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a fault does nothing until it is injected"]
pub struct Fault {
    pub(crate) api: ApiKey,
    pub(crate) effect: Effect,
    node: Option<i32>,
    partition: Option<(String, i32)>,
    after: u64,
    times: Option<u64>,
}

/// What a fault does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Error(ErrorCode),
    Delay(Duration),
    CloseBefore,
    CloseAfter,
    Silence,
    CorruptRecords,
    TruncateRecords,
    HighWatermark(i64),
    RefuseBatch(ErrorCode, BatchTest),
    NoBrokers,
    NoTopics,
}

/// What a produced batch is refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchTest {
    /// A record without a key.
    RecordWithoutKey,
    /// A record whose value contains this text.
    RecordWith(&'static str),
    /// A producer id.
    ProducerId,
}

impl Fault {
    fn new(api: ApiKey, effect: Effect) -> Self {
        Self { api, effect, node: None, partition: None, after: 0, times: None }
    }

    /// Answers with this error and does nothing else: at the top level of the answer if it has an error there, else in
    /// every partition, topic or group of it. Produce with acks 0 has no answer, so its connection is closed.
    pub fn error(api: ApiKey, error: ErrorCode) -> Self {
        Self::new(api, Effect::Error(error))
    }

    /// Waits before the request is applied. Requests behind it on the same connection wait too.
    pub fn delay(api: ApiKey, delay: Duration) -> Self {
        Self::new(api, Effect::Delay(delay))
    }

    /// Closes the connection; the request is not applied.
    pub fn close_before(api: ApiKey) -> Self {
        Self::new(api, Effect::CloseBefore)
    }

    /// Applies the request, then closes the connection instead of answering: the client cannot know what happened.
    pub fn close_after_applying(api: ApiKey) -> Self {
        Self::new(api, Effect::CloseAfter)
    }

    /// Neither applies nor answers the request, nor any later one on the same connection, which stays open.
    pub fn silence(api: ApiKey) -> Self {
        Self::new(api, Effect::Silence)
    }

    /// Flips a byte in the records of each partition that a Fetch answer carries. The log keeps the right bytes. Answers
    /// without records do not count.
    pub fn corrupt_records() -> Self {
        Self::new(ApiKey::FETCH, Effect::CorruptRecords)
    }

    /// Cuts the last bytes off the records of each partition that a Fetch answer carries, so that its last batch is not
    /// whole. Answers without records do not count.
    pub fn truncate_records() -> Self {
        Self::new(ApiKey::FETCH, Effect::TruncateRecords)
    }

    /// Answers consumers that ask ListOffsets for the latest offset as a new leader does whose high watermark is still this,
    /// before the log's end (KIP-207): a release before 2.2 names it, a later one answers 78 (below version 5: 5). Counts the
    /// partitions asked about. Who asks as the replica -2 is told the log's end all the same, and Fetch gives out all of it.
    pub fn stale_high_watermark(offset: i64) -> Self {
        Self::new(ApiKey::LIST_OFFSETS, Effect::HighWatermark(offset))
    }

    /// Refuses produced batches that have a record without a key, as a compacted topic does: with
    /// [`ErrorCode::CORRUPT_MESSAGE`] before Kafka 2.4, with `ErrorCode(87)`, INVALID_RECORD, since then.
    pub fn refuse_records_without_key(error: ErrorCode) -> Self {
        Self::new(ApiKey::PRODUCE, Effect::RefuseBatch(error, BatchTest::RecordWithoutKey))
    }

    /// Refuses produced batches that have a record whose value contains the text.
    pub fn refuse_records_with(text: &'static str, error: ErrorCode) -> Self {
        Self::new(ApiKey::PRODUCE, Effect::RefuseBatch(error, BatchTest::RecordWith(text)))
    }

    /// Refuses produced batches that have a producer id, as a topic with a `message.format.version` before 0.11 does.
    pub fn refuse_numbered_batches() -> Self {
        let error = ErrorCode::UNSUPPORTED_FOR_MESSAGE_FORMAT;
        Self::new(ApiKey::PRODUCE, Effect::RefuseBatch(error, BatchTest::ProducerId))
    }

    /// Answers Metadata without brokers, controller and topics, as Kafka 2.3.1 does after it has started and before the
    /// controller has told it about the cluster.
    pub fn metadata_without_brokers() -> Self {
        Self::new(ApiKey::METADATA, Effect::NoBrokers)
    }

    /// Answers Metadata with brokers and without topics, as Kafka 2.3.1 does for a moment after that.
    pub fn metadata_without_topics() -> Self {
        Self::new(ApiKey::METADATA, Effect::NoTopics)
    }

    /// Meets this many requests, then no more.
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Lets this many requests pass first.
    pub fn after(mut self, requests: u64) -> Self {
        self.after = requests;
        self
    }

    /// Meets requests to this node only.
    pub fn on_node(mut self, node: i32) -> Self {
        self.node = Some(node);
        self
    }

    /// Only for errors of Produce, Fetch, ListOffsets and OffsetCommit, and for faults of fetched records, of produced batches
    /// and of high watermarks: meets this partition alone, and counts the requests that name it; the other partitions are served. Faults of other kinds
    /// ignore it.
    pub fn on_partition(mut self, topic: &str, partition: i32) -> Self {
        self.partition = Some((topic.to_owned(), partition));
        self
    }

    fn is_for(&self, node: i32, api: ApiKey) -> bool {
        self.api == api && self.node.is_none_or(|wanted| wanted == node)
    }

    fn names(&self, topic: &str, partition: i32) -> bool {
        self.partition.as_ref().is_some_and(|(name, index)| name == topic && *index == partition)
    }

    /// Whether the request is not served.
    fn is_instead(&self) -> bool {
        matches!(self.effect, Effect::Error(_) | Effect::CloseBefore | Effect::Silence)
    }

    /// Whether the fault is asked for when records are there, not when the request comes.
    fn is_of_records(&self) -> bool {
        matches!(self.effect, Effect::CorruptRecords | Effect::TruncateRecords)
    }

    /// Whether the fault is asked for partition by partition.
    fn is_of_partition(&self) -> bool {
        self.partition.is_some() && matches!(self.effect, Effect::Error(_))
    }

    /// Where it holds the high watermark, if it does.
    fn high_watermark(&self) -> Option<i64> {
        if let Effect::HighWatermark(offset) = self.effect { Some(offset) } else { None }
    }

    /// What produced batches it refuses, and with which error.
    fn refusal(&self) -> Option<(ErrorCode, BatchTest)> {
        if let Effect::RefuseBatch(error, test) = self.effect { Some((error, test)) } else { None }
    }

    /// Whether the fault is asked for as soon as the request comes.
    fn is_whole(&self) -> bool {
        let later = self.is_of_records() || self.is_of_partition() || self.refusal().is_some();
        let hides = matches!(self.effect, Effect::NoBrokers | Effect::NoTopics);
        !later && !hides && self.high_watermark().is_none()
    }
}

/// An injected fault's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FaultId(u64);

/// The injected faults and the requests seen. Pure; who asks it obeys it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Vec<Active>,
    next_id: u64,
    hits: HashMap<FaultId, u64>,
    seen: HashMap<(i32, ApiKey), u64>,
}

#[derive(Debug)]
struct Active {
    id: FaultId,
    fault: Fault,
}

/// What is to be done to one request, in this order: wait, then either be silent, close, fail or serve; then perhaps
/// close instead of answering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Plan {
    pub(crate) delay: Duration,
    pub(crate) instead: Option<Instead>,
    pub(crate) close_after: bool,
}

/// What happens to a request that is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instead {
    Close,
    Silence,
    Error(ErrorCode),
}

impl Faults {
    pub(crate) fn inject(&mut self, fault: Fault) -> FaultId {
        let id = FaultId(self.next_id);
        self.next_id += 1;
        self.hits.insert(id, 0);
        self.active.push(Active { id, fault });
        id
    }

    pub(crate) fn remove(&mut self, id: FaultId) {
        self.active.retain(|active| active.id != id);
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// How many requests the fault has met.
    pub(crate) fn hits(&self, id: FaultId) -> u64 {
        self.hits.get(&id).copied().unwrap_or(0)
    }

    /// Whether the fault still waits for requests.
    pub(crate) fn is_active(&self, id: FaultId) -> bool {
        self.active.iter().any(|active| active.id == id)
    }

    /// How many requests of an API came, to one node or to all.
    pub(crate) fn seen(&self, node: Option<i32>, api: ApiKey) -> u64 {
        let of_api = self.seen.iter().filter(|((_, seen), _)| *seen == api);
        of_api.filter(|((at, _), _)| node.is_none_or(|node| node == *at)).map(|(_, count)| count).sum()
    }

    /// Counts a request and says what is to be done to it. Of several faults that exclude each other the oldest wins, and
    /// the others wait for the next request.
    pub(crate) fn request(&mut self, node: i32, api: ApiKey) -> Plan {
        *self.seen.entry((node, api)).or_default() += 1;
        let mut plan = Plan::default();
        for index in 0..self.active.len() {
            let fault = &self.active[index].fault;
            let is_free = plan.instead.is_none() || !fault.is_instead();
            if fault.is_whole() && is_free && fault.is_for(node, api) && self.meet(index) {
                plan.add(self.active[index].fault.effect);
            }
        }
        self.drop_spent();
        plan
    }

    /// The error that one partition of a request is to get.
    pub(crate) fn partition(&mut self, node: i32, api: ApiKey, topic: &str, partition: i32) -> Option<ErrorCode> {
        let effect =
            self.first(|fault| fault.is_of_partition() && fault.is_for(node, api) && fault.names(topic, partition))?;
        let Effect::Error(error) = effect else { return None };
        Some(error)
    }

    /// Where a leader's high watermark is held.
    pub(crate) fn high_watermark(&mut self, node: i32, topic: &str, partition: i32) -> Option<i64> {
        let is_met = |fault: &Fault| {
            let is_for = fault.is_for(node, ApiKey::LIST_OFFSETS);
            is_for && fault.high_watermark().is_some() && (fault.partition.is_none() || fault.names(topic, partition))
        };
        let Effect::HighWatermark(offset) = self.first(is_met)? else { return None };
        Some(offset)
    }

    /// Whether any produced batch is refused for what is in it; asked first, since it is cheap.
    pub(crate) fn any_of_batches(&self) -> bool {
        self.active.iter().any(|active| active.fault.refusal().is_some())
    }

    /// The error that a produced batch is refused with. `has` says what is in it.
    pub(crate) fn batch(
        &mut self,
        node: i32,
        topic: &str,
        partition: i32,
        has: impl Fn(BatchTest) -> bool,
    ) -> Option<ErrorCode> {
        let is_met = |fault: &Fault| {
            let is_there = fault.partition.is_none() || fault.names(topic, partition);
            is_there && fault.is_for(node, ApiKey::PRODUCE) && fault.refusal().is_some_and(|(_, test)| has(test))
        };
        let Effect::RefuseBatch(error, _) = self.first(is_met)? else { return None };
        Some(error)
    }

    /// What a Metadata answer leaves out.
    pub(crate) fn hidden(&mut self, node: i32) -> Option<Hidden> {
        let is_met = |fault: &Fault| {
            fault.is_for(node, ApiKey::METADATA) && matches!(fault.effect, Effect::NoBrokers | Effect::NoTopics)
        };
        match self.first(is_met)? {
            Effect::NoBrokers => Some(Hidden::Everything),
            _ => Some(Hidden::Topics),
        }
    }

    /// Whether any fault is asked for partition by partition; asked first, since it is cheap.
    pub(crate) fn any_of_partitions(&self) -> bool {
        self.active.iter().any(|active| active.fault.is_of_partition())
    }

    /// Whether any fault of fetched records is there at all; asked first, since it is cheap.
    pub(crate) fn any_of_records(&self) -> bool {
        self.active.iter().any(|active| active.fault.is_of_records())
    }

    /// What is to be done to the records of a Fetch answer. `carries` says which partitions have some.
    pub(crate) fn records(&mut self, node: i32, carries: impl Fn(Option<(&str, i32)>) -> bool) -> Vec<RecordsFault> {
        let mut met = Vec::new();
        for index in 0..self.active.len() {
            let fault = &self.active[index].fault;
            let only = fault.partition.as_ref().map(|(topic, partition)| (topic.as_str(), *partition));
            if fault.is_of_records() && fault.is_for(node, ApiKey::FETCH) && carries(only) && self.meet(index) {
                let fault = &self.active[index].fault;
                let cut = fault.effect == Effect::TruncateRecords;
                met.push(RecordsFault { cut, partition: fault.partition.clone() });
            }
        }
        self.drop_spent();
        met
    }

    fn first(&mut self, matches: impl Fn(&Fault) -> bool) -> Option<Effect> {
        for index in 0..self.active.len() {
            if matches(&self.active[index].fault) && self.meet(index) {
                let effect = self.active[index].fault.effect;
                self.drop_spent();
                return Some(effect);
            }
        }
        None
    }

    /// Counts a request that the fault is for. Whether it strikes: not while it lets requests pass.
    fn meet(&mut self, index: usize) -> bool {
        let Active { id, fault } = &mut self.active[index];
        if fault.times == Some(0) {
            return false;
        }
        if fault.after > 0 {
            fault.after -= 1;
            return false;
        }
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        *self.hits.entry(*id).or_default() += 1;
        true
    }

    fn drop_spent(&mut self) {
        self.active.retain(|active| active.fault.times != Some(0));
    }
}

/// What a Metadata answer leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hidden {
    /// The topics.
    Topics,
    /// Brokers, controller and topics.
    Everything,
}

/// What is to be done to fetched records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordsFault {
    /// Cut the end off; else flip a byte.
    pub(crate) cut: bool,
    /// Of this partition only.
    pub(crate) partition: Option<(String, i32)>,
}

impl Plan {
    fn add(&mut self, effect: Effect) {
        match effect {
            Effect::Error(error) => self.instead = Some(Instead::Error(error)),
            Effect::CloseBefore => self.instead = Some(Instead::Close),
            Effect::Silence => self.instead = Some(Instead::Silence),
            Effect::Delay(delay) => self.delay = self.delay.saturating_add(delay),
            Effect::CloseAfter => self.close_after = true,
            Effect::CorruptRecords
            | Effect::TruncateRecords
            | Effect::HighWatermark(_)
            | Effect::RefuseBatch(..)
            | Effect::NoBrokers
            | Effect::NoTopics => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ERROR: ErrorCode = ErrorCode::NOT_ENOUGH_REPLICAS;

    fn produce_errors(faults: &mut Faults, node: i32, requests: usize) -> Vec<bool> {
        (0..requests).map(|_| faults.request(node, ApiKey::PRODUCE).instead == Some(Instead::Error(ERROR))).collect()
    }

    #[test]
    fn a_fault_meets_as_many_requests_as_it_says_after_those_it_lets_pass() {
        let mut faults = Faults::default();
        let id = faults.inject(Fault::error(ApiKey::PRODUCE, ERROR).after(1).times(2));
        assert_eq!(produce_errors(&mut faults, 0, 5), [false, true, true, false, false]);
        assert_eq!(faults.hits(id), 2);
        assert!(!faults.is_active(id));
    }

    #[test]
    fn a_fault_without_a_number_stays_until_it_is_removed() {
        let mut faults = Faults::default();
        let id = faults.inject(Fault::error(ApiKey::PRODUCE, ERROR));
        assert_eq!(produce_errors(&mut faults, 0, 3), [true; 3]);
        faults.remove(id);
        assert_eq!(produce_errors(&mut faults, 0, 1), [false]);
        assert_eq!(faults.hits(id), 3, "what it did is still known");
    }

    #[test]
    fn other_apis_and_other_nodes_are_left_alone() {
        let mut faults = Faults::default();
        faults.inject(Fault::error(ApiKey::PRODUCE, ERROR).on_node(1));
        assert_eq!(faults.request(1, ApiKey::FETCH), Plan::default());
        assert_eq!(produce_errors(&mut faults, 0, 1), [false]);
        assert_eq!(produce_errors(&mut faults, 1, 1), [true]);
    }

    #[test]
    fn delays_add_up_and_go_with_any_other_fault() {
        let mut faults = Faults::default();
        faults.inject(Fault::delay(ApiKey::FETCH, Duration::from_secs(1)));
        faults.inject(Fault::delay(ApiKey::FETCH, Duration::from_secs(2)));
        faults.inject(Fault::close_after_applying(ApiKey::FETCH));
        let plan = faults.request(0, ApiKey::FETCH);
        assert_eq!(plan, Plan { delay: Duration::from_secs(3), instead: None, close_after: true });
    }

    #[test]
    fn of_faults_that_exclude_each_other_each_gets_its_own_request() {
        let mut faults = Faults::default();
        faults.inject(Fault::close_before(ApiKey::PRODUCE).times(1));
        faults.inject(Fault::silence(ApiKey::PRODUCE).times(1));
        assert_eq!(faults.request(0, ApiKey::PRODUCE).instead, Some(Instead::Close));
        assert_eq!(faults.request(0, ApiKey::PRODUCE).instead, Some(Instead::Silence));
        assert_eq!(faults.request(0, ApiKey::PRODUCE).instead, None);
    }

    #[test]
    fn a_partition_s_fault_meets_the_requests_that_name_it() {
        let mut faults = Faults::default();
        faults.inject(Fault::error(ApiKey::PRODUCE, ERROR).on_partition("orders", 1).times(1));
        assert_eq!(faults.request(0, ApiKey::PRODUCE), Plan::default());
        assert_eq!(faults.partition(0, ApiKey::PRODUCE, "orders", 0), None);
        assert_eq!(faults.partition(0, ApiKey::PRODUCE, "orders", 1), Some(ERROR));
        assert_eq!(faults.partition(0, ApiKey::PRODUCE, "orders", 1), None);
    }

    #[test]
    fn a_batch_is_refused_for_what_is_in_it() {
        let mut faults = Faults::default();
        faults.inject(Fault::refuse_records_without_key(ERROR).on_partition("orders", 1).times(1));
        assert!(faults.any_of_batches());
        assert_eq!(faults.request(0, ApiKey::PRODUCE), Plan::default());
        assert_eq!(faults.batch(0, "orders", 0, |_| true), None);
        assert_eq!(faults.batch(0, "orders", 1, |test| test != BatchTest::RecordWithoutKey), None);
        assert_eq!(faults.batch(0, "orders", 1, |_| true), Some(ERROR));
        assert_eq!(faults.batch(0, "orders", 1, |_| true), None);
    }

    #[test]
    fn a_fault_of_records_waits_until_there_are_some() {
        let mut faults = Faults::default();
        let id = faults.inject(Fault::corrupt_records().on_partition("orders", 0).times(1));
        assert!(faults.any_of_records());
        assert_eq!(faults.request(0, ApiKey::FETCH), Plan::default());
        assert!(faults.records(0, |_| false).is_empty());
        assert_eq!(faults.hits(id), 0);
        let met = faults.records(0, |only| only == Some(("orders", 0)));
        assert_eq!(met, [RecordsFault { cut: false, partition: Some(("orders".to_owned(), 0)) }]);
        assert!(!faults.any_of_records());
    }

    #[test]
    fn requests_are_counted_by_node_and_api() {
        let mut faults = Faults::default();
        for (node, api) in [(0, ApiKey::FETCH), (1, ApiKey::FETCH), (1, ApiKey::PRODUCE)] {
            faults.request(node, api);
        }
        assert_eq!(faults.seen(None, ApiKey::FETCH), 2);
        assert_eq!(faults.seen(Some(1), ApiKey::FETCH), 1);
        assert_eq!(faults.seen(None, ApiKey::METADATA), 0);
    }
}
