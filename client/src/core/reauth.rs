//! When a connection is authenticated again, and when it has to be silent for it (KIP-368).
//!
//! The broker says how long a login lasts. Somewhere in its last 15 to 5 % the client logs in anew on the same connection;
//! the brokers close it on the first other request after the end. While tokens travel nothing else may be sent.

use std::time::{Duration, Instant};

/// The part of the lifetime after which a new login is due: 0.85 and up to 0.10 more by chance, so that connections made
/// together do not come back together (`SaslClientAuthenticator.ReauthInfo`).
const DUE: f64 = 0.85;
const SPREAD: f64 = 0.10;
/// After this part nothing is sent before the new login: what is on its way may arrive after the end.
const SAFE: f64 = 0.97;
/// Brokers take one new login a second and no more (`KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS`); a shorter
/// lifetime cannot be renewed in time, only replaced by a new connection.
const SHORTEST_RENEWABLE: Duration = Duration::from_millis(1300);

/// One connection's login.
#[derive(Debug)]
pub(crate) struct Reauth {
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// It lasts for ever.
    Endless,
    /// It lasts.
    Valid(Term),
    /// A token or ticket is being fetched; requests go on while that is safe.
    Preparing(Term),
    /// Tokens travel; nothing else may.
    Exchanging,
    /// It cannot be renewed: what is under way may end, nothing new begins.
    Retired,
}

#[derive(Debug, Clone, Copy)]
struct Term {
    since: Instant,
    due: Instant,
    safe_until: Instant,
    renewable: bool,
}

impl Reauth {
    /// After a login; `lifetime` as the broker said it, `chance` in `0.0..1.0`.
    pub(crate) fn new(lifetime: Option<Duration>, now: Instant, chance: f64) -> Self {
        let state = match lifetime.and_then(|lifetime| Term::new(lifetime, now, chance)) {
            None => State::Endless,
            Some(term) => State::Valid(term),
        };
        Self { state }
    }

    /// Whether the driver has to begin a new login now; it says so once. An unused connection lets its login end and is
    /// authenticated again when it is next wanted, so that idle ones neither work nor look used.
    pub(crate) fn begins(&mut self, now: Instant, waiting: bool, last_used: Instant) -> bool {
        match self.state {
            State::Valid(term) if term.renewable && term.due <= now && (waiting || last_used > term.since) => {
                self.state = State::Preparing(term);
                true
            }
            _ => false,
        }
    }

    /// The credentials are ready: from here on only the exchange may be sent.
    pub(crate) fn exchange(&mut self) {
        self.state = State::Exchanging;
    }

    /// The new login succeeded.
    pub(crate) fn renewed(&mut self, lifetime: Option<Duration>, now: Instant, chance: f64) {
        *self = Self::new(lifetime, now, chance);
    }

    /// The new login could not begin.
    pub(crate) fn retire(&mut self) {
        self.state = State::Retired;
    }

    /// Whether ordinary requests have to wait.
    pub(crate) fn holds(&self, now: Instant) -> bool {
        match self.state {
            State::Endless | State::Retired => false,
            State::Valid(term) | State::Preparing(term) => term.renewable && term.safe_until <= now,
            State::Exchanging => true,
        }
    }

    /// Whether a new login is under way.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.state, State::Preparing(_) | State::Exchanging)
    }

    /// Whether the connection takes no new questions.
    pub(crate) fn is_retired(&self, now: Instant) -> bool {
        match self.state {
            State::Retired => true,
            State::Valid(term) => !term.renewable && term.due <= now,
            _ => false,
        }
    }

    /// When to look again, if nothing happens before.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Valid(term) if term.renewable => Some(term.due).filter(|due| *due > now),
            _ => None,
        }
    }
}

