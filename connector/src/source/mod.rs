//! Where records come from.

pub mod file_position;
pub mod jsonl;
pub mod kafka;
pub mod sniff;
