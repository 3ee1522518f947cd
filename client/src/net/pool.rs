//! The connections there are: one for each broker and purpose, dialled when first wanted and once at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

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
    /// Set by a dial that failed and by answers that did not come, until a dial succeeds.
    trouble: Option<SlotTrouble>,
}

struct SlotTrouble {
    since: Instant,
    what: String,
}

/// What is wrong with a broker at the moment.
pub(crate) struct Trouble {
    pub(crate) broker: String,
    pub(crate) lasts: Duration,
    pub(crate) what: String,
}

/// A slot that was in trouble and that nobody has wanted for so long says nothing about the broker any more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(5);

enum State {
    Empty,
    Dialling { dialled: watch::Receiver<Option<Dialled>>, since: Instant, peer: Arc<str>, _abort: Abort },
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
            State::Dialling { dialled, .. } => return Found::Dialling(dialled.clone()),
            State::Live(connection) if connection.has_timed_out() => {
                let what = format!("{}: answers did not come in time", connection.peer());
                slot.trouble.get_or_insert(SlotTrouble { since: Instant::now(), what });
            }
            State::Live(_) | State::Empty => {}
        }
        slot.state = State::Empty;
        if let Some(until) = slot.not_before.filter(|until| *until > Instant::now()) {
            return Found::Wait(until);
        }
        let (sender, dialled) = watch::channel(None);
        let peer = peer();
        let dial = Dial { slots: Arc::downgrade(&self.slots), target: target.clone(), peer: peer.clone(), sender };
        let task = tokio::spawn(dial.run(server.clone(), self.options.clone(), self.gate.clone()));
        let (since, abort) = (Instant::now(), Abort(task.abort_handle()));
        slot.state = State::Dialling { dialled: dialled.clone(), since, peer, _abort: abort };
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

    /// The brokers that cannot be reached, and those that have not answered for `patience`.
    pub(crate) fn troubles(&self, patience: Duration) -> Vec<Trouble> {
        let now = Instant::now();
        let slots = lock(&self.slots);
        let mut troubles: Vec<_> = slots.values().filter_map(|slot| slot.current_trouble(now, patience)).collect();
        troubles.sort_by(|a, b| a.broker.cmp(&b.broker).then(b.lasts.cmp(&a.lasts)));
        troubles.dedup_by(|later, first| later.broker == first.broker);
        troubles
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
        Self { server, backoff, not_before: None, state: State::Empty, trouble: None }
    }

    fn current_trouble(&self, now: Instant, patience: Duration) -> Option<Trouble> {
        let trouble = |what: String, since: Instant| {
            Some(Trouble { broker: self.server.to_string(), lasts: now.saturating_duration_since(since), what })
        };
        match (&self.state, &self.trouble) {
            (State::Live(connection), _) => {
                let (lasts, api) = connection.unanswered(now).filter(|(lasts, _)| *lasts >= patience)?;
                let what = format!("{}: no answer to {api}", connection.peer());
                Some(Trouble { broker: self.server.to_string(), lasts, what })
            }
            (State::Dialling { .. }, Some(known)) => trouble(known.what.clone(), known.since),
            (State::Dialling { since, peer, .. }, None) if now.saturating_duration_since(*since) >= patience => {
                trouble(format!("{peer}: no answer while connecting"), *since)
            }
            (State::Empty, Some(known)) => {
                let wanted = self.not_before.is_some_and(|until| until + FORGOTTEN_AFTER > now);
                if wanted { trouble(known.what.clone(), known.since) } else { None }
            }
            (State::Dialling { .. } | State::Empty, None) => None,
        }
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
        match dialled {
            Ok(connection) => {
                slot.backoff.reset();
                slot.not_before = None;
                slot.trouble = None;
                slot.state = State::Live(connection);
            }
            Err(error) => {
                let since = slot.trouble.take().map_or_else(Instant::now, |known| known.since);
                slot.trouble = Some(SlotTrouble { since, what: error.to_string() });
                slot.not_before = Some(Instant::now() + slot.backoff.fail(fastrand::f64()));
                slot.state = State::Empty;
            }
        }
    }
}
