//! With what a client proves itself to the KDC, and which key that gives.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::super::crypto::Crypto;
use super::super::enctype::Enctype;
use super::super::error::{KerberosError, Tried};
use super::super::key::Key;
use super::super::keytab::Keytab;
use super::super::messages::{EtypeInfo2, Message as _, MethodData, PaData};
use super::super::principal::Principal;

/// A password. Erased when its last clone is dropped; `Debug` shows nothing of it.
#[derive(Clone)]
pub(crate) struct Password(Arc<Zeroizing<Vec<u8>>>);

impl Password {
    /// Copies the text; the caller's own copy is the caller's to erase.
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.as_bytes().to_vec())))
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// What the client's keys come from.
#[derive(Clone, Debug)]
pub(crate) enum Secret {
    /// Keys are made from it with the salt that the KDC names.
    Password(Password),
    /// Keys are in it.
    Keytab(Arc<Keytab>),
}

/// How a key is made (RFC 4120 §5.2.7.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recipe {
    pub(super) enctype: Enctype,
    salt: Option<Vec<u8>>,
    params: Option<Vec<u8>>,
}

impl Recipe {
    /// The first in ETYPE-INFO2 whose type is among the usable ones; without it the salt may stand alone (PW-SALT). Never the
    /// default where the KDC names a salt: of renamed principals and in Active Directory it is another.
    pub(super) fn chosen(hints: &MethodData, usable: &[Enctype]) -> Result<Self, KerberosError> {
        let none = |offered| Err(KerberosError::NoEnctype { offered, usable: usable.to_vec() });
        let Some(info) = hints.find(PaData::ETYPE_INFO2) else {
            let salt = hints.find(PaData::PW_SALT).map(<[u8]>::to_vec);
            return match usable.first() {
                Some(enctype) => Ok(Self { enctype: *enctype, salt, params: None }),
                None => none(Vec::new()),
            };
        };
        let entries = EtypeInfo2::from_der(info)?.0;
        let offered = entries.iter().map(|entry| entry.enctype).collect();
        match entries.into_iter().find(|entry| usable.contains(&entry.enctype)) {
            Some(entry) => Ok(Self { enctype: entry.enctype, salt: entry.salt, params: entry.s2kparams }),
            None => none(offered),
        }
    }
}

/// A key, and what messages say of it.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) key: Key,
    pub(super) tried: Tried,
    pub(super) recipe: Recipe,
}

impl Secret {
    /// The types of `wanted` for which there is, or can be, a key of the client; an error says what the keytab holds.
    pub(super) fn usable(&self, client: &Principal, wanted: &[Enctype]) -> Result<Vec<Enctype>, KerberosError> {
        let Self::Keytab(keytab) = self else { return Ok(wanted.to_vec()) };
        let offered = keytab.enctypes(client);
        if offered.is_empty() {
            return Err(KerberosError::Config(format!("the keytab has no key of {client}; it has {keytab}")));
        }
        let usable: Vec<_> = wanted.iter().copied().filter(|enctype| offered.contains(enctype)).collect();
        if usable.is_empty() {
            return Err(KerberosError::NoEnctype { offered, usable: wanted.to_vec() });
        }
        Ok(usable)
    }

    /// The client's key. A keytab's is of this version if it is there, else the newest.
    pub(super) fn key(
        &self,
        crypto: Crypto,
        client: &Principal,
        recipe: Recipe,
        kvno: Option<u32>,
    ) -> Result<Found, KerberosError> {
        let enctype = recipe.enctype;
        match self {
            Self::Password(password) => {
                let salt = recipe.salt.clone().unwrap_or_else(|| default_salt(client));
                let key = crypto.string_to_key(enctype, &password.0, &salt, recipe.params.as_deref());
                let key = key.map_err(|cause| cause.of("the key of the password"))?;
                Ok(Found { key, tried: Tried::Password, recipe })
            }
            Self::Keytab(keytab) => {
                let newest = || keytab.find(client, enctype, None);
                let preferred = kvno.and_then(|_| keytab.find(client, enctype, kvno).ok());
                let entry = preferred.map_or_else(newest, Ok)?;
                let tried = Tried::Keytab { enctype, kvno: entry.kvno };
                Ok(Found { key: entry.key.clone(), tried, recipe })
            }
        }
    }
}

/// RFC 4120 §4, for a KDC that names no salt.
fn default_salt(client: &Principal) -> Vec<u8> {
    let mut salt = client.realm.clone().into_bytes();
    salt.extend(client.name.components.iter().flat_map(|component| component.bytes()));
    salt
}
