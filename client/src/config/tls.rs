//! How a connection is protected by TLS, as a user says it. What becomes of it stands in `net::tls`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use super::Server;
use crate::error::{Error, ErrorKind};
use crate::net::{connect, tls};

/// How connections to brokers are protected by TLS. The default trusts the system's authorities, sends no certificate of
/// its own and takes TLS 1.2 and 1.3.
///
/// Files are read when the client is made and again before a connection is dialled after they have changed: a certificate
/// that is renewed on disk needs no restart. Files that cannot be used at that moment leave the ones before in place,
/// with a `tracing` event.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// Which authorities are believed. Kafka: `ssl.truststore.location`. Default: the system's.
    pub ca: TrustedCa,
    /// What the client shows to a broker that asks (`ssl.client.auth`). Kafka: `ssl.keystore.location`. Default: nothing.
    pub identity: Option<TlsIdentity>,
    /// The name that every broker's certificate has to be for, a host name or an IP address; it is also sent (SNI,
    /// RFC 6066 §3). Default: the host of each broker's address.
    pub server_name: Option<String>,
    /// The lowest version taken. Kafka: `ssl.enabled.protocols`. Default: TLS 1.2.
    pub min_version: TlsVersion,
    /// The highest version taken, not below [`TlsOptions::min_version`]. Default: TLS 1.3.
    pub max_version: TlsVersion,
    /// Believes **any** certificate: whoever sits on the way can read and change everything, passwords included. A warning
    /// is logged at each start. For a look at a broken set-up, never for use. Default: off.
    pub insecure_skip_verification: bool,
}

/// Whose word counts for a broker's certificate.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum TrustedCa {
    /// The authorities of the operating system: its usual files, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    /// They are read once.
    #[default]
    System,
    /// The certificates in this PEM text, one or more, and no others.
    Pem(Pem),
    /// The certificates in every file of this directory that has some in PEM, and no others. Its subdirectories are not
    /// looked into.
    Directory(PathBuf),
}

/// PEM text (RFC 7468): in a file, or given as it is. `Debug` shows the path, never the text.
#[derive(Clone)]
pub struct Pem(pub(crate) PemPlace);

#[derive(Clone)]
pub(crate) enum PemPlace {
    File(PathBuf),
    Text(Arc<Zeroizing<String>>),
}

impl Pem {
    /// A file, which is read again when it has changed.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(PemPlace::File(path.into()))
    }

    /// The text itself, from `-----BEGIN …-----` on. It is erased when the last copy is dropped.
    pub fn text(text: impl Into<String>) -> Self {
        Self(PemPlace::Text(Arc::new(Zeroizing::new(text.into()))))
    }

    /// The file's path, `None` for a text.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            PemPlace::File(path) => Some(path),
            PemPlace::Text(_) => None,
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path() {
            Some(path) => write!(f, "Pem({})", path.display()),
            None => f.write_str("Pem(…)"),
        }
    }
}

/// A client's certificate and its key. `Debug` shows no secret.
#[derive(Clone)]
pub struct TlsIdentity {
    pub(crate) certificate: Pem,
    pub(crate) key: Pem,
    pub(crate) key_password: Option<Arc<Zeroizing<String>>>,
}

impl TlsIdentity {
    /// A certificate, followed by those of its issuers if brokers do not know them, and its private key; both may stand in
    /// one file.
    ///
    /// Keys are RSA of 2048 bits or more (PKCS#8 or PKCS#1), P-256 and P-384 (PKCS#8 or SEC1), or Ed25519 (PKCS#8).
    pub fn new(certificate: Pem, key: Pem) -> Self {
        Self { certificate, key, key_password: None }
    }

    /// The password of an encrypted key: PKCS#8 with PBES2 (RFC 8018), AES-CBC, by PBKDF2 or scrypt. Kafka:
    /// `ssl.key.password`.
    #[must_use]
    pub fn key_password(mut self, password: &str) -> Self {
        self.key_password = Some(Arc::new(Zeroizing::new(password.to_owned())));
        self
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TlsIdentity");
        shown.field("certificate", &self.certificate).field("key", &self.key).finish_non_exhaustive()
    }
}

/// A version of TLS. Older ones are broken and not built in (RFC 8996).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

/// What a handshake came to. `Display` has all of it in a line.
#[derive(Debug, Clone)]
pub struct TlsSession {
    pub(crate) version: TlsVersion,
    pub(crate) cipher: String,
    pub(crate) certificate: Vec<u8>,
}

impl TlsSession {
    /// The version agreed on.
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// A sentence about the broker's certificate if it has ended or ends within 30 days of `now`.
    pub fn ending_soon(&self, now: SystemTime) -> Option<String> {
        tls::ending_soon("the broker's certificate", &self.certificate, now)
    }
}

impl fmt::Display for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.version, self.cipher)?;
        match tls::end_of(&self.certificate) {
            Some(end) => write!(f, ", certificate valid until {end}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLS 1.2",
            Self::V1_3 => "TLS 1.3",
        })
    }
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            ca: TrustedCa::System,
            identity: None,
            server_name: None,
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            insecure_skip_verification: false,
        }
    }
}

impl TlsOptions {
    /// Reads all files and puts everything together as a connection would, without opening one. Gives what will be wrong
    /// soon, a sentence each: certificates of ours that have expired or will within 30 days of `now`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`], with a line for each thing that is wrong: a file that cannot be read, text that is no PEM, a
    /// key that is none or not the certificate's, a wrong password, a name that is no host, a processor that lacks what
    /// TLS needs.
    pub fn check(&self, now: SystemTime) -> Result<Vec<String>, Error> {
        match tls::Tls::new(self.clone()) {
            Ok(tls) => Ok(tls.ending_soon(now)),
            Err(problems) => Err(Error::new(ErrorKind::Config, problems.join("\n"))),
        }
    }

    /// Connects to one server, `host:port`, for the handshake alone, and closes: for diagnosis, since a client does this by
    /// itself. In TLS 1.3 a broker may refuse our certificate only after it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] as [`TlsOptions::check`], [`ErrorKind::Tls`] for a certificate, name, version or cipher that is
    /// wrong, and what else keeps a connection from being made. `timeout` is for all of it.
    pub async fn handshake(&self, server: &str, timeout: Duration) -> Result<TlsSession, Error> {
        let wrong = |problem| Error::new(ErrorKind::Config, problem);
        let server = Server::parse(server).map_err(wrong)?;
        let tls = tls::Tls::new(self.clone()).map_err(|problems| wrong(problems.join("\n")))?;
        connect::handshake(&server, &Arc::new(tls), timeout).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_key_nor_password_is_shown() {
        let identity =
            TlsIdentity::new(Pem::file("client.pem"), Pem::text("-----BEGIN SECRET")).key_password("hunter2");
        let options = TlsOptions { identity: Some(identity), ..TlsOptions::default() };
        let shown = format!("{options:?} {options:#?}");
        assert!(shown.contains("client.pem"), "{shown}");
        assert!(!shown.contains("SECRET") && !shown.contains("hunter2"), "{shown}");
    }
}
