//! What a member gets.

use bytes::Bytes;

use super::{GroupTopicPartitions, Payload};
use crate::wire::macros::messages;
use crate::wire::{DecodeError, EncodeError};

messages! {
    /// What a member is to read, from the leader (`ConsumerProtocol.ASSIGNMENT_V0`; V1 has the same layout).
    struct Assignment {
        /// The partitions, a topic at a time.
        partitions: Vec<GroupTopicPartitions>,
        /// What the leader's assignor wants to say to the member's.
        user_data: Option<Bytes>,
    }
}

impl Assignment {
    const NAME: &'static str = "Assignment";
    const KNOWN: i16 = 1;

    /// Reads SyncGroup's answer. No byte at all is no partition: so it is for a member that the leader left out.
    pub fn read(bytes: Bytes) -> Result<Payload<Self>, DecodeError> {
        if bytes.is_empty() {
            return Ok(Payload { version: 0, body: Self::default() });
        }
        super::read(Self::NAME, Self::KNOWN, bytes)
    }

    /// The bytes for SyncGroup. Version 0 is what clients of Kafka 2.3 write.
    pub fn write(&self, version: i16) -> Result<Bytes, EncodeError> {
        super::write(Self::NAME, Self::KNOWN, version, self)
    }
}
