//! LeaveGroup: a member leaves at once.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};

use super::{Call, Reply, Serve};

impl Serve for LeaveGroupRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<LeaveGroupResponse> {
        Reply::Answer(LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<LeaveGroupResponse> {
        let now = call.shared.now();
        let leave = || call.shared.coordinator.with(|groups| groups.leave(now, &self));
        let error = call.check_coordinator(&self.group_id).map_or_else(|error| error, |()| leave());
        self.refuse(call.version, error)
    }
}
