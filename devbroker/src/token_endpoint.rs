//! An OAuth 2 token endpoint over https (RFC 6749 §4.4), for tests of clients that log in with OAUTHBEARER.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use crate::Error;
use crate::tls::{Acceptor, Options, TlsStream};

/// No honest request is longer.
const REQUEST_LIMIT: usize = 64 << 10;
/// How long a client may take to say it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a token is good for.
const LIFETIME: Duration = Duration::from_mins(5);

/// Gives whoever asks an unsecured token, which [`Builder::sasl_oauthbearer`](crate::Builder::sasl_oauthbearer) takes, and
/// keeps what it was told. It checks no secret. It listens on 127.0.0.1 until it is dropped.
#[derive(Debug)]
pub struct TokenEndpoint {
    port: u16,
    state: Arc<State>,
    task: AbortHandle,
}

#[derive(Debug)]
struct State {
    acceptor: Mutex<Acceptor>,
    /// What is answered instead of a token.
    answer: Mutex<Option<String>>,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    connections: usize,
    text: String,
}

impl TokenEndpoint {
    /// Starts on a free port, with a certificate, its key and the clients' authority as in
    /// [`Builder::tls`](crate::Builder::tls).
    pub async fn start(certificate: &str, key: &str, client_ca: Option<&str>) -> Result<Self, Error> {
        let acceptor = acceptor(certificate, key, client_ca)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(Error::TokenEndpoint)?;
        let port = listener.local_addr().map_err(Error::TokenEndpoint)?.port();
        let state = State { acceptor: Mutex::new(acceptor), answer: Mutex::default(), heard: Mutex::default() };
        let state = Arc::new(state);
        let task = tokio::spawn(listen(listener, Arc::clone(&state))).abort_handle();
        Ok(Self { port, state, task })
    }

    /// Where it is: `https://localhost:PORT/token`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/token", self.port)
    }

    /// Shows another certificate from the next connection on.
    pub fn show(&self, certificate: &str, key: &str) -> Result<(), Error> {
        *lock(&self.state.acceptor) = acceptor(certificate, key, None)?;
        Ok(())
    }

    /// Answers every further request with this status line's rest, headers and body: `302 Found\r\nLocation: …\r\n\r\n`.
    pub fn answer(&self, rest: &str) {
        *lock(&self.state.answer) = Some(format!("HTTP/1.1 {rest}"));
    }

    /// How many connections were opened, those without a handshake included.
    pub fn connections(&self) -> usize {
        lock(&self.state.heard).connections
    }

    /// All that clients said within TLS so far, whole requests or not.
    pub fn heard(&self) -> String {
        lock(&self.state.heard).text.clone()
    }
}

impl Drop for TokenEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn acceptor(certificate: &str, key: &str, client_ca: Option<&str>) -> Result<Acceptor, Error> {
    Acceptor::new(&Options {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        client_ca: client_ca.map(str::to_owned),
        versions: Vec::new(),
    })
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    let mut serving = JoinSet::new();
    // A listener that fails has no more clients; they will say so.
    while let Ok((socket, _)) = listener.accept().await {
        lock(&state.heard).connections += 1;
        while serving.try_join_next().is_some() {}
        // Who says nothing is not waited for for ever, and a connection that broke is its client's business.
        serving.spawn(timeout(PATIENCE, serve(socket, Arc::clone(&state))));
    }
}

async fn serve(socket: TcpStream, state: Arc<State>) -> io::Result<()> {
    let acceptor = lock(&state.acceptor).clone();
    let mut stream = acceptor.accept(socket).await?;
    hear(&mut stream, &state).await?;
    let answer = lock(&state.answer).clone().unwrap_or_else(|| granted(SystemTime::now()));
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

/// Reads one request to its end, keeping every byte of it.
async fn hear(stream: &mut TlsStream, state: &State) -> io::Result<()> {
    let mut request = Vec::new();
    while !is_whole(&request) {
        if request.len() >= REQUEST_LIMIT {
            return Err(io::Error::other("the request is too long"));
        }
        let from = request.len();
        if stream.read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        lock(&state.heard).text.push_str(&String::from_utf8_lossy(&request[from..]));
    }
    Ok(())
}

/// Whether head and body are there (RFC 9112 §6.3).
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let lengths = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = lengths.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = lengths.next().and_then(|(_, length)| length.trim().parse().ok()).unwrap_or(0);
    body.len() >= length
}

/// An answer with a token (RFC 6749 §5.1) that is a JSON Web Token of algorithm `none` (RFC 7519 §6).
fn granted(now: SystemTime) -> String {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (from, until) = (now.as_secs(), (now + LIFETIME).as_secs());
    let claims = format!(r#"{{"sub":"token-endpoint","iat":{from},"exp":{until}}}"#);
    let token = format!("{}.{}.", BASE64URL.encode(r#"{"alg":"none"}"#), BASE64URL.encode(claims));
    let seconds = LIFETIME.as_secs();
    let body = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{seconds}}}"#);
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_whole_when_its_body_is() {
        assert!(is_whole(b"GET / HTTP/1.1\r\n\r\n"));
        assert!(is_whole(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"));
        for part in [&b""[..], b"POST / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab"] {
            assert!(!is_whole(part));
        }
    }
}
