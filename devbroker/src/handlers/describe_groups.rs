//! DescribeGroups: which members groups have, from their coordinator.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup};

use super::{Call, Reply, Serve};

impl Serve for DescribeGroupsRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<DescribeGroupsResponse> {
        let refused = |id: &String| DescribedGroup { error_code, group_id: id.clone(), ..DescribedGroup::default() };
        let groups = self.groups.iter().map(refused).collect();
        Reply::Answer(DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<DescribeGroupsResponse> {
        let describe = |id: &String| match call.check_coordinator(id) {
            Ok(()) => call.shared.coordinator.with(|groups| groups.describe(id)),
            Err(error_code) => DescribedGroup { error_code, group_id: id.clone(), ..DescribedGroup::default() },
        };
        let groups = self.groups.iter().map(describe).collect();
        Reply::Answer(DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
    }
}
