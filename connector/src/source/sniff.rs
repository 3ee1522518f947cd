//! Recognises inputs that are no lines of JSON objects by their first bytes, so that the user hears what the file is and
//! which command makes lines of it, instead of an error about its first line.

use std::fmt;

use crate::exit::Failure;
use crate::format::{self, Fault};

/// How much of the beginning is looked at.
pub const WINDOW: usize = 64 << 10;

/// What an input is instead of lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// Compressed: the name of the format, and the command that decompresses standard input.
    Compressed(&'static str, &'static str),
    /// An archive or another binary format.
    Binary(&'static str),
    /// UTF-16 or UTF-32, by the name that iconv has for it.
    Wide(&'static str),
    /// One JSON array around the objects.
    Array,
    /// JSON objects over several lines each.
    Pretty,
    /// Comma separated values, or another separator.
    Csv,
    /// Lines that end with CR alone.
    OldMac,
}

const MAGIC: [(&[u8], Foreign); 12] = [
    (b"\x1f\x8b", Foreign::Compressed("gzip", "zcat")),
    (b"\x28\xb5\x2f\xfd", Foreign::Compressed("zstd", "zstdcat")),
    (b"BZh", Foreign::Compressed("bzip2", "bzcat")),
    (b"\xfd7zXZ\0", Foreign::Compressed("xz", "xzcat")),
    (b"\x04\x22\x4d\x18", Foreign::Compressed("lz4", "lz4cat")),
    (b"\xff\x06\0\0sNaPpY", Foreign::Compressed("snappy", "snzip -dc")),
    (b"PK\x03\x04", Foreign::Binary("a zip archive")),
    (b"PAR1", Foreign::Binary("a Parquet file")),
    (b"Obj\x01", Foreign::Binary("an Avro file")),
    (b"ORC", Foreign::Binary("an ORC file")),
    (b"SQLite format 3\0", Foreign::Binary("an SQLite database")),
    (b"\x7fELF", Foreign::Binary("a program")),
];

/// Looks at the first bytes of an input. `whole`: they are all of it.
pub fn look(start: &[u8], whole: bool) -> Option<Foreign> {
    if let Some((_, foreign)) = MAGIC.iter().find(|(magic, _)| start.starts_with(magic)) {
        return Some(*foreign);
    }
    wide(start).or_else(|| text(start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start), whole))
}

/// UTF-32 begins like UTF-16, so it is looked for first.
fn wide(start: &[u8]) -> Option<Foreign> {
    let name = match start {
        [0xff, 0xfe, 0, 0, ..] | [b'{' | b'[' | b' ' | b'\r' | b'\n', 0, 0, 0, ..] => "UTF-32LE",
        [0, 0, 0xfe, 0xff, ..] | [0, 0, 0, b'{' | b'[' | b' ' | b'\r' | b'\n', ..] => "UTF-32BE",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        [b'{' | b'[' | b' ' | b'\r' | b'\n', 0, ..] => "UTF-16LE",
        [0, b'{' | b'[' | b' ' | b'\r' | b'\n', ..] => "UTF-16BE",
        _ => return None,
    };
    Some(Foreign::Wide(name))
}

fn text(start: &[u8], whole: bool) -> Option<Foreign> {
    let start = start.trim_ascii_start();
    let mut lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.next().unwrap_or_default();
    let second = lines.find(|line| !line.is_empty());
    let ends = second.is_some() || start.contains(&b'\n') || whole;
    match start.first()? {
        b'{' => object(start, first, second, ends),
        b'[' => array(first, second, ends).then_some(Foreign::Array),
        _ => second.filter(|second| is_csv(first, second)).map(|_| Foreign::Csv),
    }
}

