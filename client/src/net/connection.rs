//! One connection: many questions under way, answered in order.
//!
//! Two tasks serve it. The writer takes everything that is queued and hands it to the socket in vectored writes; it also
//! keeps the time. The reader cuts frames out of one buffer and gives each to whoever asked. Decoding is the asker's own
//! work. Either ends the connection for good on the first thing that is wrong.

mod renewal;
mod tasks;

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::frame::{self, Frame};
use ottla_protocol::header::split_correlation_id;
use ottla_protocol::messages::{Message, Request};
use ottla_protocol::wire::DecodeError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use super::connect::Established;
use super::login::Login;
use crate::config::Options;
use crate::core::in_flight::{Asked, InFlight};
use crate::core::reauth::Reauth;
use crate::core::throttle;
use crate::core::versions::Versions;
use crate::error::{Error, ErrorKind};

/// How many questions may be queued or under way; further askers wait.
const MAX_IN_FLIGHT: usize = 64;

/// A live connection to a broker. Dropping the last handle, pending answers included, closes the socket.
pub(crate) struct Connection {
    shared: Arc<Shared>,
}

/// What the handles and the two tasks share.
struct Shared {
    peer: Arc<str>,
    client_id: Arc<str>,
    versions: Versions,
    frame_limit: usize,
    max_idle: Duration,
    login: Option<Login>,
    /// How long the renewal of a login may take from asking to each answer.
    request_timeout: Duration,
    state: Mutex<State>,
    slots: Arc<Semaphore>,
    /// Whether the broker has shown on this connection that it knows the cluster's topics. A broker that was restarted does
    /// so again, since no connection outlives it.
    knows_topics: AtomicBool,
    /// When it first listed none.
    listed_no_topic: OnceLock<Instant>,
    /// Wakes the writer: something is queued, muted or closed.
    wake: Notify,
    /// Tells the reader to end.
    ended: watch::Sender<bool>,
}

struct State {
    in_flight: InFlight<Asker>,
    /// Not written yet, in the order of the calls.
    queue: Vec<Queued>,
    reauth: Reauth,
    /// The renewal's frame, if it has one to send: nothing of the queue is written before it.
    renewal: Option<Queued>,
    muted_until: Option<Instant>,
    last_used: Instant,
    /// The last sign of the broker since something is to be answered: the question or the answer before it.
    quiet_since: Instant,
    /// Why it is closed.
    closed: Option<Error>,
}

/// Who waits for an answer.
struct Asker {
    answer: oneshot::Sender<Result<Bytes, Error>>,
    /// `None` for the renewal of a login, which waits for no slot.
    slot: Option<OwnedSemaphorePermit>,
}

/// A frame on its way to the socket.
struct Queued {
    frame: Frame,
    waiter: Waiter,
}

/// Who waits for what becomes of a frame.
enum Waiter {
    /// For the answer.
    Answer(Asked<Asker>),
    /// For the write: there is no answer.
    Write(Unanswered),
}

struct Unanswered {
    deadline: Instant,
    written: oneshot::Sender<()>,
    _slot: OwnedSemaphorePermit,
}

impl Connection {
    /// Takes over an established socket and starts the two tasks.
    pub(crate) fn start(established: Established, peer: Arc<str>, options: &Options) -> Arc<Self> {
        let Established { stream, buffer, versions, next_correlation_id, session_lifetime, login } = established;
        let now = Instant::now();
        let state = State {
            in_flight: InFlight::new(next_correlation_id),
            queue: Vec::new(),
            reauth: Reauth::new(session_lifetime, now, fastrand::f64()),
            renewal: None,
            muted_until: None,
            last_used: now,
            quiet_since: now,
            closed: None,
        };
        let shared = Arc::new(Shared {
            peer,
            client_id: options.client_id.clone(),
            versions,
            frame_limit: options.frame_limit,
            max_idle: options.max_idle,
            login,
            request_timeout: options.request_timeout,
            state: Mutex::new(state),
            slots: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            knows_topics: AtomicBool::new(false),
            listed_no_topic: OnceLock::new(),
            wake: Notify::new(),
            ended: watch::Sender::new(false),
        });
        let (reader, writer) = stream.into_split();
        tokio::spawn(tasks::read(shared.clone(), reader, buffer));
        tokio::spawn(tasks::write(shared.clone(), writer));
        Arc::new(Self { shared })
    }

