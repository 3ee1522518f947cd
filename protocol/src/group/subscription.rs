//! What a member wants.

use bytes::Bytes;

use super::Payload;
use crate::wire::macros::messages;
use crate::wire::{DecodeError, EncodeError};

messages! {
    /// What a member wants and has, for the leader (`ConsumerProtocol.SUBSCRIPTION_V0`, V1 by KIP-429).
    struct Subscription {
        /// The topics it wants to read, by name.
        topics: Vec<String>,
        /// What its assignor wants to say to itself, as [`StickyUserData`](super::StickyUserData).
        user_data: Option<Bytes>,
        /// What it holds while it joins, and goes on reading (cooperative rebalancing). Version 0 drops it.
        owned_partitions: Vec<GroupTopicPartitions> [1.., ignorable],
    }

    /// Partitions of a topic.
    struct GroupTopicPartitions {
        /// The topic's name.
        topic: String,
        /// Indexes from 0.
        partitions: Vec<i32>,
    }
}

impl Subscription {
    const NAME: &'static str = "Subscription";
    const KNOWN: i16 = 1;

    /// Reads the metadata of a member in JoinGroup's answer.
    pub fn read(bytes: Bytes) -> Result<Payload<Self>, DecodeError> {
        super::read(Self::NAME, Self::KNOWN, bytes)
    }

    /// The bytes for JoinGroup. Version 0 is what clients of Kafka 2.3 write, version 1 what those from 2.4 on do.
    pub fn write(&self, version: i16) -> Result<Bytes, EncodeError> {
        super::write(Self::NAME, Self::KNOWN, version, self)
    }
}
