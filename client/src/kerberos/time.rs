//! Points in time, as Kerberos counts them.

use std::fmt;
use std::time::{Duration, SystemTime};

/// A point in time: seconds since 1970 and the microseconds beyond. On the wire the two are separate fields (RFC 4120
/// §5.2.3, §5.2.4); tickets have whole seconds only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KerberosTime {
    /// Seconds since 1970, UTC, without leap seconds.
    pub(crate) seconds: i64,
    /// Below 1,000,000.
    pub(crate) micros: u32,
}

const DAY: i64 = 86_400;

impl KerberosTime {
    /// A whole second.
    pub(crate) const fn at(seconds: i64) -> Self {
        Self { seconds, micros: 0 }
    }

    /// The time so many seconds later, or earlier if negative.
    pub(crate) fn plus_seconds(self, seconds: i64) -> Self {
        Self { seconds: self.seconds.saturating_add(seconds), ..self }
    }

    /// From a `GeneralizedTime`, in the one form that RFC 4120 §5.2.3 allows: `YYYYMMDDHHMMSSZ`. `None` for any other.
    pub(crate) fn from_generalized(text: &[u8]) -> Option<Self> {
        if text.len() != 15 || text[14] != b'Z' || !text[..14].iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number =
            |from: usize, to: usize| text[from..to].iter().fold(0_i64, |sum, b| sum * 10 + i64::from(b - b'0'));
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(year, month, day);
        (civil_from_days(days) == (year, month, day)).then(|| Self::at(days * DAY + hour * 3600 + minute * 60 + second))
    }

    /// As a `GeneralizedTime`. A year that has not four digits becomes the nearest that has.
    pub(crate) fn to_generalized(self) -> String {
        let first = days_from_civil(0, 1, 1) * DAY;
        let last = days_from_civil(10_000, 1, 1) * DAY - 1;
        let seconds = self.seconds.clamp(first, last);
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY));
        let (hour, minute, second) = clock(seconds);
        format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
    }
}

impl From<SystemTime> for KerberosTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self { seconds: since.as_secs() as i64, micros: since.subsec_micros() },
            Err(before) => Self::at(0).plus_seconds(-(before.duration().as_secs() as i64)),
        }
    }
}

impl From<KerberosTime> for SystemTime {
    fn from(time: KerberosTime) -> Self {
        let whole = Duration::from_secs(time.seconds.unsigned_abs());
        let base =
            if time.seconds < 0 { Self::UNIX_EPOCH.checked_sub(whole) } else { Self::UNIX_EPOCH.checked_add(whole) };
        base.unwrap_or(Self::UNIX_EPOCH) + Duration::from_micros(u64::from(time.micros))
    }
}

impl fmt::Display for KerberosTime {
    /// `2024-02-29 23:59:59 UTC`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(DAY));
        let (hour, minute, second) = clock(self.seconds);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}

impl fmt::Debug for KerberosTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KerberosTime({self}, {} us)", self.micros)
    }
}

fn clock(seconds: i64) -> (i64, i64, i64) {
    let of_day = seconds.rem_euclid(DAY);
    (of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Days since 1970 of a date in the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Its inverse (same source).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_goes_out_and_comes_back_equal() {
        for (text, seconds) in [
            ("19700101000000Z", 0),
            ("19691231235959Z", -1),
            ("20240229235959Z", 1_709_251_199),
            ("20380119031408Z", 2_147_483_648),
            ("99991231235959Z", 253_402_300_799),
        ] {
            let time = KerberosTime::from_generalized(text.as_bytes()).unwrap();
            assert_eq!(time, KerberosTime::at(seconds), "{text}");
            assert_eq!(time.to_generalized(), text);
            assert_eq!(KerberosTime::from(SystemTime::from(time)), time);
        }
        assert_eq!(KerberosTime::at(1_709_251_199).to_string(), "2024-02-29 23:59:59 UTC");
    }

    #[test]
    fn any_other_form_of_a_time_is_refused() {
        for text in [
            "20230229000000Z",
            "20241301000000Z",
            "20240100000000Z",
            "20240101240000Z",
            "20240101006000Z",
            "20240101000060Z",
            "20240101000000",
            "20240101000000.5Z",
            "240101000000Z",
            "2024010100000 Z",
            "20240101000000+0100",
            "",
        ] {
            assert_eq!(KerberosTime::from_generalized(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn no_number_of_seconds_is_a_panic() {
        for seconds in [i64::MIN, i64::MIN + 1, -62_167_219_201, 253_402_300_800, i64::MAX] {
            let time = KerberosTime { seconds, micros: 999_999 };
            assert_eq!(time.to_generalized().len(), 15);
            let _ = (time.to_string(), SystemTime::from(time), time.plus_seconds(seconds));
        }
    }
}
