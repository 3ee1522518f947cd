//! Tokens from an OAuth 2 token endpoint by the client credentials grant (RFC 6749 §4.4), over HTTP/1.1.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, LOCATION};
use hyper::{StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::connect::{Stage, dial};
use super::tls::{Peer, Tls};
use crate::config::Server;
use crate::core::peer_text::{PeerText, printable};
use crate::error::{Error, ErrorKind};
use crate::sasl::{BearerToken, TokenEndpoint};

/// How long connecting may take; the caller's own deadline holds for the whole.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer taken. Tokens are some kilobytes.
const ANSWER_LIMIT: usize = 512 * 1024;

/// An endpoint whose settings are good.
pub(crate) struct Endpoint {
    settings: TokenEndpoint,
    server: Server,
    /// Host and port as in the URL.
    authority: String,
    path: String,
    secure: bool,
    /// Made once; from then on it reads its files again when they have changed.
    tls: OnceLock<Arc<Tls>>,
}

/// What an endpoint answered.
struct Answer {
    status: StatusCode,
    /// Where a redirect leads.
    location: Option<String>,
    body: Zeroizing<Vec<u8>>,
}

impl Endpoint {
    /// Checks the settings. The error says what to write, and no secret.
    pub(crate) fn new(settings: TokenEndpoint) -> Result<Self, String> {
        let wrong = |why: &str| format!("the token endpoint {:?}: {why}", settings.url);
        let uri: Uri = settings.url.parse().map_err(|e| wrong(&format!("{e}; write https://host/path")))?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("write https://host/path")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("the host is missing; write https://host/path"))?;
        if authority.as_str().contains('@') {
            return Err("the token endpoint's URL has a login in it; use the client's id and secret".to_owned());
        }
        if settings.client_id.is_empty() || settings.client_secret.expose().is_empty() {
            return Err(wrong("the client's id or its secret is empty"));
        }
        let host = without_brackets(authority.host());
        let server = Server::new(host, authority.port_u16().unwrap_or(if secure { 443 } else { 80 }));
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let authority = authority.as_str().to_owned();
        Ok(Self { settings, server, authority, path, secure, tls: OnceLock::new() })
    }

    /// The client's secret.
    pub(crate) fn secret(&self) -> &str {
        self.settings.client_secret.expose()
    }

    fn peer_text(&self) -> PeerText {
        let pair = Zeroizing::new(format!("{}:{}", form(&self.settings.client_id), form(self.secret())));
        PeerText::new([self.secret(), pair.as_str()])
    }

    /// Reads the certificates, and says loudly what must not be overlooked. Called at each start.
    pub(crate) fn open(&self) -> Result<(), String> {
        if is_exposed(&self.settings.url) {
            tracing::warn!(
                "{self} is asked over plain http: anyone on the way can read the client's secret and the tokens; write \
                 https:// if it has that"
            );
        }
        if self.secure {
            self.tls()?.warn();
        }
        Ok(())
    }

    fn tls(&self) -> Result<&Arc<Tls>, String> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let made = Tls::with(Peer::TokenEndpoint, self.settings.tls.clone());
        let wrong =
            |lines: Vec<String>| lines.iter().map(|line| format!("{self}: {line}")).collect::<Vec<_>>().join("\n");
        let made = made.map_err(wrong)?;
        // Another clone may have been quicker.
        Ok(self.tls.get_or_init(|| Arc::new(made)))
    }

    /// Asks for a token. The secret leaves this machine only when the endpoint has shown a certificate that is believed.
    pub(crate) async fn fetch(&self) -> Result<BearerToken, Error> {
        let at = |e: Error| e.at_endpoint(&self.to_string());
        let socket = dial(&self.server, CONNECT_TIMEOUT, &Stage::default()).await.map_err(at)?;
        let answer = if self.secure {
            let tls = self.tls().map_err(|wrong| Error::new(ErrorKind::Config, wrong))?;
            let stream = tls.connect(socket, &self.server.host).await.map_err(at)?;
            self.ask(stream).await
        } else {
            self.ask(socket).await
        };
        self.token(&answer?)
    }

    async fn ask(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Answer, Error> {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(&e))?;
        let exchange = async {
            let answer = sender.send_request(self.request()?).await.map_err(|e| self.broken(&e))?;
            let status = answer.status();
            let location = answer.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let location = location.map(|to| self.peer_text().clean(to));
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT).collect().await;
            let body = body.map_err(|e| self.broken(&*e))?.to_bytes();
            Ok(Answer { status, location, body: Zeroizing::new(body.to_vec()) })
        };
        // The connection's own end says nothing that the exchange does not.
        tokio::pin!(exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }

    /// An exchange without an answer. In TLS 1.3 a server refuses our certificate only after the handshake.
    fn broken(&self, error: &(dyn StdError + 'static)) -> Error {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let io = error.downcast_ref::<io::Error>().zip(self.tls.get());
            if let Some(explained) = io.and_then(|(io, tls)| tls.explanation(io)) {
                return explained.at_endpoint(&self.to_string());
            }
            cause = error.source();
        }
        Error::new(ErrorKind::Disconnected, format!("{self} gave no answer: {error}")).advice("is this an HTTP server?")
    }

    fn request(&self) -> Result<hyper::Request<Full<Bytes>>, Error> {
        let impossible = |e: hyper::http::Error| Error::new(ErrorKind::Config, format!("{self}: {e}"));
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.settings.scope {
            body.push_str("&scope=");
            body.push_str(&form(scope));
        }
        let request = hyper::Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, self.authorization()?);
        request.body(Full::new(body.into())).map_err(impossible)
    }

    /// RFC 6749 §2.3.1: id and secret form-encoded, then as HTTP's Basic.
    fn authorization(&self) -> Result<HeaderValue, Error> {
        let secret = Zeroizing::new(form(self.settings.client_secret.expose()));
        let pair = Zeroizing::new(format!("{}:{}", form(&self.settings.client_id), *secret));
        let text = Zeroizing::new(format!("Basic {}", BASE64.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).map_err(|e| Error::new(ErrorKind::Config, e.to_string()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    fn token(&self, answer: &Answer) -> Result<BearerToken, Error> {
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let field = |name: &str| json.get(name).and_then(serde_json::Value::as_str);
        if answer.status.is_redirection() {
            return Err(self.redirected(answer));
        }
        if !answer.status.is_success() {
            let said = [field("error"), field("error_description")].into_iter().flatten();
            let said = said.map(|said| self.peer_text().clean(said));
            let said = said.collect::<Vec<_>>().join(": ");
            // A server in trouble says nothing about the client's secret.
            let kind = if answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS {
                ErrorKind::Disconnected
            } else {
                ErrorKind::Authentication
            };
            let message = format!("{self} gives no token: HTTP {} {said}", answer.status.as_u16());
            return Err(Error::new(kind, message.trim_end()).advice("check client id, client secret, scope and URL"));
        }
        let malformed = |why: &str| Error::new(ErrorKind::Authentication, format!("the answer of {self} {why}"));
        if field("token_type").is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
            return Err(malformed("has a token of another type than bearer"));
        }
        let value = field("access_token").ok_or_else(|| malformed("has no access_token"))?;
        let token = BearerToken::new(value).map_err(|e| malformed(&format!("is of no use: {e}")))?;
        let seconds = json.get("expires_in").and_then(serde_json::Value::as_f64);
        // A year is as good as for ever, and fits every clock.
        let lifetime = seconds.filter(|s| *s > 0.0).map(|s| Duration::from_secs_f64(s.min(31_536_000.0)));
        Ok(match lifetime {
            Some(lifetime) => token.expires_in(lifetime),
            None => token,
        })
    }

    fn redirected(&self, answer: &Answer) -> Error {
        let to = answer.location.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        let message = format!(
            "{self} gives no token: HTTP {} redirects{to}, which is not followed, so that the client's secret goes nowhere \
             but to the configured URL",
            answer.status.as_u16()
        );
        Error::new(ErrorKind::Authentication, message).advice("configure the URL that gives tokens")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the token endpoint {}", printable(&self.settings.url))
    }
}

/// Whether what is said to this URL can be read on a network: plain http to another machine than this one (RFC 6761 §6.3).
pub(crate) fn is_exposed(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = without_brackets(uri.host().unwrap_or_default()).to_ascii_lowercase();
    let here = match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    };
    uri.scheme_str() == Some("http") && !here
}

/// A URL's host as an address is parsed: an IPv6 one stands in brackets there (RFC 3986 §3.2.2).
fn without_brackets(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// `application/x-www-form-urlencoded`.
fn form(text: &str) -> String {
    use std::fmt::Write as _;
    // Three times the length at most: a secret leaves no piece behind by growing.
    let mut out = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(byte as char),
            b' ' => out.push('+'),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
