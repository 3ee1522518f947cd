//! What a failed handshake means, and what to do about it.

use std::fmt;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error as RustlsError, HandshakeType, PeerIncompatible};

use crate::config::tls::TlsOptions;
use crate::core::peer_text::printable;
use crate::error::{Error, ErrorKind};
use crate::kerberos::time::KerberosTime;

/// Whom the handshakes are with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    Broker,
    /// An OAuth 2 token endpoint.
    TokenEndpoint,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broker => "the broker",
            Self::TokenEndpoint => "the endpoint",
        })
    }
}

/// What both sides can agree on at best; the rest is broken or has no forward secrecy (RFC 7525, RFC 9325).
const CIPHERS: &str =
    "this client has AES-GCM and ChaCha20-Poly1305, in TLS 1.2 with ECDHE only; no CBC, no RSA key exchange";

/// The cause inside an I/O error, if it is one of TLS.
pub(super) fn cause(error: &std::io::Error) -> Option<&RustlsError> {
    error.get_ref()?.downcast_ref()
}

/// The error as ours. The message says which of name, time, issuer, version, cipher or certificate is wrong.
pub(super) fn explain(error: &RustlsError, options: &TlsOptions, peer: Peer) -> Error {
    let (what, advice) = match error {
        RustlsError::InvalidCertificate(problem) => certificate(problem, peer),
        RustlsError::AlertReceived(alert) => self::alert(*alert, options, peer),
        RustlsError::PeerIncompatible(problem) => incompatible(problem, options, peer),
        RustlsError::DecryptError
        | RustlsError::InappropriateHandshakeMessage { got_type: HandshakeType::ServerHello, .. } => {
            repeated(options, peer)
        }
        RustlsError::InvalidMessage(problem) => no_tls(&format!("{problem:?}"), options),
        other => (
            format!("the TLS connection failed: {}", printable(&other.to_string())),
            "the peer or something on the way is at fault",
        ),
    };
    Error::new(ErrorKind::Tls, what).advice(advice).with_source(error.clone())
}

fn certificate(problem: &CertificateError, peer: Peer) -> (String, &'static str) {
    match problem {
        CertificateError::ExpiredContext { time, not_after } => (
            format!("{peer}'s certificate expired at {} (it is {} here)", date(*not_after), date(*time)),
            "renew it, or set this machine's clock",
        ),
        CertificateError::NotValidYetContext { time, not_before } => (
            format!("{peer}'s certificate is valid only from {} on (it is {} here)", date(*not_before), date(*time)),
            "set this machine's clock, or get another certificate",
        ),
        CertificateError::UnknownIssuer => (
            format!("{peer}'s certificate comes from an authority that is not trusted here"),
            "give the certificate of the authority (CA) that issued it, and let the server send its intermediate certificates",
        ),
        CertificateError::NotValidForNameContext { expected, presented } => (
            format!(
                "{peer}'s certificate is for {}, not for {}",
                if presented.is_empty() { "no name at all".to_owned() } else { names(presented) },
                expected.to_str()
            ),
            "use such a name as the address, or set the server name, or get a certificate with this subjectAltName",
        ),
        CertificateError::InvalidPurposeContext { .. } | CertificateError::InvalidPurpose => {
            (format!("{peer}'s certificate is not meant for a server (extendedKeyUsage)"), "get one with serverAuth")
        }
        // webpki's own error, which rustls passes on without a variant of its own.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => (
            format!("{peer}'s certificate is an authority's (basicConstraints CA:true), which no server may show"),
            "let that authority issue one for the server",
        ),
        other => (
            format!("{peer}'s certificate cannot be believed: {}", printable(&other.to_string())),
            "RSA from 2048 bits, P-256, P-384 and Ed25519 with SHA-2 are understood",
        ),
    }
}

/// `DnsName("kafka.test")` and `IpAddress(10.0.0.1)` without what stands around the names.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| match name.split_once('(') {
        Some((_, inside)) => inside.trim_end_matches(')').trim_matches('"').to_owned(),
        None => name.clone(),
    };
    printable(&presented.iter().map(bare).collect::<Vec<_>>().join(", "))
}

fn date(time: UnixTime) -> String {
    KerberosTime::at(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)).to_string()
}

