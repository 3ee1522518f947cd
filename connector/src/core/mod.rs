//! What decides, without a clock, a socket or a file: where a task starts and stops, what may be committed, and when.
//!
//! Time and numbers are arguments, decisions are values; the drivers in [`task`](crate::task) carry them out.

pub mod batcher;
pub mod checkpoint;
pub mod evidence;
pub mod placement;
pub mod plan;
pub mod seen_topics;
pub mod sole;
pub mod trouble;
