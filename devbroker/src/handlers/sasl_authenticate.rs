//! SaslAuthenticate: a token, and how long the login lasts.

use std::time::Duration;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{SaslAuthenticateRequest, SaslAuthenticateResponse};

use super::{Call, Reply, Serve};

impl Serve for SaslAuthenticateRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<SaslAuthenticateResponse> {
        Reply::Answer(failed(error, error.message()))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<SaslAuthenticateResponse> {
        let logins = &call.shared.settings.logins;
        match call.sasl.token(logins, &self.auth_bytes.0, call.shared.moment()) {
            Ok(answer) => Reply::Answer(SaslAuthenticateResponse {
                auth_bytes: answer.token.unwrap_or_default().into(),
                // What a version 0 cannot say is enforced all the same, as in Kafka.
                session_lifetime_ms: if call.version == 0 { 0 } else { milliseconds(answer.lifetime) },
                ..SaslAuthenticateResponse::default()
            }),
            Err((error @ ErrorCode::ILLEGAL_SASL_STATE, why)) => Reply::Answer(failed(error, &why)),
            Err((error, why)) => Reply::AnswerAndClose(failed(error, &why), why),
        }
    }
}

fn milliseconds(lifetime: Option<Duration>) -> i64 {
    lifetime.map_or(0, |lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
}

fn failed(error_code: ErrorCode, why: &str) -> SaslAuthenticateResponse {
    SaslAuthenticateResponse { error_code, error_message: Some(why.to_owned()), ..SaslAuthenticateResponse::default() }
}
