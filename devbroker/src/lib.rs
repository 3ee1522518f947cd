//! Under construction.

mod batch;
mod broker;
mod builder;
mod cluster;
mod connection;
mod coordinator;
mod error;
mod faults;
mod groups;
mod handlers;
mod log;
mod node;
mod release;
mod sasl;
mod sequence;
mod session;
mod shared;

pub use broker::{DevBroker, FaultHandle, LogRecord};
pub use builder::Builder;
pub use error::Error;
pub use faults::Fault;
pub use release::Release;
