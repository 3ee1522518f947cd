//! A ticket together with what its holder needs to use it.

use std::fmt;

use super::key::Key;
use super::principal::Principal;
use super::time::KerberosTime;

/// A ticket as its holder knows it: what a KDC's reply gives and what a credential cache keeps. `Debug` shows neither
/// ticket nor key.
#[derive(Clone)]
pub(crate) struct HeldTicket {
    /// For whom it was made.
    pub(crate) client: Principal,
    /// With which service it speaks; `krbtgt/REALM` for one that gets others.
    pub(crate) server: Principal,
    /// The key that the KDC gave to holder and service.
    pub(crate) session_key: Key,
    /// The DER of `Ticket`, exactly as it came: only the service can open it.
    pub(crate) ticket: Vec<u8>,
    /// `TicketFlags` (RFC 4120 §5.3), the first of them in the highest bit.
    pub(crate) flags: u32,
    /// When its client proved itself with a password or key.
    pub(crate) auth_time: KerberosTime,
    /// From when on it is valid; the KDC may leave it out, then it is `auth_time`.
    pub(crate) start_time: KerberosTime,
    /// Until when it is valid.
    pub(crate) end_time: KerberosTime,
    /// Until when it can be renewed; `None` if it cannot.
    pub(crate) renew_till: Option<KerberosTime>,
}

impl HeldTicket {
    /// `TicketFlags` bit 1: it may be exchanged for one with other addresses.
    pub(crate) const FORWARDABLE: u32 = 0x4000_0000;
    /// `TicketFlags` bit 7: not valid before the KDC has validated it.
    pub(crate) const INVALID: u32 = 0x0100_0000;
    /// `TicketFlags` bit 8: it can be renewed until `renew_till`.
    pub(crate) const RENEWABLE: u32 = 0x0080_0000;
    /// `TicketFlags` bit 9: it came from a password or key, not from another ticket.
    pub(crate) const INITIAL: u32 = 0x0040_0000;
}

impl fmt::Debug for HeldTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, server, session_key, end_time, .. } = self;
        write!(f, "HeldTicket({client} to {server}, {}, until {end_time})", session_key.enctype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::enctype::Enctype;

    #[test]
    fn a_ticket_is_never_shown() {
        let who = |text| Principal::parse(text, Some("R")).unwrap();
        let ticket = HeldTicket {
            client: who("alice"),
            server: who("kafka/host"),
            session_key: Key::new(Enctype::AES128_SHA1, vec![0xAB; 16]),
            ticket: vec![0xCD; 16],
            flags: 0,
            auth_time: KerberosTime::at(0),
            start_time: KerberosTime::at(0),
            end_time: KerberosTime::at(60),
            renew_till: None,
        };
        let expected = "HeldTicket(alice@R to kafka/host@R, aes128-cts-hmac-sha1-96, until 1970-01-01 00:01:00 UTC)";
        assert_eq!(format!("{ticket:#?}"), expected);
    }
}
