//! Settings, log directories, deleted records, elections.

use ottla_protocol::ErrorCode;
use ottla_protocol::config::{AlterConfigOp, ConfigResourceType};
use ottla_protocol::messages::*;

use crate::peer::{Peer, fine};
use crate::topics::{BROKER, ORDERS};

/// DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, DescribeLogDirs, AlterReplicaLogDirs, DeleteRecords,
/// ElectPreferredLeaders.
pub(crate) fn configured(peer: &mut Peer) {
    altered(peer);
    described(peer);
    directories(peer);
    cut(peer);
    elected(peer);
}

fn described(peer: &mut Peer) {
    let resource = |kind, name: &str, keys| DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.into(),
        configuration_keys: keys,
    };
    peer.each(
        |version| DescribeConfigsRequest {
            resources: vec![
                resource(ConfigResourceType::TOPIC, ORDERS, Some(vec!["retention.ms".into()])),
                resource(ConfigResourceType::BROKER, &BROKER.to_string(), None),
            ],
            include_synoyms: version >= 1,
        },
        |version, answer: DescribeConfigsResponse| {
            assert_eq!(answer.results.len(), 2);
            answer.results.iter().for_each(|result| fine(result.error_code, "DescribeConfigs"));
            let topic = answer.results.iter().find(|result| result.resource_name == ORDERS).expect("the topic");
            assert_eq!(topic.configs[0].value.as_deref(), Some("2000000"), "v{version}");
            assert_eq!(topic.configs[0].synonyms.is_empty(), version == 0, "v{version}");
        },
    );
}

fn altered(peer: &mut Peer) {
    let setting = |value: &str| AlterableConfig { name: "retention.ms".into(), value: Some(value.into()) };
    peer.each(
        |_| AlterConfigsRequest {
            resources: vec![AlterConfigsResource {
                resource_type: ConfigResourceType::TOPIC,
                resource_name: ORDERS.into(),
                configs: vec![setting("2000000")],
            }],
            validate_only: false,
        },
        |_, answer: AlterConfigsResponse| fine(answer.resources[0].error_code, "AlterConfigs"),
    );
    peer.each(
        |_| IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: ConfigResourceType::TOPIC,
                resource_name: ORDERS.into(),
                configs: vec![IncrementalAlterableConfig {
                    name: "cleanup.policy".into(),
                    config_operation: AlterConfigOp::SET,
                    value: Some("delete".into()),
                }],
            }],
            validate_only: false,
        },
        |_, answer: IncrementalAlterConfigsResponse| fine(answer.responses[0].error_code, "IncrementalAlterConfigs"),
    );
    // A broker without ZooKeeper learns of its own settings through its log.
    let Some(version) = peer.version::<DescribeConfigsRequest>(0) else { return };
    let ask = DescribeConfigsRequest {
        resources: vec![DescribeConfigsResource {
            resource_type: ConfigResourceType::TOPIC,
            resource_name: ORDERS.into(),
            configuration_keys: Some(vec!["retention.ms".into()]),
        }],
        ..Default::default()
    };
    peer.until(version, &ask, |answer| answer.results[0].configs[0].value.as_deref() == Some("2000000"));
}

fn directories(peer: &mut Peer) {
    for version in peer.versions::<DescribeLogDirsRequest>() {
        let all = peer.ask(version, &DescribeLogDirsRequest { topics: None });
        fine(all.results[0].error_code, "DescribeLogDirs");
        let one = DescribableLogDirTopic { topic: ORDERS.into(), partition_index: vec![0] };
        let answer = peer.ask(version, &DescribeLogDirsRequest { topics: Some(vec![one]) });
        // A 2.8 broker names every topic, those that nobody asked for without partitions.
        let orders = answer.results[0].topics.iter().find(|topic| topic.name == ORDERS).expect("the topic");
        let size = orders.partitions[0].partition_size;
        assert!(size > 0, "v{version}: {size}");
        let dir = AlterReplicaLogDir {
            path: answer.results[0].log_dir.clone(),
            topics: vec![AlterReplicaLogDirTopic { name: ORDERS.into(), partitions: vec![0] }],
        };
        let Some(version) = peer.version::<AlterReplicaLogDirsRequest>(version) else { continue };
        let answer = peer.ask(version, &AlterReplicaLogDirsRequest { dirs: vec![dir] });
        fine(answer.results[0].partitions[0].error_code, "AlterReplicaLogDirs");
    }
}

fn cut(peer: &mut Peer) {
    peer.each(
        |version| DeleteRecordsRequest {
            topics: vec![DeleteRecordsTopic {
                name: ORDERS.into(),
                partitions: vec![DeleteRecordsPartition { partition_index: 0, offset: 1 + i64::from(version) }],
            }],
            timeout_ms: 30_000,
        },
        |version, answer: DeleteRecordsResponse| {
            let partition = &answer.topics[0].partitions[0];
            fine(partition.error_code, "DeleteRecords");
            assert_eq!(partition.low_watermark, 1 + i64::from(version));
        },
    );
}

fn elected(peer: &mut Peer) {
    peer.each(
        |_| ElectPreferredLeadersRequest {
            topic_partitions: Some(vec![TopicPartitions { topic: ORDERS.into(), partition_id: vec![0, 1] }]),
            timeout_ms: 30_000,
        },
        |_, answer: ElectPreferredLeadersResponse| {
            let results = answer.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
            for result in results {
                // 84 ELECTION_NOT_NEEDED came with 2.4 (KIP-460).
                assert!(matches!(result.error_code, ErrorCode::NONE | ErrorCode(84)), "{result:?}");
            }
        },
    );
}
