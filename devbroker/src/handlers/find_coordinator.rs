//! FindCoordinator: the groups are spread over the nodes that are up.

use ottla_protocol::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use ottla_protocol::{CoordinatorType, ErrorCode};

use super::{Call, Reply, Serve};

impl Serve for FindCoordinatorRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<FindCoordinatorResponse> {
        let error_message = Some(error_code.message().to_owned());
        Reply::Answer(failed(error_code, error_message))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<FindCoordinatorResponse> {
        if self.key_type != CoordinatorType::GROUP {
            let why = "the development broker has no transactions".to_owned();
            return Reply::Answer(failed(ErrorCode::INVALID_REQUEST, Some(why)));
        }
        let mut cluster = call.shared.cluster();
        cluster.create_group_metadata_topic();
        let node = cluster.coordinator(&self.key);
        let Some((node_id, node)) = node.and_then(|id| cluster.alive().find(|(alive, _)| *alive == id)) else {
            return self.refuse(call.version, ErrorCode::COORDINATOR_NOT_AVAILABLE);
        };
        Reply::Answer(FindCoordinatorResponse {
            node_id,
            host: node.host.clone(),
            port: node.port.into(),
            ..FindCoordinatorResponse::default()
        })
    }
}

fn failed(error_code: ErrorCode, error_message: Option<String>) -> FindCoordinatorResponse {
    FindCoordinatorResponse { error_code, error_message, node_id: -1, port: -1, ..FindCoordinatorResponse::default() }
}
