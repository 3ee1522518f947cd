//! TLS on a socket: rustls, with certificates that are read again when their files change.

pub(crate) mod certificate;
mod failure;
mod files;
pub(crate) mod pem;
mod provider;
mod unverified;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::stream::Socket;
use crate::config::tls::{TlsIdentity, TlsOptions, TlsSession, TlsVersion, TrustedCa};
use crate::error::{Error, ErrorKind};
use crate::kerberos::time::KerberosTime;
pub(crate) use failure::Peer;
use files::Stamp;

/// Room for four full records.
const READ_AHEAD: usize = 64 * 1024;
/// How much is encrypted ahead of the socket; what does not fit waits.
const WRITE_AHEAD: usize = 256 * 1024;
/// How long before its end a certificate is spoken of.
const SOON: Duration = Duration::from_hours(30 * 24);

/// The options, checked, and what was read for them.
pub(crate) struct Tls {
    options: TlsOptions,
    peer: Peer,
    provider: Arc<CryptoProvider>,
    name: Option<ServerName<'static>>,
    loaded: Mutex<Loaded>,
}

/// What the files said when they were read last.
struct Loaded {
    config: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
    /// Those that have an end worth a word, with what they are.
    certificates: Vec<(String, CertificateDer<'static>)>,
}

impl Tls {
    /// For brokers. Reads everything. The error has a line for each thing that is wrong.
    pub(crate) fn new(options: TlsOptions) -> Result<Self, Vec<String>> {
        Self::with(Peer::Broker, options)
    }

    /// The same for any peer.
    pub(crate) fn with(peer: Peer, options: TlsOptions) -> Result<Self, Vec<String>> {
        let provider = provider::provider().map_err(|e| vec![e])?;
        let mut problems = Vec::new();
        if options.min_version > options.max_version {
            problems.push("TLS: min_version is above max_version".to_owned());
        }
        let name = options.server_name.as_deref().map(server_name).transpose();
        let name = name.unwrap_or_else(|problem| {
            problems.push(format!("TLS: {problem}"));
            None
        });
        match load(&options, &provider) {
            Ok(loaded) if problems.is_empty() => Ok(Self { options, peer, provider, name, loaded: Mutex::new(loaded) }),
            Ok(_) => Err(problems),
            Err(more) => Err(problems.into_iter().chain(more).collect()),
        }
    }

    /// Says loudly what must not be overlooked. Called at each start.
    pub(crate) fn warn(&self) {
        if self.options.insecure_skip_verification {
            let whose = match self.peer {
                Peer::Broker => "brokers' certificates are",
                Peer::TokenEndpoint => "the token endpoint's certificate is",
            };
            tracing::warn!(
                "insecure_skip_verification is on: {whose} not verified, anyone on the way can read and change all that is \
                 sent"
            );
        }
    }

    /// The handshake. `host` is the server's, as it was dialled.
    pub(crate) async fn connect(self: &Arc<Self>, stream: TcpStream, host: &str) -> Result<TlsStream<Socket>, Error> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|e| {
                Error::new(ErrorKind::Config, e).advice("set the server name that the server's certificate has")
            })?,
        };
        let this = self.clone();
        let config = tokio::task::spawn_blocking(move || this.current()).await;
        let config = config.map_err(|e| Error::new(ErrorKind::Tls, format!("the certificates cannot be read: {e}")))?;
        let socket = BufReader::with_capacity(READ_AHEAD, stream);
        let connecting =
            TlsConnector::from(config).connect_with(name, socket, |tls| tls.set_buffer_limit(Some(WRITE_AHEAD)));
        connecting.await.map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                let message = "the peer closed the connection in the TLS handshake";
                let advice = match self.peer {
                    Peer::Broker => "a listener without TLS closes like this: is it the broker's TLS port?",
                    Peer::TokenEndpoint => "a server without TLS closes like this: is it its port for https?",
                };
                Error::new(ErrorKind::Disconnected, message).advice(advice).with_source(e)
            }
            _ => self.explain(e),
        })
    }

    /// The handshake, and what came of it; the connection is closed.
    pub(crate) async fn try_handshake(self: &Arc<Self>, stream: TcpStream, host: &str) -> Result<TlsSession, Error> {
        let mut stream = self.connect(stream, host).await?;
        let session = session(&stream);
        // A peer that has gone already does not matter any more.
        let _ = stream.shutdown().await;
        Ok(session)
    }

    /// What an I/O error on a stream means that came through the handshake.
    pub(crate) fn explain(&self, error: io::Error) -> Error {
        self.explanation(&error).unwrap_or_else(|| super::connect::broken(error))
    }

    /// The same, if it is an error of TLS.
    pub(crate) fn explanation(&self, error: &io::Error) -> Option<Error> {
        failure::cause(error).map(|cause| failure::explain(cause, &self.options, self.peer))
    }

    /// Whether this client has something to show.
    pub(crate) fn has_identity(&self) -> bool {
        self.options.identity.is_some()
    }

    /// The configuration as the files are now. It looks at the files and reads them if they have changed: blocking, short.
    fn current(&self) -> Arc<ClientConfig> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if loaded.stamps.iter().any(Stamp::has_changed) {
            match load(&self.options, &self.provider) {
                Ok(new) => {
                    tracing::info!("files of TLS have changed and were read again");
                    *loaded = new;
                }
                Err(problems) => tracing::warn!(
                    problem = problems.join("; "),
                    "files of TLS have changed and cannot be used; what they said before stays in use"
                ),
            }
        }
        loaded.config.clone()
    }

    /// A sentence for each certificate of ours that has ended or ends within 30 days.
    pub(crate) fn ending_soon(&self, now: SystemTime) -> Vec<String> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.certificates.iter().filter_map(|(what, certificate)| ending_soon(what, certificate, now)).collect()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.options.fmt(f)
    }
}

