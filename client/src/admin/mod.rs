//! What changes a cluster rather than its records.

mod check_read;
mod create_topic;
mod topic_config;

pub use create_topic::{Created, NewTopic};
