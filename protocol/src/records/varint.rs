//! Zigzag varints, as protocol buffers have them (`ByteUtils` at 2.3.1): at most 5 bytes, 10 for a varlong.

/// Appends `value` to `out`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    let mut fields = Fields::default();
    fields.varint(value);
    fields.append_to(out);
}

/// Appends `value` to `out`.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut fields = Fields::default();
    fields.varlong(value);
    fields.append_to(out);
}

/// The short fields in front of a record's bytes, gathered so that they reach the batch in one store of a fixed size: a
/// copy of a few bytes whose number is not known is a call, and six of them cost more than all the rest of a record.
#[derive(Default)]
pub(super) struct Fields {
    bytes: [u8; Self::ROOM],
    len: usize,
}

impl Fields {
    /// More than a record's length, attributes, deltas and key length can take: 5 + 1 + 10 + 5 + 5.
    const ROOM: usize = 32;

    #[inline]
    pub(super) fn varint(&mut self, value: i32) {
        self.raw(u64::from(zigzag(value)));
    }

    #[inline]
    pub(super) fn varlong(&mut self, value: i64) {
        self.raw(zigzag_long(value));
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        // The mask takes nothing off and shows the compiler that the index is in range.
        self.bytes[self.len % Self::ROOM] = byte;
        self.len += 1;
    }

    #[inline]
    fn raw(&mut self, mut rest: u64) {
        while rest >= 0x80 {
            self.byte(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.byte(rest as u8);
    }

    #[inline]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        if out.capacity() - out.len() >= Self::ROOM {
            out.extend_from_slice(&self.bytes);
            out.truncate(end);
        } else {
            // Near the end of its room a buffer shall not grow for bytes that are cut off again.
            out.extend_from_slice(self.bytes.get(..self.len).unwrap_or_default());
        }
    }
}

/// How many bytes a varint takes.
#[inline]
pub(crate) fn varint_len(value: i32) -> usize {
    raw_len(u64::from(zigzag(value)))
}

/// How many bytes a varlong takes.
#[inline]
pub(crate) fn varlong_len(value: i64) -> usize {
    raw_len(zigzag_long(value))
}

/// One for each seven bits begun. For up to 64 bits, bits * 9 / 64 is bits / 7 and needs no division.
#[inline]
fn raw_len(raw: u64) -> usize {
    let bits = 64 - (raw | 1).leading_zeros() as usize;
    (bits * 9 + 64) / 64
}

#[inline]
fn zigzag(value: i32) -> u32 {
    ((value << 1) ^ (value >> 31)) as u32
}

#[inline]
fn zigzag_long(value: i64) -> u64 {
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
        _ => get_long::<MOST>(input),
    }
}

fn get_long<const MOST: usize>(input: &mut &[u8]) -> Option<u64> {
    let mut raw = 0_u64;
    for (i, byte) in input.iter().take(MOST).enumerate() {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if i == 9 && bits > 1 {
            return None;
        }
        raw |= bits << (7 * i);
        if byte & 0x80 == 0 {
            *input = input.get(i + 1..)?;
            return Some(raw);
        }
    }
    None
}
