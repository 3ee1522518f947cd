//! TLS listeners: rustls with graviola, which compiles no C.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::Error;

pub(crate) type TlsStream = tokio_rustls::server::TlsStream<BufReader<TcpStream>>;

/// rustls reads 4 KiB at a time; the buffer makes one system call of many.
const READ_AHEAD: usize = 64 << 10;

/// How much is encrypted ahead of the socket.
const WRITE_AHEAD: usize = 256 << 10;

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

impl TlsVersion {
    fn rustls(self) -> &'static SupportedProtocolVersion {
        match self {
            Self::V1_2 => &rustls::version::TLS12,
            Self::V1_3 => &rustls::version::TLS13,
        }
    }
}

/// What the builder was told. `Debug` shows no key.
#[derive(Clone, Default)]
pub(crate) struct Options {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) client_ca: Option<String>,
    /// Empty for both.
    pub(crate) versions: Vec<TlsVersion>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Tls");
        shown.field("client_ca", &self.client_ca.is_some()).field("versions", &self.versions).finish_non_exhaustive()
    }
}

/// Takes handshakes.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}

impl Acceptor {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        if !graviola::util::is_cpu_supported() {
            return Err(Error::Tls("this processor lacks what the TLS provider needs (see graviola)".to_owned()));
        }
        let config = configure(options).map_err(Error::Tls)?;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<Box<TlsStream>> {
        let socket = BufReader::with_capacity(READ_AHEAD, stream);
        let limit = |tls: &mut rustls::ServerConnection| tls.set_buffer_limit(Some(WRITE_AHEAD));
        self.0.accept_with(socket, limit).await.map(Box::new)
    }
}

fn configure(options: &Options) -> Result<ServerConfig, String> {
    let provider = Arc::new(rustls_graviola::default_provider());
    let versions: Vec<_> = match options.versions.as_slice() {
        [] => rustls::ALL_VERSIONS.to_vec(),
        some => some.iter().map(|version| version.rustls()).collect(),
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_protocol_versions(&versions).map_err(|e| e.to_string())?;
    let builder = match &options.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(roots(ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| format!("the clients' CA: {e}"))?)
        }
    };
    let chain = certificates("certificate", &options.certificate)?;
    let key = PrivateKeyDer::from_pem_slice(options.key.as_bytes()).map_err(|e| format!("the key: {e}"))?;
    builder.with_single_cert(chain, key).map_err(|e| format!("the certificate and its key: {e}"))
}

fn roots(ca: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("clients' CA", ca)? {
        roots.add(certificate).map_err(|e| format!("the clients' CA: {e}"))?;
    }
    Ok(roots)
}

fn certificates(what: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let found = found.map_err(|e| format!("the {what}: {e}"))?;
    if found.is_empty() { Err(format!("the {what}: there is none in the PEM text")) } else { Ok(found) }
}
