//! InitProducerId: a number for an idempotent producer. There are no transactions here yet.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse};
use tracing::warn;

use super::{Call, Reply, Serve};

impl Serve for InitProducerIdRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<InitProducerIdResponse> {
        Reply::Answer(InitProducerIdResponse { error_code, producer_epoch: -1, ..InitProducerIdResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<InitProducerIdResponse> {
        if let Some(transactional_id) = &self.transactional_id {
            warn!(transactional_id, "refused: the development broker has no transactions");
            return self.refuse(call.version, ErrorCode::INVALID_REQUEST);
        }
        let producer_id = call.shared.producer_id();
        Reply::Answer(InitProducerIdResponse { producer_id, producer_epoch: 0, ..InitProducerIdResponse::default() })
    }
}