impl Term {
    /// `None` if it is longer than the clock reaches.
    fn new(lifetime: Duration, now: Instant, chance: f64) -> Option<Self> {
        let after = |part: f64| now.checked_add(lifetime.mul_f64(part));
        Some(Self {
            since: now,
            due: after(DUE + SPREAD * chance.clamp(0.0, 1.0))?,
            safe_until: after(SAFE)?,
            renewable: lifetime >= SHORTEST_RENEWABLE,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A login of 100 s at the given chance.
    fn login(chance: f64) -> (Reauth, Instant) {
        let now = Instant::now();
        (Reauth::new(Some(100 * SECOND), now, chance), now)
    }

    #[test]
    fn a_new_login_begins_between_85_and_95_percent_of_the_old_ones_life_and_once() {
        for (chance, second) in [(0.0, 85), (0.5, 90), (1.0, 95), (7.0, 95)] {
            let (mut reauth, start) = login(chance);
            let (due, before) = (start + second * SECOND, start + (second - 1) * SECOND);
            let used = start + SECOND;
            assert!((reauth.deadline(start).unwrap() - start).abs_diff(second * SECOND) < Duration::from_millis(1));
            assert!(!reauth.begins(before, true, used), "{chance}");
            assert!(reauth.begins(due + SECOND / 100, true, used), "{chance}");
            assert!(!reauth.begins(due + SECOND, true, used), "it is under way");
            assert!(reauth.is_busy());
        }
    }

    #[test]
    fn requests_go_on_until_tokens_travel_or_the_end_is_near() {
        let (mut reauth, start) = login(0.0);
        reauth.begins(start + 86 * SECOND, true, start);
        assert!(!reauth.holds(start + 86 * SECOND));
        assert!(reauth.holds(start + 98 * SECOND));
        reauth.exchange();
        assert!(reauth.holds(start + 87 * SECOND) && reauth.is_busy());
        reauth.renewed(Some(100 * SECOND), start + 88 * SECOND, 0.0);
        assert!(!reauth.holds(start + 88 * SECOND) && !reauth.is_busy());
        assert!(reauth.begins(start + 174 * SECOND, true, start));
    }

    #[test]
    fn an_unused_connection_waits_until_it_is_wanted_and_sends_nothing_before_its_new_login() {
        let (mut reauth, start) = login(0.0);
        assert!(!reauth.begins(start + 86 * SECOND, false, start));
        assert!(!reauth.begins(start + 500 * SECOND, false, start));
        assert_eq!(reauth.deadline(start + 500 * SECOND), None, "nothing to wake up for");
        assert!(reauth.holds(start + 500 * SECOND));
        assert!(reauth.begins(start + 500 * SECOND, true, start));
    }

    #[test]
    fn a_connection_in_use_is_renewed_before_its_next_request() {
        let (mut reauth, start) = login(0.0);
        assert!(reauth.begins(start + 86 * SECOND, false, start + 50 * SECOND));
    }

    #[test]
    fn what_cannot_be_renewed_takes_nothing_new_and_holds_nothing_back() {
        let (mut reauth, start) = login(0.0);
        reauth.begins(start + 86 * SECOND, true, start);
        reauth.retire();
        assert!(reauth.is_retired(start) && !reauth.holds(start + 99 * SECOND) && !reauth.is_busy());
    }

    #[test]
    fn a_life_too_short_to_renew_is_used_up_and_replaced() {
        let start = Instant::now();
        let mut reauth = Reauth::new(Some(SECOND), start, 0.0);
        assert!(!reauth.is_retired(start + SECOND / 2));
        assert!(reauth.is_retired(start + SECOND * 86 / 100));
        assert!(!reauth.begins(start + SECOND, true, start) && !reauth.holds(start + SECOND));
    }

    #[test]
    fn a_login_without_an_end_or_with_one_beyond_the_clock_is_left_alone() {
        let start = Instant::now();
        for lifetime in [None, Some(Duration::from_millis(i64::MAX as u64))] {
            let mut reauth = Reauth::new(lifetime, start, 0.5);
            let late = start + 1_000_000 * SECOND;
            assert!(!reauth.begins(late, true, start) && !reauth.holds(late) && !reauth.is_retired(late));
        }
    }
}
