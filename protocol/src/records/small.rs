//! The record as most are, written from two registers: what stands before its value is 16 bytes at most.

use super::varint::{SHORT, Short, raw_field, short, word_of, zigzag_long};

/// The longest key that fits into a register together with the value's length.
const KEY_LIMIT: usize = 6;
/// What is stored at once before the value.
const PREFIX: usize = 16;

/// Appends a record without headers, if it is small: a key of at most six bytes or none, a value that is not null, and no
/// length or delta that takes more than two bytes. `false`, and nothing is appended: it is not, or `out` has no room for it
/// as it stands, with those bytes of the prefix that are cut off again.
///
/// One check for room, two stores and one copy. In `ottla-bench codec` a value of 100 bytes with a key took 10.3 ns with each
/// field appended by itself, and takes 6.0 so.
#[inline(always)]
#[expect(clippy::inline_always, reason = "measured: as a call, 7.3 ns instead of 6.2")]
pub(super) fn put_small(
    out: &mut Vec<u8>,
    timestamp_delta: i64,
    index: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> bool {
    let (Some(value), timestamp, offset) = (value, zigzag_long(timestamp_delta), u64::from(index.cast_unsigned()) << 1)
    else {
        return false;
    };
    let (key_bytes, value_len) = (key.unwrap_or_default(), (value.len() as u64) << 1);
    if timestamp >= 0x80 || offset | value_len >= SHORT || key_bytes.len() > KEY_LIMIT {
        return false;
    }
    let (timestamp, offset, value_len) = (short(timestamp), short(offset), short(value_len));
    let fields = timestamp.then(offset).then(short(raw_field(key)));
    // Attributes before the fields, behind the value the number of headers.
    let body = 2 + fields.len() + key_bytes.len() + value_len.len() + value.len();
    let raw_body = (body as u64) << 1;
    if raw_body >= SHORT {
        return false;
    }
    let head = short(raw_body).then(Short::ZERO).then(fields);
    let second = Short::of(word_of(key_bytes), key_bytes.len()).then(value_len);
    let room = (out.capacity() - out.len()).checked_sub(PREFIX);
    if room.is_none_or(|room| room < head.len() + second.len() + value.len() + 1) {
        return false;
    }
    let end = out.len() + head.len() + second.len();
    out.extend_from_slice(&head.and(second));
    out.truncate(end);
    out.extend_from_slice(value);
    out.push(0);
    true
}
