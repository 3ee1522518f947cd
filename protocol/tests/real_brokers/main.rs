//! The fifth rung: real brokers. `OTTLA_KAFKA` names the release (default 2.3.1); `testdata/test` runs them all.

mod apis;
mod cluster;
mod groups;
mod logs;
mod peer;
mod records;
mod security;
mod topics;
mod transactions;
