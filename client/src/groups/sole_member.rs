//! The driver of [`Membership`]: asks the coordinator what the machine wants to ask, and tells everyone where it stands.

use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupRequestProtocol, Message, Request, SyncGroupRequest,
    SyncGroupRequestAssignment,
};
use tokio::sync::{mpsc, watch};

use crate::TopicPartition;
use crate::client::Client;
use crate::core::backoff::Backoff;
use crate::core::membership::{Action, Failure, Membership, Out, Standing};
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::retry::Retry;
use crate::offsets::commit::{CommitOffset, Generation, in_group};

/// `consumer`, so that Kafka's tools show the group's offsets while it has this member.
const PROTOCOL_TYPE: &str = "consumer";
/// The assignor: members of other clients do not know it, so they cannot join a sole member's group nor it theirs.
const PROTOCOL: &str = "ottla-sole-member";

/// How often it is looked whether the coordinator has taken a join, before members are removed for it; and how often at most.
const LOOK_FOR_THE_JOIN: (Duration, u32) = (Duration::from_millis(20), 50);

/// How long leaving may take.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// How to be a group's sole member.
#[derive(Debug, Clone)]
pub struct SoleMemberOptions {
    /// Without a sign of life for this long the coordinator takes the member for dead (`session.timeout.ms`). Default: 10 s.
    /// Brokers take 6 s to 5 min unless they are set otherwise (`group.min.session.timeout.ms`).
    pub session_timeout: Duration,
    /// What others see of this member in [`Client::describe_group`]. Default: nothing.
    pub user_data: Vec<u8>,
    /// The ids of members that are known to be dead. They are removed once the coordinator has taken this member's join, so
    /// nobody waits for the end of their sessions. Default: none.
    pub replaces: Vec<String>,
}

impl Default for SoleMemberOptions {
    fn default() -> Self {
        Self { session_timeout: Duration::from_secs(10), user_data: Vec::new(), replaces: Vec::new() }
    }
}

/// How an attempt to be a group's sole member ended.
#[derive(Debug)]
pub enum JoinedAlone {
    /// With a membership.
    Member(SoleMember),
    /// Another one is the sole member; this one has left again.
    Refused {
        /// The other's member id; empty if the group's leader did not name it.
        member_id: String,
        /// What the other says of itself.
        user_data: Vec<u8>,
    },
}

/// The sole member of a consumer group, until it is dropped, [leaves](SoleMember::leave), or is [lost](SoleMember::lost).
///
/// It keeps itself alive by heartbeats in a Tokio task. Its commits carry member id and generation, so the coordinator refuses
/// them after another member has taken over, however long this process was stopped in between.
///
/// ```
/// use ottla_client::{Client, CommitOffset, JoinedAlone, SoleMemberOptions, TopicPartition};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let broker = ottla_devbroker::DevBroker::builder().start().await?;
/// # broker.create_topic("orders", 1)?;
/// # let client = Client::builder().bootstrap(broker.bootstrap()).connect().await?;
/// match client.join_group_alone("billing", SoleMemberOptions::default()).await? {
///     JoinedAlone::Member(member) => {
///         member.commit(&[CommitOffset::new(TopicPartition::new("orders", 0), 0)]).await?;
///         member.leave().await;
///     }
///     JoinedAlone::Refused { member_id, .. } => println!("{member_id} is at work already"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SoleMember {
    client: Client,
    group: String,
    seen: watch::Receiver<Seen>,
    commands: mpsc::Sender<Command>,
}

/// Where the member stands, and the last error about it.
#[derive(Debug, Clone)]
struct Seen {
    standing: Standing,
    error: Option<Error>,
}

/// What the driver is told.
#[derive(Debug)]
enum Command {
    /// A commit in this generation was refused.
    CommitRefused {
        generation: i32,
        code: ErrorCode,
    },
    Leave,
}

impl Client {
    /// Joins a consumer group that is to have no other member. Of several that try at the same moment exactly one succeeds; who
    /// comes while there is one is refused. Takes at most `api_timeout`, and usually the broker's
    /// `group.initial.rebalance.delay.ms` (3 s by default) for a group without members.
    ///
    /// The broker needs the right READ on the group, as for commits.
    pub async fn join_group_alone(&self, group: &str, options: SoleMemberOptions) -> Result<JoinedAlone, Error> {
        let timeout = self.cluster.options().api_timeout;
        let member = SoleMember::start(self, group, options);
        let mut seen = member.seen.clone();
        let decided = async { seen.wait_for(|seen| seen.standing != Standing::Joining).await.map(|seen| seen.clone()) };
        let seen = match tokio::time::timeout(timeout, decided).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(_)) => return Err(in_group(Error::closed("the membership"), group)),
            Err(_) => {
                let error = member.seen.borrow().error.clone();
                let late = || Error::new(ErrorKind::Timeout, "the group's members did not agree in time");
                return Err(in_group(error.unwrap_or_else(late), group));
            }
        };
        match seen.standing {
            Standing::Out(Out::Other(holder)) => {
                member.leave().await;
                Ok(JoinedAlone::Refused { member_id: holder.member_id, user_data: holder.user_data.to_vec() })
            }
            Standing::Out(out) => Err(member.over(out, seen.error)),
            _ => Ok(JoinedAlone::Member(member)),
        }
    }
}

