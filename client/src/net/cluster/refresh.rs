//! Keeping the metadata fresh: the first contact, the rounds of one task, and who is asked in which order.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use ottla_protocol::ApiKey;
use ottla_protocol::messages::{Message, MetadataRequest, MetadataRequestTopic};

use super::{Core, Round, ask_reading};
use crate::config::Server;
use crate::core::metadata::{Answer, Malformed, Scope, Silence};
use crate::error::{Error, ErrorKind};
use crate::net::Lane;
use crate::net::connection::Connection;
use crate::net::pool::Target;
use crate::net::retry::Retry;

/// How long a broker that lists no topic is asked again before it is believed. A 2.3.1 lists its brokers some milliseconds to
/// a second before its topics.
const LONGEST_DOUBT: Duration = Duration::from_secs(1);

impl Core {
    /// Runs rounds of asking for metadata whenever they are due.
    pub(super) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let due = self.tracking().tracker.due();
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(due) => self.run_round().await,
            }
        }
    }

    async fn run_round(&self) {
        let (number, interest) = {
            let mut tracking = self.tracking();
            tracking.tracker.start(Instant::now());
            tracking.started += 1;
            (tracking.started, tracking.tracker.interest().clone())
        };
        let asked = tokio::time::timeout(self.options.api_timeout, self.fetch_metadata(&Scope::Named(interest))).await;
        let result = asked.unwrap_or_else(|_| {
            let message = format!("no broker has answered within {:?}", self.options.api_timeout);
            Err(Error::new(ErrorKind::Timeout, message).in_api(ApiKey::METADATA))
        });
        if let Err(error) = &result {
            if error.is_repeated() {
                tracing::debug!(%error, "metadata could not be refreshed");
            } else {
                tracing::warn!(%error, "metadata could not be refreshed");
            }
            self.tracking().tracker.fail(Instant::now(), fastrand::f64());
        }
        self.rounds.send_replace(Round { number, error: result.err() });
    }

    /// Asks the brokers one after another, then the bootstrap servers: all known brokers may be gone (KIP-899).
    pub(super) async fn fetch_metadata(&self, scope: &Scope) -> Result<(), Error> {
        let mut failures = Vec::new();
        let mut brokers = self.brokers_by_readiness();
        while let Some(node) = brokers.pop() {
            let asked = async {
                let connection = self.pool.node(&node, Lane::Other).await?;
                self.ask_metadata(&connection, scope).await
            };
            match asked.await {
                Ok(()) => return Ok(()),
                Err(error) => failures.push(error),
            }
        }
        for server in &self.options.bootstrap {
            match self.ask_server(server, scope).await {
                Ok(()) => return Ok(()),
                Err(error) => failures.push(error),
            }
        }
        Err(none_answered(failures))
    }

    async fn ask_server(&self, server: &Server, scope: &Scope) -> Result<(), Error> {
        let connection = self.pool.server(server).await?;
        let asked = self.ask_metadata(&connection, scope).await.map_err(|e| {
            let closed = e.kind() == ErrorKind::Disconnected && !e.is_from_starting();
            let shut_out = closed && self.options.credentials.is_none();
            if shut_out { e.advice("a broker that wants SASL closes like this: does it need credentials?") } else { e }
        });
        if asked.is_ok() {
            *self.via.lock().unwrap_or_else(PoisonError::into_inner) = Some(server.clone());
        }
        // From here on the cluster's own names are used.
        self.pool.forget(&Target::Server(server.clone()));
        asked
    }

    async fn ask_metadata(&self, connection: &Arc<Connection>, scope: &Scope) -> Result<(), Error> {
        let (scope, answer) = self.believable(connection, scope).await?;
        let mut tracking = self.tracking();
        let changes = tracking
            .tracker
            .succeed(Instant::now(), scope, answer)
            .map_err(|e| refused(&e).in_api(ApiKey::METADATA).on_broker(connection.peer().clone()))?;
        for place in &changes.moves {
            tracing::debug!(%place, "the leader has moved");
        }
        if let Some(name) = &changes.unprintable {
            tracing::warn!(broker = %connection.peer(), name, "topics with impossible names are left out");
        }
        if changes.changed {
            // Sent under the lock, so that an older snapshot never overtakes a newer one.
            self.snapshots.send_replace(tracking.tracker.snapshot());
        }
        drop(tracking);
        self.wake.notify_one();
        Ok(())
    }

    /// An answer whose silence about topics can be believed, and what it speaks of. A broker that lists no topic at all is
    /// asked again for a while, unless it has shown on this connection that it knows them: it may have just started.
    async fn believable<'s>(
        &self,
        connection: &Arc<Connection>,
        scope: &'s Scope,
    ) -> Result<(&'s Scope, Answer), Error> {
        let mut scope = scope;
        let longest = LONGEST_DOUBT.min(self.options.api_timeout / 4);
        loop {
            let deadline = Instant::now() + self.options.request_timeout;
            let make = |version| metadata_request(version, scope);
            let (version, answer) =
                ask_reading(connection, MetadataRequest::VERSIONS, make, deadline, Answer::read).await?;
            if names_may_create(version) {
                scope = &Scope::All;
            }
            match Silence::of(scope, &answer) {
                _ if answer.lists_no_broker() || connection.knows_topics() => return Ok((scope, answer)),
                Silence::None => return Ok((scope, answer)),
                Silence::AskForAll => scope = &Scope::All,
                Silence::Doubtful if connection.lists_no_topic_since().elapsed() < longest => {
                    tracing::debug!(broker = %connection.peer(), "lists no topic; it may have just started");
                    tokio::time::sleep(self.options.retry_backoff).await;
                }
                Silence::Believed | Silence::Doubtful => {
                    connection.believe_about_topics();
                    return Ok((scope, answer));
                }
            }
        }
    }

    /// The first contact. Brokers that answer but do not know their cluster yet are asked again, until the call's deadline.
    pub(super) async fn bootstrap(self: &Arc<Self>) -> Result<(), Error> {
        let mut retry = Retry::new(&self.options, self.options.api_timeout);
        let mut starting = false;
        loop {
            let Err(failures) = self.first_contact(retry.left(self.options.api_timeout)).await else { return Ok(()) };
            starting |= failures.iter().any(Error::is_from_starting);
            let error = none_answered(failures);
            if !starting {
                return Err(error);
            }
            retry.pause(error).await?;
        }
    }

    /// Every server gets its turn half a second after the one before, or as soon as that one has failed; the first to answer
    /// wins. A refused password ends it, since others would refuse it too and may lock the account.
    async fn first_contact(self: &Arc<Self>, within: Duration) -> Result<(), Vec<Error>> {
        const STAGGER: Duration = Duration::from_millis(500);
        let deadline = tokio::time::Instant::now() + within;
        let mut servers = self.options.bootstrap.iter();
        let mut contacts = tokio::task::JoinSet::new();
        let mut failures = Vec::new();
        while let Some(server) = servers.next().cloned() {
            let core = self.clone();
            contacts.spawn(async move { core.ask_server(&server, &Scope::Named(BTreeSet::new())).await });
            let soon = (tokio::time::Instant::now() + STAGGER).min(deadline);
            if let Ok(Some(contact)) = tokio::time::timeout_at(soon, contacts.join_next()).await
                && heard(contact, &mut failures).map_err(|error| vec![error])?
            {
                return Ok(());
            }
        }
        while let Ok(Some(contact)) = tokio::time::timeout_at(deadline, contacts.join_next()).await {
            if heard(contact, &mut failures).map_err(|error| vec![error])? {
                return Ok(());
            }
        }
        Err(failures)
    }
}

