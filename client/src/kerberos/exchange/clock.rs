//! How far a KDC's clock is from ours (MIT `kdc_timesync`).

use std::time::Duration;

use super::super::time::KerberosTime;

const MICROS: i128 = 1_000_000;

/// What has to be added to the local clock to get the KDC's, in microseconds. The default adds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Clock {
    ahead_micros: i64,
}

impl Clock {
    /// The clock that shows `theirs` when the local one shows `ours`.
    pub(crate) fn between(ours: KerberosTime, theirs: KerberosTime) -> Self {
        let ahead = (micros(theirs) - micros(ours)).clamp(i64::MIN.into(), i64::MAX.into());
        Self { ahead_micros: i64::try_from(ahead).unwrap_or(0) }
    }

    /// As a credential cache notes it.
    pub(crate) fn ahead_by(seconds: i32, micros: i32) -> Self {
        Self { ahead_micros: i64::from(seconds) * 1_000_000 + i64::from(micros) }
    }

    /// The KDC's time when the local clock shows this.
    pub(crate) fn at(self, local: KerberosTime) -> KerberosTime {
        let sum = micros(local) + i128::from(self.ahead_micros);
        let seconds = i64::try_from(sum.div_euclid(MICROS)).unwrap_or(local.seconds);
        KerberosTime { seconds, micros: u32::try_from(sum.rem_euclid(MICROS)).unwrap_or(0) }
    }
}

/// Whether two times are further apart than is allowed.
pub(super) fn is_skewed(one: KerberosTime, other: KerberosTime, allowed: Duration) -> bool {
    one.seconds.abs_diff(other.seconds) > allowed.as_secs()
}

fn micros(time: KerberosTime) -> i128 {
    i128::from(time.seconds) * MICROS + i128::from(time.micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_shows_what_it_was_set_to_and_goes_on_with_the_local_one() {
        let (ours, theirs) =
            (KerberosTime { seconds: 1000, micros: 900_000 }, KerberosTime { seconds: 400, micros: 100_000 });
        for (ours, theirs) in [(ours, theirs), (theirs, ours), (ours, ours)] {
            let clock = Clock::between(ours, theirs);
            assert_eq!(clock.at(ours), theirs);
            assert_eq!(clock.at(ours.plus_seconds(77)), theirs.plus_seconds(77));
        }
        assert_eq!(Clock::ahead_by(600, -1).at(KerberosTime::at(0)), KerberosTime { seconds: 599, micros: 999_999 });
    }

    #[test]
    fn no_time_is_a_panic() {
        let times = [i64::MIN, -1, 0, i64::MAX].map(|seconds| KerberosTime { seconds, micros: 999_999 });
        for (ours, theirs) in times.iter().flat_map(|ours| times.iter().map(move |theirs| (*ours, *theirs))) {
            let _ = (Clock::between(ours, theirs).at(ours), is_skewed(ours, theirs, Duration::ZERO));
        }
    }
}
