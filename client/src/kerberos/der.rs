//! DER, as much of it as Kerberos uses (X.690 §8 and §10, RFC 4120 §5.1 and §5.2): tags below 31, definite lengths in their
//! shortest form, integers of up to 32 bits.
//!
//! Nothing here recurses: a message is as deep as the code that reads it. A length is checked against what is there before
//! anything is done with it, and nothing is copied before that.

use zeroize::Zeroizing;

use super::error::Malformed;
use super::time::KerberosTime;

/// `INTEGER`.
pub(crate) const INTEGER: u8 = 0x02;
/// `BIT STRING`.
pub(crate) const BIT_STRING: u8 = 0x03;
/// `OCTET STRING`.
pub(crate) const OCTET_STRING: u8 = 0x04;
/// `OBJECT IDENTIFIER`.
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
/// `GeneralizedTime`.
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
/// `GeneralString`: all text of Kerberos (RFC 4120 §5.2.1).
pub(crate) const GENERAL_STRING: u8 = 0x1B;
/// `SEQUENCE` and `SEQUENCE OF`.
pub(crate) const SEQUENCE: u8 = 0x30;

/// The most elements that a list may have. Honest ones have a few dozen; an element can be larger in memory than on the wire.
const MAX_ELEMENTS: usize = 256;

/// `[number]`, explicit.
pub(crate) const fn context(number: u8) -> u8 {
    0xA0 | number
}

/// `[APPLICATION number]`, explicit.
pub(crate) const fn application(number: u8) -> u8 {
    0x60 | number
}

/// Goes through the contents of one value. Copies are independent.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// The name of the whole message, for errors.
    what: &'static str,
    bytes: &'a [u8],
    /// Where `bytes` begins in the message.
    base: usize,
    at: usize,
}