    /// The broker, as errors name it.
    pub(crate) fn peer(&self) -> &Arc<str> {
        &self.shared.peer
    }

    /// Whether it is of no more use.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.shared.lock();
        state.closed.is_some() || state.reauth.is_retired(Instant::now())
    }

    /// Since when an answer has been awaited while nothing came, and which; `None` while all is well, or the broker asked
    /// for silence.
    pub(crate) fn unanswered(&self, now: Instant) -> Option<(Duration, ApiKey)> {
        let state = self.shared.lock();
        if state.closed.is_some() || state.muted_until.is_some_and(|until| until > now) {
            return None;
        }
        let api = state.in_flight.next_api()?;
        let since = state.muted_until.map_or(state.quiet_since, |until| until.max(state.quiet_since));
        Some((now.saturating_duration_since(since), api))
    }

    /// Whether it was closed because answers did not come.
    pub(crate) fn has_timed_out(&self) -> bool {
        self.shared.lock().closed.as_ref().is_some_and(|why| why.kind() == ErrorKind::Timeout)
    }

    /// Whether the broker has shown that it knows the cluster's topics.
    pub(crate) fn knows_topics(&self) -> bool {
        self.shared.knows_topics.load(Ordering::Relaxed)
    }

    /// When the broker first listed no topic on this connection, which it does now.
    pub(crate) fn lists_no_topic_since(&self) -> Instant {
        *self.shared.listed_no_topic.get_or_init(Instant::now)
    }

    /// From now on the broker is believed about topics that it does not list.
    pub(crate) fn believe_about_topics(&self) {
        self.shared.knows_topics.store(true, Ordering::Relaxed);
    }

    /// What the broker offers of an API.
    pub(crate) fn offered(&self, api: ApiKey) -> Option<(i16, i16)> {
        self.shared.versions.offered(api)
    }

    /// The highest version of an API that both sides have within `ours`.
    pub(crate) fn version_for(&self, api: ApiKey, ours: RangeInclusive<i16>) -> Result<i16, Error> {
        let picked = self.shared.versions.pick(api, ours);
        picked.map_err(|e| Error::new(ErrorKind::Versions, e.to_string()).in_api(api).on_broker(self.peer().clone()))
    }

    /// Asks in this version, which has to be one that [`Connection::version_for`] gave. Returns when the frame is queued, in
    /// the order of the calls.
    pub(crate) async fn submit_as<R: Request>(
        self: &Arc<Self>,
        version: i16,
        request: &R,
        timeout: Duration,
    ) -> Result<Pending<R::Response>, Error> {
        self.submit_reading(version, request, timeout, R::Response::read).await
    }

    /// The same, with a way of its own to read the answer.
    pub(crate) async fn submit_reading<R: Request, M>(
        self: &Arc<Self>,
        version: i16,
        request: &R,
        timeout: Duration,
        read: Read<M>,
    ) -> Result<Pending<M>, Error> {
        let slot = self.slot(R::KEY).await?;
        let (answer, receiver) = oneshot::channel();
        self.shared.enqueue(R::KEY, |state, client_id| {
            let id = state.in_flight.take_id();
            let frame = frame::request_frame(id, Some(client_id), version, request).map_err(unencodable)?;
            let deadline = state.deadline(timeout);
            let asker = Asker { answer, slot: Some(slot) };
            Ok(Queued { frame, waiter: Waiter::Answer(Asked { id, api: R::KEY, version, deadline, asker }) })
        })?;
        Ok(Pending { connection: self.clone(), receiver, api: R::KEY, version, read })
    }

    /// Sends what has no answer (Produce with acks 0). Returns when the socket has taken it.
    pub(crate) async fn submit_unanswered<R: Request>(
        self: &Arc<Self>,
        version: i16,
        request: &R,
        timeout: Duration,
    ) -> Result<(), Error> {
        let slot = self.slot(R::KEY).await?;
        let (written, receiver) = oneshot::channel();
        self.shared.enqueue(R::KEY, |state, client_id| {
            let id = state.in_flight.take_id();
            let frame = frame::request_frame(id, Some(client_id), version, request).map_err(unencodable)?;
            let unanswered = Unanswered { deadline: state.deadline(timeout), written, _slot: slot };
            Ok(Queued { frame, waiter: Waiter::Write(unanswered) })
        })?;
        receiver.await.map_err(|_| self.shared.why_closed().written_maybe(true).in_api(R::KEY))
    }

    async fn slot(&self, api: ApiKey) -> Result<OwnedSemaphorePermit, Error> {
        let slot = self.shared.slots.clone().acquire_owned().await;
        slot.map_err(|_| self.shared.why_closed().in_api(api))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.close(&Error::closed("the connection"));
    }
}

