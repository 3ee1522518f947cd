//! Times with their unit: `500ms`, `25s`, `2m`, `1h`.

use std::time::Duration;

/// The longest time that is taken; longer ones are typing errors, and would overflow the clock.
const LONGEST: Duration = Duration::from_hours(365 * 24);

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

/// Why a text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a whole number and one of the units.
    #[error("a whole number and one of the units ms, s, m, h are expected")]
    Form,
    /// Zero.
    #[error("it has to be longer than nothing")]
    Zero,
    /// More than a year.
    #[error("it is longer than a year")]
    TooLong,
}

/// Reads a time.
///
/// # Errors
/// It has another form, is zero, or longer than a year.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = UNITS.iter().find(|(name, _)| *name == unit.trim());
    let (false, Some((_, milliseconds))) = (number.is_empty(), unit) else { return Err(DurationError::Form) };
    let total = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*milliseconds));
    match total.map(Duration::from_millis) {
        Some(Duration::ZERO) => Err(DurationError::Zero),
        Some(time) if time <= LONGEST => Ok(time),
        _ => Err(DurationError::TooLong),
    }
}

/// The same for an argument of the command line, where a number without a unit means seconds.
///
/// # Errors
/// As of [`parse`].
pub fn argument(text: &str) -> Result<Duration, DurationError> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { parse(&format!("{text}s")) } else { parse(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, milliseconds) in [("500ms", 500), ("25s", 25_000), (" 2 m ", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "25", "-1s", "1.5s", "25 sec", "1d", "一s"] {
            assert_eq!(parse(text), Err(DurationError::Form), "{text}");
        }
        assert_eq!(parse("0s"), Err(DurationError::Zero));
        for text in ["8761h", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse(text), Err(DurationError::TooLong), "{text}");
        }
        assert_eq!(argument("25"), parse("25s"));
        assert_eq!(argument("25ms"), parse("25ms"));
    }
}
