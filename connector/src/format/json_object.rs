//! Is this value exactly one JSON object (RFC 8259)? Answered in one pass over the bytes, without a tree, without an
//! allocation and without recursion, because every record of every task passes here and its value is then handed on
//! untouched. So numbers, escapes, key order and duplicate keys stay as they were sent.
//!
//! Deliberately not checked: whether `\u` escapes pair up as surrogates (the grammar allows any four hexadecimal
//! digits, and nothing here decodes them) and how large a number is.

use std::fmt;

/// The deepest nesting of objects and arrays that is accepted; the outermost object counts as one.
pub const MAX_DEPTH: u32 = 128;

/// What else the pass over a valid value has learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// There are line breaks between the tokens (a valid value has none inside its strings), so the value is not
    /// fit for a line of JSONL as it is.
    pub line_breaks: bool,
}

/// Why and where a value is not one JSON object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {offset}")]
pub struct NotAnObject {
    /// The byte in the value, counted from 0, at which it cannot be an object any more; the value's length if it
    /// ends too early.
    pub offset: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// No bytes, or white space only.
    Empty,
    /// A JSON value of another kind: its name.
    OtherKind(&'static str),
    /// Not JSON from its first byte on.
    NotJson,
    /// A UTF-8 byte order mark, which JSON does not have.
    ByteOrderMark,
    /// Bytes that are not UTF-8.
    Utf8,
    /// The value ends in the middle.
    Truncated,
    /// Something follows after the object.
    Trailing,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A control character in a string, which has to be written as an escape.
    ControlCharacter,
    /// A backslash followed by what is no escape.
    Escape,
    /// Not a number: a leading zero, a missing digit.
    Number,
    /// Another character was expected here.
    Expected(&'static str),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => out.write_str("the value is empty"),
            Self::OtherKind(kind) => write!(out, "the value is {kind}, not an object,"),
            Self::NotJson => out.write_str("the value is not JSON"),
            Self::ByteOrderMark => out.write_str("a byte order mark"),
            Self::Utf8 => out.write_str("the value is not UTF-8"),
            Self::Truncated => out.write_str("the value ends in the middle of the object"),
            Self::Trailing => out.write_str("something follows after the object"),
            Self::TooDeep => write!(out, "nested deeper than {MAX_DEPTH} levels"),
            Self::ControlCharacter => out.write_str("a control character in a string"),
            Self::Escape => out.write_str("an unknown escape in a string"),
            Self::Number => out.write_str("a malformed number"),
            Self::Expected(what) => write!(out, "expected {what}"),
        }
    }
}

/// Checks that `value` is one JSON object, with white space around it at most.
///
/// # Errors
/// The first byte at which it is not, and why. Bytes that are not UTF-8 are found before everything else.
#[inline]
pub fn check(value: &[u8]) -> Result<Layout, NotAnObject> {
    if simdutf8::basic::from_utf8(value).is_err() {
        return Err(utf8_fault(value));
    }
    Scan { value, at: 0, line_breaks: false }.object()
}

#[cold]
fn utf8_fault(value: &[u8]) -> NotAnObject {
    let offset = simdutf8::compat::from_utf8(value).err().map_or(0, |error| error.valid_up_to());
    NotAnObject { offset, fault: Fault::Utf8 }
}

/// The open objects and arrays, one bit each: 1 for an object. The lowest bit is the innermost.
#[derive(Clone, Copy)]
struct Nesting {
    kinds: u128,
    depth: u32,
}

impl Nesting {
    #[inline]
    fn open(&mut self, object: bool, offset: usize) -> Result<(), NotAnObject> {
        if self.depth == MAX_DEPTH {
            return Err(NotAnObject { offset, fault: Fault::TooDeep });
        }
        self.kinds = self.kinds << 1 | u128::from(object);
        self.depth += 1;
        Ok(())
    }

    #[inline]
    fn close(&mut self) {
        self.kinds >>= 1;
        self.depth -= 1;
    }

