//! Sockets: the only part of the client that awaits brokers. It holds no decisions; those are in `core`.

pub(crate) mod cluster;
pub(crate) mod connect;
pub(crate) mod connection;
pub(crate) mod foreign;
pub(crate) mod login;
pub(crate) mod pool;
pub(crate) mod retry;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod token_endpoint;

/// What a connection is for. Each purpose has its own connection to a broker, since a broker handles one request a
/// connection at a time: a fetch that waits for data must not hold up a produce, nor either of them a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    Produce,
    Fetch,
    Group,
    /// JoinGroup, SyncGroup and Heartbeat: a join waits for other members, and must not hold up a commit.
    Member,
    Other,
}
