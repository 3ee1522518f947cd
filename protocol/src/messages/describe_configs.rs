//! DescribeConfigs (32): the settings of topics and brokers.

use crate::ErrorCode;
use crate::config::{ConfigResourceType, ConfigSource};
use crate::wire::macros::messages;

messages! {
    /// Asks for settings (KIP-133): a topic's of any broker, a broker's of that broker.
    request DescribeConfigsRequest = DESCRIBE_CONFIGS (0..=2) => DescribeConfigsResponse {
        /// What has the settings.
        resources: Vec<DescribeConfigsResource>,
        /// Whether to list what else the value could have come from (KIP-226). The spelling is Kafka's.
        include_synoyms: bool [1..],
    }

    /// What has settings.
    struct DescribeConfigsResource {
        /// What it is.
        resource_type: ConfigResourceType,
        /// The topic, or the broker's id.
        resource_name: String,
        /// The settings' names; null for all.
        configuration_keys: Option<Vec<String>>,
    }

    /// The settings.
    struct DescribeConfigsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 2 on).
        throttle_time_ms: i32,
        /// One result each of what was asked for.
        results: Vec<DescribeConfigsResult>,
    }

    /// What has settings.
    struct DescribeConfigsResult {
        /// 3: there is no such topic; 42: it is another broker; 29, 31: not allowed.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
        /// What it is.
        resource_type: ConfigResourceType,
        /// The topic, or the broker's id.
        resource_name: String,
        /// Its settings.
        configs: Vec<DescribeConfigsResourceResult>,
    }

    /// A setting.
    struct DescribeConfigsResourceResult {
        /// Its name, like `retention.ms`.
        name: String,
        /// Its value; null if it is sensitive or not set.
        value: Option<String>,
        /// It cannot be changed while the broker runs.
        read_only: bool,
        /// The value is Kafka's default or the broker's file's. Later versions have `config_source`.
        is_default: bool [0..=0],
        /// Where the value comes from.
        config_source: ConfigSource [1.., ignorable] = ConfigSource::NOT_SAID,
        /// A password or the like, whose value never leaves the broker.
        is_sensitive: bool,
        /// What the value could have come from, the strongest first; empty unless asked for.
        synonyms: Vec<DescribeConfigsSynonym> [1.., ignorable],
    }

    /// Where a value could have come from.
    struct DescribeConfigsSynonym {
        /// The setting's name there.
        name: String [1..],
        /// Its value there; null if it is sensitive.
        value: Option<String> [1..],
        /// Which place it is.
        source: ConfigSource [1..],
    }
}
