//! The partitions of a topic in one allocation: a cluster has many, and a peer may claim more.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::NodeId;

/// Integers of a row: the id, the leader, its epoch, and where in the list of nodes its own begin.
const ROW: usize = 4;

/// A partition as it was last heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionInfo<'a> {
    pub(crate) id: i32,
    pub(crate) leader: Option<NodeId>,
    /// Rises with each election; `None` from brokers that do not tell (below Metadata v7).
    pub(crate) leader_epoch: Option<i32>,
    pub(crate) replicas: &'a [i32],
    pub(crate) isr: &'a [i32],
}

/// The partitions of a topic, sorted by id.
///
/// One slice of integers: the count of rows, the rows of [`ROW`] integers, and the nodes: for each partition the count of its
/// replicas, the count of those in sync, and their ids. Empty without partitions.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Partitions(Arc<[i32]>);

impl Partitions {
    pub(crate) fn len(&self) -> usize {
        self.0.first().map_or(0, |count| *count as usize)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn rows(&self) -> &[[i32; ROW]] {
        self.0.get(1..1 + self.len() * ROW).unwrap_or_default().as_chunks().0
    }

    fn find(&self, id: i32) -> Option<usize> {
        self.rows().binary_search_by_key(&id, |[id, ..]| *id).ok()
    }

    pub(crate) fn get(&self, id: i32) -> Option<PartitionInfo<'_>> {
        self.rows().get(self.find(id)?).map(|row| self.info(row))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PartitionInfo<'_>> {
        self.rows().iter().map(|row| self.info(row))
    }

    fn info(&self, &[id, leader, epoch, at]: &[i32; ROW]) -> PartitionInfo<'_> {
        let nodes = self.0.get(1 + self.len() * ROW + at as usize..).unwrap_or_default();
        let (replicas, isr) = match nodes {
            [replicas, isr, nodes @ ..] => {
                let (replicas, rest) = nodes.split_at_checked(*replicas as usize).unwrap_or_default();
                (replicas, rest.get(..*isr as usize).unwrap_or_default())
            }
            _ => Default::default(),
        };
        let leader = (leader >= 0).then_some(NodeId(leader));
        PartitionInfo { id, leader, leader_epoch: (epoch >= 0).then_some(epoch), replicas, isr }
    }

    /// Replaces the leader and the epoch of a partition, as long as nobody else has these partitions.
    pub(super) fn set_leader(&mut self, id: i32, leader: Option<NodeId>, leader_epoch: Option<i32>) {
        let Some(found) = self.find(id) else { return };
        if let Some([_, old_leader, old_epoch, _]) = Arc::get_mut(&mut self.0)
            .and_then(|integers| integers.get_mut(1..)?.as_chunks_mut::<ROW>().0.get_mut(found))
        {
            *old_leader = leader.map_or(-1, |leader| leader.0);
            *old_epoch = leader_epoch.unwrap_or(-1);
        }
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Collects the partitions of one topic after another.
#[derive(Debug, Default)]
pub(super) struct PartitionsBuilder {
    rows: Vec<[i32; ROW]>,
    nodes: Vec<i32>,
}

impl PartitionsBuilder {
    /// Beyond so many bytes its buffers are given back after a topic.
    const KEPT: usize = 16 * 1024;

    /// How many bytes of memory it holds.
    pub(super) fn held(&self) -> usize {
        self.rows.capacity() * size_of::<[i32; ROW]>() + self.nodes.capacity() * size_of::<i32>()
    }

    /// How many more bytes of memory the next partition takes while the buffers grow.
    pub(super) fn cost(&self, nodes: usize) -> usize {
        growth(&self.rows, 1) + growth(&self.nodes, nodes + 2)
    }

    pub(super) fn push(&mut self, id: i32, leader: i32, epoch: i32, replicas: &[i32], isr: &[i32]) {
        // A frame is shorter than the integers that count it.
        self.rows.push([id, leader, epoch, self.nodes.len() as i32]);
        self.nodes.extend([replicas.len() as i32, isr.len() as i32]);
        self.nodes.extend_from_slice(replicas);
        self.nodes.extend_from_slice(isr);
    }

    /// How many bytes of memory [`take`](Self::take) allocates.
    pub(super) fn taken(&self) -> usize {
        let integers = 1 + self.rows.len() * ROW + self.nodes.len();
        if self.rows.is_empty() { 0 } else { 2 * size_of::<usize>() + (integers * 4).next_multiple_of(8) }
    }

    /// The partitions since the last call. An id that is there twice or is below 0 is an error.
    pub(super) fn take(&mut self) -> Result<Partitions, i32> {
        if !self.rows.is_sorted_by_key(|[id, ..]| *id) {
            self.rows.sort_unstable_by_key(|[id, ..]| *id);
        }
        let twice = self.rows.windows(2).find_map(|pair| match pair {
            [[a, ..], [b, ..]] if a == b => Some(*a),
            _ => None,
        });
        let negative = self.rows.first().map(|[id, ..]| *id).filter(|id| *id < 0);
        let result = match twice.or(negative) {
            Some(id) => Err(id),
            None if self.rows.is_empty() => Ok(Partitions::default()),
            None => {
                let count = [self.rows.len() as i32];
                let integers = count.iter().chain(self.rows.as_flattened()).chain(&self.nodes);
                Ok(Partitions(integers.copied().collect()))
            }
        };
        self.clear();
        result
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.nodes.clear();
        if self.held() > Self::KEPT {
            *self = Self::default();
        }
    }
}

/// How many more bytes a vector takes at the moment it grows for `more` elements: the old one and the new one are there.
pub(super) fn growth<T>(vec: &Vec<T>, more: usize) -> usize {
    let Range { start: capacity, end: needed } = vec.capacity()..vec.len() + more;
    if needed <= capacity { 0 } else { needed.max(2 * capacity).max(4) * size_of::<T>() }
}
