//! The error codes of KDCs and services (RFC 4120 §7.5.9), with what to do about those that a client meets.

use std::fmt;

/// An error code. An open set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct KrbErrorCode(pub(crate) i32);

/// Number, the RFC's name, what to do.
type Row = (i32, &'static str, &'static str);

#[rustfmt::skip]
const CODES: [Row; 46] = [
    (1, "KDC_ERR_NAME_EXP", "the client's entry at the KDC has expired; ask its administrator"),
    (2, "KDC_ERR_SERVICE_EXP", "the service's entry at the KDC has expired; ask its administrator"),
    (3, "KDC_ERR_BAD_PVNO", ""),
    (4, "KDC_ERR_C_OLD_MAST_KVNO", ""),
    (5, "KDC_ERR_S_OLD_MAST_KVNO", ""),
    (6, "KDC_ERR_C_PRINCIPAL_UNKNOWN", "the KDC knows no such client: check the spelling (upper and lower case differ) and the realm of the principal"),
    (7, "KDC_ERR_S_PRINCIPAL_UNKNOWN", "the KDC knows no such service: nearly always the host name, which must be the one in the broker's service principal, not an address; name it with service_host if no broker address has it, and check service_name and, in krb5.conf, rdns and dns_canonicalize_hostname"),
    (8, "KDC_ERR_PRINCIPAL_NOT_UNIQUE", "two entries at the KDC have this name; ask its administrator"),
    (9, "KDC_ERR_NULL_KEY", "the entry has no key; ask the KDC's administrator to set one"),
    (10, "KDC_ERR_CANNOT_POSTDATE", ""),
    (11, "KDC_ERR_NEVER_VALID", "the ticket would end before it starts; check both clocks and the lifetime asked for"),
    (12, "KDC_ERR_POLICY", "the KDC's policy forbids it; ask its administrator"),
    (13, "KDC_ERR_BADOPTION", "the KDC refuses an option, such as renewing a ticket that cannot be renewed; log in anew"),
    (14, "KDC_ERR_ETYPE_NOSUPP", "client and KDC have no encryption type in common: check permitted_enctypes, and which keys the principal has; RC4 has to be allowed by name"),
    (15, "KDC_ERR_SUMTYPE_NOSUPP", ""),
    (16, "KDC_ERR_PADATA_TYPE_NOSUPP", "the KDC does not take an encrypted timestamp for this principal"),
    (17, "KDC_ERR_TRTYPE_NOSUPP", ""),
    (18, "KDC_ERR_CLIENT_REVOKED", "the client's account is locked, disabled or expired; ask the KDC's administrator"),
    (19, "KDC_ERR_SERVICE_REVOKED", "the service's account is disabled; ask the KDC's administrator"),
    (20, "KDC_ERR_TGT_REVOKED", "the ticket was revoked; log in anew"),
    (21, "KDC_ERR_CLIENT_NOTYET", "the client's entry is not valid yet; try later"),
    (22, "KDC_ERR_SERVICE_NOTYET", "the service's entry is not valid yet; try later"),
    (23, "KDC_ERR_KEY_EXPIRED", "the password has expired; set a new one (kpasswd) and, if there is a keytab, make it anew"),
    (24, "KDC_ERR_PREAUTH_FAILED", "the password is wrong, or the keytab is older than the principal's key"),
    (25, "KDC_ERR_PREAUTH_REQUIRED", "the KDC wants a pre-authentication that this client does not have: allow the encrypted timestamp for the principal"),
    (26, "KDC_ERR_SERVER_NOMATCH", ""),
    (27, "KDC_ERR_MUST_USE_USER2USER", "the service takes user-to-user tickets only, which Kafka does not use"),
    (28, "KDC_ERR_PATH_NOT_ACCEPTED", "the service's realm does not trust the way from the client's; check [capaths]"),
    (29, "KDC_ERR_SVC_UNAVAILABLE", "a service of the KDC is not reachable; try later"),
    (31, "KRB_AP_ERR_BAD_INTEGRITY", "it cannot be decrypted: the service's key has changed since the ticket was made, or its keytab is another's"),
    (32, "KRB_AP_ERR_TKT_EXPIRED", "the ticket has expired; log in anew (kinit, if a credential cache is used)"),
    (33, "KRB_AP_ERR_TKT_NYV", "the ticket is not valid yet; check both clocks"),
    (34, "KRB_AP_ERR_REPEAT", "it looks like a replay; another try makes a new authenticator"),
    (35, "KRB_AP_ERR_NOT_US", "the ticket is for another service; check the service's principal and keytab"),
    (36, "KRB_AP_ERR_BADMATCH", "ticket and authenticator name different clients"),
    (37, "KRB_AP_ERR_SKEW", "set the clock, or allow kdc_timesync (some 5 minutes are taken as they are)"),
    (38, "KRB_AP_ERR_BADADDR", "the ticket is bound to other addresses; ask for one without (noaddresses = true)"),
    (39, "KRB_AP_ERR_BADVERSION", ""),
    (40, "KRB_AP_ERR_MSG_TYPE", ""),
    (41, "KRB_AP_ERR_MODIFIED", "the service cannot open the ticket: its keytab has not the key that the KDC used; make the keytab anew, and check that the service principal is its own"),
    (44, "KRB_AP_ERR_BADKEYVER", "the key of that version is not there; make the service's keytab anew, and log in anew"),
    (45, "KRB_AP_ERR_NOKEY", "the service has no such key; check its keytab"),
    (52, "KRB_ERR_RESPONSE_TOO_BIG", "the answer does not fit into UDP; it has to be asked for over TCP"),
    (60, "KRB_ERR_GENERIC", "the KDC's own words and its log say more"),
    (68, "KDC_ERR_WRONG_REALM", "the client is in another realm; give the principal with its realm"),
    (91, "KDC_ERR_MORE_PREAUTH_DATA_REQUIRED", "the KDC wants a pre-authentication that this client does not have: allow the encrypted timestamp for the principal"),
];

