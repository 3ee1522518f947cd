//! Finds what must not be shown in the text of a config file. It works on the raw text, not on parsed values,
//! because a line with a syntax error is shown too.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// Words that a key for a secret has in its name, common misspellings included.
static SECRET_WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?i)pass|pasw|sword|pwd|pswd|secret|token|credential|密码|密碼|口令").ok());

/// The password in `user:password@host`.
static LOGIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?:[A-Za-z]+://)?[^\s"'/@:,\[]+:([^\s"'@]+)@"#).ok());

/// A private key in PEM, from BEGIN to END or as far as the text goes.
static PRIVATE_KEY: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(.*?)(?:-----END |\z)").ok());

/// What stands in place of a masked text.
pub(super) const MASK: &str = "***";

/// The byte ranges of all values that look like secrets.
pub(super) fn secrets_in(text: &str) -> Vec<Range<usize>> {
    let words = SECRET_WORD.iter().flat_map(|word| word.find_iter(text));
    let mut found: Vec<_> = words.filter_map(|word| value_after(text, word.end())).collect();
    found.extend(logins_in(text));
    found.extend(first_groups(&PRIVATE_KEY, text));
    found
}

/// The text with the passwords of `user:password@host` masked.
pub(super) fn without_login(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut shown = 0;
    for at in logins_in(text) {
        out.push_str(&text[shown..at.start]);
        out.push_str(MASK);
        shown = at.end;
    }
    if shown == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[shown..]);
    Cow::Owned(out)
}

fn logins_in(text: &str) -> impl Iterator<Item = Range<usize>> {
    first_groups(&LOGIN, text)
}

fn first_groups<'t>(
    pattern: &'static LazyLock<Option<Regex>>,
    text: &'t str,
) -> impl Iterator<Item = Range<usize>> + use<'t> {
    let captures = pattern.iter().flat_map(move |pattern| pattern.captures_iter(text));
    captures.filter_map(|found| found.get(1).map(|secret| secret.range()))
}

/// Sorted, and without overlaps.
pub(super) fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    let mut out: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// The value of the key that `at` stands in, if it is a key: the content of its quotes, or the rest of the line.
fn value_after(text: &str, at: usize) -> Option<Range<usize>> {
    let key_end = skip(text, at, |c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let key_end = skip_one(text, key_end, ['"', '\'']);
    let sign = skip(text, key_end, |c| c == ' ' || c == '\t');
    let after = skip(text, sign, |c| matches!(c, '=' | ':' | '＝' | '：'));
    let value = skip(text, after, |c| c == ' ' || c == '\t');
    let rest = &text[value..];
    let quoted = rest.starts_with(['"', '\'']);
    // Without a sign between them it is a key only if something quoted follows at a distance.
    if after == sign && !(quoted && sign > key_end) {
        return None;
    }
    Some(value_at(text, value)).filter(|range| !is_reference(&text[range.clone()]))
}

/// One reference and nothing else says where the secret is, not what it is; a default could be one.
fn is_reference(value: &str) -> bool {
    let inside = value.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let named = inside.and_then(|inside| inside.strip_prefix("env:").or_else(|| inside.strip_prefix("file:")));
    named.is_some_and(|name| !name.contains([':', '$', '{', '}']))
}

fn value_at(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    for quotes in ["\"\"\"", "'''"] {
        if let Some(inside) = rest.strip_prefix(quotes) {
            let length = inside.find(quotes).unwrap_or(inside.len());
            return start + 3..start + 3 + length;
        }
    }
    let line_end = start + rest.find('\n').unwrap_or(rest.len());
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return start..line_end;
    };
    let Some(close) = closing(&text[start + 1..line_end], quote) else {
        return start + 1..line_end;
    };
    let end = start + 1 + close;
    // `"hun"ter2"`: what follows the quotes may be the rest of the secret.
    let follows = text[end + 1..line_end].trim_start();
    let ends_well = follows.is_empty() || follows.starts_with([',', '}', ']', '#']);
    start + 1..if ends_well { end } else { line_end }
}

fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn skip(text: &str, at: usize, wanted: impl Fn(char) -> bool) -> usize {
    at + text[at..].find(|c| !wanted(c)).unwrap_or(text.len() - at)
}

fn skip_one(text: &str, at: usize, wanted: [char; 2]) -> usize {
    if text[at..].starts_with(wanted) { at + 1 } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        let mut out = text.to_owned();
        for range in merged(secrets_in(text)).into_iter().rev() {
            out.replace_range(range, MASK);
        }
        out
    }

    #[test]
    fn a_secret_is_found_in_whatever_form_it_is_written() {
        for text in [
            "password = \"hunter2\"",
            "auth = { username = \"u\", password = \"hunter2\" }",
            "auth.password='hunter2' # old",
            "\"password\" = \"hunter2\"",
            "pasword = \"hunter2\"",
            "paasword = \"hunter2\"",
            "mqPassword: hunter2",
            "密码 ＝ “hunter2”",
            "password \"hunter2\"",
            "password = hunter2",
            "password = \"hunter2",
            "password = \"a\"hunter2\"",
            "password = \"a\\\"hunter2\"",
            "password = \"\"\"\nx\nhunter2\"\"\"\nb = 1",
            "password = '''\nhunter2",
            "# password = \"hunter2\"",
            "bootstrap = [\"kafka://etl:hunter2@h:9092\"]",
            "password_file = \"hunter2\", token = 'hunter2'",
            "password = \"${env:A:-hunter2}\"",
            "password = \"${env:A}hunter2\"",
            "password = \"hunter2${env:A}\"",
            "key = \"\"\"\n-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\"\"\"",
            "key = '-----BEGIN EC PRIVATE KEY-----\\nhunter2\\n-----END EC PRIVATE KEY-----'",
            "key = '-----BEGIN RSA PRIVATE KEY-----\nMII\nhunter2",
        ] {
            assert!(!masked(text).contains("hunter2"), "{text} -> {}", masked(text));
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in
            ["username = \"passenger\"\nacks = \"all\"", "bootstrap = [\"a:9092\", \"b:9092\"]", "topics = '.*'"]
        {
            assert_eq!(masked(text), text);
        }
        let references = "password = \"${env:SHOP_PASSWORD}\"\npassword = '${file:/run/secrets/shop}'";
        assert_eq!(masked(references), references);
        assert_eq!(masked("password = \"x\", role = 'both'"), "password = \"***\", role = 'both'");
        assert_eq!(without_login("a:1, u:p@h:9092"), "a:1, u:***@h:9092");
    }
}
