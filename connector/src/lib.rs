//! Moves JSON records into and out of Kafka.
//!
//! This is the library behind the `ottla` binary: `main.rs` only calls [`cli::main`], so that tests can drive
//! every command in-process. It is no API for other programs; use `ottla-client` for that.
//!
//! ```
//! use ottla_connector::config::{self, FixedEnvironment};
//!
//! let text = r#"
//!     [connections.files]
//!     kind = "jsonl"
//!     path = "orders.jsonl"
//! "#;
//! let checked = config::check_text("shop.toml".as_ref(), text, &FixedEnvironment::default());
//! assert!(checked.config.is_some());
//! ```
//!
//! A record walks one way: [`source`] reads it under the [`core`] plan, [`format`](mod@format) checks that it is a
//! JSON object, [`target`] writes it, and only what the target acknowledged is committed.
//!
//! Deliberately absent: a transformation language, a plugin interface, a coordinator process. Records travel as the
//! bytes they came as.

pub mod cli;
pub mod config;
pub mod core;
pub mod event;
pub mod exit;
pub mod file_id;
pub mod format;
pub mod mode;
pub(crate) mod orders;
pub mod outage;
pub mod progress;
pub mod resources;
pub mod secret;
pub mod source;
pub mod state;
pub mod target;
pub mod task;