fn unencodable(error: ottla_protocol::wire::EncodeError) -> Error {
    Error::new(ErrorKind::Unsupported, error.to_string()).with_source(error)
}

/// An answer to come. Dropping it does not take the question back; the answer is then passed over.
#[must_use = "the answer may be an error"]
pub(crate) struct Pending<M> {
    connection: Arc<Connection>,
    receiver: oneshot::Receiver<Result<Bytes, Error>>,
    api: ApiKey,
    version: i16,
    read: Read<M>,
}

/// How an answer's body of a version is read.
pub(crate) type Read<M> = fn(i16, Bytes) -> Result<M, DecodeError>;

impl<M> Future for Pending<M> {
    type Output = Result<M, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.receiver).poll(cx));
        let shared = &self.connection.shared;
        let result = match answer {
            Ok(answer) => answer,
            Err(_) => Err(shared.why_closed().written_maybe(true)),
        };
        let message = result.and_then(|body| {
            (self.read)(self.version, body).map_err(|e| {
                let error = Error::new(ErrorKind::Protocol, e.to_string()).written_maybe(true).with_source(e);
                // What else such a peer says cannot be believed either.
                shared.close(&error);
                error
            })
        });
        Poll::Ready(message.map_err(|e| e.in_api(self.api).on_broker(shared.peer.clone())))
    }
}

impl Queued {
    fn deadline(&self) -> Instant {
        match &self.waiter {
            Waiter::Answer(asked) => asked.deadline,
            Waiter::Write(unanswered) => unanswered.deadline,
        }
    }

    /// The API whose answer is due by now.
    fn expired(&self, now: Instant) -> Option<ApiKey> {
        match &self.waiter {
            Waiter::Answer(asked) if asked.deadline <= now => Some(asked.api),
            _ => None,
        }
    }

    fn postpone(&mut self, by: Duration) {
        match &mut self.waiter {
            Waiter::Answer(asked) => asked.deadline += by,
            Waiter::Write(unanswered) => unanswered.deadline += by,
        }
    }

    /// Tells whoever waits that it was never sent.
    fn fail(self, why: &Error) {
        if let Waiter::Answer(asked) = self.waiter {
            let _ = asked.asker.answer.send(Err(why.clone().written_maybe(false).in_api(asked.api)));
        }
    }
}

impl State {
    /// A muted connection's questions get the time of the silence on top.
    fn deadline(&self, timeout: Duration) -> Instant {
        let now = Instant::now();
        self.muted_until.map_or(now, |until| until.max(now)) + timeout
    }

    fn unsent(&self) -> impl Iterator<Item = &Queued> {
        self.queue.iter().chain(&self.renewal)
    }

