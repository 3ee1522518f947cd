//! One task a broker: takes what is due at its desk, compresses it, asks the broker to append it, and hands the answers back.
//!
//! Requests are pipelined: up to [`MAX_REQUESTS`] are under way, in the order in which their batches were drained. A broker
//! answers in order, so only the oldest answer is awaited. While there is no connection nothing is drained: what waits can
//! still be moved to another desk.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::ApiKey;
use ottla_protocol::compression::{Compressor, Decompressor};
use ottla_protocol::messages::{ProduceRequest, ProduceResponse};

use super::options::Acks;
use super::request::{self, Parcel};
use super::shared::{Desk, Partition, Shared};
use crate::core::accumulator::batch::{Batch, Finished};
use crate::core::accumulator::{Attempt, Completion, Drain, is_final};
use crate::core::backoff::Backoff;
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::connection::{Connection, Pending};

/// How many requests may be under way to a broker (`max.in.flight.requests.per.connection`).
const MAX_REQUESTS: usize = 5;
/// The Produce versions that take record batches v2 (KIP-98).
const VERSIONS: std::ops::RangeInclusive<i16> = 3..=7;
/// How often what waits is looked through for what is too late, as long as there is no connection.
const SWEEP: Duration = Duration::from_millis(250);

thread_local! {
    /// A thread's compressor. Not a sender's: zstd's context cannot move between threads (it is not `Send`), as tasks do, and
    /// there are fewer threads than brokers. It is borrowed only between two awaits.
    static COMPRESSOR: RefCell<Compressor> = RefCell::new(Compressor::new());
}

type Dial = Pin<Box<dyn Future<Output = Result<Arc<Connection>, Error>> + Send>>;

enum Link {
    /// Not before then, and why.
    Down(Instant),
    Dialling(Dial),
    Up(Arc<Connection>),
}

struct UnderWay {
    answer: Pending<ProduceResponse>,
    parcels: Vec<Parcel>,
    peer: Arc<str>,
}

struct Sender {
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    link: Link,
    under_way: VecDeque<UnderWay>,
    decompressor: Decompressor,
    /// Between two attempts to connect.
    backoff: Backoff,
    swept: Instant,
}

/// What the task woke up for.
enum Event {
    Answer(Result<ProduceResponse, Error>),
    Dialled(Result<Arc<Connection>, Error>),
    Turn,
}

/// Serves a desk until it is aborted.
pub(super) async fn run(shared: Arc<Shared>, desk: Arc<Desk>) {
    let now = Instant::now();
    let backoff = Backoff::new(shared.options.retry_backoff, shared.options.retry_backoff_max);
    let mut sender = Sender {
        shared,
        desk,
        link: Link::Down(now),
        under_way: VecDeque::new(),
        decompressor: Decompressor::new(),
        backoff,
        swept: now,
    };
    loop {
        sender.shared.clock.set();
        let wake_at = sender.turn(Instant::now()).await;
        match sender.next_event(wake_at).await {
            Event::Answer(answer) => sender.land(answer),
            Event::Dialled(dialled) => sender.dialled(dialled),
            Event::Turn => {}
        }
    }
}

impl Sender {
    async fn next_event(&mut self, wake_at: Option<Instant>) -> Event {
        let Self { under_way, link, desk, .. } = self;
        tokio::select! {
            Some(answer) = oldest(under_way) => Event::Answer(answer),
            Some(dialled) = dial(link) => Event::Dialled(dialled),
            () = desk.wake.notified() => Event::Turn,
            () = sleep_until(wake_at) => Event::Turn,
        }
    }

    /// Sends what can be sent. Says when to look again if nothing happens before.
    async fn turn(&mut self, now: Instant) -> Option<Instant> {
        let next = self.desk.next_due()?;
        if self.under_way.len() >= MAX_REQUESTS {
            return None;
        }
        if next > now && !self.shared.is_starving() {
            return Some(next);
        }
        match &self.link {
            Link::Up(connection) if !connection.is_closed() => {
                let connection = connection.clone();
                self.ship(&connection).await
            }
            // Its answers are errors by now; they come first, so that a batch is not overtaken by one behind it.
            Link::Up(_) if !self.under_way.is_empty() => None,
            Link::Up(_) => {
                self.link = Link::Down(now);
                Some(now)
            }
            Link::Down(until) if *until > now => {
                let until = *until;
                Some(self.sweep(now).min(until))
            }
            Link::Down(_) => {
                match self.desk.node {
                    None => {
                        self.shared.cluster.want_refresh();
                        self.link = Link::Down(now + SWEEP);
                    }
                    Some(node) => {
                        let cluster = self.shared.cluster.clone();
                        self.link =
                            Link::Dialling(Box::pin(async move { cluster.connection(node, Lane::Produce).await }));
                    }
                }
                Some(now)
            }
            Link::Dialling(_) => Some(self.sweep(now)),
        }
    }

