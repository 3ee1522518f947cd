//! Renewing the login of a connection in use (KIP-368): the driver of `core::reauth`.
//!
//! Questions asked before are answered in between and reach who asked; those asked meanwhile wait in the queue. No
//! correlation id can be taken twice, since the exchange takes its ids from the same counter.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ottla_protocol::frame;
use ottla_protocol::messages::Request;
use tokio::sync::oneshot;

use super::tasks::ended;
use super::{Asker, Queued, Shared, Waiter, unencodable};
use crate::core::in_flight::Asked;
use crate::error::{Error, ErrorKind};
use crate::net::login::Carrier;

/// Renews the login, or sees to it that the connection is replaced.
pub(super) async fn renew(shared: Arc<Shared>) {
    let Some(login) = shared.login.clone() else { return };
    let mut renewal = Renewal { shared: &shared, begun: false };
    let renewed = tokio::select! {
        renewed = login.run(&mut renewal, &shared.versions) => renewed,
        // Each answer has its own deadline; this one is for the credentials.
        () = tokio::time::sleep(2 * shared.request_timeout) => {
            Err(Error::new(ErrorKind::Timeout, "no new login in time: the credentials did not get ready"))
        }
        () = ended(&shared) => return,
    };
    let begun = renewal.begun;
    match renewed {
        Ok(lifetime) => {
            tracing::debug!(broker = %shared.peer, ?lifetime, "the login is renewed");
            shared.lock().reauth.renewed(lifetime, Instant::now(), fastrand::f64());
            shared.wake.notify_one();
        }
        Err(error) if begun => {
            tracing::warn!(broker = %shared.peer, %error, "the login could not be renewed");
            shared.close(&error);
        }
        Err(error) => {
            tracing::warn!(broker = %shared.peer, %error, "the login could not be renewed");
            shared.retire(&error);
        }
    }
}

impl Shared {
    /// Lets what is under way end, and takes nothing new. What waits was never sent and is told why.
    fn retire(&self, why: &Error) {
        let mut state = self.lock();
        state.reauth.retire();
        let waiting = std::mem::take(&mut state.queue);
        drop(state);
        let why = why.clone().on_broker(self.peer.clone());
        for queued in waiting {
            queued.fail(&why);
        }
        self.wake.notify_one();
    }
}

/// The connection as the carrier of its own login.
struct Renewal<'a> {
    shared: &'a Arc<Shared>,
    begun: bool,
}

impl Carrier for Renewal<'_> {
    fn begin(&mut self) {
        self.begun = true;
        self.shared.lock().reauth.exchange();
    }

    async fn ask<R: Request>(&mut self, version: i16, request: &R) -> Result<Bytes, Error> {
        let (answer, receiver) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if let Some(error) = &state.closed {
                return Err(error.clone().in_api(R::KEY));
            }
            let id = state.in_flight.take_id();
            let frame =
                frame::request_frame(id, Some(&self.shared.client_id), version, request).map_err(unencodable)?;
            let deadline = state.deadline(self.shared.request_timeout);
            let question = Asked { id, api: R::KEY, version, deadline, asker: Asker { answer, slot: None } };
            state.renewal = Some(Queued { frame, waiter: Waiter::Answer(question) });
        }
        self.shared.wake.notify_one();
        receiver.await.unwrap_or_else(|_| Err(self.shared.why_closed().in_api(R::KEY)))
    }

    async fn raw_token(&mut self, _: Bytes) -> Result<Bytes, Error> {
        // Only SaslAuthenticate says that a login ends.
        Err(raw_cannot_be_renewed())
    }

    async fn last_raw_token(&mut self, _: Bytes) -> Result<(), Error> {
        Err(raw_cannot_be_renewed())
    }
}

fn raw_cannot_be_renewed() -> Error {
    Error::new(ErrorKind::Unsupported, "a login by raw tokens cannot be renewed")
}
