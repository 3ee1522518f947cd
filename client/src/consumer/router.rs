//! The task that seats partitions at the brokers that lead them, and starts a fetch task a broker.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::board::Placing;
use super::{Shared, fetcher};
use crate::core::metadata::{Metadata, NodeId};
use crate::{Error, ErrorKind, TopicPartition};

/// Runs until the consumer is dropped; the fetch tasks end with it.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut metadata = shared.cluster.changes();
    let mut fetchers = JoinSet::new();
    loop {
        let snapshot = metadata.borrow_and_update().clone();
        let placing = place(&shared, &snapshot);
        for (node, wake) in placing.new_desks {
            fetchers.spawn(fetcher::run(shared.clone(), node, wake));
        }
        if placing.leaderless {
            shared.cluster.want_refresh();
        }
        tokio::select! {
            () = shared.homeless.notified() => {}
            changed = metadata.changed() => if changed.is_err() {
                // The client's last metadata task is gone: there is nothing to follow any more.
                shared.cluster_closed();
                return;
            },
            () = sleep_until(placing.again) => {}
            // Its desk is closed by then; the partitions wait for a new one.
            Some(ended) = fetchers.join_next() => if let Err(error) = ended {
                tracing::error!(%error, "a fetch task ended; it is started anew");
            },
        }
    }
}

fn place(shared: &Shared, metadata: &Metadata) -> Placing {
    let now = Instant::now();
    let leader = |partition: &TopicPartition| leader(metadata, partition);
    let mut board = shared.board();
    board.follow_leaders(now, leader);
    let placing = board.place(now, leader);
    if placing.leaderless {
        board.complain(now, |partition| leaderless(metadata, partition));
        drop(board);
        shared.arrived.notify_one();
    }
    placing
}

fn leader(metadata: &Metadata, partition: &TopicPartition) -> Option<NodeId> {
    metadata.leader(&partition.topic, partition.partition)
}

fn leaderless(metadata: &Metadata, partition: &TopicPartition) -> Error {
    let known = metadata.topic(&partition.topic).and_then(|topic| topic.partition(partition.partition));
    let error = if known.is_some() {
        Error::from_code(ottla_protocol::ErrorCode::LEADER_NOT_AVAILABLE)
            .advice("none of its replicas leads it; look after the brokers that hold them")
    } else {
        Error::new(ErrorKind::UnknownTopic, "the brokers know no such partition; was the topic deleted?")
    };
    error.at(partition)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
