//! What the connections of all nodes share.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::builder::Settings;
use crate::cluster::Cluster;
use crate::connections::Connections;
use crate::coordinator::Coordinator;
use crate::faults::Faults;
use crate::sasl::Moment;
use crate::session::Sessions;

/// How much memory requests that are being received may take together.
const REQUEST_MEMORY_KIB: usize = 256 << 10;

/// The state behind the nodes. Each lock is held for a look-up or an append, never across an await; where two are
/// needed, the cluster's comes first.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    /// Differs from every other broker's, for as long as this one lives.
    pub(crate) cluster_id: String,
    pub(crate) coordinator: Coordinator,
    cluster: Mutex<Cluster>,
    faults: Mutex<Faults>,
    sessions: Vec<Mutex<Sessions>>,
    connections: Mutex<Connections>,
    /// Room for requests that are being received, in KiB.
    pub(crate) request_memory: Arc<Semaphore>,
    next_producer_id: AtomicI64,
    started: Instant,
}

impl Shared {
    pub(crate) fn new(settings: Settings, cluster: Cluster) -> Self {
        let slots = settings.fetch_sessions;
        Self {
            sessions: cluster.nodes().iter().map(|_| Mutex::new(Sessions::new(slots))).collect(),
            coordinator: Coordinator::new(&settings),
            connections: Mutex::new(Connections::new(settings.connections)),
            request_memory: Arc::new(Semaphore::new(REQUEST_MEMORY_KIB)),
            settings,
            cluster_id: format!("ottla-dev-{:016x}", chance()),
            cluster: Mutex::new(cluster),
            faults: Mutex::default(),
            next_producer_id: AtomicI64::new(1000),
            started: Instant::now(),
        }
    }

    pub(crate) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }

    pub(crate) fn faults(&self) -> MutexGuard<'_, Faults> {
        lock(&self.faults)
    }

    /// A node's fetch sessions.
    pub(crate) fn sessions(&self, node: i32) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions[node as usize])
    }

    /// The connections of all nodes.
    pub(crate) fn connections(&self) -> MutexGuard<'_, Connections> {
        lock(&self.connections)
    }

    /// A producer id that nobody has yet.
    pub(crate) fn producer_id(&self) -> i64 {
        self.next_producer_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The time since the start, for the pure machines.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The same, with the time of day.
    pub(crate) fn moment(&self) -> Moment {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { now: self.now(), unix }
    }
}

/// A number that nobody can know before, from the standard library's only source of chance.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(0)
}

/// A poisoned lock means that a test's assertion panicked while it looked in; the state itself is whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
