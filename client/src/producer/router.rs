//! The task that seats partitions at the desks of the brokers that lead them, and starts a sender a broker.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::sender;
use super::shared::Shared;
use crate::core::metadata::Metadata;
use crate::error::{Error, ErrorKind};

/// Runs until it is aborted; the senders end with it.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut metadata = shared.cluster.changes();
    let mut senders = JoinSet::new();
    senders.spawn(sender::run(shared.clone(), shared.nowhere.clone()));
    loop {
        let snapshot = metadata.borrow_and_update().clone();
        grow(&shared, &snapshot);
        for desk in shared.place(|place| snapshot.leader(&place.topic, place.partition)) {
            senders.spawn(sender::run(shared.clone(), desk));
        }
        tokio::select! {
            () = shared.unplaced.notified() => {}
            changed = metadata.changed() => if changed.is_err() {
                shared.give_up(&Error::closed("the client"));
                return;
            },
            // A sender never ends by itself: this one has panicked, and what it had under way is lost.
            Some(ended) = senders.join_next() => if let Err(error) = ended {
                let error = Error::new(ErrorKind::Closed, format!("a bug has ended a sender of the producer: {error}"));
                shared.give_up(&error.fatal());
                return;
            },
        }
    }
}

/// Topics that were given more partitions get them here too.
fn grow(shared: &Shared, metadata: &Metadata) {
    for topic in shared.open_topics() {
        let partitions = metadata.topic(&topic.name).map_or(0, |info| info.partitions.len());
        if partitions > topic.partitions.len() {
            shared.open_topic(&topic.name, partitions);
        }
    }
}
