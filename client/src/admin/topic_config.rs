//! What a topic allows: one of its settings, and the user's rights.

use ottla_protocol::ErrorCode;
use ottla_protocol::config::ConfigResourceType;
use ottla_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResource, MetadataRequest, MetadataRequestTopic,
};

use crate::client::Client;
use crate::core::metadata::NodeId;
use crate::error::{Error, ErrorKind};
use crate::net::Lane;

/// The first version of Metadata that says what the user may do (KIP-430, Kafka 2.3).
const RIGHTS_FROM: i16 = 8;
/// `AclOperation.WRITE`: the number of its bit.
const WRITE: u32 = 4;

impl Client {
    /// The value of a topic's setting, for example of `max.message.bytes`; `None` if the topic has no such setting or no value
    /// for it. Needs the right DESCRIBE_CONFIGS on the topic.
    pub async fn topic_config(&self, topic: &str, setting: &str) -> Result<Option<String>, Error> {
        let resource = DescribeConfigsResource {
            resource_type: ConfigResourceType::TOPIC,
            resource_name: topic.to_owned(),
            configuration_keys: Some(vec![setting.to_owned()]),
        };
        let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
        let code = |code: Option<&ErrorCode>| code.copied().unwrap_or(ErrorCode::NONE);
        let answer =
            self.cluster.ask_any(&request, |answer| code(answer.results.first().map(|result| &result.error_code)));
        let configs = answer.await?.results.into_iter().flat_map(|result| result.configs);
        let mut named = configs.filter(|config| config.name == setting);
        Ok(named.next().and_then(|config| config.value))
    }

    /// Whether the user may write to a topic, without writing. `None` if no broker says so: those before Kafka 2.3 do not.
    pub async fn may_write(&self, topic: &str) -> Result<Option<bool>, Error> {
        let request = MetadataRequest {
            topics: Some(vec![MetadataRequestTopic { name: topic.to_owned() }]),
            allow_auto_topic_creation: false,
            include_topic_authorized_operations: true,
            ..MetadataRequest::default()
        };
        let node = self.brokers().first().map(|broker| NodeId(broker.id));
        let snapshot = self.cluster.snapshot();
        let Some(node) = node.and_then(|id| snapshot.node(id)) else {
            return Err(Error::new(ErrorKind::Disconnected, "the cluster lists no broker"));
        };
        let timeout = self.cluster.options().request_timeout;
        let make = |_| request.clone();
        let answer = self.cluster.ask_node(node, Lane::Other, RIGHTS_FROM..=RIGHTS_FROM, make, timeout).await;
        match answer {
            Ok(answer) => {
                let told = answer.topics.iter().find(|told| told.name == topic);
                Ok(told.and_then(|told| may_write(told.topic_authorized_operations)))
            }
            Err(error) if error.kind() == ErrorKind::Versions => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What the bit field of a topic's operations says. 0 and the smallest number mean that the broker does not say.
fn may_write(operations: i32) -> Option<bool> {
    (!matches!(operations, 0 | i32::MIN)).then_some(operations & (1 << WRITE) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_write_is_bit_4_and_silence_is_no_refusal() {
        assert_eq!(may_write(3576), Some(true), "all rights on a topic, as Kafka 2.3.1 says");
        assert_eq!(may_write(1 << 8 | 1 << 3), Some(false), "Describe and Read");
        assert_eq!((may_write(0), may_write(i32::MIN)), (None, None));
    }
}
