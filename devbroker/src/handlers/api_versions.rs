//! ApiVersions: what the played release serves.

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse, ApiVersionsResponseKey};

use super::{Call, Reply, Serve};

impl Serve for ApiVersionsRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<ApiVersionsResponse> {
        Reply::Answer(ApiVersionsResponse { error_code, ..ApiVersionsResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<ApiVersionsResponse> {
        let api_keys = call.shared.settings.release.all_versions().map(|(api, versions)| ApiVersionsResponseKey {
            index: api.0,
            min_version: *versions.start(),
            max_version: *versions.end(),
        });
        Reply::Answer(ApiVersionsResponse { api_keys: api_keys.collect(), ..ApiVersionsResponse::default() })
    }
}

/// The answer to a version that the broker does not know, whatever it was; in version 0's layout.
pub(super) fn unknown_version() -> ApiVersionsResponse {
    ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION, ..ApiVersionsResponse::default() }
}
