//! AlterConfigs (33): the whole set of settings of a topic or a broker.

use crate::ErrorCode;
use crate::config::ConfigResourceType;
use crate::wire::macros::messages;

messages! {
    /// Replaces settings (KIP-133): what is not named goes back to its default. A topic's to any broker, a broker's to that
    /// broker. IncrementalAlterConfigs is the one that leaves the others alone.
    request AlterConfigsRequest = ALTER_CONFIGS (0..=1) => AlterConfigsResponse {
        /// What has the settings.
        resources: Vec<AlterConfigsResource>,
        /// Check only.
        validate_only: bool,
    }

    /// What has settings.
    struct AlterConfigsResource {
        /// What it is.
        resource_type: ConfigResourceType,
        /// The topic, or the broker's id.
        resource_name: String,
        /// All its settings.
        configs: Vec<AlterableConfig>,
    }

    /// A setting.
    struct AlterableConfig {
        /// Its name, like `retention.ms`.
        name: String,
        /// Its value. Brokers refuse a null.
        value: Option<String>,
    }

    /// What became of them.
    struct AlterConfigsResponse {
        /// How long the client has to stay silent, in milliseconds (KIP-219 from version 1 on).
        throttle_time_ms: i32,
        /// One result each of what was asked for.
        resources: Vec<AlterConfigsResourceResponse>,
    }

    /// What became of a topic's or a broker's settings.
    struct AlterConfigsResourceResponse {
        /// 40: a setting is wrong; 42: it is another broker; 44: a policy forbids it; 29, 31: not allowed.
        error_code: ErrorCode,
        /// The broker's own words.
        error_message: Option<String>,
        /// What it is.
        resource_type: ConfigResourceType,
        /// The topic, or the broker's id.
        resource_name: String,
    }
}
