//! The groups' driver: it waits, so that [`Groups`] does not have to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ottla_protocol::messages::{JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse};
use tokio::sync::{Notify, oneshot};

use crate::builder::Settings;
use crate::groups::{Answer, Asker, Groups, Rules, Ticket};
use crate::shared::{Shared, chance, lock};

/// All groups of all nodes, and who waits for answers.
#[derive(Debug)]
pub(crate) struct Coordinator {
    desk: Mutex<Desk>,
    /// The next deadline may have moved.
    changed: Notify,
}

#[derive(Debug)]
struct Desk {
    groups: Groups,
    waiting: HashMap<Ticket, oneshot::Sender<Answer>>,
    tickets: u64,
}

impl Desk {
    fn ticket(&mut self) -> (Ticket, oneshot::Receiver<Answer>) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        let (sender, receiver) = oneshot::channel();
        self.waiting.insert(ticket, sender);
        (ticket, receiver)
    }

    fn deliver(&mut self) {
        for (ticket, answer) in self.groups.take_answers() {
            if let Some(waiting) = self.waiting.remove(&ticket) {
                // One that is gone needs no answer.
                let _ = waiting.send(answer);
            }
        }
    }
}

impl Coordinator {
    pub(crate) fn new(settings: &Settings) -> Self {
        let rules =
            Rules { session_timeout: settings.session_timeout.clone(), rebalance_delay: settings.rebalance_delay };
        let desk = Desk { groups: Groups::new(rules, chance()), waiting: HashMap::new(), tickets: 0 };
        Self { desk: Mutex::new(desk), changed: Notify::new() }
    }

    /// Does something that is answered at once. Who else it gives an answer to gets it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Groups) -> T) -> T {
        let mut desk = self.desk();
        let done = act(&mut desk.groups);
        desk.deliver();
        drop(desk);
        self.changed.notify_one();
        done
    }

    /// Joins, and waits for the rebalance to end. `None`: the broker stops.
    pub(crate) async fn join(
        &self,
        now: Duration,
        client_id: &str,
        needs_id_first: bool,
        request: &JoinGroupRequest,
    ) -> Option<JoinGroupResponse> {
        let answer = {
            let mut desk = self.desk();
            let (ticket, answer) = desk.ticket();
            desk.groups.join(now, Asker { ticket, client_id, needs_id_first }, request);
            desk.deliver();
            answer
        };
        self.changed.notify_one();
        match answer.await {
            Ok(Answer::Join(joined)) => Some(joined),
            Ok(Answer::Sync(_)) | Err(_) => None,
        }
    }

    /// Syncs, and waits for the leader. `None`: the broker stops.
    pub(crate) async fn sync(&self, now: Duration, request: &SyncGroupRequest) -> Option<SyncGroupResponse> {
        let answer = {
            let mut desk = self.desk();
            let (ticket, answer) = desk.ticket();
            desk.groups.sync(now, ticket, request);
            desk.deliver();
            answer
        };
        self.changed.notify_one();
        match answer.await {
            Ok(Answer::Sync(synced)) => Some(synced),
            Ok(Answer::Join(_)) | Err(_) => None,
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        lock(&self.desk)
    }
}

/// Ticks the groups when it is time. Runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let deadline = shared.coordinator.desk().groups.deadline();
        let changed = shared.coordinator.changed.notified();
        match deadline {
            None => changed.await,
            Some(deadline) => {
                let wait = deadline.saturating_sub(shared.now());
                // Either way: tick. It does nothing before a deadline.
                let _ = tokio::time::timeout(wait, changed).await;
                let now = shared.now();
                let mut desk = shared.coordinator.desk();
                desk.groups.tick(now);
                desk.deliver();
            }
        }
    }
}
