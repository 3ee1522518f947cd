//! Gets producer ids: one when the producer starts, and another whenever a partition cannot go on with the one it has.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ottla_protocol::messages::InitProducerIdRequest;
use ottla_protocol::{ApiKey, ErrorCode};
use tokio::sync::Notify;

use super::shared::{Partition, Shared};
use crate::core::accumulator::trouble::QueueTrouble;
use crate::core::sequence::Identity;
use crate::error::{Error, ErrorKind};
use crate::net::cluster::Cluster;

/// The newest identity, and who waits for one that is newer still.
pub(super) struct Identities {
    state: Mutex<State>,
    wanted: Notify,
}

struct State {
    newest: Option<Identity>,
    /// Why there is no newer one.
    trouble: Option<QueueTrouble>,
    waiting: Vec<Arc<Partition>>,
}

impl Identities {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { newest: None, trouble: None, waiting: Vec::new() }), wanted: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest identity, if it is not this one; else the partition is told once there is another.
    pub(super) fn other_than(&self, other: Option<Identity>, partition: &Arc<Partition>) -> Option<Identity> {
        let mut state = self.lock();
        if let Some(newest) = state.newest.filter(|newest| Some(*newest) != other) {
            return Some(newest);
        }
        state.waiting.push(partition.clone());
        drop(state);
        self.wanted.notify_one();
        None
    }

    pub(super) fn set(&self, identity: Identity) -> Vec<Arc<Partition>> {
        let mut state = self.lock();
        state.newest = Some(identity);
        state.trouble = None;
        std::mem::take(&mut state.waiting)
    }

    /// Why no identity could be had, if that is so.
    pub(super) fn trouble(&self) -> Option<QueueTrouble> {
        self.lock().trouble.clone()
    }

    fn failed(&self, error: &Error) {
        QueueTrouble::count(&mut self.lock().trouble, error, Instant::now());
    }

    fn take_waiting(&self) -> Vec<Arc<Partition>> {
        std::mem::take(&mut self.lock().waiting)
    }
}

/// Asks any broker for an identity.
pub(super) async fn init(cluster: &Cluster) -> Result<Identity, Error> {
    // No transaction: the timeout has no meaning, but brokers want one.
    let request = InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000 };
    let answer = cluster.ask_any(&request, |answer| answer.error_code).await.map_err(|error| match error.code() {
        Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED) => {
            error.advice("or set the producer's option idempotent to false")
        }
        _ => error,
    })?;
    if answer.producer_id < 0 {
        let message = format!("the broker gave the producer id {}", answer.producer_id);
        return Err(Error::new(ErrorKind::Protocol, message).in_api(ApiKey::INIT_PRODUCER_ID));
    }
    Ok(Identity { producer_id: answer.producer_id, epoch: answer.producer_epoch })
}

/// Gets identities whenever one is wanted.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        shared.identities.wanted.notified().await;
        match init(&shared.cluster).await {
            Ok(identity) => {
                tracing::debug!(identity.producer_id, "a partition goes on under another producer id");
                for partition in shared.identities.set(identity) {
                    let mut slot = partition.lock();
                    slot.queue.adopt(identity);
                    partition.schedule(&mut slot);
                }
            }
            Err(error) => fail(&shared, &error),
        }
    }
}

/// What waited for an identity that cannot be had is given up, or asks again: that is for its delivery timeout to say.
fn fail(shared: &Shared, error: &Error) {
    tracing::debug!(%error, "no producer id");
    shared.identities.failed(error);
    for partition in shared.identities.take_waiting() {
        let mut slot = partition.lock();
        let finished = if error.is_retriable() {
            slot.queue.want_identity_again();
            Vec::new()
        } else {
            slot.queue.fail_ready(error)
        };
        partition.schedule(&mut slot);
        drop(slot);
        shared.deliver(finished);
    }
}
