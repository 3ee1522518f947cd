//! In which order a realm's KDCs are tried, and how long each is waited for. Pure.

use std::time::Duration;

use super::address::{Address, Protocol};

/// How long what is waited for.
#[derive(Debug, Clone)]
pub(crate) struct Patience {
    /// For a datagram in the first round. MIT waits as long before it goes on to the next KDC.
    pub(crate) datagram: Duration,
    /// For a connection in the first round.
    pub(crate) connect: Duration,
    /// For the answer on a connection.
    pub(crate) answer: Duration,
    /// By how much the waits of the second round, when nobody answered in the first, are longer.
    pub(crate) second_round: u32,
    /// For all of it.
    pub(crate) whole: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            datagram: Duration::from_secs(1),
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(10),
            second_round: 3,
            whole: Duration::from_secs(20),
        }
    }
}

/// One try of one KDC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) address: Address,
    pub(super) protocol: Protocol,
    /// For the datagram, or for the connection.
    pub(super) wait: Duration,
}

impl Attempt {
    fn is_like(&self, other: &Self) -> bool {
        self.protocol == other.protocol && self.address == other.address
    }
}

/// All attempts, the likeliest first.
///
/// By UDP first if it is `preferred`, else by TCP, and then the other way; all of it twice, more patiently. What was `good`
/// the last time comes before everything else.
pub(super) fn attempts(
    addresses: &[Address],
    preferred: Protocol,
    may_use_udp: bool,
    good: Option<&Attempt>,
    patience: &Patience,
) -> Vec<Attempt> {
    let order = match preferred {
        Protocol::Udp => [Protocol::Udp, Protocol::Tcp],
        Protocol::Tcp => [Protocol::Tcp, Protocol::Udp],
    };
    let mut plan = Vec::new();
    for factor in [1, patience.second_round] {
        for protocol in order.into_iter().filter(|protocol| may_use_udp || *protocol == Protocol::Tcp) {
            let wait = match protocol {
                Protocol::Udp => patience.datagram * factor,
                Protocol::Tcp => patience.connect * factor,
            };
            let taking = addresses.iter().filter(|address| address.takes(protocol));
            plan.extend(taking.map(|address| Attempt { address: address.clone(), protocol, wait }));
        }
    }
    // One that is no longer named stays out.
    if let Some(at) = good.and_then(|good| plan.iter().position(|attempt| attempt.is_like(good))) {
        plan[..=at].rotate_right(1);
    }
    plan
}

/// Whether there is a primary that did not just answer: asking it may bring what a replica does not know yet.
pub(super) fn has_another_primary(primaries: &[Address], answered: Option<&Attempt>) -> bool {
    let place = |address: &Address| (address.host.to_ascii_lowercase(), address.port);
    let is_it = |answered: &Attempt| primaries.iter().any(|primary| place(primary) == place(&answered.address));
    !primaries.is_empty() && !answered.is_some_and(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(plan: &[Attempt]) -> Vec<String> {
        plan.iter().map(|a| format!("{} {} {}", a.protocol, a.address.host, a.wait.as_secs())).collect()
    }

    fn addresses() -> Vec<Address> {
        ["a", "b", "tcp/c"].map(|text| Address::parse(text).unwrap()).into()
    }

    #[test]
    fn a_small_request_goes_by_udp_to_all_before_tcp_and_again_more_patiently() {
        let plan = attempts(&addresses(), Protocol::Udp, true, None, &Patience::default());
        let first = ["UDP a 1", "UDP b 1", "TCP a 2", "TCP b 2", "TCP c 2"];
        let second = ["UDP a 3", "UDP b 3", "TCP a 6", "TCP b 6", "TCP c 6"];
        assert_eq!(shown(&plan), [first, second].concat());
    }

    #[test]
    fn a_large_request_goes_by_tcp_first_and_one_that_must_not_go_by_udp_does_not() {
        let plan = attempts(&addresses(), Protocol::Tcp, true, None, &Patience::default());
        assert_eq!(shown(&plan)[..5], ["TCP a 2", "TCP b 2", "TCP c 2", "UDP a 1", "UDP b 1"]);
        let plan = attempts(&addresses(), Protocol::Udp, false, None, &Patience::default());
        assert_eq!(shown(&plan), ["TCP a 2", "TCP b 2", "TCP c 2", "TCP a 6", "TCP b 6", "TCP c 6"]);
    }

    #[test]
    fn a_primary_that_answered_itself_is_not_another() {
        let attempts = attempts(&addresses(), Protocol::Udp, true, None, &Patience::default());
        let primaries = ["A:88", "m"].map(|text| Address::parse(text).unwrap());
        assert!(has_another_primary(&primaries, Some(&attempts[1])) && has_another_primary(&primaries, None));
        assert!(!has_another_primary(&primaries, Some(&attempts[0])) && !has_another_primary(&[], Some(&attempts[0])));
    }

    #[test]
    fn what_was_good_the_last_time_comes_first_and_the_others_keep_their_order() {
        let plan = attempts(&addresses(), Protocol::Udp, true, None, &Patience::default());
        let again = attempts(&addresses(), Protocol::Udp, true, Some(&plan[3]), &Patience::default());
        assert_eq!(shown(&again)[..5], ["TCP b 2", "UDP a 1", "UDP b 1", "TCP a 2", "TCP c 2"]);
        assert_eq!(again.len(), plan.len());
        let only_c = attempts(&addresses()[2..], Protocol::Udp, true, Some(&plan[3]), &Patience::default());
        assert_eq!(shown(&only_c), ["TCP c 2", "TCP c 6"]);
    }
}
