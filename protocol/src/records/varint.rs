//! Zigzag varints, as protocol buffers have them (`ByteUtils` at 2.3.1): at most 5 bytes, 10 for a varlong.

/// What takes one byte or two: nearly all lengths and deltas do.
pub(super) const SHORT: u64 = 1 << 14;

/// Appends `value` to `out`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_raw(out, u64::from(zigzag(value)));
}

/// Appends `value` to `out`.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_raw(out, zigzag_long(value));
}

/// Appends what a record begins with: its length, no attributes, its deltas (the offset's is its index), its key's length. `rest` is how
/// many bytes follow; room is made for them.
///
/// Short fields are gathered in a register and stored at once: a copy of a few bytes whose number is not known is a call,
/// and six of them were measured to cost five times the rest of a record.
#[inline]
pub(super) fn put_head(out: &mut Vec<u8>, timestamp_delta: i64, index: i32, key: Option<&[u8]>, rest: usize) {
    let raw = [zigzag_long(timestamp_delta), u64::from(zigzag(index)), raw_field(key)];
    let [timestamp, offset, key] = raw;
    if timestamp | offset | key < SHORT {
        let fields = short(timestamp).then(short(offset)).then(short(key));
        let body = 1 + fields.len() + rest;
        let raw_body = (body as u64) << 1;
        let length = short(raw_body);
        // Between the length and the rest are the attributes.
        if raw_body < SHORT && length.len() + 1 + fields.len() <= size_of::<u64>() {
            let head = length.then(Short::ZERO).then(fields);
            out.reserve(body + length.len());
            store(out, head);
            return;
        }
    }
    put_long_head(out, raw, rest);
}

#[inline(never)]
fn put_long_head(out: &mut Vec<u8>, fields: [u64; 3], rest: usize) {
    let body = 1 + fields.into_iter().map(raw_len).sum::<usize>() + rest;
    let raw_body = u64::from(zigzag(body as i32));
    out.reserve(body + raw_len(raw_body));
    put_raw(out, raw_body);
    out.push(0);
    for field in fields {
        put_raw(out, field);
    }
}

#[inline]
fn put_raw(out: &mut Vec<u8>, raw: u64) {
    if raw < SHORT { store(out, short(raw)) } else { put_long(out, raw) }
}

#[inline(never)]
fn put_long(out: &mut Vec<u8>, mut rest: u64) {
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A few bytes in a register, the first one lowest.
#[derive(Clone, Copy)]
pub(super) struct Short {
    word: u64,
    /// Eight for each byte: what follows is shifted by it.
    bits: u32,
}

impl Short {
    /// One byte, 0.
    pub(super) const ZERO: Self = Self { word: 0, bits: 8 };

    /// The lowest `len` bytes of a word; the others are 0.
    #[inline]
    pub(super) fn of(word: u64, len: usize) -> Self {
        Self { word, bits: 8 * len as u32 }
    }

    #[inline]
    pub(super) fn len(self) -> usize {
        (self.bits / 8) as usize
    }

    /// Both, which take at most 8 bytes.
    #[inline]
    pub(super) fn then(self, next: Self) -> Self {
        Self { word: self.word | next.word << self.bits, bits: self.bits + next.bits }
    }

    /// Both, where this one takes at most 7 bytes, with zeros to the end.
    #[inline]
    pub(super) fn and(self, next: Self) -> [u8; 16] {
        // By one and then by the rest: a shift by all 64 bits, after an empty one, is none.
        let (low, high) = (next.word << self.bits, (next.word >> 1) >> (63 - self.bits));
        (u128::from(self.word | low) | u128::from(high) << 64).to_le_bytes()
    }
}

/// The bytes of what is below [`SHORT`].
#[inline]
pub(super) fn short(raw: u64) -> Short {
    // A branch, for it goes the same way record after record.
    if raw < 0x80 {
        Short { word: raw, bits: 8 }
    } else {
        Short { word: raw & 0x7f | 0x80 | raw << 1 & 0x7f00, bits: 16 }
    }
}

#[inline]
fn store(out: &mut Vec<u8>, short: Short) {
    let bytes = short.word.to_le_bytes();
    let (len, end) = (short.len(), out.len() + short.len());
    if out.capacity() - out.len() >= bytes.len() {
        // All eight, for that is one store, and then as many as count.
        out.extend_from_slice(&bytes);
        out.truncate(end);
    } else {
        // Near the end of its room a buffer shall not grow for bytes that are cut off again.
        out.extend_from_slice(bytes.get(..len).unwrap_or_default());
    }
}

/// Appends a field: its length and its bytes, or a null.
#[inline]
pub(super) fn put_field(out: &mut Vec<u8>, field: Option<&[u8]>) {
    put_raw(out, raw_field(field));
    if let Some(field) = field {
        out.extend_from_slice(field);
    }
}

/// How many bytes [`put_field`] appends.
#[inline]
pub(super) fn field_len(field: Option<&[u8]>) -> usize {
    raw_len(raw_field(field)) + field.map_or(0, <[u8]>::len)
}

/// A field's length in zigzag, where -1 is null.
#[inline]
pub(super) fn raw_field(field: Option<&[u8]>) -> u64 {
    field.map_or(1, |field| (field.len() as u64) << 1)
}

/// Appends a few bytes as [`store`] does, more of them with a copy.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() > size_of::<u64>() {
        return out.extend_from_slice(bytes);
    }
    store(out, Short::of(word_of(bytes), bytes.len()));
}

