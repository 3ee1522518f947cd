//! Topics, nodes and leaders over a socket.

mod support;

use ottla_devbroker::{DevBroker, Error, Release};
use ottla_protocol::messages::{
    CreatableReplicaAssignment, CreatableTopic, CreateTopicsRequest, CreateableTopicConfig, FindCoordinatorRequest,
    MetadataRequest, MetadataRequestTopic, MetadataResponse,
};
use ottla_protocol::{CoordinatorType, ErrorCode};
use support::{Client, batch, values};

fn asking(names: &[&str]) -> MetadataRequest {
    let topics = names.iter().map(|name| MetadataRequestTopic { name: (*name).to_owned() });
    MetadataRequest { topics: Some(topics.collect()), ..MetadataRequest::default() }
}

fn leaders(metadata: &MetadataResponse) -> Vec<i32> {
    metadata.topics[0].partitions.iter().map(|partition| partition.leader_id).collect()
}

fn creating(name: &str, num_partitions: i32, replication_factor: i16) -> CreateTopicsRequest {
    let topic =
        CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..CreatableTopic::default() };
    CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() }
}

async fn created(client: &mut Client, request: &CreateTopicsRequest) -> ErrorCode {
    let result = client.ask(3, request).await.topics.remove(0);
    assert_eq!(result.error_code.is_ok(), result.error_message.is_none(), "a refusal says why");
    result.error_code
}

#[tokio::test]
async fn a_topic_comes_into_being_by_being_asked_for() {
    let broker = DevBroker::builder().partitions(4).nodes(2).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for (version, name) in (0..=8).zip(["a", "b", "c", "d", "e", "f", "g", "h", "i"]) {
        let metadata = client.ask(version, &asking(&[name])).await;
        assert_eq!(metadata.topics[0].error_code, ErrorCode::NONE);
        assert_eq!(leaders(&metadata), [0, 1, 0, 1], "leaders are there at once");
    }
    let bad = client.ask(8, &asking(&["not a topic"])).await;
    assert_eq!(bad.topics[0].error_code, ErrorCode::INVALID_TOPIC_EXCEPTION);
    assert_eq!(broker.topics().len(), 9);
}

#[tokio::test]
async fn no_topic_comes_into_being_when_client_or_broker_do_not_want_it() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let request = MetadataRequest { allow_auto_topic_creation: false, ..asking(&["a"]) };
    let answer = client.ask(4, &request).await;
    assert_eq!(answer.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);

    let strict = DevBroker::builder().auto_create(false).start().await.unwrap();
    let answer = Client::connect(&strict).await.ask(1, &asking(&["a"])).await;
    assert_eq!(answer.topics[0].error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!((broker.topics(), strict.topics()), (vec![], vec![]));
}

