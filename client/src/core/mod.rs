//! What decides: machines without I/O, clock or chance. Time, answers and chance go in; values come out.

pub(crate) mod accumulator;
pub(crate) mod backoff;
pub(crate) mod fetch_session;
pub(crate) mod high_watermark;
pub(crate) mod in_flight;
pub(crate) mod isolation;
pub(crate) mod logins;
pub(crate) mod membership;
pub(crate) mod metadata;
pub(crate) mod partitioner;
pub(crate) mod peer_text;
pub(crate) mod position;
pub(crate) mod reauth;
pub(crate) mod sequence;
pub(crate) mod throttle;
pub(crate) mod versions;
pub(crate) mod watch;
