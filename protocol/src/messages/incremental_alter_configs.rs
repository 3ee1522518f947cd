//! IncrementalAlterConfigs (44): single settings of a topic or a broker.

use crate::ErrorCode;
use crate::config::{AlterConfigOp, ConfigResourceType};
use crate::wire::macros::messages;

messages! {
    /// Changes settings and leaves the others alone (KIP-339). A topic's to any broker, a broker's to that broker.
    request IncrementalAlterConfigsRequest = INCREMENTAL_ALTER_CONFIGS (0..=0) => IncrementalAlterConfigsResponse {
        /// What has the settings.
        resources: Vec<IncrementalAlterConfigsResource>,
        /// Check only.
        validate_only: bool,
    }

    /// What has settings. Kafka's schema calls it `AlterConfigsResource`, as it calls another one of AlterConfigs.
    struct IncrementalAlterConfigsResource {
        /// What it is.
        resource_type: ConfigResourceType,
        /// The topic, or the broker's id.
        resource_name: String,
        /// The changes.
        configs: Vec<IncrementalAlterableConfig>,
    }

    /// A change. Kafka's schema calls it `AlterableConfig`, as it calls another one of AlterConfigs.
    struct IncrementalAlterableConfig {
        /// The setting's name, like `retention.ms`.
        name: String,
        /// What to do with it.
        config_operation: AlterConfigOp,
        /// Its value, or the list's elements; null to delete it.
        value: Option<String>,
    }

    /// What became of them.
    struct IncrementalAlterConfigsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219).
        throttle_time_ms: i32,
        /// One result each of what was asked for.
        responses: Vec<AlterConfigsResourceResult>,
    }

    /// What became of a topic's or a broker's settings.
    struct AlterConfigsResourceResult {
        /// 40: a setting is wrong; 42: it is another broker, or a setting is named twice; 44: a policy forbids it.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
        /// What it is.
        resource_type: ConfigResourceType,
        /// The topic, or the broker's id.
        resource_name: String,
    }
}
