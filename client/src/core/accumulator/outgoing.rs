//! What a user hands over.

use ottla_protocol::records::{Header, Headers, record_size_bound};

/// A record to be sent. It is borrowed: its bytes are copied into their batch, once, before the call returns.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outgoing<'a> {
    /// The partition, if it is not for the key to decide.
    pub partition: Option<i32>,
    /// Its time in milliseconds since 1970. `None` takes the producer's coarse clock; see [`Producer`](crate::Producer).
    pub timestamp_ms: Option<i64>,
    /// The key. Equal keys go to the same partition; an empty key is a key.
    pub key: Option<&'a [u8]>,
    /// The value. `None` is a tombstone, which deletes the key from a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: OutgoingHeaders<'a>,
}

/// An outgoing record's headers.
#[derive(Debug, Clone, Copy, Default)]
pub enum OutgoingHeaders<'a> {
    /// None.
    #[default]
    None,
    /// These, in this order; a name may stand more than once.
    List(&'a [Header<'a>]),
    /// Those of a record that was read, as they stand.
    Raw(Headers<'a>),
}

impl Outgoing<'_> {
    /// The most bytes that it takes in a batch.
    pub(crate) fn size_bound(&self) -> usize {
        let (key, value) = (self.key.map_or(0, <[u8]>::len), self.value.map_or(0, <[u8]>::len));
        match self.headers {
            OutgoingHeaders::None => record_size_bound(key, value, &[]),
            OutgoingHeaders::List(headers) => record_size_bound(key, value, headers),
            OutgoingHeaders::Raw(headers) => record_size_bound(key, value, &[]) + headers.encoded_len(),
        }
    }
}