/// The text begins with a brace.
fn object(start: &[u8], first: &[u8], second: Option<&[u8]>, ends: bool) -> Option<Foreign> {
    let fault = format::check(first).err()?.fault;
    if fault == Fault::Trailing && !start.contains(&b'\n') && is_old_mac(start) {
        return Some(Foreign::OldMac);
    }
    // An object whose line was cut in the middle is followed by the next object, not by the rest of itself.
    let goes_on = second.is_some_and(|second| format::check(second).is_err());
    if !ends || fault != Fault::Truncated || !goes_on {
        return None;
    }
    let whole_characters = match std::str::from_utf8(start) {
        Err(error) if error.error_len().is_none() => &start[..error.valid_up_to()],
        _ => start,
    };
    match format::check(whole_characters) {
        Ok(_) => Some(Foreign::Pretty),
        Err(error) if matches!(error.fault, Fault::Truncated | Fault::Trailing) => Some(Foreign::Pretty),
        Err(_) => None,
    }
}

fn is_old_mac(start: &[u8]) -> bool {
    let mut lines = start.split(|byte| *byte == b'\r').filter(|line| !line.trim_ascii().is_empty());
    let first = lines.next().is_some_and(|line| format::check(line).is_ok());
    first && lines.next().is_some_and(|line| line.trim_ascii_start().starts_with(b"{"))
}

/// The text begins with a bracket: does the array hold objects? A line with an array of other things is a bad line.
fn array(first: &[u8], second: Option<&[u8]>, ends: bool) -> bool {
    let inside = first[1..].trim_ascii_start();
    let inside = if inside.is_empty() { second.unwrap_or_default() } else { inside };
    inside.starts_with(b"{") || (inside.starts_with(b"[") && !ends)
}

/// Two lines with the same number of the same separator, the first one of words.
fn is_csv(first: &[u8], second: &[u8]) -> bool {
    let count = |line: &[u8], separator: u8| line.split(|byte| *byte == separator).count() - 1;
    let names =
        first.iter().all(|byte| !matches!(byte, b'{' | b'}' | b'<' | b'>') && (*byte >= b' ' || *byte == b'\t'));
    names
        && b",;\t|"
            .iter()
            .any(|separator| count(first, *separator) > 0 && count(first, *separator) == count(second, *separator))
}

impl fmt::Display for Foreign {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed(name, _) => write!(out, "is compressed with {name}"),
            Self::Binary(what) => write!(out, "is {what}"),
            Self::Wide(name) => write!(out, "is {name} text"),
            Self::Array => out.write_str("is one JSON array"),
            Self::Pretty => out.write_str("has JSON objects that go over several lines"),
            Self::Csv => out.write_str("has values between separators (CSV)"),
            Self::OldMac => out.write_str("has lines that end with CR alone"),
        }
    }
}

impl Foreign {
    /// The failure: what `name` is, and what to do. `path`: the file, if it is one.
    pub fn failure(self, name: &str, path: Option<&str>) -> Failure {
        Failure::data(format!("{name} {self}, not one JSON object a line")).with_help(self.help(path))
    }

    /// The command that makes lines of it.
    fn help(self, path: Option<&str>) -> String {
        let command = match self {
            Self::Compressed(_, command) => command.to_owned(),
            Self::Binary(_) => return "convert it to one JSON object a line first".to_owned(),
            Self::Wide(name) => format!("iconv -f {name} -t UTF-8"),
            Self::Array => "jq -c '.[]'".to_owned(),
            Self::Pretty => "jq -c .".to_owned(),
            Self::Csv => "mlr --icsv --ojsonl cat".to_owned(),
            Self::OldMac => "tr '\\r' '\\n'".to_owned(),
        };
        match path {
            None => format!("put `{command}` before it: … | {command} | ottla copy - TARGET"),
            Some(path) if self == Self::OldMac => format!("{command} < {} | ottla copy - TARGET", quoted(path)),
            Some(path) => format!("{command} {} | ottla copy - TARGET", quoted(path)),
        }
    }
}