impl KrbErrorCode {
    /// The client is not known.
    pub(crate) const C_PRINCIPAL_UNKNOWN: Self = Self(6);
    /// The service is not known.
    pub(crate) const S_PRINCIPAL_UNKNOWN: Self = Self(7);
    /// No encryption type in common.
    pub(crate) const ETYPE_NOSUPP: Self = Self(14);
    /// Wrong password or old keytab.
    pub(crate) const PREAUTH_FAILED: Self = Self(24);
    /// The ordinary first answer: its `e-data` says how to prove oneself.
    pub(crate) const PREAUTH_REQUIRED: Self = Self(25);
    /// The KDC cannot serve now; another one may.
    pub(crate) const SVC_UNAVAILABLE: Self = Self(29);
    /// Ticket or authenticator cannot be decrypted.
    pub(crate) const BAD_INTEGRITY: Self = Self(31);
    /// The ticket has expired.
    pub(crate) const TKT_EXPIRED: Self = Self(32);
    /// A replay, as it seems.
    pub(crate) const REPEAT: Self = Self(34);
    /// The clocks differ too much.
    pub(crate) const SKEW: Self = Self(37);
    /// A key of that version is not there.
    pub(crate) const BADKEYVER: Self = Self(44);
    /// Ask again over TCP.
    pub(crate) const RESPONSE_TOO_BIG: Self = Self(52);
    /// Something else.
    pub(crate) const GENERIC: Self = Self(60);
    /// The pre-authentication goes on (RFC 6113 §5.2).
    pub(crate) const MORE_PREAUTH_DATA_REQUIRED: Self = Self(91);

    fn row(self) -> Option<&'static Row> {
        CODES.iter().find(|row| row.0 == self.0)
    }

    /// The RFC's name, if the number has one here.
    pub(crate) fn name(self) -> Option<&'static str> {
        self.row().map(|row| row.1)
    }

    /// What to do about it, if there is something.
    pub(crate) fn advice(self) -> Option<&'static str> {
        self.row().map(|row| row.2).filter(|advice| !advice.is_empty())
    }

    /// Whether it says something of the service that was asked for, and nothing of the client.
    pub(crate) fn is_about_the_service(self) -> bool {
        matches!(self.0, 2 | 5 | 7 | 19 | 22 | 26 | 27 | 28)
    }

    /// Whether it says that the client, or its key, is not known or not good any more.
    pub(crate) fn is_about_the_clients_key(self) -> bool {
        matches!(self.0, 6 | 23 | 24)
    }

    /// Whether the same may succeed later without anything being changed: Kafka's Java client takes 21, 33 and 34 for
    /// such (`KerberosError`); 29 says so itself.
    pub(crate) fn is_retriable(self) -> bool {
        matches!(self.0, 21 | 29 | 33 | 34)
    }
}

impl fmt::Display for KrbErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "Kerberos error {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_once_and_in_order() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn what_a_client_meets_comes_with_advice() {
        for code in [6, 7, 14, 18, 23, 24, 25, 31, 32, 37, 44, 52, 60, 68] {
            let code = KrbErrorCode(code);
            assert!(code.name().is_some() && code.advice().is_some(), "{code}");
        }
        assert_eq!(KrbErrorCode(24).to_string(), "KDC_ERR_PREAUTH_FAILED (24)");
        assert_eq!(KrbErrorCode(999).to_string(), "Kerberos error 999");
    }
}
