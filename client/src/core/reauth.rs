//! When a connection is authenticated again, and when it has to be silent for it (KIP-368).
//!
//! The broker says how long a login lasts. Somewhere in its last 15 to 5 % the client logs in again on the same connection;
//! the brokers close it on the first other request that they read after the end. While tokens travel nothing else may be sent.
//!
//! What counts is when the broker reads a request, not when it was written: a broker that is busy, or answers a long poll
//! first, reads late. So a few seconds of margin are kept however short the login is, up to half of it.

use std::time::{Duration, Instant};

/// The part of the lifetime after which a new login is due: 0.85 and up to 0.10 more by chance, so that connections made
/// together do not come back together (`SaslClientAuthenticator.ReauthInfo`).
const DUE: f64 = 0.85;
const SPREAD: f64 = 0.10;
/// After this part nothing is sent before the new login: what is on its way may arrive after the end.
const SAFE: f64 = 0.97;
/// The new login is due at least this long before the end, or half of the lifetime if that is less.
const MARGIN: Duration = Duration::from_secs(5);
/// Brokers take one new login a second; a little more, since they count by their own clock.
const NOT_BEFORE: Duration = Duration::from_millis(1050);
/// Brokers take one new login a second and no more (`KafkaChannel.MIN_REAUTH_INTERVAL_ONE_SECOND_NANOS`); a shorter
/// lifetime cannot be renewed in time, only replaced by a new connection.
const SHORTEST_RENEWABLE: Duration = Duration::from_millis(1300);

/// After what part of its life a login is renewed at the earliest.
pub(crate) fn first_due(lasts: Duration) -> Duration {
    last_due(lasts).saturating_sub(lasts.mul_f64(SPREAD))
}

/// After what part of its life a login is renewed at the latest: before the end by a part of it, and by the margin.
fn last_due(lasts: Duration) -> Duration {
    lasts.mul_f64(DUE + SPREAD).min(lasts.saturating_sub(MARGIN.min(lasts / 2)))
}

/// How long a login lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    pub(crate) lasts: Duration,
    /// When the broker was asked: it counts from its answer, which may have been under way for any time.
    pub(crate) since: Instant,
}

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
    /// After a login; `None` lasts forever. `chance` is in `0.0..1.0`.
    pub(crate) fn new(lifetime: Option<Lifetime>, now: Instant, chance: f64) -> Self {
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
    pub(crate) fn renewed(&mut self, lifetime: Option<Lifetime>, now: Instant, chance: f64) {
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
    fn new(lifetime: Lifetime, now: Instant, chance: f64) -> Option<Self> {
        let Lifetime { lasts, since } = lifetime;
        let margin = MARGIN.min(lasts / 2);
        let due = last_due(lasts).saturating_sub(lasts.mul_f64(SPREAD * (1.0 - chance.clamp(0.0, 1.0))));
        let renewable = lasts >= SHORTEST_RENEWABLE;
        let earliest = if renewable { now.checked_add(NOT_BEFORE)? } else { now };
        let due = since.checked_add(due)?.max(earliest);
        let safe_until = since.checked_add(lasts.mul_f64(SAFE).min(lasts.saturating_sub(margin / 2)))?;
        Some(Self { since: now, due, safe_until: safe_until.max(due), renewable })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lasting(lasts: Duration, since: Instant) -> Lifetime {
        Lifetime { lasts, since }
    }

    /// A login of 100 s at the given chance.
    fn login(chance: f64) -> (Reauth, Instant) {
        let now = Instant::now();
        (Reauth::new(Some(lasting(100 * SECOND, now)), now, chance), now)
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
    fn a_login_of_seconds_leaves_the_broker_seconds_to_read_what_was_sent_before_its_end() {
        // Lifetime, due at chances 0 and 1, and until when requests are sent; in tenths of a second.
        for (lasts, earliest, latest, safe) in
            [(40, 16, 20, 30), (80, 32, 40, 60), (200, 130, 150, 175), (600, 490, 550, 575)]
        {
            let tenth = SECOND / 10;
            let start = Instant::now();
            let due = |chance| {
                Reauth::new(Some(lasting(lasts * tenth, start)), start, chance).deadline(start).unwrap() - start
            };
            assert!(due(0.0).abs_diff(earliest * tenth) < tenth / 10, "{lasts}: {:?}", due(0.0));
            assert!(due(1.0).abs_diff(latest * tenth) < tenth / 10, "{lasts}: {:?}", due(1.0));
            let reauth = Reauth::new(Some(lasting(lasts * tenth, start)), start, 0.0);
            assert!(!reauth.holds(start + safe * tenth * 99 / 100), "{lasts}");
            assert!(reauth.holds(start + safe * tenth * 101 / 100), "{lasts}");
        }
    }

    #[test]
    fn a_login_whose_answer_came_late_ends_that_much_earlier() {
        let start = Instant::now();
        let late = start + 3 * SECOND;
        let reauth = Reauth::new(Some(lasting(20 * SECOND, start)), late, 1.0);
        assert_eq!(reauth.deadline(late), Some(start + 15 * SECOND));
        assert!(reauth.holds(start + 18 * SECOND));
    }

    #[test]
    fn no_new_login_begins_within_a_second_of_the_last() {
        let start = Instant::now();
        for lasts in [1300, 1400, 2000] {
            let reauth = Reauth::new(Some(lasting(Duration::from_millis(lasts), start)), start, 0.0);
            assert_eq!(reauth.deadline(start), Some(start + NOT_BEFORE), "{lasts}");
            assert!(!reauth.holds(start + NOT_BEFORE * 99 / 100), "{lasts}");
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
        reauth.renewed(Some(lasting(100 * SECOND, start + 88 * SECOND)), start + 88 * SECOND, 0.0);
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
        let mut reauth = Reauth::new(Some(lasting(SECOND, start)), start, 0.0);
        assert!(!reauth.is_retired(start + SECOND * 39 / 100));
        assert!(reauth.is_retired(start + SECOND * 41 / 100));
        assert!(!reauth.begins(start + SECOND, true, start) && !reauth.holds(start + SECOND));
    }

    #[test]
    fn a_login_without_an_end_or_with_one_beyond_the_clock_is_left_alone() {
        let start = Instant::now();
        for lifetime in [None, Some(lasting(Duration::from_millis(i64::MAX as u64), start))] {
            let mut reauth = Reauth::new(lifetime, start, 0.5);
            let late = start + 1_000_000 * SECOND;
            assert!(!reauth.begins(late, true, start) && !reauth.holds(late) && !reauth.is_retired(late));
        }
    }
}
