//! SaslHandshake: PLAIN, if anybody has to log in.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Call, Reply, Serve};
use crate::sasl::MECHANISM;

impl Serve for SaslHandshakeRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<SaslHandshakeResponse> {
        Reply::Answer(response(error))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<SaslHandshakeResponse> {
        match call.sasl.handshake(call.version, &self.mechanism) {
            Ok(()) => Reply::Answer(response(ErrorCode::NONE)),
            // Out of place, but not wrong enough to close (`KafkaApis.handleSaslHandshakeRequest`).
            Err(error @ ErrorCode::ILLEGAL_SASL_STATE) => self.refuse(call.version, error),
            Err(error) => Reply::AnswerAndClose(response(error), format!("{error} {:?}", self.mechanism)),
        }
    }
}

fn response(error_code: ErrorCode) -> SaslHandshakeResponse {
    SaslHandshakeResponse { error_code, mechanisms: vec![MECHANISM.to_owned()] }
}
