//! SaslAuthenticate: the PLAIN token.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::{Call, Reply, Serve};

impl Serve for SaslAuthenticateRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<SaslAuthenticateResponse> {
        Reply::Answer(failed(error, error.message()))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<SaslAuthenticateResponse> {
        match call.sasl.token(&self.auth_bytes.0) {
            Ok(()) => Reply::Answer(SaslAuthenticateResponse::default()),
            Err((error @ ErrorCode::ILLEGAL_SASL_STATE, why)) => Reply::Answer(failed(error, why)),
            Err((error, why)) => Reply::AnswerAndClose(failed(error, why), why.to_owned()),
        }
    }
}

fn failed(error_code: ErrorCode, why: &str) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse { error_code, error_message: Some(why.to_owned()), ..SaslAuthenticateResponse::default() }
}
