//! A peer that does as a test says: it speaks the protocol as far as the test wants it to.

#![allow(dead_code, reason = "each test file uses its part")]

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::{Bytes, BytesMut};
use ottla_client::{Client, ClientBuilder};
use ottla_protocol::frame::{self, DEFAULT_LIMIT};
use ottla_protocol::header::RequestHeader;
use ottla_protocol::messages::{
    ApiVersionsResponse, ApiVersionsResponseKey, Message, MetadataResponse, MetadataResponseBroker,
    MetadataResponsePartition, MetadataResponseTopic,
};
use ottla_protocol::{ApiKey, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What a 2.3 broker offers of the APIs that the tests need.
pub(crate) const OFFERED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::PRODUCE, 0, 7),
    (ApiKey::LIST_OFFSETS, 0, 5),
    (ApiKey::METADATA, 0, 8),
    (ApiKey::OFFSET_COMMIT, 0, 7),
    (ApiKey::OFFSET_FETCH, 0, 5),
    (ApiKey::FIND_COORDINATOR, 0, 2),
    (ApiKey::SASL_HANDSHAKE, 0, 1),
    (ApiKey::API_VERSIONS, 0, 2),
    (ApiKey::CREATE_TOPICS, 0, 3),
    (ApiKey::SASL_AUTHENTICATE, 0, 1),
];

/// A listener whose every connection runs the same script.
pub(crate) struct Peer {
    pub(crate) port: u16,
    pub(crate) seen: Seen,
    task: AbortHandle,
}

/// What the client asked, in order: connection, API, version.
pub(crate) type Seen = Arc<Mutex<Vec<(usize, ApiKey, i16)>>>;

impl Peer {
    /// Runs `script` for each connection.
    pub(crate) async fn start<F>(script: impl Fn(Conversation) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Seen::default();
        let sight = seen.clone();
        let task = tokio::spawn(async move {
            let mut scripts = tokio::task::JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let seen = sight.clone();
                scripts.spawn(script(Conversation { number, port, stream, buffer: BytesMut::new(), seen }));
            }
        });
        Self { port, seen, task: task.abort_handle() }
    }

    pub(crate) fn server(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A builder with waits short enough for tests.
    pub(crate) fn builder(&self) -> ClientBuilder {
        builder([self.server()])
    }

    pub(crate) async fn client(&self) -> Client {
        self.builder().connect().await.unwrap()
    }

    /// How often an API was asked.
    pub(crate) fn count(&self, api: ApiKey) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.1 == api).count()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn builder(servers: impl IntoIterator<Item = String>) -> ClientBuilder {
    Client::builder()
        .bootstrap(servers.into_iter().collect::<Vec<_>>())
        .connect_timeout(Duration::from_secs(30))
        .request_timeout(Duration::from_secs(30))
        .api_timeout(Duration::from_mins(1))
        .retry_backoff(Duration::from_millis(10), Duration::from_millis(50))
        .reconnect_backoff(Duration::from_millis(5), Duration::from_millis(20))
}

/// One connection, seen from the peer.
pub(crate) struct Conversation {
    /// Which connection to this peer, from 0.
    pub(crate) number: usize,
    pub(crate) port: u16,
    pub(crate) stream: TcpStream,
    pub(crate) buffer: BytesMut,
    seen: Seen,
}

/// A request and what answers it.
pub(crate) struct Asked {
    pub(crate) header: RequestHeader,
    pub(crate) body: Bytes,
}

impl Asked {
    pub(crate) fn api(&self) -> ApiKey {
        self.header.api_key
    }

    pub(crate) fn read<M: Message>(&self) -> M {
        M::read(self.header.api_version, self.body.clone()).unwrap()
    }
}

impl Conversation {
    /// The next request, or `None` when the client has closed.
    pub(crate) async fn asked(&mut self) -> Option<Asked> {
        let mut body = self.frame().await?;
        let header = RequestHeader::decode(&mut body).unwrap();
        self.seen.lock().unwrap().push((self.number, header.api_key, header.api_version));
        Some(Asked { header, body })
    }