    /// Gives up what is too late although it could not be sent. Says when to do so again.
    fn sweep(&mut self, now: Instant) -> Instant {
        if now >= self.swept + SWEEP {
            self.swept = now;
            let why = self.desk.trouble().map(|trouble| trouble.error);
            for partition in self.desk.waiting() {
                let Some(mut slot) = partition.serve(&self.desk) else { continue };
                let finished = slot.queue.expire(now, why.as_ref());
                partition.schedule(&mut slot);
                drop(slot);
                self.shared.deliver(finished);
            }
        }
        self.swept + SWEEP
    }

    fn dialled(&mut self, dialled: Result<Arc<Connection>, Error>) {
        let connected = dialled.and_then(|connection| {
            connection.version_for(ApiKey::PRODUCE, VERSIONS)?;
            Ok(connection)
        });
        match connected {
            Ok(connection) => {
                self.desk.recovered();
                self.backoff.reset();
                self.link = Link::Up(connection);
            }
            Err(error) => {
                tracing::debug!(%error, "no connection to produce on");
                if is_final(&error) {
                    self.fail_waiting(&error);
                }
                self.shared.cluster.want_refresh();
                let now = Instant::now();
                self.desk.failed(&error, now);
                self.link = Link::Down(now + self.backoff.fail(fastrand::f64()));
            }
        }
    }

    fn fail_waiting(&self, error: &Error) {
        for partition in self.desk.waiting() {
            let Some(mut slot) = partition.serve(&self.desk) else { continue };
            let finished = slot.queue.fail_ready(&error.clone().at(&partition.place));
            partition.schedule(&mut slot);
            drop(slot);
            self.shared.deliver(finished);
        }
    }

    /// Sends one request with what is due. Says when to look again.
    async fn ship(&mut self, connection: &Arc<Connection>) -> Option<Instant> {
        let mut parcels = self.gather(Instant::now());
        if parcels.is_empty() {
            return self.desk.next_due();
        }
        request::sort(&mut parcels);
        let (parcels, request) = self.load(parcels);
        if !parcels.is_empty() {
            if self.shared.options.acks == Acks::None {
                self.send_unanswered(connection, parcels, &request).await;
            } else {
                self.send(connection, parcels, &request).await;
            }
        }
        Some(Instant::now())
    }

    async fn send(&mut self, connection: &Arc<Connection>, parcels: Vec<Parcel>, request: &ProduceRequest) {
        let peer = connection.peer().clone();
        let timeout = self.shared.options.request_timeout;
        let submitted = match connection.version_for(ApiKey::PRODUCE, VERSIONS) {
            Ok(version) => connection.submit_as(version, request, timeout).await,
            Err(error) => Err(error),
        };
        match submitted {
            Ok(answer) => self.under_way.push_back(UnderWay { answer, parcels, peer }),
            Err(error) => self.lost(parcels, &error, &peer),
        }
    }

    async fn send_unanswered(&mut self, connection: &Arc<Connection>, parcels: Vec<Parcel>, request: &ProduceRequest) {
        let timeout = self.shared.options.request_timeout;
        let written = match connection.version_for(ApiKey::PRODUCE, VERSIONS) {
            Ok(version) => connection.submit_unanswered(version, request, timeout).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(()) => parcels.into_iter().for_each(|Parcel { partition, batch }| {
                self.complete(&partition, batch, Attempt::Acknowledged { base_offset: None });
            }),
            Err(error) => self.lost(parcels, &error, connection.peer()),
        }
    }

    /// Takes the batches that are due, one a partition, as many as a request may have.
    fn gather(&mut self, now: Instant) -> Vec<Parcel> {
        let limit = self.shared.options.request_bytes();
        let early = self.shared.is_starving();
        let mut parcels: Vec<Parcel> = Vec::new();
        let mut looked_at = Vec::new();
        let mut bytes = 0;
        while let Some(partition) = self.desk.pop(now, early) {
            let Some(mut slot) = partition.serve(&self.desk) else { continue };
            let finished = slot.queue.expire(now, None);
            let room = if parcels.is_empty() { usize::MAX } else { limit.saturating_sub(bytes) };
            let drained = loop {
                match slot.queue.drain(now, room, early) {
                    Drain::Identity(other) => match self.shared.identities.other_than(other, &partition) {
                        Some(identity) => slot.queue.adopt(identity),
                        None => break Drain::Nothing,
                    },
                    drained => break drained,
                }
            };
            drop(slot);
            self.shared.deliver(finished);
            // It is put back only after the loop, or it would be met again: a request has one batch a partition.
            looked_at.push(partition.clone());
            match drained {
                Drain::Send(batch) => {
                    bytes += batch.len();
                    parcels.push(Parcel { partition, batch });
                }
                Drain::Larger => break,
                Drain::Nothing | Drain::Identity(_) => {}
            }
        }
        for partition in looked_at {
            partition.schedule(&mut partition.lock());
        }
        parcels
    }

