//! The cluster as the rest of the client sees it: brokers to ask, leaders to find, all kept fresh by one task.

mod refresh;

use std::collections::HashMap;
use std::ops::{Deref, RangeInclusive};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ottla_protocol::messages::{FindCoordinatorRequest, Message, Request};
use ottla_protocol::{ApiKey, CoordinatorType, ErrorCode};
use tokio::sync::{Notify, watch};

use super::Lane;
use super::connection::{Connection, Read};
use super::pool::{Abort, Pool, Target, Trouble};
use super::retry::Retry;
use crate::TopicPartition;
use crate::config::{Options, Server};
use crate::core::backoff::Backoff;
use crate::core::metadata::{Metadata, Node, NodeId, Scope, Tracker, host};
use crate::error::{Error, ErrorKind};

/// A handle on the cluster. The last one to be dropped closes every connection and ends every task.
#[derive(Clone)]
pub(crate) struct Cluster {
    core: Arc<Core>,
    _refresher: Arc<Abort>,
}

impl Deref for Cluster {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

/// What the handles and the refreshing task share.
pub(crate) struct Core {
    options: Arc<Options>,
    pool: Pool,
    tracker: Mutex<Tracking>,
    snapshots: watch::Sender<Arc<Metadata>>,
    rounds: watch::Sender<Round>,
    wake: Notify,
    coordinators: Mutex<HashMap<String, Node>>,
    /// The bootstrap server that told of the cluster last.
    via: Mutex<Option<Server>>,
}

struct Tracking {
    tracker: Tracker,
    /// How many rounds were started.
    started: u64,
}

/// A finished round of asking for metadata.
#[derive(Debug, Clone, Default)]
struct Round {
    number: u64,
    error: Option<Error>,
}

impl Cluster {
    /// Reaches any of the bootstrap servers. If none answers, the error says what each of them said.
    pub(crate) async fn connect(options: Options) -> Result<Self, Error> {
        let core = Arc::new(Core::new(Arc::new(options)));
        core.bootstrap().await?;
        let refresher = tokio::spawn(core.clone().keep_fresh());
        Ok(Self { core, _refresher: Arc::new(Abort(refresher.abort_handle())) })
    }
}

impl Core {
    fn new(options: Arc<Options>) -> Self {
        let backoff = Backoff::new(options.retry_backoff, options.retry_backoff_max);
        let tracker = Tracker::new(options.metadata_max_age, options.retry_backoff, backoff);
        Self {
            pool: Pool::new(options.clone()),
            options,
            tracker: Mutex::new(Tracking { tracker, started: 0 }),
            snapshots: watch::Sender::new(Arc::default()),
            rounds: watch::Sender::new(Round::default()),
            wake: Notify::new(),
            coordinators: Mutex::default(),
            via: Mutex::default(),
        }
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The cluster as it was last heard of.
    pub(crate) fn snapshot(&self) -> Arc<Metadata> {
        self.snapshots.borrow().clone()
    }

    /// Tells of every new snapshot.
    pub(crate) fn changes(&self) -> watch::Receiver<Arc<Metadata>> {
        self.snapshots.subscribe()
    }

    fn tracking(&self) -> MutexGuard<'_, Tracking> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something turned out to be out of date: metadata is asked for soon, however often this is called.
    pub(crate) fn want_refresh(&self) {
        self.tracking().tracker.want();
        self.wake.notify_one();
    }

    /// Asks for fresh metadata of these topics, and of all that were asked for before, and waits for it. Callers at the same
    /// time share one round. Creates no topic.
    pub(crate) async fn refresh(&self, topics: &[Arc<str>]) -> Result<Arc<Metadata>, Error> {
        let mut rounds = self.rounds.subscribe();
        let ticket = {
            let mut tracking = self.tracking();
            tracking.tracker.want_now(topics);
            tracking.started + 1
        };
        self.wake.notify_one();
        // The sender lives in `self`, so waiting cannot fail.
        let round =
            rounds.wait_for(|round| round.number >= ticket).await.map(|round| round.clone()).unwrap_or_default();
        match round.error {
            Some(error) => Err(error),
            None => Ok(self.snapshot()),
        }
    }

    /// What is wrong with brokers at the moment.
    pub(crate) fn troubles(&self, patience: Duration) -> Vec<Trouble> {
        self.pool.troubles(patience)
    }

    /// The same, tried again until the call's deadline where a later try may succeed.
    pub(crate) async fn refresh_until_deadline(&self, topics: &[Arc<str>]) -> Result<Arc<Metadata>, Error> {
        let mut retry = Retry::new(&self.options, self.options.api_timeout);
        loop {
            match retry.within(self.refresh(topics)).await {
                Ok(metadata) => return Ok(metadata),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Tries refused credentials again.
    pub(crate) fn log_in_again(&self) {
        self.pool.log_in_again();
    }

    /// A live connection to a broker, dialled and authenticated.
    pub(crate) async fn connection(&self, node: NodeId, lane: Lane) -> Result<Arc<Connection>, Error> {
        let node = self.node(node)?;
        self.connection_to(&node, lane).await
    }

    async fn connection_to(&self, node: &Node, lane: Lane) -> Result<Arc<Connection>, Error> {
        let connection = self.pool.node(node, lane).await;
        connection.map_err(|error| {
            self.want_refresh();
            self.who_advertised(node, error)
        })
    }

    /// An address that cannot be reached is not one that the user gave: says whose it is.
    fn who_advertised(&self, node: &Node, error: Error) -> Error {
        let unreachable = matches!(error.kind(), ErrorKind::Resolve | ErrorKind::Connect | ErrorKind::Timeout);
        if !unreachable || error.is_from_login() || self.options.bootstrap.contains(&node.server) {
            return error;
        }
        let via = self.via.lock().unwrap_or_else(PoisonError::into_inner);
        let via = via.as_ref().map(|server| format!(", as the bootstrap server {server} said")).unwrap_or_default();
        error.advice(&format!(
            "broker {} advertises this address{via}; its `advertised.listeners` must name one that this machine can reach",
            node.id
        ))
    }

    fn node(&self, id: NodeId) -> Result<Node, Error> {
        let found = self.snapshot().node(id).cloned();
        found.ok_or_else(|| {
            self.want_refresh();
            Error::new(ErrorKind::Disconnected, format!("broker {id} is not in the cluster at the moment"))
        })
    }

    /// Asks one broker once.
    pub(crate) async fn ask<R: Request>(&self, node: NodeId, lane: Lane, request: &R) -> Result<R::Response, Error> {
        self.ask_within(node, lane, request, self.options.request_timeout).await
    }

    /// Asks one broker once, with a deadline of its own.
    pub(crate) async fn ask_within<R: Request>(
        &self,
        node: NodeId,
        lane: Lane,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, Error> {
        let node = self.node(node)?;
        self.ask_node(&node, lane, R::VERSIONS, |_| request.clone(), timeout).await
    }

    /// Asks one broker once, with a request made for the version agreed on.
    pub(crate) async fn ask_node<R: Request>(
        &self,
        node: &Node,
        lane: Lane,
        versions: RangeInclusive<i16>,
        make: impl Fn(i16) -> R,
        timeout: Duration,
    ) -> Result<R::Response, Error> {
        let deadline = Instant::now() + timeout;
        let connection = self.connection_within(node, lane, timeout).await.map_err(|e| e.in_api(R::KEY))?;
        let answer = ask_on(&connection, versions, make, deadline).await.map(|(_, answer)| answer);
        answer.inspect_err(|e| {
            if e.is_stale_metadata() {
                self.want_refresh();
            }
        })
    }

    /// The version of an API that a broker would be asked in.
    pub(crate) async fn version<R: Request>(
        &self,
        node: &Node,
        lane: Lane,
        versions: RangeInclusive<i16>,
        timeout: Duration,
    ) -> Result<i16, Error> {
        let connection = self.connection_within(node, lane, timeout).await.map_err(|e| e.in_api(R::KEY))?;
        connection.version_for(R::KEY, versions)
    }

    async fn connection_within(&self, node: &Node, lane: Lane, timeout: Duration) -> Result<Arc<Connection>, Error> {
        let connection = tokio::time::timeout(timeout, self.connection_to(node, lane)).await;
        connection.unwrap_or_else(|_| {
            let error = Error::new(ErrorKind::Timeout, format!("no connection within {timeout:?}"));
            Err(error.on_broker(node.to_string()))
        })
    }

    /// Asks brokers one after another until one answers with a code that is no reason to ask again, or until the call's
    /// deadline.
    pub(crate) async fn ask_any<R: Request>(
        &self,
        request: &R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        let mut retry = Retry::new(&self.options, self.options.api_timeout);
        let mut brokers = Vec::new();
        loop {
            if brokers.is_empty() {
                brokers = self.brokers_by_readiness();
            }
            let answer = match brokers.pop() {
                Some(node) => {
                    let timeout = retry.left(self.options.request_timeout);
                    let answer =
                        retry.within(self.ask_node(&node, Lane::Other, R::VERSIONS, |_| request.clone(), timeout));
                    answer.await.and_then(|answer| checked(answer, &code, &node))
                }
                None => match retry.within(self.refresh(&[])).await {
                    Ok(_) => Err(Error::new(ErrorKind::Disconnected, "the cluster lists no broker")),
                    Err(error) => Err(error),
                },
            };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// Asks the controller, wherever it moves, until the call's deadline.
    pub(crate) async fn ask_controller<R: Request>(
        &self,
        make: impl Fn(i16) -> R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        let mut retry = Retry::new(&self.options, self.options.api_timeout);
        loop {
            let snapshot = self.snapshot();
            let controller = snapshot.controller.and_then(|id| snapshot.node(id));
            let answer =
                match controller {
                    Some(node) => {
                        let timeout = retry.left(self.options.request_timeout);
                        let answer = retry.within(self.ask_node(node, Lane::Other, R::VERSIONS, &make, timeout)).await;
                        answer.and_then(|answer| checked(answer, &code, node))
                    }
                    None => Err(Error::new(ErrorKind::Disconnected, "the cluster has no controller at the moment")
                        .in_api(R::KEY)),
                };
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    retry.pause(error).await?;
                    // What the refresh says does not matter: without a controller the next turn finds none.
                    let _ = retry.within(self.refresh(&[])).await;
                }
            }
        }
    }

    /// Asks a group's coordinator, wherever it moves, until the call's deadline.
    pub(crate) async fn ask_coordinator<R: Request>(
        &self,
        group: &str,
        versions: RangeInclusive<i16>,
        make: impl Fn(i16) -> R,
        code: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, Error> {
        let mut retry = Retry::new(&self.options, self.options.api_timeout);
        loop {
            let timeout = retry.left(self.options.request_timeout);
            let work = async {
                let node = self.find_coordinator(group, timeout).await?;
                let answer = self.ask_node(&node, Lane::Group, versions.clone(), &make, timeout).await?;
                checked(answer, &code, &node)
            };
            match retry.within(work).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    // A coordinator that is loading is the right one still.
                    if error.code() != Some(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS) {
                        self.coordinators().remove(group);
                    }
                    retry.pause(error).await?;
                }
            }
        }
    }

    /// The group's coordinator, from memory or from any broker, asked again until `timeout`.
    pub(crate) async fn coordinator(&self, group: &str, timeout: Duration) -> Result<Node, Error> {
        let mut retry = Retry::new(&self.options, timeout);
        loop {
            let left = retry.left(self.options.request_timeout);
            match retry.within(self.find_coordinator(group, left)).await {
                Ok(node) => return Ok(node),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    /// The same, asked once: how often is the caller's business.
    async fn find_coordinator(&self, group: &str, timeout: Duration) -> Result<Node, Error> {
        if let Some(known) = self.coordinators().get(group) {
            return Ok(known.clone());
        }
        let request = FindCoordinatorRequest { key: group.to_owned(), key_type: CoordinatorType::GROUP };
        let mut brokers = self.brokers_by_readiness();
        let count = brokers.len();
        let Some(broker) = brokers.pop() else {
            return Err(Error::new(ErrorKind::Disconnected, "the cluster lists no broker"));
        };
        let make = |_| request.clone();
        let answer = self.ask_node(&broker, Lane::Other, FindCoordinatorRequest::VERSIONS, make, timeout).await?;
        let answer = checked(answer, |answer| answer.error_code, &broker).map_err(|e| no_coordinator(e, count))?;
        let Some(port) = u16::try_from(answer.port).ok().filter(|port| *port > 0) else {
            let message = format!("the coordinator of group {group} is said to listen on port {}", answer.port);
            return Err(Error::new(ErrorKind::Protocol, message).in_api(ApiKey::FIND_COORDINATOR));
        };
        let server = host(&answer.host, port, || format!("the coordinator of group {group}"))
            .map_err(|e| Error::new(ErrorKind::Protocol, e.to_string()).in_api(ApiKey::FIND_COORDINATOR))?;
        let node = Node { id: NodeId(answer.node_id), server };
        self.coordinators().insert(group.to_owned(), node.clone());
        Ok(node)
    }

    /// The group's coordinator is looked for again when it is next wanted.
    pub(crate) fn forget_coordinator(&self, group: &str) {
        self.coordinators().remove(group);
    }

    fn coordinators(&self) -> MutexGuard<'_, HashMap<String, Node>> {
        self.coordinators.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The brokers in random order; those with a live connection come last, to be popped first.
    fn brokers_by_readiness(&self) -> Vec<Node> {
        let mut nodes: Vec<_> = self.snapshot().nodes.values().cloned().collect();
        fastrand::shuffle(&mut nodes);
        nodes.sort_by_key(|node| self.pool.is_live(&Target::Node(node.id, Lane::Other)));
        nodes
    }

    /// Asks for every topic there is, once any broker answers; the snapshot has them all then.
    pub(crate) async fn refresh_all(&self) -> Result<Arc<Metadata>, Error> {
        let mut retry = Retry::new(&self.options, self.options.api_timeout);
        loop {
            match retry.within(self.fetch_metadata(&Scope::All)).await {
                Ok(()) => return Ok(self.snapshot()),
                Err(error) => retry.pause(error).await?,
            }
        }
    }
}

pub(crate) fn leaderless(metadata: &Metadata, place: &TopicPartition) -> Error {
    let error = match metadata.topic(&place.topic) {
        None => Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        Some(topic) => match (topic.error, topic.partition(place.partition)) {
            (Some(code), _) => Error::from_code(code),
            (None, None) => Error::from_code(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
                .advice(&format!("the topic has {} partitions", topic.partitions.len())),
            (None, Some(_)) => Error::from_code(ErrorCode::LEADER_NOT_AVAILABLE),
        },
    };
    error.at(place)
}

/// A broker that has no coordinator for long cannot create `__consumer_offsets`, or its partition has no leader.
fn no_coordinator(error: Error, brokers: usize) -> Error {
    if error.code() != Some(ErrorCode::COORDINATOR_NOT_AVAILABLE) {
        return error;
    }
    let brokers = if brokers == 1 { "1 broker".to_owned() } else { format!("{brokers} brokers") };
    error.advice(&format!(
        "__consumer_offsets has no leader or cannot be created: the cluster has {brokers} now, and \
         offsets.topic.replication.factor must not be more"
    ))
}

fn checked<T>(answer: T, code: impl Fn(&T) -> ErrorCode, node: &Node) -> Result<T, Error>
where
    T: Message,
{
    match code(&answer) {
        ErrorCode::NONE => Ok(answer),
        code => Err(Error::from_code(code).in_api(T::KEY).on_broker(node.to_string())),
    }
}

/// Asks once on a connection. Also gives the version that was spoken.
async fn ask_on<R: Request>(
    connection: &Arc<Connection>,
    versions: RangeInclusive<i16>,
    make: impl Fn(i16) -> R,
    deadline: Instant,
) -> Result<(i16, R::Response), Error> {
    ask_reading(connection, versions, make, deadline, R::Response::read).await
}

/// The same, with a way of its own to read the answer.
async fn ask_reading<R: Request, M>(
    connection: &Arc<Connection>,
    versions: RangeInclusive<i16>,
    make: impl Fn(i16) -> R,
    deadline: Instant,
    read: Read<M>,
) -> Result<(i16, M), Error> {
    let version = connection.version_for(R::KEY, versions)?;
    let request = make(version);
    let left = || deadline.saturating_duration_since(Instant::now());
    let pending = tokio::time::timeout(left(), connection.submit_reading(version, &request, left(), read)).await;
    let Ok(pending) = pending else {
        let message = "too many requests are waiting for this broker already";
        return Err(Error::new(ErrorKind::Timeout, message).in_api(R::KEY).on_broker(connection.peer().clone()));
    };
    Ok((version, pending?.await?))
}