/// As a shell takes it for one word.
pub fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if !path.is_empty() && !path.starts_with('-') && path.chars().all(plain) {
        return path.to_owned();
    }
    let path = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
    format!("'{}'", path.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, little: bool) -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    }

    #[test]
    fn lines_of_objects_are_lines_whatever_is_wrong_with_one_of_them() {
        for text in [
            &b""[..],
            b"\n\n",
            b"{}\n",
            b"\xef\xbb\xbf{}\n{}\n",
            b"{\"a\":[1,\n",
            b"{\"a\":1}\n[1]\n{}\n",
            b"[1]\n{}\n",
            b"[1,2,3]\n{}\n",
            b"{\"cut\":\n{\"a\":1}\n",
            b"{\"cut\n{\"a\":1}\n",
            b"{\"a\":1\n{\"b\":2\n",
            b"not json\nnor this\n",
            b"one word\ntwo words\n",
            b"null\n",
            b"{\"a\":1}{\"b\":2}\n",
            b"{\"a\":\"1,2\"}\n{\"a\":\"3,4\"}\n",
        ] {
            assert_eq!(look(text, true), None, "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn other_kinds_of_files_are_recognised() {
        let pretty = "{\n  \"a\": {\n    \"客\": 1\n  }\n}\n".repeat(9000);
        for (text, kind) in [
            (b"\x1f\x8b\x08\0".to_vec(), Foreign::Compressed("gzip", "zcat")),
            (b"\x28\xb5\x2f\xfd\x04".to_vec(), Foreign::Compressed("zstd", "zstdcat")),
            (b"PK\x03\x04..".to_vec(), Foreign::Binary("a zip archive")),
            (utf16("\u{feff}{\"a\":1}\n", true), Foreign::Wide("UTF-16")),
            (utf16("\u{feff}{\"a\":1}\n", false), Foreign::Wide("UTF-16")),
            (utf16("{\"a\":1}\n", true), Foreign::Wide("UTF-16LE")),
            (utf16("{\"a\":1}\n", false), Foreign::Wide("UTF-16BE")),
            (b"{\0\0\0\"\0\0\0".to_vec(), Foreign::Wide("UTF-32LE")),
            (b"[{\"a\":1},{\"a\":2}]".to_vec(), Foreign::Array),
            (b" [\n  {\"a\":1},\n  {\"a\":2}\n]\n".to_vec(), Foreign::Array),
            (b"[{\"a\":1},\n{\"a\":2}]\n".to_vec(), Foreign::Array),
            (b"{\n\"a\":1\n}\n".to_vec(), Foreign::Pretty),
            (b"{ \"a\": [\r\n 1,\r\n 2 ] }\r\n".to_vec(), Foreign::Pretty),
            (pretty.as_bytes()[..WINDOW].to_vec(), Foreign::Pretty),
            (b"id,name,price\n1,x,2.5\n".to_vec(), Foreign::Csv),
            (b"id;name\r\n1;x\r\n".to_vec(), Foreign::Csv),
            (b"{\"a\":1}\r{\"a\":2}\r".to_vec(), Foreign::OldMac),
        ] {
            assert_eq!(look(&text, text.len() < WINDOW), Some(kind), "{:?}", &text[..text.len().min(40)]);
        }
    }

    #[test]
    fn the_failure_names_the_file_and_the_command() {
        let failure = Foreign::Wide("UTF-16").failure("my data.jsonl", Some("my data.jsonl"));
        assert_eq!(failure.message, "my data.jsonl is UTF-16 text, not one JSON object a line");
        assert_eq!(failure.help.as_deref(), Some("iconv -f UTF-16 -t UTF-8 'my data.jsonl' | ottla copy - TARGET"));
        let piped = Foreign::Compressed("gzip", "zcat").failure("standard input", None);
        assert!(piped.help.expect("help").contains("| zcat | ottla copy - TARGET"));
        assert_eq!(quoted("-x'y"), "'./-x'\\''y'");
    }

    proptest::proptest! {
        #[test]
        fn any_beginning_is_looked_at_without_a_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
            let _ = look(&bytes, true);
        }
    }
}
