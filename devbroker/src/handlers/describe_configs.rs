//! DescribeConfigs: the one setting that topics have here.

use ottla_protocol::ErrorCode;
use ottla_protocol::config::ConfigResourceType;
use ottla_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult,
};

use super::create_topics::MAX_MESSAGE_BYTES;
use super::{Call, Reply, Serve};

impl Serve for DescribeConfigsRequest {
    fn refuse(&self, _: i16, error: ErrorCode) -> Reply<DescribeConfigsResponse> {
        reply(self.resources.iter().map(|asked| result(asked, Err(error))))
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<DescribeConfigsResponse> {
        let cluster = call.shared.cluster();
        let found = |asked: &DescribeConfigsResource| match asked.resource_type {
            ConfigResourceType::TOPIC => match cluster.topic(&asked.resource_name) {
                Some(topic) => Ok(topic.max_message_bytes),
                None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            },
            _ => Err(ErrorCode::INVALID_REQUEST),
        };
        reply(self.resources.iter().map(|asked| result(asked, found(asked))))
    }
}

fn reply(results: impl Iterator<Item = DescribeConfigsResult>) -> Reply<DescribeConfigsResponse> {
    Reply::Answer(DescribeConfigsResponse { results: results.collect(), ..DescribeConfigsResponse::default() })
}

fn result(asked: &DescribeConfigsResource, found: Result<usize, ErrorCode>) -> DescribeConfigsResult {
    let is_wanted =
        asked.configuration_keys.as_ref().is_none_or(|keys| keys.iter().any(|key| key == MAX_MESSAGE_BYTES));
    let config = |bytes: usize| DescribeConfigsResourceResult {
        name: MAX_MESSAGE_BYTES.to_owned(),
        value: Some(bytes.to_string()),
        ..DescribeConfigsResourceResult::default()
    };
    DescribeConfigsResult {
        error_code: found.err().unwrap_or(ErrorCode::NONE),
        resource_type: asked.resource_type,
        resource_name: asked.resource_name.clone(),
        configs: found.ok().filter(|_| is_wanted).map(config).into_iter().collect(),
        ..DescribeConfigsResult::default()
    }
}
