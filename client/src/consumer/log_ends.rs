//! Where a log begins and ends, asked of the broker that just said a position is outside of it.
//!
//! The end may be too early: a leader from before 2.2 names a high watermark that is behind without saying so (KIP-207,
//! [`core::high_watermark`](crate::core::high_watermark)), a later one answers 78, and then the end is missing. Neither is
//! asked again. That the position is outside was decided by the broker, on its log and not on its high watermark
//! (`Log.read`), so no position is refused for it, and none is moved: the ends stand in the error's text and nowhere else.

use std::collections::{BTreeMap, HashMap};

use ottla_protocol::messages::{ListOffsetPartition, ListOffsetRequest, ListOffsetResponse, ListOffsetTopic};

use super::Shared;
use crate::core::metadata::NodeId;
use crate::net::Lane;
use crate::{Error, TopicPartition};

/// What ListOffsets takes for a time.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

/// The first and the next offset of these partitions' logs; what the broker does not say is missing.
pub(super) async fn ask(
    shared: &Shared,
    node: NodeId,
    partitions: &[TopicPartition],
) -> Result<HashMap<TopicPartition, (i64, i64)>, Error> {
    let ask = |time| {
        let request = request(shared, partitions, time);
        async move { shared.cluster.ask(node, Lane::Other, &request).await }
    };
    let (earliest, latest) = tokio::try_join!(ask(EARLIEST), ask(LATEST))?;
    let (earliest, latest) = (offsets(earliest), offsets(latest));
    let ends = partitions.iter().filter_map(|partition| {
        let place = (&*partition.topic, partition.partition);
        let ends = (*earliest.get(place.0)?.get(&place.1)?, *latest.get(place.0)?.get(&place.1)?);
        Some((partition.clone(), ends))
    });
    Ok(ends.collect())
}

fn request(shared: &Shared, partitions: &[TopicPartition], timestamp: i64) -> ListOffsetRequest {
    let mut topics: BTreeMap<&str, Vec<ListOffsetPartition>> = BTreeMap::new();
    for partition in partitions {
        let asked = ListOffsetPartition { partition_index: partition.partition, timestamp, ..Default::default() };
        topics.entry(&partition.topic).or_default().push(asked);
    }
    let topics = topics.into_iter().map(|(name, partitions)| ListOffsetTopic { name: name.to_owned(), partitions });
    let isolation_level = shared.options.isolation.level();
    ListOffsetRequest { replica_id: -1, isolation_level, topics: topics.collect() }
}

fn offsets(answer: ListOffsetResponse) -> HashMap<String, HashMap<i32, i64>> {
    let topics = answer.topics.into_iter().map(|topic| {
        let good = topic.partitions.into_iter().filter(|p| p.error_code.is_ok() && p.offset >= 0);
        (topic.name, good.map(|p| (p.partition_index, p.offset)).collect())
    });
    topics.collect()
}
