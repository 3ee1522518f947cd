//! What is fetched and not yet handed out, and the budget it counts against.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ottla_protocol::records::Batches;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::core::isolation::AbortFilter;
use crate::{Error, TopicPartition};

/// What [`Consumer::next`](crate::Consumer::next) is to give, in this order.
pub(super) enum Item {
    /// One partition's data of one answer.
    Data(Chunk),
    /// An error, about one partition or about a broker.
    Failed { partition: Option<TopicPartition>, error: Error },
}

impl Item {
    pub(super) fn is_of(&self, partition: &TopicPartition) -> bool {
        match self {
            Self::Data(chunk) => chunk.partition == *partition,
            Self::Failed { partition: of, .. } => of.as_ref() == Some(partition),
        }
    }
}

/// One partition's data of one answer: still a slice of the answer's frame, not looked into beyond batch headers.
pub(super) struct Chunk {
    pub(super) partition: TopicPartition,
    pub(super) batches: Batches,
    /// How many bytes of whole batches it has left, so that it is let go with its last one.
    pub(super) left: usize,
    pub(super) filter: AbortFilter,
    pub(super) high_watermark: i64,
    /// Where the last batch that was handed out of it ends.
    pub(super) end: Option<i64>,
    /// Since when the partition was watched without a gap when the answer came.
    pub(super) watched_since: Instant,
    /// Kept for its `Drop`: the frame's bytes count until the last of its chunks is gone, as its memory does.
    pub(super) _hold: Arc<Hold>,
}

/// The bytes that fetched data takes, all brokers together.
pub(super) struct Budget {
    held: AtomicUsize,
    /// Fetching stops above it and goes on at it.
    mark: usize,
    room: Notify,
}

impl Budget {
    pub(super) fn new(buffer_bytes: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), mark: buffer_bytes / 2, room: Notify::new() })
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Counts `bytes` until the hold is dropped.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Arc<Hold> {
        self.held.fetch_add(bytes, Ordering::AcqRel);
        Arc::new(Hold { bytes, budget: self.clone() })
    }

    /// Waits until no more than half of the budget is taken.
    pub(super) async fn room(&self) {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            if self.held() <= self.mark {
                return;
            }
            room.await;
        }
    }
}

/// Bytes that count against a [`Budget`].
pub(super) struct Hold {
    bytes: usize,
    budget: Arc<Budget>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let before = self.budget.held.fetch_sub(self.bytes, Ordering::AcqRel);
        if before > self.budget.mark && before - self.bytes <= self.budget.mark {
            self.budget.room.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn there_is_room_while_half_the_budget_is_free() {
        let budget = Budget::new(100);
        let a = budget.hold(50);
        budget.room().await;
        let b = budget.hold(30);
        assert!(timeout(Duration::from_secs(1), budget.room()).await.is_err());
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room().await }
        });
        tokio::task::yield_now().await;
        drop(a);
        timeout(Duration::from_secs(1), waiting).await.expect("woken").unwrap();
        drop(b);
        assert_eq!(budget.held(), 0);
    }
}
