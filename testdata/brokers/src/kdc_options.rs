//! How a KDC is to be started.

use std::time::Duration;

/// What to start. `KdcOptions::default()` is one realm, `TEST.LOCAL`, with the four AES enctypes, on UDP and TCP.
#[derive(Debug, Clone)]
pub struct KdcOptions {
    /// The realms that this KDC serves, one or more; the first is the default realm of its `krb5.conf`.
    pub realms: Vec<String>,
    /// The enctypes of keys, tickets and sessions, the preferred one first. One alone is possible.
    pub enctypes: Vec<Enctype>,
    /// The longest life of a ticket.
    pub max_life: Duration,
    /// How long a ticket can be renewed; zero makes no ticket renewable.
    pub max_renewable_life: Duration,
    /// What it listens on.
    pub transport: KdcTransport,
    /// Answers by UDP that are longer than this many bytes are refused with error 52, RESPONSE_TOO_BIG; `None` leaves
    /// MIT's 65536.
    pub max_datagram: Option<u32>,
    /// Seconds that its clock is ahead of the machine's; negative is behind.
    pub clock_offset_seconds: i64,
    /// Host or `.domain` and its realm, for the KDC (which refers clients by it) and for `krb5.conf`. Without any,
    /// `localhost` is in the first realm. MIT's KDC refers only for host names with a dot.
    pub domains: Vec<(String, String)>,
    /// Further relations of each realm in `kdc.conf`.
    pub settings: Vec<(String, String)>,
}

/// What a KDC listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KdcTransport {
    /// Both, on one port number.
    UdpAndTcp,
    /// UDP alone.
    Udp,
    /// TCP alone.
    Tcp,
}

/// An encryption type, by IANA's number (RFC 3961 and those after it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Enctype {
    /// 18, RFC 3962.
    Aes256Sha1,
    /// 17, RFC 3962.
    Aes128Sha1,
    /// 20, RFC 8009.
    Aes256Sha2,
    /// 19, RFC 8009.
    Aes128Sha2,
    /// 23, RFC 4757; long broken, and off unless asked for.
    Rc4,
}

impl Enctype {
    /// The four that are in use today, in the order that MIT prefers them in.
    pub const AES: [Self; 4] = [Self::Aes256Sha1, Self::Aes128Sha1, Self::Aes256Sha2, Self::Aes128Sha2];

    /// Its name in `krb5.conf`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256Sha1 => "aes256-cts-hmac-sha1-96",
            Self::Aes128Sha1 => "aes128-cts-hmac-sha1-96",
            Self::Aes256Sha2 => "aes256-cts-hmac-sha384-192",
            Self::Aes128Sha2 => "aes128-cts-hmac-sha256-128",
            Self::Rc4 => "arcfour-hmac",
        }
    }
}

impl Default for KdcOptions {
    fn default() -> Self {
        Self {
            realms: vec!["TEST.LOCAL".to_owned()],
            enctypes: Enctype::AES.to_vec(),
            max_life: Duration::from_hours(10),
            max_renewable_life: Duration::from_hours(7 * 24),
            transport: KdcTransport::UdpAndTcp,
            max_datagram: None,
            clock_offset_seconds: 0,
            domains: Vec::new(),
            settings: Vec::new(),
        }
    }
}

impl KdcOptions {
    /// These realms instead of `TEST.LOCAL`.
    #[must_use]
    pub fn realms(mut self, realms: &[&str]) -> Self {
        self.realms = realms.iter().map(ToString::to_string).collect();
        self
    }

    /// These enctypes and no others.
    #[must_use]
    pub fn enctypes(mut self, enctypes: &[Enctype]) -> Self {
        self.enctypes = enctypes.to_vec();
        self
    }

    /// The longest life of a ticket, in whole seconds.
    #[must_use]
    pub fn max_life(mut self, life: Duration) -> Self {
        self.max_life = life;
        self
    }

    /// UDP, TCP or both.
    #[must_use]
    pub fn transport(mut self, transport: KdcTransport) -> Self {
        self.transport = transport;
        self
    }

    /// A clock that is this many seconds ahead, or behind if negative.
    #[must_use]
    pub fn clock_offset_seconds(mut self, seconds: i64) -> Self {
        self.clock_offset_seconds = seconds;
        self
    }

    /// One more host or `.domain` and its realm.
    #[must_use]
    pub fn domain(mut self, domain: &str, realm: &str) -> Self {
        self.domains.push((domain.to_owned(), realm.to_owned()));
        self
    }

    /// One more relation of each realm in `kdc.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}
