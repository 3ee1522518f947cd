//! How many connections there may be, and which one goes when there are too many. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// From this time on a request that is still being served may be cut off for a new client: a long poll, say.
const LONG_SERVED: Duration = Duration::from_mins(1);

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// To all nodes together.
    pub(crate) total: usize,
    /// From one address.
    pub(crate) per_peer: usize,
}

/// The connections of all nodes.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
    next: u64,
    open: HashMap<ConnectionId, Open>,
}

/// A connection's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ConnectionId(u64);

#[derive(Debug)]
struct Open {
    peer: IpAddr,
    /// Whether a request is being served; else the next one is waited for.
    serving: bool,
    /// Since when.
    since: Duration,
    close: Arc<Notify>,
}

/// What becomes of a new connection.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is served. Another one may have been closed for it.
    Served { id: ConnectionId, close: Arc<Notify>, instead_of: Option<IpAddr> },
    /// All connections are busy.
    Refused,
}

impl Connections {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, next: 0, open: HashMap::new() }
    }

    /// Takes a new connection in. With too many from its address, or in all, the one that has waited longest for its next
    /// request is closed.
    pub(crate) fn admit(&mut self, peer: IpAddr, now: Duration) -> Admission {
        let of_peer = self.open.values().filter(|open| open.peer == peer).count();
        let mut instead_of = None;
        if of_peer >= self.limits.per_peer || self.open.len() >= self.limits.total {
            let only = (of_peer >= self.limits.per_peer).then_some(peer);
            let Some(victim) = self.victim(only, now).and_then(|id| self.open.remove(&id)) else {
                return Admission::Refused;
            };
            victim.close.notify_one();
            instead_of = Some(victim.peer);
        }
        let id = ConnectionId(self.next);
        self.next += 1;
        let close = Arc::new(Notify::new());
        self.open.insert(id, Open { peer, serving: false, since: now, close: close.clone() });
        Admission::Served { id, close, instead_of }
    }

    fn victim(&self, only: Option<IpAddr>, now: Duration) -> Option<ConnectionId> {
        let open = self.open.iter().filter(|(_, open)| only.is_none_or(|peer| open.peer == peer));
        let free = open.filter(|(_, open)| !open.serving || now.saturating_sub(open.since) >= LONG_SERVED);
        free.min_by_key(|(id, open)| (open.serving, open.since, **id)).map(|(id, _)| *id)
    }

    /// A request has come, or was answered.
    pub(crate) fn set_serving(&mut self, id: ConnectionId, serving: bool, now: Duration) {
        if let Some(open) = self.open.get_mut(&id) {
            open.serving = serving;
            open.since = now;
        }
    }

    /// It has ended.
    pub(crate) fn remove(&mut self, id: ConnectionId) {
        self.open.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ip(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    fn served(admission: Admission) -> (ConnectionId, Arc<Notify>, Option<IpAddr>) {
        match admission {
            Admission::Served { id, close, instead_of } => (id, close, instead_of),
            Admission::Refused => panic!("refused"),
        }
    }

    async fn is_closed(close: &Notify) -> bool {
        tokio::time::timeout(Duration::ZERO, close.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn the_one_that_has_waited_longest_makes_room() {
        let mut connections = Connections::new(Limits { total: 3, per_peer: 3 });
        let all: Vec<_> = (1..=3).map(|n| served(connections.admit(ip(n), u32::from(n) * SECOND))).collect();
        // The first one asks something, so the second is idle for longest.
        connections.set_serving(all[0].0, true, 4 * SECOND);
        connections.set_serving(all[0].0, false, 5 * SECOND);
        let (_, _, instead_of) = served(connections.admit(ip(4), 6 * SECOND));
        assert_eq!(instead_of, Some(ip(2)));
        assert!(is_closed(&all[1].1).await && !is_closed(&all[0].1).await && !is_closed(&all[2].1).await);
    }

    #[test]
    fn one_address_cannot_take_the_places_of_others() {
        let mut connections = Connections::new(Limits { total: 10, per_peer: 2 });
        served(connections.admit(ip(9), Duration::ZERO));
        let greedy: Vec<_> = (0..5).map(|n| served(connections.admit(ip(1), n * SECOND)).2).collect();
        assert_eq!(greedy, [None, None, Some(ip(1)), Some(ip(1)), Some(ip(1))]);
        assert_eq!(connections.open.len(), 3);
    }

    #[test]
    fn with_all_busy_a_new_one_is_refused_until_one_has_been_served_for_long() {
        let mut connections = Connections::new(Limits { total: 2, per_peer: 2 });
        for _ in 0..2 {
            let (id, ..) = served(connections.admit(ip(1), Duration::ZERO));
            connections.set_serving(id, true, Duration::ZERO);
        }
        assert!(matches!(connections.admit(ip(2), 59 * SECOND), Admission::Refused));
        assert_eq!(served(connections.admit(ip(2), LONG_SERVED)).2, Some(ip(1)));
    }

    #[test]
    fn an_ended_connection_leaves_its_place() {
        let mut connections = Connections::new(Limits { total: 1, per_peer: 1 });
        for n in 0..100 {
            let (id, _, instead_of) = served(connections.admit(ip(1), n * SECOND));
            assert_eq!(instead_of, None);
            connections.remove(id);
        }
    }
}
