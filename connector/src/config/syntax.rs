//! Says in the user's words what the TOML parser found wrong.

use std::ops::Range;

use toml::de::DeTable;

use super::mistake::{Mistake, shown};

/// The parser goes on after most errors, but not after these have a fault in a key or a table head: there it drops
/// the rest of the file. Errors of all other kinds end the useful part of the line only.
const GOES_ON: [&str; 6] = [
    "duplicate key",
    "string values must be quoted",
    "missing escaped value",
    "invalid basic string",
    "invalid literal string",
    "unexpected key or value",
];

/// An error of the parser: where and what.
pub(super) type Fault = (Range<usize>, String);

/// All syntax errors of a text, and the text with those parts blanked that keep the parser from going on. Blanking
/// keeps the length, so that every place stays the same.
pub(super) fn faults(text: &str) -> (Vec<Fault>, String) {
    // Each pass costs as much as the file is long; what is left after these is found in the next run.
    let passes = (4 * 1024 * 1024 / text.len().max(1)).clamp(4, 100);
    let mut faults = Vec::new();
    let mut rest = text.to_owned();
    for _ in 0..passes {
        let (_, errors) = DeTable::parse_recoverable(&rest);
        let found = errors.iter().map(|error| (error.span().unwrap_or(0..0), error.message().to_owned()));
        let found: Vec<Fault> = found.collect();
        let stops = |(at, message): &&Fault| {
            // The keys below the second head of a table would be taken for keys of the first.
            let second_head = message == "duplicate key" && is_head(&rest[line_around(&rest, at.start)]);
            second_head || !GOES_ON.iter().any(|kind| message.starts_with(kind))
        };
        let stop = found.iter().filter(stops).map(|(at, _)| broken_part(&rest, at.start)).min_by_key(|part| part.start);
        let below = stop.clone().map_or(0..0, |part| line_around(&rest, part.start).end..part.end);
        faults.extend(found.into_iter().filter(|(at, _)| !(below.contains(&at.start) && below.start < at.start)));
        match stop {
            Some(part) if !rest[part.clone()].trim().is_empty() => blank(&mut rest, part),
            _ => break,
        }
    }
    faults.sort_by_key(|(at, message)| (at.start, at.end, message.len()));
    faults.dedup();
    (faults, rest)
}

/// A broken line; after a broken table head also the keys below it, which would fall to the table before.
fn broken_part(text: &str, at: usize) -> Range<usize> {
    let line = line_around(text, at);
    if !is_head(&text[line.clone()]) {
        return line;
    }
    let next = text[line.end..].find("\n[").map_or(text.len(), |found| line.end + found);
    line.start..next
}

fn is_head(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

fn blank(text: &mut String, part: Range<usize>) {
    let blanked = text[part.clone()].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect::<String>();
    text.replace_range(part, &blanked);
}

/// The mistakes behind the parser's errors, at most one a line: the parser tries to go on after an error, and what it
/// finds next in the same line follows from the first.
pub(super) fn mistakes(text: &str, faults: &[Fault]) -> Vec<Mistake> {
    let mut out = Vec::new();
    let mut last_line = None;
    for (at, message) in faults {
        let line = line_around(text, at.start);
        if last_line.as_ref() != Some(&line) {
            out.push(mistake(text, at.clone(), message, line.clone()));
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
        "string values must be quoted" => {
            Mistake::error(at, "a text value needs quotes").help("put it in quotes: \"…\"")
        }
        "missing escaped value" => {
            Mistake::error(at.start.saturating_sub(1)..at.end, "`\\` begins an escape sequence in \"…\"")
                .help("put regular expressions and Windows paths in single quotes: '…'")
        }
        "key with no value" if is_head(&text[line.clone()]) => {
            Mistake::error(at, "this table head is broken").help("write `[connections.NAME]` or `[tasks.NAME]`")
        }
        "key with no value" => Mistake::error(at, "this key has no value").help("write `key = \"value\"`"),
        "invalid unquoted key" if word == ":" => {
            Mistake::error(at, "a key is followed by `=`, not by `:`").help("write `key = \"value\"`")
        }
        "invalid unquoted key" => {
            Mistake::error(at, format!("`{}` cannot stand in a name without quotes", shown(word)))
                .help("put the name in quotes: [connections.\"订单\"]")
        }
        "invalid basic string" | "invalid literal string" => {
            Mistake::error(at, "the closing quote is missing").help("a text in one pair of quotes ends in its line")
        }
        "unclosed array" => Mistake::error(at, "the list is not closed").help("write `]` after its last item"),
        "unclosed inline table" => Mistake::error(at, "the table is not closed").help("write `}` after its last key"),
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
