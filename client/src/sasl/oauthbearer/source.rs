//! Where tokens come from: the user's own code, a file, or a token endpoint. Fetched once for all who want one, kept for
//! the better part of their life.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::{Instant, SystemTime};

use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::super::secret::Secret;
use super::token::{BearerToken, Cached, MAX_LEN};
use super::{Exchange, extension_problem};
use crate::TlsOptions;
use crate::core::peer_text::PeerText;
use crate::error::{Error, ErrorKind};
use crate::net::token_endpoint::{self, Endpoint};

/// A token to come.
pub type TokenFuture<'a> =
    Pin<Box<dyn Future<Output = Result<BearerToken, Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

/// The user's own way to a token (KIP-255, the client's login callback).
///
/// It is asked for one token at a time, when the last one is in the last fifth of its life, or for each login if the token
/// does not say when it ends. It has to answer within the client's `connect_timeout`. What its errors say is shown: they
/// must name no secret.
pub trait TokenProvider: Send + Sync + 'static {
    /// A token that brokers take now.
    fn token(&self) -> TokenFuture<'_>;
}

/// How to log in with OAUTHBEARER (RFC 7628, KIP-255), for [`ClientBuilder::sasl_oauthbearer`](crate::ClientBuilder::sasl_oauthbearer).
#[derive(Debug, Clone)]
pub struct OauthBearer {
    source: Source,
    extensions: Vec<(String, String)>,
}

/// A token endpoint of OpenID Connect or plain OAuth 2, asked with the client credentials grant (RFC 6749 §4.4).
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    /// Where it is: `https://host[:port]/path`, or `http://` where nobody listens in between, of which a warning is logged at
    /// each start unless the host is this machine. Redirects are not followed: the secret goes nowhere else.
    pub url: String,
    /// The client's id.
    pub client_id: String,
    pub(crate) client_secret: Secret,
    /// What is asked for, several parts with blanks between; `None` for what the endpoint gives by itself.
    pub scope: Option<String>,
    /// How `https` is protected. Default: the system's authorities. The files are read at the start, and again when they
    /// change.
    pub tls: TlsOptions,
}

#[derive(Clone)]
enum Source {
    Provider(Arc<dyn TokenProvider>),
    File(PathBuf),
    Endpoint(TokenEndpoint),
}

/// Tokens for one client.
#[derive(Clone)]
pub(crate) struct Tokens(Arc<Inner>);

struct Inner {
    origin: Origin,
    extensions: Vec<(String, String)>,
    /// Held while a token is fetched, on purpose: who comes meanwhile waits for that one.
    cached: Mutex<Option<Cached>>,
    /// The token of the last login, for finding it in what peers say.
    last: std::sync::Mutex<Option<BearerToken>>,
    problem: Option<String>,
}

enum Origin {
    Provider(Arc<dyn TokenProvider>),
    File(PathBuf),
    Endpoint(Box<Endpoint>),
    /// Said in `problem`.
    Nowhere,
}

impl TokenEndpoint {
    /// An endpoint; the secret is kept where it is erased.
    pub fn new(url: impl Into<String>, client_id: impl Into<String>, client_secret: &str) -> Self {
        Self {
            url: url.into(),
            client_id: client_id.into(),
            client_secret: Secret::new(client_secret),
            scope: None,
            tls: TlsOptions::default(),
        }
    }

    /// Whether the client's secret and the tokens can be read on a network: plain `http` to another machine than this one.
    pub fn is_exposed(&self) -> bool {
        token_endpoint::is_exposed(&self.url)
    }
}

impl OauthBearer {
    /// Tokens from the user's own code.
    pub fn provider(provider: impl TokenProvider) -> Self {
        Self::of(Source::Provider(Arc::new(provider)))
    }

    /// The token in this file, which is read again for each login; blanks and line ends around it do not count.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Source::File(path.into()))
    }

    /// Tokens from an endpoint.
    pub fn endpoint(endpoint: TokenEndpoint) -> Self {
        Self::of(Source::Endpoint(endpoint))
    }

    /// Sends a SASL extension beside each token (KIP-342): a name of letters, a value of printable ASCII. Repeated calls
    /// add.
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.push((name.into(), value.into()));
        self
    }

    /// Why these can never work: an impossible URL, an extension that cannot be sent. `None` if nothing is wrong with them.
    pub fn problem(&self) -> Option<String> {
        Tokens::new(self.clone()).problem()
    }

    fn of(source: Source) -> Self {
        Self { source, extensions: Vec::new() }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(_) => f.write_str("Provider(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens(…)")
    }
}

