//! What a peer says, on its way into an error, a log or onto a screen.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

/// How many characters of a peer's words are shown.
const SHOWN: usize = 200;
/// What stands for a secret.
const REDACTED: &str = "[redacted]";
/// Shorter pieces of base64 occur by chance.
const SHORTEST_BASE64: usize = 6;

/// Makes a peer's words fit to be shown: searched for one's own secrets (plain, percent-encoded and in base64, also inside a
/// longer text such as a SASL PLAIN message), without control, bidirectional and invisible characters, and not long.
///
/// ```
/// use ottla_client::PeerText;
///
/// let text = PeerText::new(["hunter2"]);
/// assert_eq!(text.clean("no user \u{1b}[31metl with hunter2"), "no user \\u{1b}[31metl with [redacted]");
/// // base64 of "\0etl\0hunter2"
/// assert_eq!(text.clean("bad token: AGV0bABodW50ZXIy"), "bad token: AGV0bAB[redacted]");
/// ```
#[derive(Clone, Default)]
pub struct PeerText {
    needles: Vec<Zeroizing<String>>,
}

impl PeerText {
    /// Hides these secrets; empty ones are none.
    pub fn new<S: AsRef<str>>(secrets: impl IntoIterator<Item = S>) -> Self {
        let mut needles = Vec::new();
        for secret in secrets {
            let secret = secret.as_ref();
            if !secret.is_empty() {
                needles.push(Zeroizing::new(secret.to_owned()));
                needles.extend(encoded(secret.as_bytes()));
            }
        }
        // The longest first, so that none leaves a rest of another.
        needles.sort_unstable_by_key(|needle| std::cmp::Reverse(needle.len()));
        needles.dedup();
        Self { needles }
    }

    /// The words as they may be shown.
    #[must_use]
    pub fn clean(&self, words: &str) -> String {
        let mut hidden = Zeroizing::new(words.to_owned());
        for needle in &self.needles {
            if hidden.contains(needle.as_str()) {
                hidden = Zeroizing::new(hidden.replace(needle.as_str(), REDACTED));
            }
        }
        printable(&hidden)
    }
}

impl fmt::Debug for PeerText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerText(…)")
    }
}

/// A peer's words without characters that steer a terminal or hide, and not long.
pub(crate) fn printable(words: &str) -> String {
    let mut out = String::new();
    for (shown, c) in words.chars().enumerate() {
        if shown == SHOWN {
            out.push('…');
            break;
        }
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_unfit(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// Our own text with a peer's words in it: nothing that steers a terminal or hides but line ends, and not endless.
pub(crate) fn printable_lines(text: &str) -> String {
    const LINES: usize = 50;
    const LONGEST: usize = 2000;
    let line = |line: &str| {
        let cut: String = line.chars().take(LONGEST).collect();
        cut.chars()
            .map(|c| if is_unfit(c) { c.escape_unicode().to_string() } else { c.to_string() })
            .collect::<String>()
    };
    text.lines().take(LINES).map(line).collect::<Vec<_>>().join("\n")
}

/// Whether a name can be shown as it is.
pub(crate) fn is_printable(name: &str) -> bool {
    !name.chars().any(is_unfit)
}

/// Control characters, and what changes how the text around it is shown: Unicode's category Cf as far as it is invisible or
/// changes directions, and its line separators.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The forms in which a secret travels.
fn encoded(secret: &[u8]) -> Vec<Zeroizing<String>> {
    let mut forms = vec![Zeroizing::new(percent_encoded(secret, "%20")), Zeroizing::new(percent_encoded(secret, "+"))];
    for before in 0..3 {
        // As a part of something longer it may begin at each of the three bytes of a group; the characters that share bits
        // with its neighbours are left out.
        let padded = Zeroizing::new([&[0; 2][..before], secret].concat());
        for text in [STANDARD_NO_PAD.encode(&*padded), URL_SAFE_NO_PAD.encode(&*padded)] {
            let text = Zeroizing::new(text);
            let (start, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
            if let Some(own) = text.get(start..end).filter(|own| own.len() >= SHORTEST_BASE64) {
                forms.push(Zeroizing::new(own.to_owned()));
            }
        }
    }
    forms
}

fn percent_encoded(secret: &[u8], blank: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(3 * secret.len());
    for byte in secret {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' => out.push(*byte as char),
            b' ' => out.push_str(blank),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const SECRET: &str = "pa ss/w\u{f6}rd?>~!";

    #[test]
    fn a_secret_is_found_in_every_form_in_which_it_travels() {
        let text = PeerText::new([SECRET]);
        let mut said =
            vec![SECRET.to_owned(), format!("user etl, password {SECRET}."), percent_encoded(SECRET.as_bytes(), "+")];
        for around in ["", "x", "xy", "xyz", "\0etl\0", "\0user\0", "etl:", "n,,\u{1}auth=Bearer "] {
            for after in ["", "\u{1}\u{1}", "abc"] {
                let whole = format!("{around}{SECRET}{after}");
                said.extend([STANDARD.encode(&whole), URL_SAFE.encode(&whole), format!("<{whole}>")]);
            }
        }
        // All characters of base64 that are the secret's alone.
        let pieces: Vec<_> = encoded(SECRET.as_bytes());
        for words in said {
            let shown = text.clean(&words);
            assert!(shown.contains(REDACTED) && !shown.contains("ss/w"), "{words:?}: {shown}");
            assert!(!pieces.iter().any(|piece| shown.contains(piece.as_str())), "{words:?}: {shown}");
        }
        assert_eq!(text.clean("nothing of the kind"), "nothing of the kind");
        assert!(!format!("{text:?}").contains("ss"));
    }

    #[test]
    fn a_secret_across_the_end_of_what_is_shown_leaves_no_piece() {
        let said = format!("{}{}", "x".repeat(SHOWN - 3), "hunter2");
        assert!(!PeerText::new(["hunter2"]).clean(&said).contains('h'));
    }

    #[test]
    fn nothing_that_steers_a_terminal_or_hides_gets_through_and_nothing_long() {
        let said = "a\u{1b}]0;x\u{7}\u{9b}31m\u{202e}b\u{2066}\u{200b}\r\nc\u{0}\u{e0041}\u{feff}";
        let shown = printable(said);
        assert!(is_printable(&shown) && !is_printable(said), "{shown}");
        assert!(shown.starts_with("a\\u{1b}]0;x\\u{7}\\u{9b}31m\\u{202e}b"), "{shown}");
        assert_eq!(printable("Grüße, 你好 👋"), "Grüße, 你好 👋");
        assert_eq!(printable(&"ü".repeat(100_000)).chars().count(), SHOWN + 1);
    }
}
