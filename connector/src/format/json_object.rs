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
mod tests;
