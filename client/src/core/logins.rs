//! Whether to try to log in: a refused login is told, waited for, and after some refusals not tried any more, since whoever
//! hammers with a wrong password locks the account.

use std::time::{Duration, Instant};

use crate::core::backoff::Backoff;

/// How many refusals in a row end all trying, until it is asked for anew. Accounts are commonly locked after five.
pub(crate) const LIMIT: u32 = 3;

/// The logins of one client with one set of credentials. `E` is what a refusal was.
#[derive(Debug)]
pub(crate) struct Logins<E> {
    /// In a row.
    refusals: u32,
    last: Option<E>,
    not_before: Option<Instant>,
    backoff: Backoff,
    /// Whether the last word was an acceptance. Until then there is one attempt at a time: several at once would be
    /// several refusals.
    proven: bool,
    /// Whether an attempt that must be the only one is under way.
    alone: bool,
}

/// What an attempt may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict<E> {
    /// Try; say how it ended.
    Go(Pass),
    /// Another attempt is to show first whether the credentials are any good.
    Wait,
    /// They were refused before: this error, and after what time to try again; `None` for not at all.
    Refused(E, Option<Duration>),
}

/// Leave to try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pass {
    alone: bool,
}

impl<E: Clone> Logins<E> {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        let backoff = Backoff::new(first, limit);
        Self { refusals: 0, last: None, not_before: None, backoff, proven: false, alone: false }
    }

    /// Whether to try now.
    pub(crate) fn ask(&mut self, now: Instant) -> Verdict<E> {
        if let Some(error) = &self.last {
            if self.refusals >= LIMIT {
                return Verdict::Refused(error.clone(), None);
            }
            if let Some(wait) = self.not_before.and_then(|at| at.checked_duration_since(now)).filter(|w| !w.is_zero()) {
                return Verdict::Refused(error.clone(), Some(wait));
            }
        }
        if self.proven {
            return Verdict::Go(Pass { alone: false });
        }
        if self.alone {
            return Verdict::Wait;
        }
        self.alone = true;
        Verdict::Go(Pass { alone: true })
    }

    /// The broker took the credentials.
    pub(crate) fn accepted(&mut self, pass: &Pass) {
        self.over(pass);
        self.proven = true;
        self.ask_anew();
    }

    /// The broker refused them. `chance` is in `0.0..1.0`.
    pub(crate) fn refused(&mut self, pass: &Pass, error: E, now: Instant, chance: f64) {
        self.over(pass);
        self.proven = false;
        self.refusals = self.refusals.saturating_add(1);
        self.last = Some(error);
        self.not_before = Some(now + self.backoff.fail(chance));
    }

    /// The attempt ended before the broker said anything about them.
    pub(crate) fn over(&mut self, pass: &Pass) {
        if pass.alone {
            self.alone = false;
        }
    }

    /// Forgets the refusals.
    pub(crate) fn ask_anew(&mut self) {
        self.refusals = 0;
        self.last = None;
        self.not_before = None;
        self.backoff.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn logins() -> Logins<&'static str> {
        Logins::new(SECOND, 30 * SECOND)
    }

    fn go(logins: &mut Logins<&'static str>, now: Instant) -> Pass {
        match logins.ask(now) {
            Verdict::Go(pass) => pass,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_refused_login_is_not_tried_again_at_once_and_after_three_not_at_all() {
        let (mut logins, mut now) = (logins(), Instant::now());
        let mut tries = 0;
        // A minute of callers who ask every 10 ms.
        for _ in 0..6000 {
            now += SECOND / 100;
            match logins.ask(now) {
                Verdict::Go(pass) => {
                    tries += 1;
                    logins.refused(&pass, "wrong", now, 0.5);
                    assert_eq!(logins.ask(now), Verdict::Refused("wrong", (tries < LIMIT).then_some(tries * SECOND)));
                }
                Verdict::Refused(error, _) => assert_eq!(error, "wrong"),
                Verdict::Wait => panic!("nothing is under way"),
            }
        }
        assert_eq!(tries, LIMIT);
        logins.ask_anew();
        go(&mut logins, now);
    }

    #[test]
    fn until_the_credentials_are_proven_there_is_one_attempt_at_a_time() {
        let (mut logins, now) = (logins(), Instant::now());
        let first = go(&mut logins, now);
        assert_eq!(logins.ask(now), Verdict::Wait);
        logins.over(&first);
        let second = go(&mut logins, now);
        logins.accepted(&second);
        let (third, fourth) = (go(&mut logins, now), go(&mut logins, now));
        logins.refused(&third, "changed", now, 0.5);
        // The other one comes back late; it must not open the door to more than one.
        let fifth = go(&mut logins, now + 2 * SECOND);
        logins.over(&fourth);
        assert_eq!(logins.ask(now + 2 * SECOND), Verdict::Wait);
        logins.accepted(&fifth);
        go(&mut logins, now + 2 * SECOND);
    }

    #[test]
    fn a_success_forgets_the_refusals_before_it() {
        let (mut logins, mut now) = (logins(), Instant::now());
        for _ in 0..10 {
            for _ in 1..LIMIT {
                let pass = go(&mut logins, now);
                logins.refused(&pass, "wrong", now, 0.5);
                now += 30 * SECOND;
            }
            let pass = go(&mut logins, now);
            logins.accepted(&pass);
        }
        go(&mut logins, now);
    }

    #[test]
    fn an_attempt_that_got_no_word_counts_as_none() {
        let (mut logins, now) = (logins(), Instant::now());
        for _ in 0..100 {
            let pass = go(&mut logins, now);
            logins.over(&pass);
        }
        go(&mut logins, now);
    }
}
