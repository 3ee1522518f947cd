//! Reading a metadata answer piece by piece, for clients that keep it in a form of their own.

use bytes::Bytes;

use super::{MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic};
use crate::messages::read_by;
use crate::wire::array::take_count;
use crate::wire::macros::{ReadFields, decode_field};
use crate::wire::{DecodeError, DecodeErrorKind, Gate, Reader, Wire};

/// Takes the brokers, partitions and topics of a metadata answer while it is read, in the order of the wire.
///
/// Each method returns false if keeping the value would take more than `left` bytes of memory beyond what
/// [`held`](Self::held) says. Reading ends with [`DecodeErrorKind::TooDense`] then.
pub trait MetadataVisitor {
    /// How many bytes of memory it holds now.
    fn held(&self) -> usize;

    /// Takes a broker.
    fn broker(&mut self, broker: MetadataResponseBroker, left: usize) -> bool;

    /// Takes a partition of the topic that the next call of [`topic`](Self::topic) names.
    fn partition(&mut self, partition: MetadataResponsePartition, left: usize) -> bool;

    /// Takes a topic, whose partitions came before.
    fn topic(&mut self, topic: MetadataResponseTopic, left: usize) -> bool;
}

impl MetadataResponse {
    /// Reads a body as [`Message::read`](crate::messages::Message::read) does, but gives its brokers, partitions and topics
    /// to `visitor` one by one: they are never all in memory as messages, and returned are the other fields. What the visitor
    /// holds and what is read at the moment stay below [`MEMORY_PER_BYTE`](crate::wire::MEMORY_PER_BYTE) times the body and
    /// [`MEMORY_ON_TOP`](crate::wire::MEMORY_ON_TOP).
    pub fn visit(version: i16, body: Bytes, visitor: &mut impl MetadataVisitor) -> Result<Self, DecodeError> {
        read_by(version, body, |input| Self::decode_by(input, &mut OfAnswer(visitor)))
    }
}

/// The fields of an answer.
struct OfAnswer<'v, V>(&'v mut V);

impl<V: MetadataVisitor> ReadFields for OfAnswer<'_, V> {
    #[inline]
    fn field<T: Wire>(
        &mut self,
        input: &mut Reader,
        gate: Gate,
        name: &'static str,
        default: impl FnOnce() -> T,
    ) -> Result<T, DecodeError> {
        let visited = match name {
            "brokers" => each(input, self.0, |input, _| MetadataResponseBroker::decode(input), V::broker),
            "topics" => {
                let topic = |input: &mut Reader, visitor: &mut V| {
                    MetadataResponseTopic::decode_by(input, &mut OfTopic(visitor))
                };
                each(input, self.0, topic, V::topic)
            }
            _ => return decode_field(input, gate, name, default),
        };
        visited.map_err(|e| e.in_field(name))?;
        Ok(default())
    }
}

/// The fields of a topic.
struct OfTopic<'v, V>(&'v mut V);

impl<V: MetadataVisitor> ReadFields for OfTopic<'_, V> {
    #[inline]
    fn field<T: Wire>(
        &mut self,
        input: &mut Reader,
        gate: Gate,
        name: &'static str,
        default: impl FnOnce() -> T,
    ) -> Result<T, DecodeError> {
        if name != "partitions" {
            return decode_field(input, gate, name, default);
        }
        let partitions = each(input, self.0, |input, _| MetadataResponsePartition::decode(input), V::partition);
        partitions.map_err(|e| e.in_field(name))?;
        Ok(default())
    }
}

/// Reads the elements of an array, each of which `take` gets before the next one is read.
fn each<V: MetadataVisitor, T>(
    input: &mut Reader,
    visitor: &mut V,
    read: impl Fn(&mut Reader, &mut V) -> Result<T, DecodeError>,
    take: impl Fn(&mut V, T, usize) -> bool,
) -> Result<(), DecodeError> {
    let count = take_count(input)?.ok_or_else(|| input.fail(DecodeErrorKind::Null))?;
    for i in 0..count {
        let held = visitor.held();
        let element = |input: &mut Reader| {
            let element = read(input, visitor)?;
            // The elements of this element are held by now, too.
            let left = input.memory_left().saturating_sub(visitor.held().saturating_sub(held));
            if take(visitor, element, left) {
                return Ok(());
            }
            Err(input.fail(DecodeErrorKind::TooDense { count, left: input.left() }))
        };
        input.lend(held, element).map_err(|e| e.in_element(i))?;
    }
    Ok(())
}