    /// Whether nobody waits for anything.
    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.unsent().next().is_none() && !self.reauth.is_busy()
    }

    /// What may be written now, in order: while a login is renewed, only its frame.
    fn take_writable(&mut self, now: Instant) -> Vec<Queued> {
        if self.muted_until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        if self.reauth.holds(now) { self.renewal.take().into_iter().collect() } else { std::mem::take(&mut self.queue) }
    }

    /// Puts questions under way, in the order in which they are written, which is that of the answers.
    fn put_under_way(&mut self, queue: Vec<Queued>) -> Writing {
        let mut writing = Writing { frames: Vec::with_capacity(queue.len()), unanswered: Vec::new(), deadline: None };
        if self.in_flight.is_empty() {
            self.quiet_since = Instant::now();
        }
        for queued in queue {
            writing.frames.push(queued.frame);
            match queued.waiter {
                Waiter::Answer(asked) => self.in_flight.ask(asked),
                Waiter::Write(unanswered) => writing.unanswered.push(unanswered),
            }
        }
        let deadlines = writing.unanswered.iter().map(|unanswered| unanswered.deadline);
        writing.deadline = deadlines.chain(self.in_flight.deadline()).min();
        writing
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; if something did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enqueue(&self, api: ApiKey, make: impl FnOnce(&mut State, &str) -> Result<Queued, Error>) -> Result<(), Error> {
        let mut state = self.lock();
        if let Some(error) = &state.closed {
            return Err(error.clone().written_maybe(false).in_api(api));
        }
        let queued = make(&mut state, &self.client_id).map_err(|e| e.in_api(api).on_broker(self.peer.clone()))?;
        state.queue.push(queued);
        state.last_used = Instant::now();
        drop(state);
        self.wake.notify_one();
        Ok(())
    }

    fn why_closed(&self) -> Error {
        let closed = self.lock().closed.clone();
        closed.unwrap_or_else(|| Error::closed("the connection")).on_broker(self.peer.clone())
    }

    /// Ends the connection. The first reason stands; every asker gets it.
    fn close(&self, why: &Error) {
        let mut state = self.lock();
        if state.closed.is_some() {
            return;
        }
        let why = why.clone().on_broker(self.peer.clone());
        state.closed = Some(why.clone());
        let unsent = std::mem::take(&mut state.queue).into_iter().chain(state.renewal.take());
        let unsent: Vec<_> = unsent.collect();
        let orphans = state.in_flight.drain();
        drop(state);
        for asked in orphans {
            let _ = asked.asker.answer.send(Err(why.clone().written_maybe(true).in_api(asked.api)));
        }
        for queued in unsent {
            queued.fail(&why);
        }
        self.slots.close();
        self.ended.send_replace(true);
        self.wake.notify_one();
    }

    /// Takes one answer.
    fn deliver(&self, mut frame: Bytes) -> Result<(), Error> {
        let broken = |e: &dyn std::fmt::Display| Error::new(ErrorKind::Protocol, e.to_string());
        let id = split_correlation_id(&mut frame).map_err(|e| broken(&e).with_source(e))?;
        let now = Instant::now();
        let mut state = self.lock();
        let asked = state.in_flight.answer(id).map_err(|e| broken(&e).with_source(e))?;
        state.quiet_since = now;
        if asked.asker.slot.is_some() {
            state.last_used = now;
        }
        let silence = throttle::silence(asked.api, asked.version, &frame);
        if !silence.is_zero() {
            // The end of the silence never moves back.
            state.muted_until = state.muted_until.max(Some(now + silence));
            state.in_flight.postpone(silence);
            state.queue.iter_mut().for_each(|queued| queued.postpone(silence));
        }
        drop(state);
        if !silence.is_zero() {
            tracing::debug!(broker = %self.peer, api = %asked.api, ?silence, "throttled");
            self.wake.notify_one();
        }
        let _ = asked.asker.answer.send(Ok(frame));
        Ok(())
    }

    /// What the writer has to do now.
    fn next_work(&self) -> Work {
        let now = Instant::now();
        let mut state = self.lock();
        if state.closed.is_some() {
            return Work::End;
        }
        let late = state.in_flight.expired(now).or_else(|| state.unsent().find_map(|queued| queued.expired(now)));
        if let Some(api) = late {
            return Work::Close(timed_out(api));
        }
        let (waiting, last_used) = (!state.queue.is_empty(), state.last_used);
        if state.reauth.begins(now, waiting, last_used) {
            return Work::Renew;
        }
        let writable = state.take_writable(now);
        if !writable.is_empty() {
            return Work::Write(state.put_under_way(writable));
        }
        let (idle, idle_end) = (state.is_idle(), state.last_used + self.max_idle);
        if idle && idle_end <= now {
            return Work::Close(Error::new(ErrorKind::Disconnected, "the connection was idle and has been closed"));
        }
        // An answer does not wake the writer; so it looks by itself, soon enough to find the connection idle.
        let end = if idle { idle_end } else { now + self.max_idle };
        let unsent = state.unsent().map(Queued::deadline).min();
        let muted = state.muted_until.filter(|until| *until > now);
        let others = [state.in_flight.deadline(), unsent, state.reauth.deadline(now), muted];
        Work::Wait(others.into_iter().flatten().fold(end, Instant::min))
    }
}

fn timed_out(api: ApiKey) -> Error {
    Error::new(ErrorKind::Timeout, format!("no answer to {api} in time; the connection is closed for it"))
        .advice("the broker may be overloaded or unreachable")
}

enum Work {
    Write(Writing),
    /// The login has to be renewed.
    Renew,
    Wait(Instant),
    Close(Error),
    End,
}

/// Frames for the socket.
struct Writing {
    frames: Vec<Frame>,
    unanswered: Vec<Unanswered>,
    deadline: Option<Instant>,
}