/// At most eight bytes, the first one lowest. Read from both ends; where the two overlap they say the same.
#[inline]
pub(super) fn word_of(bytes: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (bytes.len() - 4));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << (8 * (bytes.len() - 2));
    }
    bytes.first().map_or(0, |byte| u64::from(*byte))
}

/// How many bytes a varint takes.
#[inline]
pub(crate) fn varint_len(value: i32) -> usize {
    raw_len(u64::from(zigzag(value)))
}

/// One for each seven bits begun. For up to 64 bits, bits * 9 / 64 is bits / 7 and needs no division.
#[inline]
fn raw_len(raw: u64) -> usize {
    if raw < SHORT {
        return 1 + usize::from(raw >= 0x80);
    }
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64
}

#[inline]
fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline]
pub(super) fn zigzag_long(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Takes a varint off the front. `None`: it does not end, or says more than 32 bits.
#[inline]
pub fn get_varint(input: &mut &[u8]) -> Option<i32> {
    let raw = get_raw::<5>(input)?;
    let raw = u32::try_from(raw).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a varlong off the front. `None`: it does not end, or says more than 64 bits.
#[inline]
pub fn get_varlong(input: &mut &[u8]) -> Option<i64> {
    let raw = get_raw::<10>(input)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[inline]
fn get_raw<const MOST: usize>(input: &mut &[u8]) -> Option<u64> {
    // Nearly all lengths and deltas take one byte or two.
    match *input {
        [one @ 0..=0x7f, rest @ ..] => {
            *input = rest;
            Some(u64::from(*one))
        }
        [one, two @ 0..=0x7f, rest @ ..] => {
            *input = rest;
            Some(u64::from(*one & 0x7f) | u64::from(*two) << 7)
        }
        _ => {
            let (raw, rest) = get_long::<MOST>(input)?;
            *input = rest;
            Some(raw)
        }
    }
}

// Apart, and by value: inlined, or with a reference to what is left, it keeps the short ones out of registers.
#[inline(never)]
fn get_long<const MOST: usize>(input: &[u8]) -> Option<(u64, &[u8])> {
    let mut raw = 0_u64;
    for (i, byte) in input.iter().take(MOST).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if i == 9 && bits > 1 {
            return None;
        }
        raw |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return Some((raw, input.get(i + 1..)?));
        }
    }
    None
}
