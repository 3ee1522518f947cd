//! One member of a group.

use std::time::Duration;

use bytes::Bytes;
use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{JoinGroupRequest, JoinGroupRequestProtocol};

use super::{Answer, Now, Ticket, join_error, millis, sync_error};

#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: String,
    pub(super) client_id: String,
    /// Its static name (KIP-345).
    pub(super) instance_id: Option<String>,
    pub(super) session: Duration,
    pub(super) rebalance: Duration,
    pub(super) protocols: Vec<JoinGroupRequestProtocol>,
    pub(super) assignment: Bytes,
    /// Without a sign of life until then it is out, unless it waits for an answer.
    pub(super) alive_until: Duration,
    pub(super) waits_for: Waits,
}

/// What answer a member is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    Nothing,
    Join {
        ticket: Ticket,
        /// A member that was never in a generation does not wait for ever.
        give_up: Option<Duration>,
    },
    Sync(Ticket),
}

impl Member {
    pub(super) fn joins(&self) -> bool {
        matches!(self.waits_for, Waits::Join { .. })
    }

    /// When it is to be thrown out, if nothing happens.
    pub(super) fn expires(&self) -> Option<Duration> {
        match self.waits_for {
            Waits::Nothing => Some(self.alive_until),
            Waits::Join { give_up, .. } => give_up,
            Waits::Sync(_) => None,
        }
    }

    pub(super) fn knows(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|known| known.name == protocol)
    }
}

/// Answers what a member waits for with an error.
pub(super) fn owe_nothing(at: &mut Now<'_>, member: &mut Member, error: ErrorCode) {
    match std::mem::replace(&mut member.waits_for, Waits::Nothing) {
        Waits::Nothing => {}
        Waits::Join { ticket, .. } => {
            at.answers.push((ticket, Answer::Join(join_error(error, member.id.clone()))));
        }
        Waits::Sync(ticket) => at.answers.push((ticket, Answer::Sync(sync_error(error)))),
    }
}

/// Version 0 has none; it uses the session's.
pub(super) fn rebalance_timeout(request: &JoinGroupRequest) -> Duration {
    let ms = request.rebalance_timeout_ms;
    millis(if ms < 0 { request.session_timeout_ms } else { ms })
}