impl<'a> Reader<'a> {
    /// Reads a message. Errors name it by `what`.
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, base: 0, at: 0 }
    }

    /// An error here.
    pub(crate) fn malformed(&self, field: &'static str, problem: &'static str) -> Malformed {
        Malformed { what: self.what, field, at: self.base + self.at, problem }
    }

    /// Whether all is read.
    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The tag of the next value, if there is one.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The bytes that are left, as they are.
    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next value, which must have this tag; the reader that comes back is on its contents.
    pub(crate) fn value(&mut self, tag: u8, field: &'static str) -> Result<Reader<'a>, Malformed> {
        match self.peek() {
            None => Err(self.malformed(field, "it is missing")),
            Some(found) if found == tag => self.any(field),
            Some(_) => Err(self.malformed(field, "another tag stands there")),
        }
    }

    /// The next value if it has this tag.
    pub(crate) fn optional(&mut self, tag: u8, field: &'static str) -> Result<Option<Reader<'a>>, Malformed> {
        if self.peek() == Some(tag) { self.any(field).map(Some) } else { Ok(None) }
    }

    /// The next value with tag and length, as it stands.
    pub(crate) fn raw(&mut self, tag: u8, field: &'static str) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        self.value(tag, field)?;
        Ok(&self.bytes[start..self.at])
    }

    /// The next value, whatever its tag is.
    fn any(&mut self, field: &'static str) -> Result<Reader<'a>, Malformed> {
        let Some(tag) = self.peek() else { return Err(self.malformed(field, "it is missing")) };
        if tag & 0x1F == 0x1F {
            return Err(self.malformed(field, "its tag is longer than a byte"));
        }
        let (length, header) = self.length(field)?;
        let start = self.at + header;
        let Some(contents) = start.checked_add(length).and_then(|end| self.bytes.get(start..end)) else {
            return Err(self.malformed(field, "it is longer than what is there"));
        };
        let inner = Reader { what: self.what, bytes: contents, base: self.base + start, at: 0 };
        self.at = start + length;
        Ok(inner)
    }

    /// The length of the next value and that of its header.
    fn length(&self, field: &'static str) -> Result<(usize, usize), Malformed> {
        let cut = || self.malformed(field, "it is cut in its length");
        let first = *self.bytes.get(self.at + 1).ok_or_else(cut)?;
        if first < 0x80 {
            return Ok((usize::from(first), 2));
        }
        let count = usize::from(first & 0x7F);
        if count == 0 || count > 4 {
            return Err(self.malformed(field, "its length has a form that DER does not allow"));
        }
        let digits = self.bytes.get(self.at + 2..self.at + 2 + count).ok_or_else(cut)?;
        let length = digits.iter().fold(0_usize, |sum, digit| sum << 8 | usize::from(*digit));
        if digits[0] == 0 || length < 0x80 {
            return Err(self.malformed(field, "its length is not in its shortest form"));
        }
        Ok((length, 2 + count))
    }

    /// `[number]`, which must be there.
    pub(crate) fn field(&mut self, number: u8, field: &'static str) -> Result<Reader<'a>, Malformed> {
        self.value(context(number), field)
    }

    /// `[number]` if it is there.
    pub(crate) fn optional_field(&mut self, number: u8, field: &'static str) -> Result<Option<Reader<'a>>, Malformed> {
        self.optional(context(number), field)
    }

    /// `SEQUENCE`.
    pub(crate) fn sequence(&mut self, field: &'static str) -> Result<Reader<'a>, Malformed> {
        self.value(SEQUENCE, field)
    }

    /// Fails if anything is left.
    pub(crate) fn end(self, field: &'static str) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed(field, "something follows it")) }
    }

    /// Fails if anything is left but well-formed values: what later editions add to a sequence (RFC 4120 §1.4.2).
    pub(crate) fn end_extensible(mut self, field: &'static str) -> Result<(), Malformed> {
        while !self.is_empty() {
            self.any(field)?;
        }
        Ok(())
    }

    /// The only value in here, of this tag: what stands in an explicit tag.
    fn only(mut self, tag: u8, field: &'static str) -> Result<Reader<'a>, Malformed> {
        let value = self.value(tag, field)?;
        self.end(field)?;
        Ok(value)
    }

    /// The only value in here is a `SEQUENCE`.
    pub(crate) fn only_sequence(self, field: &'static str) -> Result<Reader<'a>, Malformed> {
        self.only(SEQUENCE, field)
    }

    /// The next value is an integer that fits 33 bits with its sign.
    fn next_integer(&mut self, field: &'static str) -> Result<i64, Malformed> {
        let digits = self.value(INTEGER, field)?;
        let wrong = |problem| Err(digits.malformed(field, problem));
        match *digits.bytes {
            [] => return wrong("the number has no digits"),
            [0, second, ..] if second < 0x80 => return wrong("the number is not in its shortest form"),
            [0xFF, second, ..] if second >= 0x80 => return wrong("the number is not in its shortest form"),
            _ if digits.bytes.len() > 5 => return wrong("the number is too large"),
            _ => {}
        }
        let sign = if digits.bytes[0] < 0x80 { 0 } else { -1 };
        Ok(digits.bytes.iter().fold(sign, |sum, digit| sum << 8 | i64::from(*digit)))
    }

    /// The only value in here is an integer that fits 33 bits with its sign.
    fn integer(mut self, field: &'static str) -> Result<i64, Malformed> {
        let number = self.next_integer(field)?;
        self.end(field)?;
        Ok(number)
    }

    /// The next value is an `Int32`.
    pub(crate) fn next_i32(&mut self, field: &'static str) -> Result<i32, Malformed> {
        i32::try_from(self.next_integer(field)?).map_err(|_| self.malformed(field, "the number is too large"))
    }

    /// The only value in here is an `Int32`.
    pub(crate) fn i32(self, field: &'static str) -> Result<i32, Malformed> {
        i32::try_from(self.integer(field)?).map_err(|_| self.malformed(field, "the number is too large"))
    }

    /// The only value in here is a `UInt32`. Some write it with a sign (RFC 4120 §5.2.4 and §5.3.2 note it for sequence numbers):
    /// those are taken for what they mean.
    pub(crate) fn u32(self, field: &'static str) -> Result<u32, Malformed> {
        let number = self.integer(field)?;
        let unsigned = u32::try_from(number).ok();
        let signed = || i32::try_from(number).ok().map(i32::cast_unsigned);
        unsigned.or_else(signed).ok_or_else(|| self.malformed(field, "the number is too large"))
    }

    /// The only value in here is one number; anything else than `expected` is an error.
    pub(crate) fn exactly(self, expected: i32, field: &'static str) -> Result<(), Malformed> {
        if self.i32(field)? == expected { Ok(()) } else { Err(self.malformed(field, "it has another value")) }
    }

    /// The only value in here is an `OCTET STRING`.
    pub(crate) fn octets(self, field: &'static str) -> Result<&'a [u8], Malformed> {
        self.only(OCTET_STRING, field).map(|octets| octets.bytes)
    }

    /// The only value in here is a `GeneralString` in UTF-8, as everyone writes it.
    pub(crate) fn text(mut self, field: &'static str) -> Result<String, Malformed> {
        let text = self.next_text(field)?;
        self.end(field)?;
        Ok(text)
    }

    /// The only value in here is a `GeneralString` in whatever encoding its writer has.
    pub(crate) fn text_bytes(self, field: &'static str) -> Result<&'a [u8], Malformed> {
        self.only(GENERAL_STRING, field).map(|text| text.bytes)
    }

    /// The next value is a `GeneralString` in UTF-8.
    pub(crate) fn next_text(&mut self, field: &'static str) -> Result<String, Malformed> {
        let text = self.value(GENERAL_STRING, field)?;
        let utf8 = std::str::from_utf8(text.bytes).map_err(|_| text.malformed(field, "it is not UTF-8"))?;
        Ok(utf8.to_owned())
    }

    /// The only value in here is a `KerberosTime`.
    pub(crate) fn time(self, field: &'static str) -> Result<KerberosTime, Malformed> {
        let text = self.only(GENERALIZED_TIME, field)?;
        let problem = "it is not a time of the form YYYYMMDDHHMMSSZ";
        KerberosTime::from_generalized(text.bytes).ok_or_else(|| text.malformed(field, problem))
    }

    /// `[number] KerberosTime` if it is there.
    pub(crate) fn optional_time(&mut self, number: u8, field: &'static str) -> Result<Option<KerberosTime>, Malformed> {
        self.optional_field(number, field)?.map(|time| time.time(field)).transpose()
    }

    /// The only value in here is `Microseconds`.
    pub(crate) fn micros(self, field: &'static str) -> Result<u32, Malformed> {
        let micros = self.u32(field)?;
        if micros < 1_000_000 { Ok(micros) } else { Err(self.malformed(field, "a second has no so many microseconds")) }
    }

    /// The only value in here is `KerberosFlags`: the first 32 flags, the very first in the highest bit. Shorter strings than the
    /// 32 bits that RFC 4120 §5.2.8 demands are filled up.
    pub(crate) fn flags(self, field: &'static str) -> Result<u32, Malformed> {
        let bits = self.only(BIT_STRING, field)?;
        let [unused, octets @ ..] = bits.bytes else { return Err(bits.malformed(field, "the bit string is empty")) };
        if *unused > 7 || (octets.is_empty() && *unused > 0) {
            return Err(bits.malformed(field, "the bit string leaves out more bits than it has"));
        }
        let mut first = [0; 4];
        for (flag, octet) in first.iter_mut().zip(octets) {
            *flag = *octet;
        }
        Ok(u32::from_be_bytes(first))
    }

    /// The only value in here is a `SEQUENCE OF`: reads one element after the other.
    pub(crate) fn each<T>(
        self,
        field: &'static str,
        mut read: impl FnMut(&mut Self) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let mut list = self.only_sequence(field)?;
        let mut all = Vec::new();
        while !list.is_empty() {
            if all.len() == MAX_ELEMENTS {
                return Err(list.malformed(field, "it has too many elements"));
            }
            all.push(read(&mut list)?);
        }
        Ok(all)
    }
}

/// Writes values into a buffer that is erased on drop, also when it grows.
pub(crate) struct Writer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Writer {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(512)) }
    }

    /// What was written.
    pub(crate) fn finish(self) -> Zeroizing<Vec<u8>> {
        self.bytes
    }

    /// Makes room without leaving a copy behind, which `Vec` would.
    fn reserve(&mut self, more: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let mut larger = Vec::with_capacity(needed.max(self.bytes.capacity() * 2));
            larger.extend_from_slice(&self.bytes);
            self.bytes = Zeroizing::new(larger);
        }
    }

    /// Bytes as they are: a value that was encoded before.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.bytes.extend_from_slice(bytes);
    }

    /// A value whose contents `write` writes.
    pub(crate) fn value(&mut self, tag: u8, write: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        write(self);
        let length = self.bytes.len() - start;
        let digits = length.to_be_bytes();
        let leading = digits.iter().take_while(|digit| **digit == 0).count();
        let mut header = vec![tag];
        if length < 0x80 {
            header.push(length as u8);
        } else {
            header.push(0x80 | (digits.len() - leading) as u8);
            header.extend_from_slice(&digits[leading..]);
        }
        self.reserve(header.len());
        self.bytes.splice(start..start, header);
    }

    /// `[number]`, explicit.
    pub(crate) fn field(&mut self, number: u8, write: impl FnOnce(&mut Self)) {
        self.value(context(number), write);
    }

    /// `SEQUENCE`.
    pub(crate) fn sequence(&mut self, write: impl FnOnce(&mut Self)) {
        self.value(SEQUENCE, write);
    }

    /// `INTEGER`.
    pub(crate) fn integer(&mut self, number: impl Into<i64>) {
        let digits = number.into().to_be_bytes();
        let redundant = |pair: &[u8]| {
            matches!(pair, [0, second] if *second < 0x80) || matches!(pair, [0xFF, second] if *second >= 0x80)
        };
        let skip = digits.windows(2).take_while(|pair| redundant(pair)).count();
        self.value(INTEGER, |w| w.raw(&digits[skip..]));
    }

    /// `OCTET STRING`.
    pub(crate) fn octets(&mut self, octets: &[u8]) {
        self.value(OCTET_STRING, |w| w.raw(octets));
    }

    /// `GeneralString`.
    pub(crate) fn text(&mut self, text: &str) {
        self.value(GENERAL_STRING, |w| w.raw(text.as_bytes()));
    }

    /// `KerberosTime`; microseconds are a field of their own.
    pub(crate) fn time(&mut self, time: KerberosTime) {
        self.value(GENERALIZED_TIME, |w| w.raw(time.to_generalized().as_bytes()));
    }

    /// `[number] KerberosTime`, or nothing.
    pub(crate) fn optional_time(&mut self, number: u8, time: Option<KerberosTime>) {
        if let Some(time) = time {
            self.field(number, |w| w.time(time));
        }
    }

    /// `KerberosFlags`, 32 of them.
    pub(crate) fn flags(&mut self, flags: u32) {
        self.value(BIT_STRING, |w| {
            w.raw(&[0]);
            w.raw(&flags.to_be_bytes());
        });
    }
}

#[cfg(test)]
mod tests;