    /// Compresses and stamps. What cannot be compressed is left out and fails.
    fn load(&mut self, parcels: Vec<Parcel>) -> (Vec<Parcel>, ProduceRequest) {
        let (codec, level) = (self.shared.options.compression, self.shared.options.level);
        let mut loaded: Vec<(Parcel, Bytes)> = Vec::with_capacity(parcels.len());
        for mut parcel in parcels {
            let encoded = COMPRESSOR.with_borrow_mut(|compressor| parcel.batch.encode(codec, level, compressor));
            self.shared.keep(parcel.batch.take_spare());
            match encoded {
                Ok(bytes) => loaded.push((parcel, bytes)),
                Err(error) => {
                    let Parcel { partition, batch } = parcel;
                    let error = error.at(&partition.place);
                    self.complete(&partition, batch, Attempt::Unsendable(error));
                }
            }
        }
        let request =
            request::request(&self.shared.options, loaded.iter().map(|(parcel, bytes)| (parcel, bytes.clone())));
        (loaded.into_iter().map(|(parcel, _)| parcel).collect(), request)
    }

    /// Takes the answer to the oldest request.
    fn land(&mut self, answer: Result<ProduceResponse, Error>) {
        let Some(UnderWay { parcels, peer, .. }) = self.under_way.pop_front() else { return };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return self.lost(parcels, &error, &peer),
        };
        let attempts = request::attempts(&parcels, &answer, &peer);
        for (Parcel { partition, batch }, attempt) in parcels.into_iter().zip(attempts) {
            if let Attempt::Refused { code, error, .. } = &attempt {
                tracing::debug!(%error, "a batch was refused");
                if code.is_invalid_metadata() {
                    self.shared.cluster.want_refresh();
                }
            }
            self.complete(&partition, batch, attempt);
        }
    }

    /// No answer came, or nothing could be sent.
    fn lost(&mut self, parcels: Vec<Parcel>, error: &Error, peer: &Arc<str>) {
        tracing::debug!(%error, "a request was lost");
        self.shared.cluster.want_refresh();
        for parcel in parcels {
            let error = request::locate(error.clone(), &parcel, peer);
            self.complete(&parcel.partition, parcel.batch, Attempt::Lost(error));
        }
    }

    fn complete(&mut self, partition: &Arc<Partition>, batch: Batch, attempt: Attempt) {
        let now = Instant::now();
        let mut slot = partition.lock();
        let completion = slot.queue.complete(batch, attempt, now, fastrand::f64());
        partition.schedule(&mut slot);
        drop(slot);
        match completion {
            Completion::Finished(finished) => self.finish(partition, finished),
            Completion::Requeued => {}
            Completion::Split(batch) => self.split(partition, batch),
        }
    }

    fn split(&mut self, partition: &Arc<Partition>, batch: Batch) {
        tracing::debug!(partition = %partition.place, records = batch.count(), "a refused batch is split");
        let halves = batch.split(&mut self.decompressor);
        let mut slot = partition.lock();
        let failed = match halves {
            Ok(halves) => {
                slot.queue.requeue_halves(halves);
                None
            }
            Err(finished) => Some(slot.queue.give_up_split(*finished)),
        };
        partition.schedule(&mut slot);
        drop(slot);
        if let Some(finished) = failed {
            self.finish(partition, finished);
        }
    }

    fn finish(&self, partition: &Partition, finished: Finished) {
        if let Some(error) = finished.error()
            && error.kind() != ErrorKind::Closed
        {
            tracing::warn!(partition = %partition.place, records = finished.count(), %error, "records were not delivered");
        }
        self.shared.deliver([finished]);
    }
}

/// The answer to the oldest request; `None` if none is under way.
async fn oldest(under_way: &mut VecDeque<UnderWay>) -> Option<Result<ProduceResponse, Error>> {
    let oldest = under_way.front_mut()?;
    Some((&mut oldest.answer).await)
}

/// The end of the dial; `None` if none is under way.
async fn dial(link: &mut Link) -> Option<Result<Arc<Connection>, Error>> {
    match link {
        Link::Dialling(dial) => Some(dial.await),
        _ => None,
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
