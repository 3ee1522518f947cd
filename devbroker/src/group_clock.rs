//! Drives the groups' deadlines.
use crate::shared::Shared;
use std::sync::Arc;
pub(crate) async fn run(_: Arc<Shared>) {}