/// A sentence about a certificate that has ended or ends within 30 days.
pub(crate) fn ending_soon(what: &str, certificate: &[u8], now: SystemTime) -> Option<String> {
    let (_, until) = certificate::validity(certificate)?;
    let when = KerberosTime::from(until);
    if until < now {
        Some(format!("{what} expired at {when}; no peer believes it"))
    } else {
        (until < now + SOON).then(|| format!("{what} expires at {when}; renew it"))
    }
}

/// Until when a certificate is valid, to be read by people.
pub(crate) fn end_of(certificate: &[u8]) -> Option<String> {
    certificate::validity(certificate).map(|(_, until)| KerberosTime::from(until).to_string())
}

/// What was agreed on.
fn session(stream: &TlsStream<Socket>) -> TlsSession {
    let (_, connection) = stream.get_ref();
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => TlsVersion::V1_2,
        _ => TlsVersion::V1_3,
    };
    let cipher = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    TlsSession {
        version,
        cipher: cipher.unwrap_or_default(),
        certificate: certificate.map(|certificate| certificate.to_vec()).unwrap_or_default(),
    }
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| format!("{host:?} is neither a host name nor an IP address that a certificate could have"))
}

/// Reads the files and makes a configuration of them.
fn load(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Loaded, Vec<String>> {
    let stamps = files::stamps(options);
    let mut certificates = Vec::new();
    // Who believes everybody needs no authorities; those that are named are read all the same.
    let roots = match &options.ca {
        TrustedCa::System if options.insecure_skip_verification => Ok(RootCertStore::empty()),
        ca => files::roots(ca, &mut certificates),
    };
    let shown = options.identity.as_ref().map(|identity| shown(identity, provider, &mut certificates)).transpose();
    let (roots, shown) = match (roots, shown) {
        (Ok(roots), Ok(shown)) => (roots, shown),
        (roots, shown) => return Err([roots.err(), shown.err()].into_iter().flatten().collect()),
    };
    let config = configure(options, provider, roots, shown).map_err(|e| vec![format!("TLS: {e}")])?;
    Ok(Loaded { config: Arc::new(config), stamps, certificates })
}

type Shown = rustls::sign::CertifiedKey;

fn configure(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
    roots: RootCertStore,
    shown: Option<Shown>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(options))
        .map_err(|e| e.to_string())?;
    let builder = if options.insecure_skip_verification {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(unverified::Unverified::new(provider)))
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        builder.with_webpki_verifier(verifier.map_err(|e| e.to_string())?)
    };
    Ok(match shown {
        Some(shown) => builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown))),
        None => builder.with_no_client_auth(),
    })
}

fn versions(options: &TlsOptions) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(TlsVersion::V1_2, &rustls::version::TLS12), (TlsVersion::V1_3, &rustls::version::TLS13)];
    let allowed = options.min_version..=options.max_version;
    all.into_iter().filter(|(version, _)| allowed.contains(version)).map(|(_, version)| version).collect()
}

/// The client's certificate and its key, which have to be a pair.
fn shown(
    identity: &TlsIdentity,
    provider: &CryptoProvider,
    certificates: &mut Vec<(String, CertificateDer<'static>)>,
) -> Result<Shown, String> {
    let named = |what: &str, pem: &crate::config::tls::Pem| match pem.path() {
        Some(path) => format!("{what} {}", path.display()),
        None => what.to_owned(),
    };
    let certificate = named("the client's certificate", &identity.certificate);
    let key = named("the client's key", &identity.key);
    let text = pem::read(&identity.certificate).map_err(|e| format!("{certificate}: {e}"))?;
    let chain = pem::certificates(&text).map_err(|e| format!("{certificate}: {e}"))?;
    let text = pem::read(&identity.key).map_err(|e| format!("{key}: {e}"))?;
    let password = identity.key_password.as_ref().map(|password| password.as_str());
    let private = pem::private_key(&text, password).map_err(|e| format!("{key}: {e}"))?;
    certificates.extend(chain.iter().take(1).map(|first| (certificate.clone(), first.clone())));
    Shown::from_der(chain, private, provider).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => format!("{key} is not the one of {certificate}"),
        rustls::Error::InvalidCertificate(e) => format!("{certificate} cannot be parsed: {e}"),
        _ => format!("{key} cannot be used: RSA from 2048 bits, P-256, P-384 and Ed25519 can"),
    })
}

#[cfg(test)]
#[path = "tls/tests.rs"]
mod tests;
