//! A record, as it stands in its batch.

use super::varint::get_varint;

/// A record. Its fields are slices of the batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its time in milliseconds since 1970; the broker's under LogAppendTime.
    pub timestamp_ms: i64,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

/// A header: a name that may stand more than once, and a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name; may be empty, never null.
    pub key: &'a str,
    /// The value.
    pub value: Option<&'a [u8]>,
}

/// A record's headers, still encoded. They were checked when the record was read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Headers<'a> {
    pub(super) count: i32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Headers<'a> {
    /// How many there are.
    pub fn len(self) -> usize {
        self.count as usize
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// How many bytes they take in a batch, their count apart.
    pub fn encoded_len(self) -> usize {
        self.bytes.len()
    }

    /// Each, in order.
    pub fn iter(self) -> HeaderIter<'a> {
        HeaderIter { bytes: self.bytes }
    }

    /// The value of the last header of this name, which is the one that counts in Kafka (`Headers.lastHeader`).
    pub fn last(self, key: &str) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|header| header.key == key).last().map(|header| header.value)
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeaderIter<'a>;

    fn into_iter(self) -> HeaderIter<'a> {
        self.iter()
    }
}

/// Goes through the headers of a record.
#[derive(Debug, Clone)]
pub struct HeaderIter<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        take_header(&mut self.bytes).ok()
    }
}

/// Takes `len` bytes off the front.
#[inline]
pub(super) fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

/// Takes a length and that many bytes; -1 is null.
#[inline]
pub(super) fn take_nullable<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match get_varint(input)? {
        -1 => Some(None),
        len => take(input, usize::try_from(len).ok()?).map(Some),
    }
}

pub(super) fn take_header<'a>(input: &mut &'a [u8]) -> Result<Header<'a>, &'static str> {
    const CUT: &str = "a header is cut or has a bad length";
    let key = take_nullable(input).ok_or(CUT)?.ok_or("a header has no name")?;
    let key = std::str::from_utf8(key).map_err(|_| "a header's name is not UTF-8")?;
    let value = take_nullable(input).ok_or(CUT)?;
    Ok(Header { key, value })
}
