//! JoinGroup: waits until the group's rebalance ends.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{JoinGroupRequest, JoinGroupResponse};

use super::{Call, Reply, Serve};
use crate::groups::join_error;

/// The first version that is told its member id before it may join (KIP-394).
const FIRST_WITH_ID_FIRST: i16 = 4;
/// The first version with static members (KIP-345).
const FIRST_WITH_INSTANCES: i16 = 5;

impl Serve for JoinGroupRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<JoinGroupResponse> {
        Reply::Answer(join_error(error, self.member_id.clone()))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<JoinGroupResponse> {
        if let Err(error) = call.check_coordinator(&self.group_id) {
            return self.refuse(call.version, error);
        }
        let now = call.shared.now();
        let needs_id_first = call.version >= FIRST_WITH_ID_FIRST;
        let joined = call.shared.coordinator.join(now, call.client_id, needs_id_first, &self).await;
        let Some(mut joined) = joined else { return Reply::Close("the broker stops".to_owned()) };
        if call.version < FIRST_WITH_INSTANCES {
            // Other members may have one; this leader cannot be told.
            joined.members.iter_mut().for_each(|member| member.group_instance_id = None);
        }
        Reply::Answer(joined)
    }
}
