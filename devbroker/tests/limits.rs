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
