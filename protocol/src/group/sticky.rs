//! What the sticky assignor remembers, in the user data of a subscription (`StickyAssignor` at 2.3.1).

use bytes::Bytes;

use super::{GroupTopicPartitions, whole};
use crate::wire::{DecodeError, EncodeError, Reader, Wire, Writer};

/// What a member held after the last rebalance. No version stands in front: the second form (KIP-341) has a generation at
/// its end, the first one has not.
///
/// Kafka's assignor takes user data that it cannot read for none at all; so should who calls this.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StickyUserData {
    /// The partitions, a topic at a time.
    pub previous_assignment: Vec<GroupTopicPartitions>,
    /// The generation in which it held them, -1 for none; `None`: written in the first form.
    pub generation: Option<i32>,
}

impl StickyUserData {
    const NAME: &'static str = "StickyUserData";

    /// Reads the user data. What follows the generation is passed over.
    pub fn read(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut input = Reader::new(1, bytes);
        Self::decode(&mut input).map_err(|e| e.in_message(Self::NAME))
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        let previous_assignment = Wire::decode(input).map_err(|e| e.in_field("previous_assignment"))?;
        // Kafka reads the second form and, if that fails, the first: a generation that is cut is one that is not there.
        let generation = if input.left() < size_of::<i32>() { None } else { Some(i32::decode(input)?) };
        Ok(Self { previous_assignment, generation })
    }

    /// The user data, in the first form if there is no generation.
    pub fn write(&self) -> Result<Bytes, EncodeError> {
        let mut out = Writer::new(i16::from(self.generation.is_some()));
        self.encode(&mut out).map_err(|e| e.in_message(Self::NAME))?;
        Ok(whole(out))
    }

    fn encode(&self, out: &mut Writer) -> Result<(), EncodeError> {
        self.previous_assignment.encode(out).map_err(|e| e.in_field("previous_assignment"))?;
        self.generation.map_or(Ok(()), |generation| generation.encode(out))
    }
}