impl SoleMember {
    fn start(client: &Client, group: &str, options: SoleMemberOptions) -> Self {
        let config = client.cluster.options();
        let backoff = Backoff::new(config.retry_backoff, config.retry_backoff_max);
        let user_data = Bytes::from(options.user_data);
        let machine = Membership::new(options.session_timeout, user_data, backoff, Instant::now());
        let (sender, seen) = watch::channel(Seen { standing: machine.standing(), error: None });
        // A queue that is full of refused commits has told the driver enough.
        let (commands, told) = mpsc::channel(8);
        let driver = Driver {
            client: client.clone(),
            group: group.to_owned(),
            session: options.session_timeout,
            replaces: options.replaces,
            machine,
            seen: sender,
        };
        tokio::spawn(driver.run(told));
        Self { client: client.clone(), group: group.to_owned(), seen, commands }
    }

    /// Whether it is surely the sole member at this moment: its session cannot have ended.
    pub fn is_held(&self) -> bool {
        self.seen.borrow().is_held(Instant::now())
    }

    /// Waits until it is surely the sole member. At once if [`is_held`](Self::is_held); after its session may have ended it
    /// waits for the coordinator's word. Cancel safe.
    ///
    /// # Errors
    /// As of [`lost`](Self::lost).
    pub async fn held(&self) -> Result<(), Error> {
        let mut seen = self.seen.clone();
        let now_held = seen.wait_for(|seen| seen.is_held(Instant::now()) || seen.is_out()).await;
        match now_held.map(|seen| seen.clone()) {
            Ok(Seen { standing: Standing::Out(out), error }) => Err(self.over(out, error)),
            Ok(_) => Ok(()),
            Err(_) => Err(in_group(Error::closed("the membership"), &self.group)),
        }
    }

    /// Waits until the membership is lost, and says why. Cancel safe.
    ///
    /// [`ErrorKind::Fenced`]: another member has taken over.
    pub async fn lost(&self) -> Error {
        let mut seen = self.seen.clone();
        let out = seen.wait_for(Seen::is_out).await.map(|seen| seen.clone());
        match out {
            Ok(Seen { standing: Standing::Out(out), error }) => self.over(out, error),
            _ => in_group(Error::closed("the membership"), &self.group),
        }
    }

    /// What the member that has taken over says of itself, its [`SoleMemberOptions::user_data`]; `None` if that is not known, or
    /// none has.
    pub fn taken_over_by(&self) -> Option<Vec<u8>> {
        match &self.seen.borrow().standing {
            Standing::Out(Out::Other(holder)) => Some(holder.user_data.to_vec()),
            _ => None,
        }
    }

