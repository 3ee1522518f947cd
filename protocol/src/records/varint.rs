//! Zigzag varints, as protocol buffers have them (`ByteUtils` at 2.3.1): at most 5 bytes, 10 for a varlong.

/// Appends `value` to `out`.
#[inline]
pub fn put_varint(out: &mut Vec<u8>, value: i32) {
    let (bytes, len) = varint(value);
    out.extend_from_slice(&bytes[..len]);
}

/// Appends `value` to `out`.
#[inline]
pub fn put_varlong(out: &mut Vec<u8>, value: i64) {
    let mut rest = zigzag_long(value);
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// The bytes of a varint and how many there are.
#[inline]
pub(crate) fn varint(value: i32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut rest = zigzag(value);
    let mut len = 0;
    while rest >= 0x80 && len < 4 {
        bytes[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    (bytes, len + 1)
}

/// How many bytes a varint takes.
#[inline]
pub(crate) fn varint_len(value: i32) -> usize {
    let bits = 32 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// How many bytes a varlong takes.
#[inline]
pub(crate) fn varlong_len(value: i64) -> usize {
    let bits = 64 - (zigzag_long(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
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
    // Nearly all lengths and deltas fit one byte.
    if let [byte @ 0..=0x7f, rest @ ..] = *input {
        *input = rest;
        let raw = u32::from(*byte);
        return Some((raw >> 1) as i32 ^ -((raw & 1) as i32));
    }
    let raw = u32::try_from(get_raw(input, 5)?).ok()?;
    Some((raw >> 1) as i32 ^ -((raw & 1) as i32))
}

/// Takes a varlong off the front. `None`: it does not end, or says more than 64 bits.
#[inline]
pub fn get_varlong(input: &mut &[u8]) -> Option<i64> {
    let raw = get_raw(input, 10)?;
    Some((raw >> 1) as i64 ^ -((raw & 1) as i64))
}

#[inline]
fn get_raw(input: &mut &[u8], most: usize) -> Option<u64> {
    let mut raw = 0_u64;
    for (i, byte) in input.iter().take(most).enumerate() {
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
