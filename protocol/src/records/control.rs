//! Control batches: the marks of a transaction's end (KIP-98). They take an offset and are never a user's record.

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// The producer's open transaction is undone.
    Abort,
    /// It is done.
    Commit,
    /// A type of a later release: to be passed over.
    Unknown(i16),
}

impl ControlType {
    /// From the key of a control record: int16 version, int16 type. `None`: the key is too short.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let [_, _, high, low, ..] = key else { return None };
        Some(match i16::from_be_bytes([*high, *low]) {
            0 => Self::Abort,
            1 => Self::Commit,
            other => Self::Unknown(other),
        })
    }
}
