//! Who answers where a Kafka broker was expected, told by the first bytes.

use ottla_protocol::frame::FrameError;

use crate::error::{Error, ErrorKind};

/// What to do about a peer that is not a Kafka broker.
pub(crate) const CHECK: &str = "check the host and the port: this peer does not speak Kafka's protocol";

/// Bytes whose first four cannot be the size of a frame.
pub(crate) fn explain(bytes: &[u8], error: FrameError) -> Error {
    if is_alert(bytes) {
        return Error::new(ErrorKind::Tls, "the broker speaks TLS on this port, and TLS is off for this client")
            .advice("turn TLS on, or connect to a port without it");
    }
    match who(bytes) {
        Some(name) => Error::new(ErrorKind::Protocol, format!("{name} answered, not a Kafka broker"))
            .with_source(error)
            .advice(CHECK),
        None => Error::new(ErrorKind::Protocol, error.to_string()).with_source(error).advice(CHECK),
    }
}

/// Whether a TLS listener says this to a client without TLS: a record of type alert (RFC 8446 §5.1). As the size of a frame
/// it would be 350 MB.
fn is_alert(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15, 0x03, ..])
}

/// A well-known protocol by its first bytes.
fn who(bytes: &[u8]) -> Option<&'static str> {
    const GREETINGS: [(&[u8], &str); 8] = [
        (b"HTTP/", "an HTTP server"),
        (b"<", "an HTTP or XML server"),
        (b"SSH-", "an SSH server"),
        (b"220", "an SMTP or FTP server"),
        (b"-ERR", "a Redis server"),
        (b"-NOAUTH", "a Redis server"),
        (b"* OK", "an IMAP server"),
        (b"+OK", "a POP3 server"),
    ];
    // The first packet of MySQL: three bytes of length, number 0, protocol version 10.
    if matches!(bytes, [_, _, 0, 0, 10, ..]) {
        return Some("a MySQL server");
    }
    GREETINGS.iter().find(|(greeting, _)| bytes.starts_with(greeting)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use ottla_protocol::frame::frame_len;

    use super::*;

    #[test]
    fn whoever_answers_instead_of_a_broker_is_named() {
        let cases: [(&[u8], ErrorKind, &str); 7] = [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", ErrorKind::Protocol, "an HTTP server"),
            (b"SSH-2.0-OpenSSH_9.6\r\n", ErrorKind::Protocol, "an SSH server"),
            (b"220 mail.example.com ESMTP\r\n", ErrorKind::Protocol, "an SMTP or FTP server"),
            (b"-ERR unknown command\r\n", ErrorKind::Protocol, "a Redis server"),
            (b"J\0\0\0\n8.0.36\0", ErrorKind::Protocol, "a MySQL server"),
            (b"\x15\x03\x01\0\x02\x02\x46", ErrorKind::Tls, "speaks TLS on this port"),
            (b"\xff\xff\xff\xff", ErrorKind::Protocol, "negative"),
        ];
        for (bytes, kind, expected) in cases {
            let error = explain(bytes, frame_len(bytes, 512 * 1024).expect_err("not the size of a frame"));
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(expected) && error.to_string().contains("port"), "{error}");
        }
    }
}