/// An answer that cannot be used, as an error.
fn refused(why: &Malformed) -> Error {
    match why {
        Malformed::NoBroker => Error::new(ErrorKind::Disconnected, why.to_string()).while_starting(),
        _ => Error::new(ErrorKind::Protocol, why.to_string()),
    }
}

/// Whether a first contact succeeded; its failure is kept, or ends the whole attempt.
fn heard(contact: Result<Result<(), Error>, tokio::task::JoinError>, failures: &mut Vec<Error>) -> Result<bool, Error> {
    match contact {
        Ok(Ok(())) => Ok(true),
        Ok(Err(error)) if error.is_retriable() => {
            failures.push(error);
            Ok(false)
        }
        Ok(Err(error)) => Err(error),
        Err(e) => Err(Error::new(ErrorKind::Closed, format!("the first contact was cut off: {e}"))),
    }
}

/// What each one said, in one error. Its kind is the most telling of them.
fn none_answered(failures: Vec<Error>) -> Error {
    let mut failures = failures;
    if failures.len() == 1
        && let Some(only) = failures.pop()
    {
        return only;
    }
    let telling = failures.iter().find(|error| !error.is_retriable()).or(failures.first());
    let kind = telling.map_or(ErrorKind::Timeout, Error::kind);
    let said: Vec<_> = failures.iter().map(|error| format!("\n  {error}")).collect();
    let message = match said.len() {
        0 => "no broker answered in time".to_owned(),
        some => format!("none of {some} brokers answered:{}", said.concat()),
    };
    Error::new(kind, message)
}

/// Before version 4 a broker creates what it is asked for by name, if it is set so.
fn names_may_create(version: i16) -> bool {
    version < 4
}

fn metadata_request(version: i16, scope: &Scope) -> MetadataRequest {
    let topics = match scope {
        Scope::Named(names) if !names_may_create(version) => {
            Some(names.iter().map(|name| MetadataRequestTopic { name: name.to_string() }).collect())
        }
        // Version 0 says "all" with an empty list.
        _ if version == 0 => Some(Vec::new()),
        _ => None,
    };
    let allow_auto_topic_creation = names_may_create(version);
    MetadataRequest { topics, allow_auto_topic_creation, ..MetadataRequest::default() }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