    /// Commits positions for the group. While members change it waits, until the client's `api_timeout`.
    ///
    /// # Errors
    /// The first partition that was refused, or why none was committed. [`ErrorKind::Fenced`]: another member has taken over;
    /// nothing was committed.
    pub async fn commit(&self, offsets: &[CommitOffset]) -> Result<(), Error> {
        match self.commit_each(offsets).await?.into_iter().next() {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }

    /// Commits positions as [`commit`](Self::commit) does, and returns the partitions that were refused, each with the reason,
    /// as [`Client::commit_each`] does.
    ///
    /// # Errors
    /// Why nothing is known to be committed. [`ErrorKind::Fenced`]: another member has taken over; nothing was committed.
    pub async fn commit_each(&self, offsets: &[CommitOffset]) -> Result<Vec<(TopicPartition, Error)>, Error> {
        let options = self.client.cluster.options();
        let mut retry = Retry::new(options, options.api_timeout);
        loop {
            let (generation, member_id) = self.generation(&retry).await?;
            let fence = Generation { id: generation, member_id: &member_id };
            let refused = self.client.commit_each_as(&self.group, Some(fence), offsets).await?;
            let fenced = refused.iter().find_map(|(_, error)| error.code().filter(|code| is_about_membership(*code)));
            let Some(code) = fenced else { return Ok(refused) };
            // The driver finds out what it means: whether this member may commit in another generation or never again.
            let _ = self.commands.try_send(Command::CommitRefused { generation, code });
            retry
                .pause(in_group(Error::new(ErrorKind::Timeout, Error::from_code(code).to_string()), &self.group))
                .await?;
        }
    }

    /// The generation and member id to commit with, once this is the sole member.
    async fn generation(&self, retry: &Retry) -> Result<(i32, String), Error> {
        let mut seen = self.seen.clone();
        let decided = |seen: &Seen| matches!(seen.standing, Standing::Sole { .. } | Standing::Out(_));
        let decided = async { Ok(seen.wait_for(decided).await.map(|seen| seen.clone())) };
        match retry.within(decided).await.map_err(|error| in_group(error, &self.group))? {
            Ok(Seen { standing: Standing::Sole { generation, member_id, .. }, .. }) => Ok((generation, member_id)),
            Ok(Seen { standing: Standing::Out(out), error }) => Err(self.over(out, error)),
            _ => Err(in_group(Error::closed("the membership"), &self.group)),
        }
    }

    /// Leaves the group, so that the next one may join at once; nothing is committed after that. Takes 3 s at most.
    pub async fn leave(&self) {
        let mut seen = self.seen.clone();
        // The driver ends when it has left, and its end of the channel with it.
        if self.commands.send(Command::Leave).await.is_ok() {
            while seen.changed().await.is_ok() {}
        }
    }

    fn over(&self, out: Out, error: Option<Error>) -> Error {
        let message = match out {
            Out::Other(holder) => format!("{} is the group's sole member", holder.member_id),
            Out::TakenOver => "this member's session ended, and another member was there since".to_owned(),
            Out::Refused => {
                let error = error.unwrap_or_else(|| Error::closed("the membership"));
                return in_group(error, &self.group);
            }
        };
        in_group(Error::new(ErrorKind::Fenced, message), &self.group)
    }
}

fn is_about_membership(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION | ErrorCode::REBALANCE_IN_PROGRESS)
}

impl Seen {
    fn is_held(&self, now: Instant) -> bool {
        matches!(self.standing, Standing::Sole { until, .. } if now < until)
    }

    fn is_out(&self) -> bool {
        matches!(self.standing, Standing::Out(_))
    }
}

struct Driver {
    client: Client,
    group: String,
    session: Duration,
    replaces: Vec<String>,
    machine: Membership,
    seen: watch::Sender<Seen>,
}

/// What a request came to.
enum Done {
    Joined(ottla_protocol::messages::JoinGroupResponse),
    Synced(Bytes),
    Alive,
}

impl Driver {
    /// Until the handle is dropped or the membership is lost; leaves the group at its end.
    async fn run(mut self, mut told: mpsc::Receiver<Command>) {
        let mut error = None;
        loop {
            let standing = self.machine.standing();
            let out = matches!(standing, Standing::Out(_));
            self.seen.send_replace(Seen { standing, error: error.clone() });
            if out {
                break;
            }
            let Some(action) = self.machine.poll(Instant::now()) else {
                tokio::select! {
                    () = until(self.machine.deadline()) => continue,
                    command = told.recv() => {
                        if !self.obey(command.as_ref()) {
                            break;
                        }
                    }
                }
                continue;
            };
            let (client, group, replaces) = (self.client.clone(), self.group.clone(), self.replaces.clone());
            let session = self.session;
            let mut asked = Box::pin(async move { ask(&client, &group, session, &replaces, action).await });
            let done = loop {
                tokio::select! {
                    done = &mut asked => break Some(done),
                    command = told.recv() => {
                        if !self.obey(command.as_ref()) {
                            break None;
                        }
                    }
                }
            };
            match done {
                Some(done) => error = self.apply(done).or(error),
                None => break,
            }
        }
        self.leave().await;
    }

    /// Does what the handle says; `false` when it is time to leave.
    fn obey(&mut self, command: Option<&Command>) -> bool {
        let Some(Command::CommitRefused { generation, code }) = command else { return false };
        self.machine.commit_refused(Instant::now(), *generation, *code);
        let standing = self.machine.standing();
        self.seen.send_modify(|seen| seen.standing = standing);
        true
    }

