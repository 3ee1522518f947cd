//! ListOffsets: the first, the next, or the first not older than a time.

use ottla_protocol::compression::Decompressor;
use ottla_protocol::messages::{
    ListOffsetPartition, ListOffsetPartitionResponse, ListOffsetRequest, ListOffsetResponse, ListOffsetTopicResponse,
};
use ottla_protocol::records::Batches;
use ottla_protocol::{ApiKey, ErrorCode};
use tracing::warn;

use super::{Call, Reply, Serve};
use crate::log::Stored;

/// Asks for the offset of the next record.
const LATEST: i64 = -1;
/// Asks for the offset of the first record.
const EARLIEST: i64 = -2;

/// Who asks for what consumers may read, and from leaders only.
const CONSUMER: i32 = -1;
/// Who asks for what is there, and of any replica (`ListOffsetRequest.DEBUGGING_REPLICA_ID`).
const DEBUGGING: i32 = -2;

/// The first version with one offset instead of a list.
const FIRST_WITH_ONE: i16 = 1;
/// The first version with an error of its own for a high watermark that is behind (KIP-207).
const FIRST_WITH_78: i16 = 5;
/// The first version with the record's leader epoch.
const FIRST_WITH_EPOCH: i16 = 4;

/// How large a batch may become when a record in it is looked for.
pub(crate) const OPEN_LIMIT: usize = 256 << 20;

/// A time, an offset and its leader epoch.
type Found = (i64, i64, i32);

/// Nothing is as new as the time asked for.
const NOTHING: Found = (-1, -1, -1);

impl Serve for ListOffsetRequest {
    fn refuse(&self, version: i16, error: ErrorCode) -> Reply<ListOffsetResponse> {
        Reply::Answer(self.each(|_, asked| answer(version, asked, Err(error))))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<ListOffsetResponse> {
        let found = |topic: &str, asked: &ListOffsetPartition| {
            let fault = call.shared.faults().partition(call.node, ApiKey::LIST_OFFSETS, topic, asked.partition_index);
            if let Some(error) = fault {
                return Err(error);
            }
            match (self.replica_id, asked.timestamp) {
                (CONSUMER, LATEST) => latest(call, topic, asked),
                (DEBUGGING, LATEST) => log_end(call, topic, asked),
                _ => look_up(call, topic, asked),
            }
        };
        Reply::Answer(self.each(|topic, asked| answer(call.version, asked, found(topic, asked))))
    }
}

trait Each {
    fn each(&self, answer: impl FnMut(&str, &ListOffsetPartition) -> ListOffsetPartitionResponse)
    -> ListOffsetResponse;
}

impl Each for ListOffsetRequest {
    fn each(
        &self,
        mut answer: impl FnMut(&str, &ListOffsetPartition) -> ListOffsetPartitionResponse,
    ) -> ListOffsetResponse {
        let topics = self.topics.iter().map(|topic| ListOffsetTopicResponse {
            name: topic.name.clone(),
            partitions: topic.partitions.iter().map(|asked| answer(&topic.name, asked)).collect(),
        });
        ListOffsetResponse { topics: topics.collect(), ..ListOffsetResponse::default() }
    }
}

fn answer(version: i16, asked: &ListOffsetPartition, found: Result<Found, ErrorCode>) -> ListOffsetPartitionResponse {
    let partition_index = asked.partition_index;
    let (timestamp, offset, leader_epoch) = match found {
        Ok(found) => found,
        Err(error_code) => {
            return ListOffsetPartitionResponse {
                partition_index,
                error_code,
                ..ListOffsetPartitionResponse::default()
            };
        }
    };
    if version < FIRST_WITH_ONE {
        let wanted = asked.max_num_offsets > 0 && offset >= 0;
        let old_style_offsets = if wanted { vec![offset] } else { Vec::new() };
        return ListOffsetPartitionResponse {
            partition_index,
            old_style_offsets,
            ..ListOffsetPartitionResponse::default()
        };
    }
    let leader_epoch = if version < FIRST_WITH_EPOCH { -1 } else { leader_epoch };
    ListOffsetPartitionResponse {
        partition_index,
        timestamp,
        offset,
        leader_epoch,
        ..ListOffsetPartitionResponse::default()
    }
}

/// The high watermark: the log's end, unless a fault holds it.
fn latest(call: &Call<'_>, topic: &str, asked: &ListOffsetPartition) -> Result<Found, ErrorCode> {
    let (_, end, leader_epoch) = look_up(call, topic, asked)?;
    let held = call.shared.faults().high_watermark(call.node, topic, asked.partition_index);
    let Some(held) = held.filter(|held| *held < end) else { return Ok((-1, end, leader_epoch)) };
    let newest = call.shared.settings.release.versions(ApiKey::LIST_OFFSETS).map_or(0, |versions| *versions.end());
    match (newest >= FIRST_WITH_78, call.version >= FIRST_WITH_78) {
        (true, true) => Err(ErrorCode::OFFSET_NOT_AVAILABLE),
        (true, false) => Err(ErrorCode::LEADER_NOT_AVAILABLE),
        (false, _) => Ok((-1, held, leader_epoch)),
    }
}

fn log_end(call: &Call<'_>, topic: &str, asked: &ListOffsetPartition) -> Result<Found, ErrorCode> {
    let cluster = call.shared.cluster();
    let found = cluster.replica(call.node, topic, asked.partition_index)?;
    Ok((-1, found.log.end(), found.leader_epoch))
}

fn look_up(call: &Call<'_>, topic: &str, asked: &ListOffsetPartition) -> Result<Found, ErrorCode> {
    let partition = asked.partition_index;
    let (stored, start) = {
        let mut cluster = call.shared.cluster();
        let found = cluster.led(call.node, topic, partition, asked.current_leader_epoch)?;
        match asked.timestamp {
            LATEST => return Ok((-1, found.log.end(), found.leader_epoch)),
            EARLIEST => return Ok((-1, found.log.start(), found.leader_epoch)),
            time => (found.log.batch_for_time(time), found.log.start()),
        }
    };
    let Some(stored) = stored else { return Ok(NOTHING) };
    Ok(first_record(&stored, asked.timestamp, start).unwrap_or_else(|why| {
        warn!(topic, partition, offset = stored.base_offset, "a batch cannot be searched by time: {why}");
        NOTHING
    }))
}

/// The batch's first record that is not older. Its newest is not, so there is one, unless it was deleted.
fn first_record(stored: &Stored, timestamp_ms: i64, start: i64) -> Result<Found, String> {
    for batch in Batches::new(stored.bytes.clone()) {
        let batch = batch.map_err(|error| error.to_string())?;
        let open = batch.open(&mut Decompressor::new(), OPEN_LIMIT).map_err(|error| error.to_string())?;
        for record in &open {
            let record = record.map_err(|error| error.to_string())?;
            if record.timestamp_ms >= timestamp_ms && record.offset >= start {
                return Ok((record.timestamp_ms, record.offset, stored.leader_epoch));
            }
        }
    }
    Ok(NOTHING)
}