#[tokio::test]
async fn all_topics_are_asked_for_by_null_and_by_nothing_in_version_0() {
    let broker = DevBroker::builder().nodes(3).start().await.unwrap();
    broker.create_topic("a", 1).unwrap();
    broker.create_topic("b", 2).unwrap();
    let mut client = Client::connect(&broker).await;
    let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let metadata = client.ask(8, &all).await;
    assert_eq!(metadata.topics.iter().map(|topic| topic.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((metadata.controller_id, metadata.brokers.len()), (0, 3));
    let addresses: Vec<String> = metadata.brokers.iter().map(|b| format!("{}:{}", b.host, b.port)).collect();
    assert_eq!(addresses, broker.bootstrap());
    assert_eq!(client.ask(0, &asking(&[])).await.topics.len(), 2);
    assert_eq!(client.ask(1, &asking(&[])).await.topics.len(), 0);
}

#[tokio::test]
async fn what_a_client_may_do_is_told_when_it_asks() {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("a", 1).unwrap();
    let mut client = Client::connect(&broker).await;
    let silent = client.ask(8, &asking(&["a"])).await;
    assert_eq!((silent.cluster_authorized_operations, silent.topics[0].topic_authorized_operations), (0, 0));
    let curious = MetadataRequest {
        include_cluster_authorized_operations: true,
        include_topic_authorized_operations: true,
        ..asking(&["a"])
    };
    let told = client.ask(8, &curious).await;
    assert_eq!(told.topics[0].topic_authorized_operations, 3576, "as Kafka's authorizer-free broker says");
    assert_ne!(told.cluster_authorized_operations, 0);
}

#[tokio::test]
async fn topics_are_created_by_the_controller_with_kafka_s_rules() {
    let broker = DevBroker::builder().nodes(2).auto_create(false).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    assert_eq!(created(&mut client, &creating("a", 3, 2)).await, ErrorCode::NONE);
    assert_eq!(created(&mut client, &creating("a", 3, 2)).await, ErrorCode::TOPIC_ALREADY_EXISTS);
    assert_eq!(created(&mut client, &creating("b", 0, 1)).await, ErrorCode::INVALID_PARTITIONS);
    assert_eq!(created(&mut client, &creating("b", 1, 3)).await, ErrorCode::INVALID_REPLICATION_FACTOR);
    assert_eq!(created(&mut client, &creating("b!", 1, 1)).await, ErrorCode::INVALID_TOPIC_EXCEPTION);
    let check = CreateTopicsRequest { validate_only: true, ..creating("b", 1, 1) };
    assert_eq!(created(&mut client, &check).await, ErrorCode::NONE);
    let mut twice = creating("b", 1, 1);
    twice.topics.push(twice.topics[0].clone());
    assert_eq!(created(&mut client, &twice).await, ErrorCode::INVALID_REQUEST);
    assert_eq!(broker.topics(), [("a".to_owned(), 3)], "nothing else came of it");

    let mut elsewhere = Client::connect_to(&broker, 1).await;
    assert_eq!(created(&mut elsewhere, &creating("b", 1, 1)).await, ErrorCode::NOT_CONTROLLER);
    for version in 0..=3 {
        let answer = client.ask(version, &creating(&format!("v{version}"), 1, 1)).await;
        assert_eq!(answer.topics[0].error_code, ErrorCode::NONE);
    }
}

#[tokio::test]
async fn a_topic_may_say_which_nodes_have_it_and_how_large_its_batches_may_be() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let mut request = creating("a", -1, -1);
    request.topics[0].assignments = vec![CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![1, 0] }];
    request.topics[0].configs =
        vec![CreateableTopicConfig { name: "max.message.bytes".to_owned(), value: Some("100".to_owned()) }];
    assert_eq!(created(&mut client, &request).await, ErrorCode::NONE);
    assert_eq!(broker.leader("a", 0).unwrap(), Some(1));
    let mut leader = Client::connect_to(&broker, 1).await;
    let large = leader.produce("a", 0, batch(&[&"x".repeat(100)])).await;
    assert_eq!(large.error_code, ErrorCode::MESSAGE_TOO_LARGE);
    request.topics[0].name = "b".to_owned();
    request.topics[0].configs[0].value = Some("many".to_owned());
    assert_eq!(created(&mut client, &request).await, ErrorCode::INVALID_CONFIG);
}

#[tokio::test]
async fn only_the_leader_takes_records_and_a_move_is_seen_by_all() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("t", 2).unwrap();
    let (mut zero, mut one) = (Client::connect_to(&broker, 0).await, Client::connect_to(&broker, 1).await);
    assert_eq!(one.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NOT_LEADER_FOR_PARTITION);
    assert_eq!(zero.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
    broker.move_leader("t", 0, 1).unwrap();
    assert_eq!(zero.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NOT_LEADER_FOR_PARTITION);
    let fetched = zero.fetch("t", 0, 0).await;
    assert_eq!(fetched.topics[0].partitions[0].error_code, ErrorCode::NOT_LEADER_FOR_PARTITION);
    assert_eq!(one.produce("t", 0, batch(&["b"])).await.base_offset, 1);
    let metadata = zero.ask(7, &asking(&["t"])).await;
    assert_eq!(leaders(&metadata), [1, 1]);
    assert_eq!(metadata.topics[0].partitions[0].leader_epoch, 1);
    assert_eq!(values(&broker, "t", 0), ["a", "b"]);
}