    #[inline]
    fn in_object(self) -> bool {
        self.kinds & 1 == 1
    }
}

struct Scan<'a> {
    value: &'a [u8],
    at: usize,
    line_breaks: bool,
}

impl Scan<'_> {
    fn object(mut self) -> Result<Layout, NotAnObject> {
        if self.token() != Some(b'{') {
            return Err(self.first_byte_fault());
        }
        self.at += 1;
        let mut nesting = Nesting { kinds: 1, depth: 1 };
        // True right after an opening bracket, where the closing one may follow at once.
        let mut fresh = true;
        while nesting.depth > 0 {
            fresh = self.step(&mut nesting, fresh)?;
        }
        match self.token() {
            None => Ok(Layout { line_breaks: self.line_breaks }),
            Some(_) => Err(self.fault(Fault::Trailing)),
        }
    }

    /// One member or element with what leads to it, or the closing of the innermost bracket.
    /// Returns whether a bracket was just opened.
    #[inline]
    fn step(&mut self, nesting: &mut Nesting, fresh: bool) -> Result<bool, NotAnObject> {
        let in_object = nesting.in_object();
        let closing = if in_object { b'}' } else { b']' };
        let Some(mut byte) = self.token() else { return Err(self.fault(Fault::Truncated)) };
        if byte == closing {
            self.at += 1;
            nesting.close();
            return Ok(false);
        }
        if !fresh {
            if byte != b',' {
                return Err(self.expected(if in_object { "`,` or `}`" } else { "`,` or `]`" }));
            }
            self.at += 1;
            let Some(next) = self.token() else { return Err(self.fault(Fault::Truncated)) };
            byte = next;
        }
        if in_object {
            byte = self.key(byte)?;
        }
        self.value(byte, nesting)
    }

    /// A key and its colon; returns the first byte of the value behind it.
    #[inline]
    fn key(&mut self, byte: u8) -> Result<u8, NotAnObject> {
        if byte != b'"' {
            return Err(self.expected("a key in quotes"));
        }
        self.string()?;
        match self.token() {
            Some(b':') => self.at += 1,
            Some(_) => return Err(self.expected("`:`")),
            None => return Err(self.fault(Fault::Truncated)),
        }
        self.token().ok_or_else(|| self.fault(Fault::Truncated))
    }

    /// A whole simple value, or the opening of an object or array (then true).
    #[inline]
    fn value(&mut self, byte: u8, nesting: &mut Nesting) -> Result<bool, NotAnObject> {
        match byte {
            b'"' => self.string()?,
            b'{' | b'[' => {
                nesting.open(byte == b'{', self.at)?;
                self.at += 1;
                return Ok(true);
            }
            b'-' | b'0'..=b'9' => self.number()?,
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => return Err(self.expected("a value")),
        }
        Ok(false)
    }

    /// The next byte that is not white space; `at` stands on it.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        loop {
            let byte = *self.value.get(self.at)?;
            match byte {
                b' ' | b'\t' => {}
                b'\n' | b'\r' => self.line_breaks = true,
                _ => return Some(byte),
            }
            self.at += 1;
        }
    }

    /// A string; `at` stands on its opening quote and afterwards behind its closing one.
    #[inline]
    fn string(&mut self) -> Result<(), NotAnObject> {
        self.at += 1;
        loop {
            self.plain_run();
            match self.value.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return Err(self.fault(Fault::ControlCharacter)),
                None => return Err(self.fault(Fault::Truncated)),
            }
        }
    }

    /// Moves `at` to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn plain_run(&mut self) {
        while let Some(word) = self.value.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let special = special_bytes(u64::from_le_bytes(*word));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while let Some(&byte) = self.value.get(self.at) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    #[inline]
    fn escape(&mut self) -> Result<(), NotAnObject> {
        match self.value.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let digits = self.value.get(self.at + 2..self.at + 6);
                let Some(digits) = digits else { return Err(self.cut_or(self.at, Fault::Escape)) };
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(self.fault(Fault::Escape));
                }
                self.at += 6;
            }
            Some(_) => return Err(self.fault(Fault::Escape)),
            None => return Err(NotAnObject { offset: self.value.len(), fault: Fault::Truncated }),
        }
        Ok(())
    }

    /// `-`? then `0` or digits without leading zero, then fraction, then exponent.
    #[inline]
    fn number(&mut self) -> Result<(), NotAnObject> {
        if self.value[self.at] == b'-' {
            self.at += 1;
        }
        if self.value.get(self.at) == Some(&b'0') {
            self.at += 1;
            if self.value.get(self.at).is_some_and(u8::is_ascii_digit) {
                return Err(self.fault(Fault::Number));
            }
        } else {
            self.digits()?;
        }
        if self.value.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.value.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.value.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// At least one digit.
    #[inline]
    fn digits(&mut self) -> Result<(), NotAnObject> {
        let start = self.at;
        while self.value.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { Err(self.cut_or(start, Fault::Number)) } else { Ok(()) }
    }

    #[inline]
    fn word(&mut self, word: &'static [u8]) -> Result<(), NotAnObject> {
        let rest = &self.value[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        if word.starts_with(rest) {
            return Err(NotAnObject { offset: self.value.len(), fault: Fault::Truncated });
        }
        Err(self.expected("a value"))
    }

    #[cold]
    fn first_byte_fault(&self) -> NotAnObject {
        let rest = &self.value[self.at..];
        let fault = match rest.first() {
            None => Fault::Empty,
            Some(b'[') => Fault::OtherKind("an array"),
            Some(b'"') => Fault::OtherKind("a string"),
            Some(b'-' | b'0'..=b'9') => Fault::OtherKind("a number"),
            Some(_) if is_word(rest, b"true") || is_word(rest, b"false") => Fault::OtherKind("a boolean"),
            Some(_) if is_word(rest, b"null") => Fault::OtherKind("null"),
            Some(_) if rest.starts_with("\u{feff}".as_bytes()) => Fault::ByteOrderMark,
            Some(_) => Fault::NotJson,
        };
        self.fault(fault)
    }

    #[cold]
    fn fault(&self, fault: Fault) -> NotAnObject {
        NotAnObject { offset: self.at, fault }
    }

    #[cold]
    fn expected(&self, what: &'static str) -> NotAnObject {
        self.fault(Fault::Expected(what))
    }

    /// `Truncated` if the value ended before anything wrong was seen, else `fault` at `start`.
    #[cold]
    fn cut_or(&self, start: usize, fault: Fault) -> NotAnObject {
        let rest = &self.value[self.at..];
        let cut = match fault {
            Fault::Escape => rest[2..].iter().all(u8::is_ascii_hexdigit),
            _ => rest.is_empty(),
        };
        if cut {
            return NotAnObject { offset: self.value.len(), fault: Fault::Truncated };
        }
        NotAnObject { offset: start, fault }
    }
}

/// The whole value is this word.
fn is_word(value: &[u8], word: &[u8]) -> bool {
    value.trim_ascii_end() == word
}

/// The high bit of every byte that is a quote, a backslash or below 0x20. Bytes above the lowest marked one may be
/// marked wrongly (the borrow of a subtraction travels upwards), so only the lowest is to be used.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (LOW * u64::from(b'"'));
    let backslash = word ^ (LOW * u64::from(b'\\'));
    let zero = |x: u64| x.wrapping_sub(LOW) & !x;
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (zero(quote) | zero(backslash) | control) & HIGH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn fault(value: &[u8]) -> (usize, Fault) {
        let error = check(value).expect_err("not an object");
        (error.offset, error.fault)
    }

    #[test]
    fn objects_of_every_shape_are_accepted() {
        for value in [
            "{}",
            " { } ",
            r#"{"a":1}"#,
            r#"{"":{},"b":[],"c":[[],{}]}"#,
            r#"{"n":[0,-0,1.5,-1.25e+10,1E-7,123456789012345678901234567890,0.1e0]}"#,
            r#"{"s":"\"\\\/\b\f\n\r\té中文字符\ud800 \u00e9"}"#,
            r#"{"t":true,"f":false,"n":null}"#,
            r#"{"a":1,"a":2}"#,
            "{\"长的键名称在这里\" : \"七个字节以上的字符串\"}",
        ] {
            assert_eq!(check(value.as_bytes()), Ok(Layout { line_breaks: false }), "{value}");
        }
    }

    #[test]
    fn line_breaks_between_tokens_are_seen() {
        assert_eq!(check(b"{\"a\":\n1}"), Ok(Layout { line_breaks: true }));
        assert_eq!(check(b"{}\r"), Ok(Layout { line_breaks: true }));
        assert_eq!(check(br#"{"a":"\n"}"#), Ok(Layout { line_breaks: false }));
    }

    #[test]
    fn other_kinds_are_named() {
        for (value, kind) in [
            ("[1]", "an array"),
            ("\"x\"", "a string"),
            ("-1", "a number"),
            ("true", "a boolean"),
            ("false", "a boolean"),
            ("null", "null"),
        ] {
            assert_eq!(fault(value.as_bytes()), (0, Fault::OtherKind(kind)), "{value}");
        }
        assert_eq!(fault(b"hello"), (0, Fault::NotJson));
        assert_eq!(fault(b""), (0, Fault::Empty));
        assert_eq!(fault(b"  \n"), (3, Fault::Empty));
        assert_eq!(fault("\u{feff}{}".as_bytes()), (0, Fault::ByteOrderMark));
        assert_eq!(check(b"[1]").expect_err("array").to_string(), "the value is an array, not an object, at byte 0");
    }

    #[test]
    fn a_fault_carries_its_byte() {
        for (value, offset, expected) in [
            ("{\"a\":1}x", 7, Fault::Trailing),
            ("{\"a\":1}{}", 7, Fault::Trailing),
            ("{\"a\":01}", 6, Fault::Number),
            ("{\"a\":-}", 6, Fault::Number),
            ("{\"a\":1.}", 7, Fault::Number),
            ("{\"a\":1e+}", 8, Fault::Number),
            ("{\"a\":\"\u{1}\"}", 6, Fault::ControlCharacter),
            ("{\"a\":\"\\x\"}", 6, Fault::Escape),
            ("{\"a\":\"\\u12g4\"}", 6, Fault::Escape),
            ("{\"a\":\"\\u12\"}", 6, Fault::Escape),
            ("{\"a\" 1}", 5, Fault::Expected("`:`")),
            ("{\"a\":1 \"b\":2}", 7, Fault::Expected("`,` or `}`")),
            ("{\"a\":[1 2]}", 8, Fault::Expected("`,` or `]`")),
            ("{a:1}", 1, Fault::Expected("a key in quotes")),
            ("{\"a\":1,}", 7, Fault::Expected("a key in quotes")),
            ("{\"a\":[1,]}", 8, Fault::Expected("a value")),
            ("{\"a\":tru}", 5, Fault::Expected("a value")),
            ("{\"a\":}", 5, Fault::Expected("a value")),
            ("{,}", 1, Fault::Expected("a key in quotes")),
            ("{\"a\":[}", 6, Fault::Expected("a value")),
            ("{\"a\":1]", 6, Fault::Expected("`,` or `}`")),
        ] {
            assert_eq!(fault(value.as_bytes()), (offset, expected), "{value}");
        }
        assert_eq!(fault(b"{\"a\":\"\xff\"}"), (6, Fault::Utf8));
    }

    #[test]
    fn every_cut_of_an_object_is_truncated_at_its_end() {
        let value = r#" {"a":[1,-2.5e3,{"b":null,"t":true,"f":false}],"c":"xé\n€€€€"}"#.as_bytes();
        assert!(check(value).is_ok());
        for end in 2..value.len() {
            let cut = &value[..end];
            match check(cut) {
                Err(NotAnObject { offset, fault: Fault::Truncated }) => assert_eq!(offset, end),
                Err(NotAnObject { fault: Fault::Utf8, .. }) => assert!(std::str::from_utf8(cut).is_err()),
                other => panic!("{other:?} for the first {end} bytes"),
            }
        }
    }

    #[test]
    fn the_depth_limit_holds_exactly() {
        let nested = |depth: usize| format!("{}{}{}", "{\"a\":".repeat(depth - 1), "{}", "}".repeat(depth - 1));
        assert!(check(nested(MAX_DEPTH as usize).as_bytes()).is_ok());
        let (offset, why) = fault(nested(MAX_DEPTH as usize + 1).as_bytes());
        assert_eq!((offset, why), (5 * MAX_DEPTH as usize, Fault::TooDeep));
        let arrays = format!("{{\"a\":{}", "[".repeat(1_000_000));
        assert_eq!(fault(arrays.as_bytes()).1, Fault::TooDeep);
    }

    /// What serde_json says, which has no depth limit for values it does not build.
    fn oracle(value: &[u8]) -> bool {
        let object = value.iter().find(|byte| !b" \t\r\n".contains(byte)) == Some(&b'{');
        object && serde_json::from_slice::<&RawValue>(value).is_ok()
    }

    fn json() -> impl Strategy<Value = String> {
        let text = prop_oneof!["[a-z\\u{e9}\\u{4e2d}]{0,20}", r#"(\\["\\/bfnrt]|\\u[0-9a-fA-F]{4}|x){0,6}"#];
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
            text.clone().prop_map(|text| format!("\"{text}\"")),
        ];
        leaf.prop_recursive(5, 40, 6, move |inner| {
            let space = "[ \t\r\n]{0,2}";
            let member = (text.clone(), space, inner.clone())
                .prop_map(|(key, space, value)| format!("{space}\"{key}\"{space}:{space}{value}{space}"));
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(","))),
                prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn it_agrees_with_serde_json_on_documents(document in json()) {
            prop_assert_eq!(check(document.as_bytes()).is_ok(), oracle(document.as_bytes()));
            let wrapped = format!("{{\"w\":{document}}}");
            prop_assert!(check(wrapped.as_bytes()).is_ok(), "{}", wrapped);
        }

        #[test]
        fn it_agrees_with_serde_json_on_damaged_documents(
            document in json(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), 0..3, prop_oneof![
                prop::sample::select(br#"{}[]",:\0-+.eEu ntf"#.to_vec()), any::<u8>(),
            ]), 1..4),
        ) {
            let mut bytes = format!("{{\"w\":{document}}}").into_bytes();
            for (index, kind, byte) in damage {
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    _ if bytes.len() > 1 => drop(bytes.remove(at)),
                    _ => {}
                }
            }
            let ours = check(&bytes);
            prop_assert_eq!(ours.is_ok(), oracle(&bytes), "{:?} {:?}", ours, String::from_utf8_lossy(&bytes));
            if let Err(error) = ours {
                prop_assert!(error.offset <= bytes.len());
            }
        }

        #[test]
        fn it_agrees_with_serde_json_on_noise(bytes in prop::collection::vec(
            prop::sample::select(b"{}[]\"\\,:0123456789-+.eEtruefalsn \xc3\xa9\xff\x1f".to_vec()), 0..40,
        )) {
            prop_assert_eq!(check(&bytes).is_ok(), oracle(&bytes));
        }

        #[test]
        fn the_scan_finds_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut scan = Scan { value: &bytes, at: 0, line_breaks: false };
            scan.plain_run();
            let expected = bytes.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < 0x20);
            prop_assert_eq!(scan.at, expected.unwrap_or(bytes.len()));
        }
    }
}