    /// The next frame, whatever it holds.
    pub(crate) async fn frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = frame::split_frame(&mut self.buffer, DEFAULT_LIMIT).unwrap() {
                return Some(frame);
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    pub(crate) async fn raw(&mut self, bytes: &[u8]) {
        // The client may have closed by now; the test will see that on its side.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(crate) async fn answer(&mut self, asked: &Asked, message: &impl Message) {
        self.answer_in(asked, asked.header.api_version, message).await;
    }

    /// Answers in another version's layout.
    pub(crate) async fn answer_in(&mut self, asked: &Asked, version: i16, message: &impl Message) {
        let frame = frame::response_frame(asked.header.correlation_id, version, message).unwrap();
        self.raw(&frame.chunks().concat()).await;
    }

    /// Serves ApiVersions and Metadata (this peer is broker 1 and leads `t`-0) until something else is asked.
    pub(crate) async fn next_special(&mut self) -> Option<Asked> {
        loop {
            let asked = self.asked().await?;
            match asked.api() {
                ApiKey::API_VERSIONS => self.answer(&asked, &offered(OFFERED)).await,
                ApiKey::METADATA => {
                    let metadata = cluster(&[(1, self.port)], &[("t", &[1])]);
                    self.answer(&asked, &fitting(metadata, asked.header.api_version)).await;
                }
                _ => return Some(asked),
            }
        }
    }
}

pub(crate) fn offered(ranges: &[(ApiKey, i16, i16)]) -> ApiVersionsResponse {
    let key = |&(api, min_version, max_version): &(ApiKey, i16, i16)| ApiVersionsResponseKey {
        index: api.0,
        min_version,
        max_version,
    };
    ApiVersionsResponse { api_keys: ranges.iter().map(key).collect(), ..ApiVersionsResponse::default() }
}

/// Brokers as (id, port), topics as (name, leader of each partition). The first broker is the controller.
pub(crate) fn cluster(brokers: &[(i32, u16)], topics: &[(&str, &[i32])]) -> MetadataResponse {
    let broker = |&(node_id, port): &(i32, u16)| MetadataResponseBroker {
        node_id,
        host: "127.0.0.1".to_owned(),
        port: i32::from(port),
        rack: None,
    };
    let partition = |(partition_index, leader): (i32, &i32)| MetadataResponsePartition {
        partition_index,
        leader_id: *leader,
        replica_nodes: vec![*leader],
        isr_nodes: vec![*leader],
        ..MetadataResponsePartition::default()
    };
    let topic = |(name, leaders): &(&str, &[i32])| MetadataResponseTopic {
        name: (*name).to_owned(),
        partitions: (0..).zip(leaders.iter()).map(partition).collect(),
        ..MetadataResponseTopic::default()
    };
    MetadataResponse {
        brokers: brokers.iter().map(broker).collect(),
        controller_id: brokers[0].0,
        topics: topics.iter().map(topic).collect(),
        ..MetadataResponse::default()
    }
}

/// Metadata without what an older version cannot say.
pub(crate) fn fitting(mut metadata: MetadataResponse, version: i16) -> MetadataResponse {
    if version < 8 {
        let default = MetadataResponse::default();
        metadata.cluster_authorized_operations = default.cluster_authorized_operations;
    }
    metadata
}

pub(crate) fn missing_topic(name: &str) -> MetadataResponseTopic {
    let error_code = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
    MetadataResponseTopic { name: name.to_owned(), error_code, ..MetadataResponseTopic::default() }
}

/// Polls until the condition holds; fails the test after a minute.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_mins(1), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Base64url without padding, spelled out: the tests share no encoder with the client.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().enumerate().fold(0_u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        (0..=chunk.len()).for_each(|i| out.push(ALPHABET[(word >> (18 - 6 * i)) as usize & 63] as char));
    }
    out
}

/// An unsecured JSON Web Token (algorithm `none`) of that subject, good for so long from now.
pub(crate) fn unsecured(subject: &str, lifetime: Duration) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let claims =
        format!(r#"{{"sub":"{subject}","iat":{},"exp":{}}}"#, now.as_secs_f64(), (now + lifetime).as_secs_f64());
    format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(claims.as_bytes()))
}
