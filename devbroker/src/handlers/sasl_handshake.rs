//! SaslHandshake: names the mechanism, at first or to renew a login.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{SaslHandshakeRequest, SaslHandshakeResponse};

use super::{Call, Reply, Serve};

impl Serve for SaslHandshakeRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<SaslHandshakeResponse> {
        Reply::Answer(SaslHandshakeResponse { error_code, mechanisms: Vec::new() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<SaslHandshakeResponse> {
        let logins = &call.shared.settings.logins;
        let response = |error_code| SaslHandshakeResponse { error_code, mechanisms: logins.mechanisms() };
        match call.sasl.handshake(logins, call.version, &self.mechanism, call.shared.now()) {
            Ok(()) => Reply::Answer(response(ErrorCode::NONE)),
            // Out of place, but not wrong enough to close (`KafkaApis.handleSaslHandshakeRequest`).
            Err(error @ ErrorCode::ILLEGAL_SASL_STATE) => Reply::Answer(response(error)),
            Err(error) => Reply::AnswerAndClose(response(error), format!("{error} {:?}", self.mechanism)),
        }
    }
}
