//! The few Kafka requests that this crate makes itself, by hand, so that no line is shared with the product.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Error;

const PATIENCE: Duration = Duration::from_secs(30);
/// No answer asked for here comes near it.
const MAX_ANSWER_BYTES: usize = 16 << 20;

/// One connection to one broker.
pub(crate) struct Wire {
    stream: TcpStream,
    address: String,
}

impl Wire {
    pub(crate) fn connect(address: &str) -> Result<Self, Error> {
        let broken = |source: io::Error| broken(address, &source.to_string());
        let socket: SocketAddr = address.parse().map_err(|_| self::broken(address, "is no IP address with a port"))?;
        let stream = TcpStream::connect_timeout(&socket, PATIENCE).map_err(broken)?;
        stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_nodelay(true)).map_err(broken)?;
        Ok(Self { stream, address: address.to_owned() })
    }

    /// Asks once and gives the body of the answer.
    pub(crate) fn ask(&mut self, api: i16, version: i16, body: &Body) -> Result<Answer, Error> {
        let mut payload = Body::new().i16(api).i16(version).i32(0).text("ottla-brokers").0;
        payload.extend_from_slice(&body.0);
        let bytes = self
            .exchange(&payload)
            .map_err(|source| broken(&self.address, &format!("no answer to API {api} version {version}: {source}")))?;
        let mut answer = Answer { bytes, at: 0, address: self.address.clone() };
        answer.i32()?;
        Ok(answer)
    }

    /// Sends one frame and gives the next one that comes.
    pub(crate) fn exchange(&mut self, payload: &[u8]) -> io::Result<Vec<u8>> {
        let mut frame = (payload.len() as i32).to_be_bytes().to_vec();
        frame.extend_from_slice(payload);
        self.stream.write_all(&frame)?;
        let mut size = [0; 4];
        self.stream.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size) as usize;
        if size > MAX_ANSWER_BYTES {
            return Err(io::Error::other(format!("an answer of {size} bytes")));
        }
        let mut bytes = vec![0; size];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// A request's body, written field by field.
#[derive(Debug, Default)]
pub(crate) struct Body(Vec<u8>);

impl Body {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn i8(self, value: i8) -> Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn i16(self, value: i16) -> Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn i32(self, value: i32) -> Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn i64(self, value: i64) -> Self {
        self.put(&value.to_be_bytes())
    }

    pub(crate) fn text(self, value: &str) -> Self {
        self.i16(value.len() as i16).put(value.as_bytes())
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }
}

/// An answer's body, read field by field.
#[derive(Debug)]
pub(crate) struct Answer {
    bytes: Vec<u8>,
    at: usize,
    address: String,
}

impl Answer {
    pub(crate) fn i8(&mut self) -> Result<i8, Error> {
        self.take::<1>().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, Error> {
        self.take::<2>().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, Error> {
        self.take::<4>().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Error> {
        self.take::<8>().map(i64::from_be_bytes)
    }

    /// A string; null reads as empty.
    pub(crate) fn text(&mut self) -> Result<String, Error> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        let bytes = self.bytes.get(self.at..self.at + length).ok_or_else(|| self.short())?;
        self.at += length;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// An array; null reads as empty.
    pub(crate) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let count = self.i32()?;
        (0..count).map(|_| item(self)).collect()
    }

    /// An error code that must be zero, after `what` was asked.
    pub(crate) fn accepted(&mut self, what: &str) -> Result<(), Error> {
        match self.i16()? {
            0 => Ok(()),
            code => Err(refused(&self.address, what, code)),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.bytes.get(self.at..self.at + N).and_then(|bytes| bytes.try_into().ok());
        let bytes = bytes.ok_or_else(|| self.short())?;
        self.at += N;
        Ok(bytes)
    }

    fn short(&self) -> Error {
        broken(&self.address, &format!("an answer ends early, at byte {} of {}", self.at, self.bytes.len()))
    }
}

pub(crate) fn refused(address: &str, what: &str, code: i16) -> Error {
    Error::Refused { address: address.to_owned(), what: what.to_owned(), code }
}

pub(crate) fn broken(address: &str, what: &str) -> Error {
    Error::Broker { address: address.to_owned(), what: what.to_owned() }
}
