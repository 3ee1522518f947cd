//! What goes wrong when a test says so.

mod support;

use std::time::Duration;

use ottla_devbroker::{DevBroker, Fault, Release};
use ottla_protocol::messages::{
    ApiVersionsRequest, CreatableTopic, CreateTopicsRequest, FetchRequest, FindCoordinatorRequest, HeartbeatRequest,
    InitProducerIdRequest, JoinGroupRequest, LeaveGroupRequest, ListOffsetPartition, ListOffsetRequest,
    ListOffsetTopic, MetadataRequest, MetadataRequestTopic, OffsetCommitRequest, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetFetchRequest, SyncGroupRequest,
};
use ottla_protocol::records::Batches;
use ottla_protocol::{ApiKey, ErrorCode};
use support::{Client, batch, fetch, produce, values};

const ERROR: ErrorCode = ErrorCode::REQUEST_TIMED_OUT;

async fn start() -> (DevBroker, Client) {
    let broker = DevBroker::builder().start().await.unwrap();
    broker.create_topic("t", 2).unwrap();
    let client = Client::connect(&broker).await;
    (broker, client)
}

#[tokio::test]
async fn an_error_is_in_every_place_that_can_have_it() {
    let (broker, mut client) = start().await;
    for (api, _) in Release::V2_3.all_versions() {
        broker.inject(Fault::error(api, ERROR));
    }
    let name = "t".to_owned();
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, ERROR);
    assert_eq!(client.fetch("t", 0, 0).await.error_code, ERROR);
    assert_eq!(client.ask(6, &fetch("t", &[(0, 0)])).await.topics[0].partitions[0].error_code, ERROR);
    let listed = ListOffsetTopic { name: name.clone(), partitions: vec![ListOffsetPartition::default()] };
    let listing = ListOffsetRequest { topics: vec![listed], ..ListOffsetRequest::default() };
    assert_eq!(client.ask(5, &listing).await.topics[0].partitions[0].error_code, ERROR);
    let topics = Some(vec![MetadataRequestTopic { name: name.clone() }]);
    let metadata = client.ask(8, &MetadataRequest { topics, ..MetadataRequest::default() }).await;
    assert_eq!(metadata.topics[0].error_code, ERROR);
    let position =
        OffsetCommitRequestTopic { name: name.clone(), partitions: vec![OffsetCommitRequestPartition::default()] };
    let commit = OffsetCommitRequest { topics: vec![position], ..OffsetCommitRequest::default() };
    assert_eq!(client.ask(7, &commit).await.topics[0].partitions[0].error_code, ERROR);
    assert_eq!(client.ask(5, &OffsetFetchRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(2, &FindCoordinatorRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(5, &JoinGroupRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(3, &SyncGroupRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(3, &HeartbeatRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(2, &LeaveGroupRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(2, &ApiVersionsRequest::default()).await.error_code, ERROR);
    assert_eq!(client.ask(1, &InitProducerIdRequest::default()).await.error_code, ERROR);
    let topics = vec![CreatableTopic { name: "u".to_owned(), ..CreatableTopic::default() }];
    let create = CreateTopicsRequest { topics, ..CreateTopicsRequest::default() };
    assert_eq!(client.ask(3, &create).await.topics[0].error_code, ERROR);
    assert_eq!(broker.offsets("t", 0).unwrap(), (0, 0), "and nothing was applied");
    broker.clear_faults();
    assert_eq!(client.produce("t", 0, batch(&["a"])).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_partition_s_error_leaves_the_others_alone() {
    let (broker, mut client) = start().await;
    let fault = broker.inject(Fault::error(ApiKey::PRODUCE, ERROR).on_partition("t", 1).times(1));
    let mut request = produce("t", 0, batch(&["a"]));
    let mut second = request.topics[0].partitions[0].clone();
    second.partition_index = 1;
    request.topics[0].partitions.push(second);
    let answer = client.ask(7, &request).await;
    let codes: Vec<ErrorCode> = answer.responses[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [ErrorCode::NONE, ERROR]);
    assert_eq!((values(&broker, "t", 0).len(), values(&broker, "t", 1).len()), (1, 0));
    assert_eq!((fault.hits(), fault.is_active()), (1, false));
    broker.inject(Fault::error(ApiKey::FETCH, ERROR).on_partition("t", 0).times(1));
    let answer = client.ask(11, &fetch("t", &[(0, 0), (1, 0)])).await;
    let codes: Vec<ErrorCode> = answer.topics[0].partitions.iter().map(|p| p.error_code).collect();
    assert_eq!(codes, [ERROR, ErrorCode::NONE]);
}

#[tokio::test]
async fn close_before_applies_nothing_and_close_after_applies_all() {
    let (broker, mut client) = start().await;
    broker.inject(Fault::close_before(ApiKey::PRODUCE).times(1));
    client.send(7, &produce("t", 0, batch(&["lost"]))).await;
    assert!(client.is_closed().await);
    assert_eq!(values(&broker, "t", 0), Vec::<String>::new());

    broker.inject(Fault::close_after_applying(ApiKey::PRODUCE).times(1));
    let mut client = Client::connect(&broker).await;
    client.send(7, &produce("t", 0, batch(&["written"]))).await;
    assert!(client.is_closed().await);
    assert_eq!(values(&broker, "t", 0), ["written"]);
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.produce("t", 0, batch(&["next"])).await.base_offset, 1);
}

#[tokio::test]
async fn silence_swallows_the_request_and_all_after_it_on_the_connection() {
    let (broker, mut client) = start().await;
    let fault = broker.inject(Fault::silence(ApiKey::PRODUCE).times(1));
    client.send(7, &produce("t", 0, batch(&["a"]))).await;
    client.send(0, &ApiVersionsRequest::default()).await;
    fault.wait_for_hits(1).await;
    assert!(client.is_silent().await);
    assert_eq!(values(&broker, "t", 0), Vec::<String>::new());
    let mut other = Client::connect(&broker).await;
    assert_eq!(other.produce("t", 0, batch(&["b"])).await.error_code, ErrorCode::NONE);
}

#[tokio::test]
async fn a_delay_holds_up_its_connection_only() {
    let (broker, mut client) = start().await;
    let delay = Duration::from_hours(1);
    let fault = broker.inject(Fault::delay(ApiKey::METADATA, delay));
    let first = client.send(8, &MetadataRequest::default()).await;
    let second = client.send(0, &ApiVersionsRequest::default()).await;
    Client::connect(&broker).await.ask(0, &ApiVersionsRequest::default()).await;
    fault.wait_for_hits(1).await;
    assert!(client.is_silent().await, "neither has been answered, and another connection was");
    tokio::time::pause();
    tokio::time::advance(delay).await;
    tokio::time::resume();
    client.answer::<MetadataRequest>(8, first).await;
    client.answer::<ApiVersionsRequest>(0, second).await;
}

#[tokio::test]
async fn corrupt_records_have_a_wrong_checksum_once_and_the_log_is_unharmed() {
    let (broker, mut client) = start().await;
    let fault = broker.inject(Fault::corrupt_records().times(1));
    client.fetch("t", 0, 0).await;
    assert_eq!(fault.hits(), 0, "there was nothing to harm");
    client.produce("t", 0, batch(&["a"])).await;
    let sound = |answer: &ottla_protocol::messages::FetchResponse| {
        let records = answer.topics[0].partitions[0].records.clone().unwrap();
        Batches::new(records).all(|batch| batch.unwrap().verify_crc().is_ok())
    };
    assert!(!sound(&client.fetch("t", 0, 0).await));
    assert_eq!(fault.hits(), 1);
    assert!(sound(&client.fetch("t", 0, 0).await));
    assert_eq!(values(&broker, "t", 0), ["a"]);
}

#[tokio::test]
async fn truncated_records_end_inside_their_last_batch() {
    let (broker, mut client) = start().await;
    client.produce("t", 0, batch(&["a"])).await;
    client.produce("t", 0, batch(&["b"])).await;
    broker.inject(Fault::truncate_records().times(1));
    let answer = client.fetch("t", 0, 0).await;
    let mut batches = Batches::new(answer.topics[0].partitions[0].records.clone().unwrap());
    assert_eq!(batches.by_ref().count(), 1);
    assert!(batches.saw_partial());
}

#[tokio::test]
async fn a_fault_of_one_node_spares_the_other_and_requests_are_counted_for_each() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.inject(Fault::error(ApiKey::API_VERSIONS, ERROR).on_node(1));
    let (mut zero, mut one) = (Client::connect_to(&broker, 0).await, Client::connect_to(&broker, 1).await);
    assert_eq!(zero.ask(0, &ApiVersionsRequest::default()).await.error_code, ErrorCode::NONE);
    assert_eq!(one.ask(0, &ApiVersionsRequest::default()).await.error_code, ERROR);
    one.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(broker.requests(ApiKey::API_VERSIONS), 3);
    assert_eq!(broker.requests_on(1, ApiKey::API_VERSIONS), 2);
}

#[tokio::test]
async fn a_leader_that_moves_ends_the_wait_of_a_fetch() {
    let broker = DevBroker::builder().nodes(2).start().await.unwrap();
    broker.create_topic("t", 2).unwrap();
    let mut client = Client::connect(&broker).await;
    let request = FetchRequest { max_wait: 60_000, min_bytes: 1, ..fetch("t", &[(0, 0)]) };
    let id = client.send(11, &request).await;
    assert!(client.is_silent().await);
    broker.move_leader("t", 0, 1).unwrap();
    let answer = client.answer::<FetchRequest>(11, id).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::NOT_LEADER_FOR_PARTITION);
}

#[tokio::test]
async fn a_truncated_log_is_out_of_range_for_who_had_read_on() {
    let (broker, mut client) = start().await;
    client.produce("t", 0, batch(&["a"])).await;
    client.produce("t", 0, batch(&["b"])).await;
    assert_eq!(broker.truncate_log("t", 0, 1).unwrap(), 1);
    let answer = client.fetch("t", 0, 2).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!(client.produce("t", 0, batch(&["c"])).await.base_offset, 1);
    assert_eq!(values(&broker, "t", 0), ["a", "c"]);
}

#[tokio::test]
async fn a_stale_high_watermark_is_named_or_refused_as_the_release_does_it() {
    let asked = async |client: &mut Client, version, replica_id| {
        let partition = ListOffsetPartition { timestamp: -1, ..ListOffsetPartition::default() };
        let topics = vec![ListOffsetTopic { name: "t".to_owned(), partitions: vec![partition] }];
        let request = ListOffsetRequest { replica_id, topics, ..ListOffsetRequest::default() };
        let told = client.ask(version, &request).await.topics.remove(0).partitions.remove(0);
        (told.error_code, told.offset)
    };
    for (release, version, told) in [
        (Release::V0_11, 1, (ErrorCode::NONE, 1)),
        (Release::V2_1, 4, (ErrorCode::NONE, 1)),
        (Release::V2_2, 4, (ErrorCode::LEADER_NOT_AVAILABLE, -1)),
        (Release::V2_2, 5, (ErrorCode::OFFSET_NOT_AVAILABLE, -1)),
    ] {
        let broker = DevBroker::builder().release(release).start().await.unwrap();
        broker.create_topic("t", 1).unwrap();
        let mut client = Client::connect(&broker).await;
        client.ask(3, &produce("t", 0, batch(&["a", "b", "c"]))).await;
        let fault = broker.inject(Fault::stale_high_watermark(1).on_partition("t", 0).times(1));
        assert_eq!(asked(&mut client, version, -2).await, (ErrorCode::NONE, 3), "the log's end is no secret");
        assert_eq!((asked(&mut client, version, -1).await, fault.hits()), (told, 1), "{release}");
        assert_eq!(asked(&mut client, version, -1).await, (ErrorCode::NONE, 3), "{release}: it has learnt it");
    }
}
