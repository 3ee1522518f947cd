//! A connection that speaks in this crate's frames and checks every answer.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ottla_protocol::frame::{DEFAULT_LIMIT, Frame, raw_token_frame, request_frame};
use ottla_protocol::header::split_correlation_id;
use ottla_protocol::messages::{ApiVersionsRequest, Request};
use ottla_protocol::{ApiKey, ErrorCode};

const PATIENCE: Duration = Duration::from_mins(1);

/// Which versions of which APIs were asked.
pub(crate) type Asked = Rc<RefCell<BTreeMap<ApiKey, BTreeSet<i16>>>>;

/// One connection to a broker.
pub(crate) struct Peer {
    stream: TcpStream,
    correlation_id: i32,
    ranges: Rc<BTreeMap<ApiKey, (i16, i16)>>,
    asked: Asked,
}

impl Peer {
    /// Connects, and asks what the broker has.
    pub(crate) fn connect(address: &str) -> Self {
        let mut peer = Self::dial(address, Rc::default(), Rc::default());
        let answer = peer.ask(0, &ApiVersionsRequest::default());
        fine(answer.error_code, "ApiVersions");
        let ranges = answer.api_keys.iter().map(|key| (ApiKey(key.index), (key.min_version, key.max_version)));
        peer.ranges = Rc::new(ranges.collect());
        peer
    }

    /// Another connection to the same cluster, counted together with this one.
    pub(crate) fn another(&self, address: &str) -> Self {
        Self::dial(address, Rc::clone(&self.ranges), Rc::clone(&self.asked))
    }

    fn dial(address: &str, ranges: Rc<BTreeMap<ApiKey, (i16, i16)>>, asked: Asked) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|e| panic!("{address}: {e}"));
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream, correlation_id: 0, ranges, asked }
    }

    /// Asks, and expects an answer that decodes to its last byte and encodes again to the bytes that came.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let place = format!("{} v{version}", R::NAME);
        self.correlation_id += 1;
        let frame = request_frame(self.correlation_id, Some("ottla-rung-5"), version, request)
            .unwrap_or_else(|e| panic!("{place} does not encode: {e}"));
        self.send(&frame);
        let mut body = self.receive(&place);
        assert_eq!(split_correlation_id(&mut body).expect("a header"), self.correlation_id, "{place}");
        let response = <R::Response as ottla_protocol::messages::Message>::read(version, body.clone())
            .unwrap_or_else(|e| panic!("{place}: {e}\n{body:02x?}"));
        let again = ottla_protocol::messages::Message::write(&response, version);
        assert_eq!(again.unwrap_or_else(|e| panic!("{place}: {e}")).concat(), body, "{place}: encoded again");
        self.asked.borrow_mut().entry(R::KEY).or_default().insert(version);
        response
    }

    /// Sends a SASL token as it travels after a handshake of version 0, and gives the token that answers it.
    pub(crate) fn raw_token(&mut self, token: &'static [u8]) -> Bytes {
        self.send(&raw_token_frame(&Bytes::from_static(token)).expect("a token"));
        self.receive("a raw token")
    }

    /// The versions of an API that both sides have.
    pub(crate) fn versions<R: Request>(&self) -> std::ops::RangeInclusive<i16> {
        common(R::KEY, R::VERSIONS, &self.ranges).unwrap_or(std::ops::RangeInclusive::new(1, 0))
    }

    /// The `n`th version that both sides have, or the last one; `None` where they have none.
    pub(crate) fn version<R: Request>(&self, n: i16) -> Option<i16> {
        let versions = self.versions::<R>();
        (!versions.is_empty()).then(|| versions.start().saturating_add(n).min(*versions.end()))
    }

    /// Asks in every version that both sides have.
    pub(crate) fn each<R: Request>(&mut self, request: impl Fn(i16) -> R, check: impl Fn(i16, R::Response)) {
        for version in self.versions::<R>() {
            let response = self.ask(version, &request(version));
            check(version, response);
        }
    }

    /// Asks again and again until the answer is as it should be: a broker takes a moment to spread what it was told.
    pub(crate) fn until<R: Request>(
        &mut self,
        version: i16,
        request: &R,
        is_right: impl Fn(&R::Response) -> bool,
    ) -> R::Response {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let response = self.ask(version, request);
            if is_right(&response) {
                return response;
            }
            assert!(Instant::now() < deadline, "{} v{version} still says {response:?}", R::NAME);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The ranges that the broker stated.
    pub(crate) fn ranges(&self) -> &BTreeMap<ApiKey, (i16, i16)> {
        &self.ranges
    }

    /// What was asked so far, on this connection and its siblings.
    pub(crate) fn asked(&self) -> BTreeMap<ApiKey, BTreeSet<i16>> {
        self.asked.borrow().clone()
    }

    fn send(&mut self, frame: &Frame) {
        self.stream.write_all(&frame.chunks().concat()).expect("the broker reads");
    }

    fn receive(&mut self, place: &str) -> Bytes {
        let mut size = [0; 4];
        self.stream.read_exact(&mut size).unwrap_or_else(|e| panic!("{place}: no answer: {e}"));
        let size = usize::try_from(i32::from_be_bytes(size)).expect("a size");
        assert!(size <= DEFAULT_LIMIT, "{place}: {size} bytes");
        let mut body = vec![0; size];
        self.stream.read_exact(&mut body).unwrap_or_else(|e| panic!("{place}: a cut answer: {e}"));
        body.into()
    }
}

/// Where the two ranges meet, if they do.
pub(crate) fn common(
    key: ApiKey,
    ours: std::ops::RangeInclusive<i16>,
    theirs: &BTreeMap<ApiKey, (i16, i16)>,
) -> Option<std::ops::RangeInclusive<i16>> {
    let (min, max) = *theirs.get(&key)?;
    let (min, max) = (min.max(*ours.start()), max.min(*ours.end()));
    (min <= max).then_some(min..=max)
}

/// What a broker says of a partition that it is to lead and has not taken over yet: metadata may be ahead of the log.
pub(crate) fn is_settling(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::NOT_LEADER_FOR_PARTITION | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

/// An answer that says no is a failed test.
pub(crate) fn fine(code: ErrorCode, what: &str) {
    assert_eq!(code, ErrorCode::NONE, "{what}");
}
