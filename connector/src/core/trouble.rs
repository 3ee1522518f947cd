//! What to say while a target does not take records: once when it begins, again every half minute, once when it is over.
//! Pure: time is an argument.

use std::time::{Duration, Instant};

/// What passes sooner is not worth a line: an election, a connection that is made again.
const WORTH_A_LINE: Duration = Duration::from_millis(400);

/// How often it is said again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// So many looks in a row without trouble are its end: between two batches there is a moment without one.
const LOOKS_WITHOUT: u32 = 2;

/// A partition whose records are not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// When it began.
    pub since: Instant,
    /// Failed attempts since then.
    pub attempts: u32,
    /// The error, with its place.
    pub error: String,
}

/// Decides which lines to print; see [`TroubleReport::look`].
#[derive(Debug, Default)]
pub struct TroubleReport {
    told: Option<Told>,
}

#[derive(Debug)]
struct Told {
    began: Instant,
    last: Instant,
    without: u32,
}

impl TroubleReport {
    /// Takes in what is in trouble at this moment. Returns the line to print, if one is due.
    pub fn look(&mut self, now: Instant, waiting: &[Waiting]) -> Option<String> {
        let lasting = |waiting: &&Waiting| now.saturating_duration_since(waiting.since) >= WORTH_A_LINE;
        let oldest = waiting.iter().filter(lasting).min_by_key(|waiting| waiting.since);
        let line = match (&mut self.told, oldest) {
            (None, Some(oldest)) => {
                self.told = Some(Told { began: oldest.since, last: now, without: 0 });
                format!("the target does not take records, trying again: {}", oldest.error)
            }
            (Some(told), Some(oldest)) => {
                told.without = 0;
                if now < told.last + AGAIN_AFTER {
                    return None;
                }
                told.last = now;
                let (waited, attempts) = (seconds(now - told.began), attempts(oldest.attempts));
                format!("the target still does not take records after {waited}{attempts}: {}", oldest.error)
            }
            (Some(told), None) => {
                told.without += 1;
                if told.without < LOOKS_WITHOUT {
                    return None;
                }
                return self.over(now);
            }
            (None, None) => return None,
        };
        match waiting.len() {
            0 | 1 => Some(line),
            2 => Some(format!("{line} (and 1 more partition)")),
            several => Some(format!("{line} (and {} more partitions)", several - 1)),
        }
    }

    /// The line for the end of what was told, if anything was.
    pub fn over(&mut self, now: Instant) -> Option<String> {
        let told = self.told.take()?;
        Some(format!("the target takes records again after {}", seconds(now - told.began)))
    }
}

fn attempts(attempts: u32) -> String {
    match attempts {
        0 => String::new(),
        1 => ", 1 attempt".to_owned(),
        several => format!(", {several} attempts"),
    }
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(10) {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} s", time.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(since: Instant, attempts: u32) -> Waiting {
        Waiting { since, attempts, error: "orders-0: NOT_ENOUGH_REPLICAS".to_owned() }
    }

    #[test]
    fn trouble_is_told_when_it_begins_every_half_minute_and_when_it_is_over() {
        let start = Instant::now();
        let mut report = TroubleReport::default();
        let mut lines = Vec::new();
        for half_second in 0..250_u32 {
            let now = start + Duration::from_millis(500) * half_second;
            let now_waiting = if half_second < 200 { vec![waiting(start, half_second)] } else { Vec::new() };
            lines.extend(report.look(now, &now_waiting).map(|line| (half_second / 2, line)));
        }
        let expected = [
            (0, "the target does not take records, trying again: orders-0: NOT_ENOUGH_REPLICAS"),
            (30, "the target still does not take records after 30 s, 61 attempts: orders-0: NOT_ENOUGH_REPLICAS"),
            (60, "the target still does not take records after 60 s, 121 attempts: orders-0: NOT_ENOUGH_REPLICAS"),
            (90, "the target still does not take records after 90 s, 181 attempts: orders-0: NOT_ENOUGH_REPLICAS"),
            (100, "the target takes records again after 100 s"),
        ];
        assert_eq!(lines, expected.map(|(second, line)| (second, line.to_owned())));
    }

    #[test]
    fn what_passes_at_once_and_the_gap_between_two_batches_are_not_told() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut report = TroubleReport::default();
        assert_eq!(report.look(at(100), &[waiting(start, 1)]), None);
        assert_eq!(report.look(at(600), &[]), None);
        let several = [waiting(at(700), 3), waiting(at(650), 2), waiting(at(1000), 1)];
        let line = report.look(at(1100), &several).expect("a line");
        assert!(line.ends_with("(and 2 more partitions)"), "{line}");
        assert_eq!(report.look(at(1600), &[]), None);
        assert_eq!(report.look(at(2100), &several), None);
        assert_eq!(report.look(at(2600), &[]), None);
        assert_eq!(report.look(at(3100), &[]).as_deref(), Some("the target takes records again after 2.5 s"));
        assert_eq!(report.over(at(3200)), None);
    }
}
