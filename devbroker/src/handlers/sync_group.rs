//! SyncGroup: waits until the group's leader has handed out the assignments.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{SyncGroupRequest, SyncGroupResponse};

use super::{Call, Reply, Serve};
use crate::groups::sync_error;

impl Serve for SyncGroupRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<SyncGroupResponse> {
        Reply::Answer(sync_error(error))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<SyncGroupResponse> {
        if let Err(error) = call.check_coordinator(&self.group_id) {
            return self.refuse(call.version, error);
        }
        match call.shared.coordinator.sync(call.shared.now(), &self).await {
            Some(synced) => Reply::Answer(synced),
            None => Reply::Close("the broker stops".to_owned()),
        }
    }
}