    /// Tells the machine; gives the error, if it was one.
    fn apply(&mut self, done: Result<Done, Error>) -> Option<Error> {
        let (now, chance) = (Instant::now(), fastrand::f64());
        match done {
            Ok(Done::Joined(answer)) => self.machine.joined(now, chance, answer),
            Ok(Done::Synced(assignment)) => self.machine.synced(now, assignment),
            Ok(Done::Alive) => self.machine.alive(),
            Err(error) => {
                tracing::debug!(group = %self.group, %error, "membership");
                let failure = match error.code() {
                    Some(code) => Failure::Code(code),
                    None if error.is_retriable() => Failure::NoAnswer,
                    None => Failure::Hopeless,
                };
                let same_coordinator = error
                    .code()
                    .is_some_and(|code| is_about_membership(code) || code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
                if !same_coordinator {
                    self.client.cluster.forget_coordinator(&self.group);
                }
                self.machine.failed(now, chance, failure);
                return Some(error);
            }
        }
        None
    }

    async fn leave(&self) {
        let Some(member_id) = self.machine.member_id() else { return };
        let left = tokio::time::timeout(LEAVE_WITHIN, self.client.leave_group(&self.group, member_id)).await;
        if let Ok(Err(error)) = left {
            tracing::debug!(group = %self.group, %error, "leaving failed; the session ends by itself");
        }
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Asks the coordinator once.
async fn ask(
    client: &Client,
    group: &str,
    session: Duration,
    replaces: &[String],
    action: Action,
) -> Result<Done, Error> {
    let session_timeout_ms = i32::try_from(session.as_millis()).unwrap_or(i32::MAX);
    let patience = client.cluster.options().request_timeout;
    match action {
        Action::Join { member_id, metadata } => {
            let request = JoinGroupRequest {
                group_id: group.to_owned(),
                session_timeout_ms,
                rebalance_timeout_ms: session_timeout_ms,
                member_id,
                protocol_type: PROTOCOL_TYPE.to_owned(),
                protocols: vec![JoinGroupRequestProtocol { name: PROTOCOL.to_owned(), metadata }],
                ..JoinGroupRequest::default()
            };
            // The coordinator answers when all have joined or their time is over.
            let joined = ask_once(client, group, &request, session + patience);
            let answer = beside(joined, remove_once_joined(client, group, replaces)).await?;
            match answer.error_code {
                ErrorCode::NONE | ErrorCode::MEMBER_ID_REQUIRED => Ok(Done::Joined(answer)),
                code => Err(Error::from_code(code).in_api(JoinGroupRequest::KEY)),
            }
        }
        Action::Sync { generation, member_id, assignments } => {
            let given = |(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment };
            let request = SyncGroupRequest {
                group_id: group.to_owned(),
                generation_id: generation,
                member_id,
                assignments: assignments.into_iter().map(given).collect(),
                ..SyncGroupRequest::default()
            };
            let answer = ask_once(client, group, &request, session + patience).await?;
            checked::<SyncGroupRequest>(answer.error_code)?;
            Ok(Done::Synced(answer.assignment))
        }
        Action::Heartbeat { generation, member_id } => {
            let request = HeartbeatRequest {
                group_id: group.to_owned(),
                generation_id: generation,
                member_id,
                ..HeartbeatRequest::default()
            };
            let answer = ask_once(client, group, &request, patience.min(session / 3)).await?;
            checked::<HeartbeatRequest>(answer.error_code)?;
            Ok(Done::Alive)
        }
    }
}

async fn ask_once<R: Request>(
    client: &Client,
    group: &str,
    request: &R,
    timeout: Duration,
) -> Result<R::Response, Error> {
    let node = client.cluster.coordinator(group, timeout).await?;
    client.cluster.ask_node(&node, Lane::Member, R::VERSIONS, |_| request.clone(), timeout).await
}

fn checked<R: Request>(code: ErrorCode) -> Result<(), Error> {
    if code.is_ok() { Ok(()) } else { Err(Error::from_code(code).in_api(R::KEY)) }
}

/// Awaits the first, doing the second meanwhile.
async fn beside<T>(first: impl Future<Output = T>, second: impl Future<Output = ()>) -> T {
    let (mut first, mut second) = (std::pin::pin!(first), std::pin::pin!(second));
    tokio::select! {
        done = &mut first => done,
        () = &mut second => first.await,
    }
}

/// Removes dead members when the coordinator has taken a join: before that the group would be empty, and the first join of an
/// empty group waits for others (`group.initial.rebalance.delay.ms`).
async fn remove_once_joined(client: &Client, group: &str, dead: &[String]) {
    let (pause, looks) = LOOK_FOR_THE_JOIN;
    if dead.is_empty() {
        return;
    }
    for _ in 0..looks {
        match client.describe_group(group).await {
            Ok(described) if described.state != "PreparingRebalance" => tokio::time::sleep(pause).await,
            _ => break,
        }
    }
    for member_id in dead {
        if let Err(error) = client.leave_group(group, member_id).await {
            tracing::debug!(group, member_id, %error, "a dead member is not removed; its session ends by itself");
        }
    }
}