/// The server's last word (RFC 8446 §6.2). Java says `certificate_unknown` for an issuer that it does not trust, and
/// `bad_certificate` where none was sent in TLS 1.2.
fn alert(alert: AlertDescription, options: &TlsOptions, peer: Peer) -> (String, &'static str) {
    use AlertDescription as A;
    let sent = options.identity.is_some();
    match alert {
        A::ProtocolVersion => no_version(options, peer),
        A::HandshakeFailure | A::InsufficientSecurity => no_cipher(&format!("{alert:?}"), peer),
        A::CertificateRequired => no_certificate(sent, peer),
        A::NoCertificate | A::BadCertificate if !sent => no_certificate(sent, peer),
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
            if sent =>
        {
            (
                format!("{peer} refused this client's certificate ({alert:?})"),
                "is it valid, meant for clients, and from an authority that the server trusts?",
            )
        }
        A::UnrecognisedName => (
            format!("{peer} has no certificate for the name that it was asked for (UnrecognisedName)"),
            "set the server name to one that it has",
        ),
        other => (format!("{peer} broke off the TLS connection ({other:?})"), "its log says why"),
    }
}

/// Kafka on Java 17 does not send its alert about a client's certificate but repeats what it said before: its hello in TLS
/// 1.2 (seen with 2.3.1 and 2.8.2), in TLS 1.3 a record that cannot be decrypted a second time (2.8.2).
fn repeated(options: &TlsOptions, peer: Peer) -> (String, &'static str) {
    let (what, advice) = alert(AlertDescription::BadCertificate, options, peer);
    (format!("{what} (it sent no alert but repeated its handshake, as Kafka does then)"), advice)
}

fn no_certificate(sent: bool, peer: Peer) -> (String, &'static str) {
    if sent {
        (
            format!("{peer} wants a client certificate, and this client's is of a kind that it does not take"),
            "give one with a key of another kind (RSA or P-256)",
        )
    } else {
        (
            format!("{peer} wants a client certificate, and none is set"),
            "give a certificate and its key, or use a broker's listener without `ssl.client.auth=required`",
        )
    }
}

fn incompatible(problem: &PeerIncompatible, options: &TlsOptions, peer: Peer) -> (String, &'static str) {
    match problem {
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired => no_version(options, peer),
        other => no_cipher(&format!("{other:?}"), peer),
    }
}

fn no_version(options: &TlsOptions, peer: Peer) -> (String, &'static str) {
    let what = format!("{peer} does not speak a version of TLS that is allowed here, which is {}", offered(options));
    (what, "allow another, or enable one at the server (a broker: `ssl.enabled.protocols`)")
}

/// A listener without TLS; or Kafka, which on Java 17 answers a hello that it cannot serve with bytes that are none of an
/// alert (seen with 2.3.1 and 2.8.2).
fn no_tls(why: &str, options: &TlsOptions) -> (String, &'static str) {
    let what = format!(
        "what the peer says is no TLS ({why}): it is a listener without TLS, or does not speak a version of TLS that is \
         allowed here, which is {}",
        offered(options)
    );
    (what, "connect to the server's TLS port, or allow another version")
}

fn offered(options: &TlsOptions) -> String {
    let (min, max) = (options.min_version, options.max_version);
    if min == max { format!("{min} alone") } else { format!("{min} to {max}") }
}

fn no_cipher(why: &str, peer: Peer) -> (String, &'static str) {
    (format!("{peer} and this client have no cipher, curve or signature in common ({why})"), CIPHERS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tls::{Pem, TlsIdentity};

    #[test]
    fn a_broker_that_repeats_its_handshake_is_understood_as_refusing_the_certificate() {
        let hello = RustlsError::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::NewSessionTicket],
            got_type: HandshakeType::ServerHello,
        };
        let identity = TlsIdentity::new(Pem::file("client.pem"), Pem::file("client.key"));
        let showing = TlsOptions { identity: Some(identity), ..TlsOptions::default() };
        for error in [hello, RustlsError::DecryptError] {
            let said = explain(&error, &TlsOptions::default(), Peer::Broker).to_string();
            assert!(said.contains("wants a client certificate, and none is set (it sent no alert"), "{said}");
            let said = explain(&error, &showing, Peer::Broker).to_string();
            assert!(said.contains("refused this client's certificate"), "{said}");
        }
    }
}