#[tokio::test]
async fn a_killed_node_is_gone_until_it_is_restarted_and_nothing_is_lost() {
    let broker = DevBroker::builder().nodes(2).replicas(2).start().await.unwrap();
    broker.create_topic("t", 2).unwrap();
    let address = broker.bootstrap()[0].clone();
    let mut zero = Client::connect_to(&broker, 0).await;
    zero.produce("t", 0, batch(&["a"])).await;
    broker.kill_node(0).await.unwrap();
    assert!(zero.is_closed().await);
    assert!(tokio::net::TcpStream::connect(&address).await.is_err(), "its port refuses");
    let mut one = Client::connect_to(&broker, 1).await;
    let metadata = one.ask(8, &asking(&["t"])).await;
    assert_eq!((metadata.controller_id, metadata.brokers.len()), (1, 1));
    assert_eq!(leaders(&metadata), [1, 1]);
    assert_eq!(metadata.topics[0].partitions[0].offline_replicas, [0]);
    assert_eq!(one.produce("t", 0, batch(&["b"])).await.base_offset, 1);
    broker.restart_node(0).await.unwrap();
    assert_eq!(broker.bootstrap()[0], address);
    let mut zero = Client::connect_to(&broker, 0).await;
    assert_eq!(zero.ask(8, &asking(&["t"])).await.brokers.len(), 2);
    assert_eq!(values(&broker, "t", 0), ["a", "b"]);
}

#[tokio::test]
async fn a_partition_without_a_live_replica_has_no_leader() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("t", 2).unwrap();
    broker.kill_node(1).await.unwrap();
    let metadata = Client::connect(&broker).await.ask(8, &asking(&["t"])).await;
    assert_eq!(leaders(&metadata), [0, -1]);
    assert_eq!(metadata.topics[0].partitions[1].error_code, ErrorCode::LEADER_NOT_AVAILABLE);
}

#[tokio::test]
async fn calls_that_make_no_sense_are_errors_with_a_reason() {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    assert!(matches!(broker.kill_node(1).await, Err(Error::UnknownNode(1))));
    assert!(matches!(broker.restart_node(0).await, Err(Error::NodeState { state: "up", .. })));
    assert!(matches!(broker.move_leader("t", 0, -1), Err(Error::UnknownNode(-1))));
    assert!(matches!(broker.move_leader("t", 1, 0), Err(Error::UnknownPartition { .. })));
    assert!(matches!(broker.log("u", 0), Err(Error::UnknownPartition { .. })));
    assert!(matches!(broker.create_topic("t", 1), Err(Error::Topic { .. })));
    broker.kill_node(0).await.unwrap();
    assert!(matches!(broker.kill_node(0).await, Err(Error::NodeState { state: "down", .. })));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = DevBroker::builder().listen(&address).start().await.unwrap_err();
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn groups_have_one_coordinator_and_transactions_none() {
    let broker = DevBroker::builder().nodes(3).release(Release::V2_3).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    let mut seen = Vec::new();
    for key in ["a", "b", "c", "d", "e", "f"] {
        let request = FindCoordinatorRequest { key: key.to_owned(), ..FindCoordinatorRequest::default() };
        let found = client.ask(0, &request).await;
        assert_eq!(Some(found.node_id), broker.coordinator(key));
        assert_eq!(broker.bootstrap()[found.node_id as usize], format!("{}:{}", found.host, found.port));
        seen.push(found.node_id);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, [0, 1, 2], "the work is spread");
    let transaction = FindCoordinatorRequest { key: "tx".to_owned(), key_type: CoordinatorType::TRANSACTION };
    assert_eq!(client.ask(2, &transaction).await.error_code, ErrorCode::INVALID_REQUEST);
}

#[tokio::test]
async fn a_broker_that_is_shut_down_or_dropped_leaves_its_port() {
    let broker = DevBroker::builder().start().await.unwrap();
    let address = broker.bootstrap()[0].clone();
    let mut client = Client::connect(&broker).await;
    broker.shutdown().await;
    assert!(client.is_closed().await);
    let broker = DevBroker::builder().listen(&address).start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    drop(broker);
    assert!(client.is_closed().await, "dropping it is enough");
}

#[tokio::test]
async fn two_brokers_are_two_clusters() {
    let (one, two) = (DevBroker::builder().start().await.unwrap(), DevBroker::builder().start().await.unwrap());
    assert_ne!(one.cluster_id(), two.cluster_id());
    let metadata = Client::connect(&one).await.ask(8, &asking(&[])).await;
    assert_eq!(metadata.cluster_id.as_deref(), Some(one.cluster_id()));
}