impl Tokens {
    pub(crate) fn new(options: OauthBearer) -> Self {
        let mut problem = options.extensions.iter().find_map(|(key, value)| extension_problem(key, value));
        let origin = match options.source {
            Source::Provider(provider) => Origin::Provider(provider),
            Source::File(path) => Origin::File(path),
            Source::Endpoint(endpoint) => Endpoint::new(endpoint).map_or_else(
                |wrong| {
                    problem = Some(wrong);
                    Origin::Nowhere
                },
                |endpoint| Origin::Endpoint(Box::new(endpoint)),
            ),
        };
        Self(Arc::new(Inner {
            origin,
            extensions: options.extensions,
            cached: Mutex::new(None),
            last: std::sync::Mutex::default(),
            problem,
        }))
    }

    pub(crate) fn problem(&self) -> Option<String> {
        self.0.problem.clone()
    }

    /// Reads what has to be there from the start. A token file is no such thing: who writes it may come later.
    pub(crate) fn open(&self) -> Result<(), String> {
        match &self.0.origin {
            Origin::Endpoint(endpoint) => endpoint.open(),
            Origin::Provider(_) | Origin::File(_) | Origin::Nowhere => Ok(()),
        }
    }

    pub(crate) async fn exchange(&self) -> Result<Exchange, Error> {
        let token = self.token().await?;
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(Exchange::new(token, self.0.extensions.clone()))
    }

    /// How a peer's words are shown that may hold a token or the client's secret.
    pub(crate) fn peer_text(&self) -> PeerText {
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let secret = match &self.0.origin {
            Origin::Endpoint(endpoint) => Some(endpoint.secret()),
            Origin::Provider(_) | Origin::File(_) | Origin::Nowhere => None,
        };
        PeerText::new(secret.into_iter().chain(last.as_ref().map(BearerToken::expose)))
    }

    /// The broker did not take the token: the next login has to have another.
    pub(crate) async fn forget(&self) {
        *self.0.cached.lock().await = None;
    }

    async fn token(&self) -> Result<BearerToken, Error> {
        let mut cached = self.0.cached.lock().await;
        if let Some(token) = cached.as_ref().and_then(|cached| cached.fresh(Instant::now())) {
            return Ok(token);
        }
        match self.0.origin.fetch().await {
            Ok(token) => {
                // A file is its own cache, and may change at any time.
                if !matches!(self.0.origin, Origin::File(_)) {
                    *cached = Cached::new(token.clone(), Instant::now(), SystemTime::now(), fastrand::f64());
                }
                Ok(token)
            }
            Err(error) => match cached.as_ref().and_then(|cached| cached.valid(Instant::now())) {
                Some(token) => {
                    tracing::warn!(%error, "no new token; the old one is used to its end");
                    Ok(token)
                }
                None => Err(error),
            },
        }
    }
}

impl Origin {
    async fn fetch(&self) -> Result<BearerToken, Error> {
        let token = match self {
            Self::Provider(provider) => provider.token().await.map_err(|e| {
                // Our own errors keep what they are; anything else has only its words.
                let message = format!("the token provider failed: {e}");
                Error::new(ErrorKind::Authentication, message)
            })?,
            Self::File(path) => from_file(path).await?,
            Self::Endpoint(endpoint) => endpoint.fetch().await?,
            Self::Nowhere => return Err(Error::new(ErrorKind::Config, "there is nowhere to get a token from")),
        };
        match token.left(SystemTime::now()) {
            Some(left) if left.is_zero() => {
                let message = format!("the token {} has expired", self.place());
                Err(Error::new(ErrorKind::Authentication, message).advice("is this machine's clock right?"))
            }
            _ => Ok(token),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::Provider(_) => "of the provider".to_owned(),
            Self::File(path) => format!("in {}", path.display()),
            Self::Endpoint(endpoint) => format!("of {endpoint}"),
            Self::Nowhere => String::new(),
        }
    }
}

async fn from_file(path: &Path) -> Result<BearerToken, Error> {
    let unreadable = |e: &dyn fmt::Display| {
        let message = format!("the token file {} cannot be read: {e}", path.display());
        Error::new(ErrorKind::Authentication, message)
    };
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        let mut text = Zeroizing::new(String::new());
        // One byte more than a token may have, with room for a line end: longer files are noticed, not read.
        std::fs::File::open(owned)?.take(MAX_LEN as u64 + 3).read_to_string(&mut text)?;
        std::io::Result::Ok(text)
    });
    let text = read.await.map_err(|e| unreadable(&e))?.map_err(|e| unreadable(&e))?;
    BearerToken::new(text.trim()).map_err(|e| {
        let message = format!("the token file {}: {e}", path.display());
        Error::new(ErrorKind::Authentication, message)
    })
}

#[cfg(test)]
mod tests;
