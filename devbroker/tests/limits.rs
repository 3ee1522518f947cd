//! What the broker takes at most: connections, waiting and memory; and that nobody is locked out by others.

mod support;

use std::time::Duration;

use ottla_devbroker::DevBroker;
use ottla_protocol::messages::MetadataRequest;
use support::{Client, batch};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SOON: Duration = Duration::from_secs(10);

async fn is_closed(stream: &mut TcpStream) -> bool {
    matches!(tokio::time::timeout(SOON, stream.read(&mut [0; 16])).await, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn silent_connections_make_room_for_clients_oldest_first() {
    let broker = DevBroker::builder().connections(8, 8).start().await.unwrap();
    broker.create_topic("t", 1).unwrap();
    let address = broker.bootstrap().remove(0);
    let mut silent = Vec::new();
    for _ in 0..50 {
        // Half a frame: it never becomes whole.
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(&[0, 0, 0]).await.unwrap();
        silent.push(stream);
    }
    let mut client = Client::connect(&broker).await;
    assert_eq!(client.ask(8, &MetadataRequest::default()).await.brokers.len(), 1);
    for stream in &mut silent[..42] {
        assert!(is_closed(stream).await);
    }
    // The client is one of eight now and the newest; it works on while others come.
    for _ in 0..7 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    assert_eq!(client.ask(8, &MetadataRequest::default()).await.brokers.len(), 1);
}

/// Lets time pass while nothing is on its way.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn a_connection_is_closed_after_ten_minutes_without_a_request_and_not_before() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut client = Client::connect(&broker).await;
    for minutes in [9, 9] {
        client.ask(8, &MetadataRequest::default()).await;
        pass(Duration::from_mins(minutes)).await;
    }
    client.ask(8, &MetadataRequest::default()).await;
    pass(Duration::from_secs(601)).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_request_that_is_not_whole_within_thirty_seconds_ends_its_connection() {
    let broker = DevBroker::builder().start().await.unwrap();
    let mut stream = TcpStream::connect(broker.bootstrap().remove(0)).await.unwrap();
    stream.write_all(&[0, 0, 1, 0, 0, 3]).await.unwrap();
    // It is served, so what came before it was read.
    Client::connect(&broker).await.ask(8, &MetadataRequest::default()).await;
    pass(Duration::from_secs(31)).await;
    assert!(is_closed(&mut stream).await);
}

#[tokio::test]
async fn a_request_above_the_limit_is_refused_by_its_size_alone() {
    const OPEN: i32 = 100 << 20;
    const BEFORE_A_LOGIN: i32 = 512 << 10;
    for (limit, builder) in
        [(OPEN, DevBroker::builder()), (BEFORE_A_LOGIN, DevBroker::builder().sasl_plain(&[("etl", "secret")]))]
    {
        let broker = builder.start().await.unwrap();
        for (size, closes) in [(limit, false), (limit + 1, true), (i32::MAX, true), (-1, true)] {
            let mut stream = TcpStream::connect(broker.bootstrap().remove(0)).await.unwrap();
            stream.write_all(&size.to_be_bytes()).await.unwrap();
            let moment = if closes { SOON } else { Duration::from_millis(100) };
            let ended = tokio::time::timeout(moment, stream.read(&mut [0; 16])).await;
            assert_eq!(matches!(ended, Ok(Ok(0) | Err(_))), closes, "{size} of {limit}");
        }
    }
}

#[tokio::test]
async fn logs_beyond_their_retention_lose_their_oldest_records_the_largest_log_first() {
    let limit = 4 << 20;
    let broker = DevBroker::builder().retention_bytes(limit).start().await.unwrap();
    for topic in ["large", "small"] {
        broker.create_topic(topic, 1).unwrap();
    }
    let mut client = Client::connect(&broker).await;
    client.produce("small", 0, batch(&["first"])).await;
    let value = "x".repeat(100_000);
    for _ in 0..200 {
        assert!(client.produce("large", 0, batch(&[&value])).await.error_code.is_ok());
    }
    let (start, end) = broker.offsets("large", 0).unwrap();
    assert_eq!(end, 200);
    assert!(start > 100, "20 MB do not fit into 4 MiB: from {start} on");
    let kept: usize =
        broker.log("large", 0).unwrap().iter().filter_map(|record| Some(record.value.as_ref()?.len())).sum();
    assert!(kept as u64 <= limit && kept as u64 > limit / 2, "{kept} bytes are kept");
    assert_eq!(broker.offsets("small", 0).unwrap(), (0, 1), "the largest log loses records first");
}
