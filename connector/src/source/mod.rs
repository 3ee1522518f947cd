//! Where records come from.

pub mod jsonl;
pub mod kafka;
