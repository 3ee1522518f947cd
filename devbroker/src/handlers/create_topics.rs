//! CreateTopics: by the controller, with Kafka's rules for numbers, names and assignments.

use std::collections::HashMap;

use ottla_protocol::ErrorCode;
use ottla_protocol::messages::{
    CreatableTopic, CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse, CreateableTopicConfig,
};

use super::{Call, Reply, Serve};
use crate::cluster::{Cluster, NewTopic, Refused};

/// The one topic setting that does something here.
pub(super) const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

impl Serve for CreateTopicsRequest {
    fn refuse(&self, _: i16, error_code: ErrorCode) -> Reply<CreateTopicsResponse> {
        let result = |topic: &CreatableTopic| CreatableTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message: Some(error_code.message().to_owned()),
        };
        let topics = self.topics.iter().map(result).collect();
        Reply::Answer(CreateTopicsResponse { topics, ..CreateTopicsResponse::default() })
    }

    async fn serve(self, call: &mut Call<'_>) -> Reply<CreateTopicsResponse> {
        let mut cluster = call.shared.cluster();
        if cluster.controller() != Some(call.node) {
            return self.refuse(call.version, ErrorCode::NOT_CONTROLLER);
        }
        let mut named: HashMap<&str, usize> = HashMap::new();
        for topic in &self.topics {
            *named.entry(&topic.name).or_default() += 1;
        }
        let mut results = Vec::with_capacity(self.topics.len());
        for topic in &self.topics {
            let created = if named[topic.name.as_str()] > 1 {
                let why = format!("topic {} is in the request more than once", topic.name);
                Err(Refused { error: ErrorCode::INVALID_REQUEST, why })
            } else {
                create(&mut cluster, topic, self.validate_only)
            };
            let refused = created.err();
            results.push(CreatableTopicResult {
                name: topic.name.clone(),
                error_code: refused.as_ref().map_or(ErrorCode::NONE, |refused| refused.error),
                error_message: refused.map(|refused| refused.why),
            });
        }
        Reply::Answer(CreateTopicsResponse { topics: results, ..CreateTopicsResponse::default() })
    }
}

fn create(cluster: &mut Cluster, topic: &CreatableTopic, validate_only: bool) -> Result<(), Refused> {
    let new = NewTopic {
        partitions: topic.num_partitions,
        replicas: topic.replication_factor,
        assignments: topic.assignments.iter().map(|a| (a.partition_index, a.broker_ids.clone())).collect(),
        max_message_bytes: max_message_bytes(&topic.configs)?,
    };
    if validate_only {
        return cluster.check(&topic.name, &new).map(|_| ());
    }
    cluster.create(&topic.name, &new)
}

/// Other settings are taken and do nothing: a topic here has no retention, compaction or segments.
fn max_message_bytes(configs: &[CreateableTopicConfig]) -> Result<Option<usize>, Refused> {
    let Some(config) = configs.iter().find(|config| config.name == MAX_MESSAGE_BYTES) else { return Ok(None) };
    let value = config.value.as_deref().unwrap_or_default();
    let Ok(bytes) = value.parse() else {
        let why = format!("{MAX_MESSAGE_BYTES} = {value:?} is not a number of bytes");
        return Err(Refused { error: ErrorCode::INVALID_CONFIG, why });
    };
    Ok(Some(bytes))
}
