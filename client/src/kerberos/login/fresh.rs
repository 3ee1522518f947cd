//! When a ticket is good, when it should be replaced and when it has to be. Pure.

use std::time::Duration;

use super::super::ticket::HeldTicket;
use super::super::time::KerberosTime;

/// Kafka's own `sasl.kerberos.ticket.renew.window.factor` and `.jitter`, in thousandths of the ticket's life.
const RENEW_AFTER: (i64, i64) = (800, 50);
/// A ticket that ends within this is replaced before it is used: logging in takes a while, and clocks differ.
const MARGIN_SECONDS: i64 = 60;
/// Of a ticket that lives shortly, the margin is this part of its life.
const MARGIN_PART: i64 = 5;
/// A ticket that is still good is replaced no more often (Kafka's `sasl.kerberos.min.time.before.relogin`).
pub(super) const MIN_PAUSE: Duration = Duration::from_mins(1);

/// From when on a ticket should be replaced. `jitter`, from 0 to 1, spreads those of many clients.
pub(super) fn due(ticket: &HeldTicket, jitter: f64) -> KerberosTime {
    let (after, spread) = RENEW_AFTER;
    let part = after + (spread as f64 * jitter.clamp(0.0, 1.0)) as i64;
    let life = i128::from(life(ticket)) * i128::from(part) / 1000;
    ticket.start_time.plus_seconds(i64::try_from(life).unwrap_or(i64::MAX))
}

/// Whether it may be used as it is.
pub(super) fn is_good(ticket: &HeldTicket, now: KerberosTime) -> bool {
    let margin = MARGIN_SECONDS.min(life(ticket) / MARGIN_PART);
    is_valid(ticket, now) && now.plus_seconds(margin) < ticket.end_time
}

/// Whether the KDC and services still take it.
pub(super) fn is_valid(ticket: &HeldTicket, now: KerberosTime) -> bool {
    now < ticket.end_time && ticket.flags & HeldTicket::INVALID == 0
}

/// Whether it can be exchanged for one that ends later.
pub(super) fn is_renewable(ticket: &HeldTicket, now: KerberosTime) -> bool {
    is_valid(ticket, now) && ticket.renew_till.is_some_and(|till| till > ticket.end_time)
}

fn life(ticket: &HeldTicket) -> i64 {
    ticket.end_time.seconds.saturating_sub(ticket.start_time.seconds).max(0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::enctype::Enctype;
    use super::super::super::key::Key;
    use super::super::super::principal::Principal;
    use super::*;

    pub(in super::super) fn living(seconds: i64) -> HeldTicket {
        let who = |text| Principal::parse(text, Some("R")).unwrap();
        HeldTicket {
            client: who("alice"),
            server: who("krbtgt/R"),
            session_key: Key::new(Enctype::AES128_SHA1, vec![0; 16]),
            ticket: Vec::new(),
            flags: HeldTicket::RENEWABLE,
            auth_time: KerberosTime::at(1000),
            start_time: KerberosTime::at(1000),
            end_time: KerberosTime::at(1000).plus_seconds(seconds),
            renew_till: Some(KerberosTime::at(1000).plus_seconds(seconds.saturating_mul(10))),
        }
    }

    #[test]
    fn a_ticket_is_due_within_80_and_85_hundredths_of_its_life() {
        for (jitter, seconds) in [(0.0, 8000), (1.0, 8500), (0.5, 8250), (-1.0, 8000), (f64::NAN, 8000)] {
            assert_eq!(due(&living(10_000), jitter), KerberosTime::at(1000 + seconds), "{jitter}");
        }
    }

    #[test]
    fn a_ticket_is_good_until_a_minute_or_a_fifth_of_its_life_is_left() {
        for (life, good) in [(10_000, 9939), (300, 239), (30, 23), (4, 3)] {
            let ticket = living(life);
            assert!(is_good(&ticket, KerberosTime::at(1000 + good)), "{life}");
            assert!(!is_good(&ticket, KerberosTime::at(1000 + good + 1)), "{life}");
        }
    }

    #[test]
    fn what_has_ended_or_is_invalid_is_neither_valid_nor_renewable() {
        let ticket = living(100);
        assert!(is_valid(&ticket, KerberosTime::at(1099)) && is_renewable(&ticket, KerberosTime::at(1099)));
        assert!(!is_valid(&ticket, KerberosTime::at(1100)) && !is_renewable(&ticket, KerberosTime::at(1100)));
        let last = HeldTicket { renew_till: Some(ticket.end_time), ..ticket.clone() };
        assert!(!is_renewable(&last, KerberosTime::at(1000)));
        assert!(!is_renewable(&HeldTicket { renew_till: None, ..ticket.clone() }, KerberosTime::at(1000)));
        assert!(!is_good(&HeldTicket { flags: HeldTicket::INVALID, ..ticket }, KerberosTime::at(1000)));
    }

    #[test]
    fn no_time_is_a_panic() {
        for seconds in [i64::MIN, -1, 0, i64::MAX] {
            let ticket = living(seconds);
            for now in [i64::MIN, 0, i64::MAX] {
                let now = KerberosTime::at(now);
                let _ = (due(&ticket, 1.0), is_good(&ticket, now), is_renewable(&ticket, now));
            }
        }
    }
}
