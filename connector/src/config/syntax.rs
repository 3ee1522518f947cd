//! Says in the user's words what the TOML parser found wrong.

use std::ops::Range;

use super::mistake::{Mistake, shown};

/// The mistakes behind the parser's errors, at most one a line: the parser tries to go on after an error, and what it
/// finds next in the same line follows from the first.
pub(super) fn mistakes(text: &str, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mut found: Vec<(Range<usize>, &str)> =
        errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message())).collect();
    found.sort_by_key(|(at, message)| (at.start, at.end, message.len()));
    let mut out = Vec::new();
    let mut last_line = None;
    for (at, message) in found {
        let line = line_around(text, at.start);
        if last_line.as_ref() != Some(&line) {
            out.push(mistake(text, at, message, line.clone()));
            last_line = Some(line);
        }
    }
    out
}

/// The byte range of the line a byte stands in, without its line break.
pub(super) fn line_around(text: &str, at: usize) -> Range<usize> {
    let at = text.floor_char_boundary(at);
    let start = text[..at].rfind('\n').map_or(0, |found| found + 1);
    let end = text[at..].find('\n').map_or(text.len(), |found| at + found);
    start..end
}

fn mistake(text: &str, at: Range<usize>, message: &str, line: Range<usize>) -> Mistake {
    if let Some(foreign) = foreign_sign(text, &line) {
        return foreign;
    }
    let word = text.get(at.clone()).unwrap_or_default();
    let (kind, _) = message.split_once(',').unwrap_or((message, ""));
    match kind {
        "duplicate key" => Mistake::error(at, format!("`{}` is given twice", shown(word)))
            .help("keep one of the two; a second table of the same name needs another name"),
        "string values must be quoted" if word.trim().is_empty() => {
            Mistake::error(at, "the value is missing").help("write the value after `=`, texts in quotes")
        }
        "string values must be quoted" => Mistake::error(at, "a text value needs quotes").help("put it in quotes: \"…\""),
        "missing escaped value" => {
            Mistake::error(at.start.saturating_sub(1)..at.end, "`\\` begins an escape sequence in \"…\"")
                .help("put regular expressions and Windows paths in single quotes: '…'")
        }
        "key with no value" if text[line.clone()].trim_start().starts_with('[') => {
            Mistake::error(at, "this table head is broken").help("write `[connections.NAME]` or `[tasks.NAME]`")
        }
        "key with no value" => Mistake::error(at, "this key has no value").help("write `key = \"value\"`"),
        "invalid unquoted key" if word == ":" => {
            Mistake::error(at, "a key is followed by `=`, not by `:`").help("write `key = \"value\"`")
        }
        "invalid unquoted key" => Mistake::error(at, format!("`{}` cannot stand in a name without quotes", shown(word)))
            .help("put the name in quotes: [connections.\"订单\"]"),
        "invalid basic string" | "invalid literal string" => {
            Mistake::error(at, "the closing quote is missing").help("a text in one pair of quotes ends in its line")
        }
        _ => Mistake::error(at, format!("not valid TOML: {message}")),
    }
}

/// Signs of a Chinese keyboard or a word processor where TOML has a plain one.
fn foreign_sign(text: &str, line: &Range<usize>) -> Option<Mistake> {
    const SIGNS: [(char, char); 10] = [
        ('“', '"'),
        ('”', '"'),
        ('‘', '\''),
        ('’', '\''),
        ('＝', '='),
        ('：', '='),
        ('，', ','),
        ('［', '['),
        ('］', ']'),
        ('＂', '"'),
    ];
    let content = &text[line.clone()];
    // Inside of proper quotes, or in a comment, they are fine.
    let mut quoted = None;
    for (offset, c) in content.char_indices() {
        match (quoted, c) {
            (None, '"' | '\'') => quoted = Some(c),
            (Some(quote), _) if quote == c => quoted = None,
            (None, '#') => return None,
            (None, _) => {
                if let Some((_, plain)) = SIGNS.iter().find(|(sign, _)| *sign == c) {
                    let start = line.start + offset;
                    let message = format!("`{c}` is a full-width or curly sign (全角标点) that TOML does not know");
                    let help = format!("type the plain one: `{plain}`");
                    return Some(Mistake::error(start..start + c.len_utf8(), message).help(help));
                }
            }
            _ => {}
        }
    }
    None
}
