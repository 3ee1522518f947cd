//! The connections there are: one for each broker and purpose, dialled when first wanted and once at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::Lane;
use super::connect::establish;
use super::connection::Connection;
use super::login::Gate;
use crate::config::{Options, Server};
use crate::core::backoff::Backoff;
use crate::core::metadata::{Node, NodeId};
use crate::error::Error;

/// What a connection leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// A broker of the cluster, wherever it listens at the moment.
    Node(NodeId, Lane),
    /// A server that the user named; which broker it is, is not known yet.
    Server(Server),
}

/// Dropping it closes every connection and ends every attempt at one.
pub(crate) struct Pool {
    options: Arc<Options>,
    gate: Arc<Gate>,
    slots: Slots,
}

type Slots = Arc<Mutex<HashMap<Target, Slot>>>;
type Dialled = Result<Arc<Connection>, Error>;

struct Slot {
    server: Server,
    backoff: Backoff,
    not_before: Option<Instant>,
    state: State,
}

enum State {
    Empty,
    Dialling(watch::Receiver<Option<Dialled>>, #[expect(dead_code, reason = "held to be dropped")] Abort),
    Live(Arc<Connection>),
}

/// Ends a task when it is dropped.
pub(crate) struct Abort(pub(crate) AbortHandle);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a look at a slot found.
enum Found {
    Live(Arc<Connection>),
    Dialling(watch::Receiver<Option<Dialled>>),
    Wait(Instant),
}

impl Pool {
    pub(crate) fn new(options: Arc<Options>) -> Self {
        Self { options, gate: Arc::new(Gate::new()), slots: Slots::default() }
    }

    /// A live connection to a broker. After a failure the next dial waits for its backoff; a failure is told to everyone who
    /// waited for that dial.
    pub(crate) async fn node(&self, node: &Node, lane: Lane) -> Dialled {
        self.connection(Target::Node(node.id, lane), &node.server, || node.to_string().into()).await
    }

    /// A live connection to a server that the user named.
    pub(crate) async fn server(&self, server: &Server) -> Dialled {
        self.connection(Target::Server(server.clone()), server, || format!("server {server}").into()).await
    }

    async fn connection(&self, target: Target, server: &Server, peer: impl Fn() -> Arc<str>) -> Dialled {
        loop {
            match self.look(&target, server, &peer) {
                Found::Live(connection) => return Ok(connection),
                Found::Wait(until) => tokio::time::sleep_until(until.into()).await,
                Found::Dialling(mut dialled) => {
                    let result = dialled.wait_for(Option::is_some).await.ok().and_then(|result| result.clone());
                    // None: that dial was given up since the broker has moved; look again.
                    if let Some(result) = result {
                        return result;
                    }
                }
            }
        }
    }

    /// Finds what there is, starting a dial if there is nothing.
    fn look(&self, target: &Target, server: &Server, peer: impl Fn() -> Arc<str>) -> Found {
        let mut slots = lock(&self.slots);
        if slots.get(target).is_none_or(|slot| slot.server != *server) {
            slots.insert(target.clone(), Slot::new(server.clone(), &self.options));
        }
        let Some(slot) = slots.get_mut(target) else { return Found::Wait(Instant::now()) };
        match &slot.state {
            State::Live(connection) if !connection.is_closed() => return Found::Live(connection.clone()),
            State::Dialling(dialled, _) => return Found::Dialling(dialled.clone()),
            State::Live(_) | State::Empty => {}
        }
        slot.state = State::Empty;
        if let Some(until) = slot.not_before.filter(|until| *until > Instant::now()) {
            return Found::Wait(until);
        }
        let (sender, dialled) = watch::channel(None);
        let dial = Dial { slots: Arc::downgrade(&self.slots), target: target.clone(), peer: peer(), sender };
        let task = tokio::spawn(dial.run(server.clone(), self.options.clone(), self.gate.clone()));
        slot.state = State::Dialling(dialled.clone(), Abort(task.abort_handle()));
        Found::Dialling(dialled)
    }

    /// Tries refused credentials again when a connection is next wanted.
    pub(crate) fn log_in_again(&self) {
        self.gate.ask_anew();
        for slot in lock(&self.slots).values_mut() {
            slot.not_before = None;
        }
    }

    /// Whether a connection is there without dialling.
    pub(crate) fn is_live(&self, target: &Target) -> bool {
        match lock(&self.slots).get(target).map(|slot| &slot.state) {
            Some(State::Live(connection)) => !connection.is_closed(),
            _ => false,
        }
    }

    /// Lets a connection go. Who still awaits an answer on it gets it.
    pub(crate) fn forget(&self, target: &Target) {
        let slot = lock(&self.slots).remove(target);
        drop(slot);
    }
}

impl Slot {
    fn new(server: Server, options: &Options) -> Self {
        let backoff = Backoff::new(options.reconnect_backoff, options.reconnect_backoff_max);
        Self { server, backoff, not_before: None, state: State::Empty }
    }
}

fn lock(slots: &Mutex<HashMap<Target, Slot>>) -> MutexGuard<'_, HashMap<Target, Slot>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One attempt, in a task of its own, so that a caller who gives up does not take it from the others.
struct Dial {
    slots: Weak<Mutex<HashMap<Target, Slot>>>,
    target: Target,
    peer: Arc<str>,
    sender: watch::Sender<Option<Dialled>>,
}

impl Dial {
    async fn run(self, server: Server, options: Arc<Options>, gate: Arc<Gate>) {
        let established = establish(&server, &self.peer, &options, &gate).await;
        let dialled = established.map(|established| Connection::start(established, self.peer.clone(), &options));
        if let Err(error) = &dialled {
            tracing::debug!(%error, "dial failed");
        }
        let Some(slots) = self.slots.upgrade() else { return };
        // The result goes out first: the change of the slot's state drops the handle that aborts this very task.
        self.sender.send_replace(Some(dialled.clone()));
        let mut slots = lock(&slots);
        let Some(slot) = slots.get_mut(&self.target).filter(|slot| slot.server == server) else { return };
        if let Ok(connection) = dialled {
            slot.backoff.reset();
            slot.not_before = None;
            slot.state = State::Live(connection);
        } else {
            slot.not_before = Some(Instant::now() + slot.backoff.fail(fastrand::f64()));
            slot.state = State::Empty;
        }
    }
}
