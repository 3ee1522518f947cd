//! Heartbeat: keeps a member alive and tells it of a rebalance.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{HeartbeatRequest, HeartbeatResponse};

use super::{Call, Reply, Serve};

impl Serve for HeartbeatRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<HeartbeatResponse> {
        Reply::Answer(HeartbeatResponse { error_code, ..HeartbeatResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<HeartbeatResponse> {
        let now = call.shared.now();
        let beat = || call.shared.coordinator.with(|groups| groups.heartbeat(now, &self));
        let error = call.check_coordinator(&self.group_id).map_or_else(|error| error, |()| beat());
        self.refuse(call.version, error)
    }
}
