//! Whose settings, where they come from, and what to do with one.

use crate::wire::codes::codes;

codes! {
    /// What has settings (`ConfigResource.Type`). The codes are not those of [`crate::acl::ResourceType`].
    ConfigResourceType {
        /// A kind that the sender does not know.
        UNKNOWN = 0,
        /// A topic; any broker can be asked.
        TOPIC = 2,
        /// A broker, named by its id, to be asked itself; the empty name stands for the default of all brokers (KIP-226).
        BROKER = 4,
    }
}

codes! {
    /// Where a setting's value comes from (`DescribeConfigsResponse.ConfigSource`, KIP-226), the strongest first.
    ConfigSource {
        /// Not said: version 0 has only `is_default`.
        NOT_SAID = -1,
        /// A source that the sender does not know.
        UNKNOWN = 0,
        /// The topic's own.
        TOPIC_CONFIG = 1,
        /// Set for this broker while it ran.
        DYNAMIC_BROKER_CONFIG = 2,
        /// Set for all brokers while they ran.
        DYNAMIC_DEFAULT_BROKER_CONFIG = 3,
        /// The broker's `server.properties`.
        STATIC_BROKER_CONFIG = 4,
        /// Kafka's default.
        DEFAULT_CONFIG = 5,
    }
}

codes! {
    /// What IncrementalAlterConfigs does with a setting (`AlterConfigOp.OpType`, KIP-339).
    AlterConfigOp {
        /// Gives it this value.
        SET = 0,
        /// Takes it away, so that the default holds.
        DELETE = 1,
        /// Adds to a list, unless it is in it.
        APPEND = 2,
        /// Takes out of a list.
        SUBTRACT = 3,
    }
}
