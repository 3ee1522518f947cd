//! One file an API: what it does here, and what its refusal looks like.

mod api_versions;
mod create_topics;
mod describe_configs;
mod describe_groups;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_fetch;
mod produce;
mod sasl_authenticate;
mod sasl_handshake;
mod sync_group;

use bytes::Bytes;
use ottla_protocol::frame::{Frame, response_frame};
use ottla_protocol::header::RequestHeader;
use ottla_protocol::messages::{
    ApiVersionsRequest, CreateTopicsRequest, DescribeConfigsRequest, DescribeGroupsRequest, FetchRequest,
    FindCoordinatorRequest, HeartbeatRequest, InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest,
    ListOffsetRequest, Message, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest, ProduceRequest, Request,
    SaslAuthenticateRequest, SaslHandshakeRequest, SyncGroupRequest,
};
use ottla_protocol::{ApiKey, ErrorCode};

pub(crate) use list_offsets::OPEN_LIMIT;

use crate::sasl::Sasl;
use crate::shared::Shared;

/// Who asks, and whom.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) node: i32,
    pub(crate) version: i16,
    pub(crate) client_id: &'a str,
    pub(crate) sasl: &'a mut Sasl,
}

impl Call<'_> {
    /// Whether this node coordinates the group.
    pub(crate) fn check_coordinator(&self, group: &str) -> Result<(), ErrorCode> {
        match self.shared.cluster().coordinator(group) {
            Some(node) if node == self.node => Ok(()),
            Some(_) => Err(ErrorCode::NOT_COORDINATOR),
            None => Err(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        }
    }
}

/// A handler's answer.
pub(crate) enum Reply<M> {
    Answer(M),
    /// The request has no answer.
    Nothing,
    /// Close, for this reason.
    Close(String),
    /// Answer, then close, for this reason.
    AnswerAndClose(M, String),
}

/// A handler's answer, ready to be written.
pub(crate) enum Outcome {
    Answer(Frame),
    Nothing,
    Close(String),
    AnswerAndClose(Frame, String),
}

/// A request that this broker serves.
pub(crate) trait Serve: Request {
    /// The answer that has this error wherever it can.
    fn refuse(&self, version: i16, error: ErrorCode) -> Reply<Self::Response>;

    /// Does what is asked.
    fn serve(self, call: &mut Call<'_>) -> impl Future<Output = Reply<Self::Response>> + Send;
}

/// Calls `$run::<TheRequest>($args)` for the API's request type.
macro_rules! by_api {
    ($api:expr, $run:ident($($arg:expr),*) $(.$wait:ident)?, else $other:expr) => {
        match $api {
            ApiKey::PRODUCE => $run::<ProduceRequest>($($arg),*)$(.$wait)?,
            ApiKey::FETCH => $run::<FetchRequest>($($arg),*)$(.$wait)?,
            ApiKey::LIST_OFFSETS => $run::<ListOffsetRequest>($($arg),*)$(.$wait)?,
            ApiKey::METADATA => $run::<MetadataRequest>($($arg),*)$(.$wait)?,
            ApiKey::OFFSET_COMMIT => $run::<OffsetCommitRequest>($($arg),*)$(.$wait)?,
            ApiKey::OFFSET_FETCH => $run::<OffsetFetchRequest>($($arg),*)$(.$wait)?,
            ApiKey::FIND_COORDINATOR => $run::<FindCoordinatorRequest>($($arg),*)$(.$wait)?,
            ApiKey::JOIN_GROUP => $run::<JoinGroupRequest>($($arg),*)$(.$wait)?,
            ApiKey::HEARTBEAT => $run::<HeartbeatRequest>($($arg),*)$(.$wait)?,
            ApiKey::LEAVE_GROUP => $run::<LeaveGroupRequest>($($arg),*)$(.$wait)?,
            ApiKey::DESCRIBE_GROUPS => $run::<DescribeGroupsRequest>($($arg),*)$(.$wait)?,
            ApiKey::SYNC_GROUP => $run::<SyncGroupRequest>($($arg),*)$(.$wait)?,
            ApiKey::SASL_HANDSHAKE => $run::<SaslHandshakeRequest>($($arg),*)$(.$wait)?,
            ApiKey::API_VERSIONS => $run::<ApiVersionsRequest>($($arg),*)$(.$wait)?,
            ApiKey::CREATE_TOPICS => $run::<CreateTopicsRequest>($($arg),*)$(.$wait)?,
            ApiKey::DESCRIBE_CONFIGS => $run::<DescribeConfigsRequest>($($arg),*)$(.$wait)?,
            ApiKey::INIT_PRODUCER_ID => $run::<InitProducerIdRequest>($($arg),*)$(.$wait)?,
            ApiKey::SASL_AUTHENTICATE => $run::<SaslAuthenticateRequest>($($arg),*)$(.$wait)?,
            _ => $other,
        }
    };
}

/// Serves one request, or answers it with the error that is forced on it.
pub(crate) async fn answer(
    call: &mut Call<'_>,
    header: &RequestHeader,
    body: Bytes,
    forced: Option<ErrorCode>,
) -> Outcome {
    let api = header.api_key;
    let release = call.shared.settings.release;
    if !release.versions(api).is_some_and(|versions| versions.contains(&header.api_version)) {
        if api == ApiKey::API_VERSIONS {
            return frame(header, 0, &api_versions::unknown_version());
        }
        // As Kafka does (`RequestContext.parseRequest`): a client has to ask ApiVersions first.
        return Outcome::Close(format!("{api} v{} is not served by release {release}", header.api_version));
    }
    by_api!(api, run(call, header, body, forced).await, else Outcome::Close(format!("{api} is not served")))
}

async fn run<R: Serve>(call: &mut Call<'_>, header: &RequestHeader, body: Bytes, forced: Option<ErrorCode>) -> Outcome {
    let request = match R::read(call.version, body) {
        Ok(request) => request,
        Err(error) => return Outcome::Close(format!("malformed request: {error}")),
    };
    let reply = match forced {
        Some(error) => request.refuse(call.version, error),
        None => request.serve(call).await,
    };
    match reply {
        Reply::Answer(message) => frame(header, header.api_version, &message),
        Reply::Nothing => Outcome::Nothing,
        Reply::Close(why) => Outcome::Close(why),
        Reply::AnswerAndClose(message, why) => match frame(header, header.api_version, &message) {
            Outcome::Answer(frame) => Outcome::AnswerAndClose(frame, why),
            other => other,
        },
    }
}

/// The answer that refuses a request unserved.
pub(crate) fn refusal(header: &RequestHeader, body: Bytes, error: ErrorCode) -> Result<Frame, String> {
    by_api!(header.api_key, refuse_as(header, body, error), else Err(format!("{} is not served", header.api_key)))
}

fn refuse_as<R: Serve>(header: &RequestHeader, body: Bytes, error: ErrorCode) -> Result<Frame, String> {
    let request = R::read(header.api_version, body).map_err(|error| format!("malformed request: {error}"))?;
    match request.refuse(header.api_version, error) {
        Reply::Answer(message) | Reply::AnswerAndClose(message, _) => {
            response_frame(header.correlation_id, header.api_version, &message).map_err(|error| error.to_string())
        }
        Reply::Nothing | Reply::Close(_) => Err(error.to_string()),
    }
}

fn frame<M: Message>(header: &RequestHeader, version: i16, message: &M) -> Outcome {
    match response_frame(header.correlation_id, version, message) {
        Ok(frame) => Outcome::Answer(frame),
        Err(error) => Outcome::Close(format!("the answer cannot be written, a bug of the broker: {error}")),
    }
}
