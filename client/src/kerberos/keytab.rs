//! Keytabs: the long-term keys of principals in a file (MIT `lib/krb5/keytab/kt_file.c`; `ktutil`, `kadmin` and Active
//! Directory's `ktpass` write them).

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::cursor::{Cursor, Order, read_secret, text};
use super::enctype::Enctype;
use super::error::{KerberosError, Malformed};
use super::key::Key;
use super::principal::{Principal, PrincipalName};

const WHAT: &str = "keytab";
/// A keytab of a whole machine has some hundred keys of some hundred bytes.
const LIMIT: usize = 8 * 1024 * 1024;

/// A key and whose it is.
#[derive(Debug, Clone)]
pub(crate) struct KeytabEntry {
    /// Whose.
    pub(crate) principal: Principal,
    /// When it was written, in seconds since 1970.
    pub(crate) timestamp: u32,
    /// The key's version: each new password or key has the next one.
    pub(crate) kvno: u32,
    /// Whether the file had room for the version's lowest 8 bits only.
    kvno_is_short: bool,
    /// The key itself; also of types that nothing here can use.
    pub(crate) key: Key,
}

/// Keys by principal, type and version, in the file's order. Its `Debug` shows no key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keytab {
    entries: Vec<KeytabEntry>,
}

impl Keytab {
    /// Reads a keytab's bytes, version 1 (0x0501, in this machine's byte order) or 2 (0x0502).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KerberosError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let first = cursor.u8("version")?;
        let second = cursor.u8("version")?;
        cursor.order = match (first, second) {
            (5, 1) => Order::Host,
            (5, 2) => Order::Network,
            _ => return Err(cursor.wrong("version", "neither 0x0501 nor 0x0502: this is no keytab").into()),
        };
        let mut entries = Vec::new();
        while cursor.left() > 0 {
            // A negative size is a hole, where an entry was taken out; 0 is where MIT's library stops reading.
            let size = cursor.u32("entry's size")? as i32;
            let count = size.unsigned_abs() as usize;
            match size {
                0 => break,
                1.. => entries.push(entry(cursor.part("entry", count)?)?),
                _ => drop(cursor.take("hole", count)?),
            }
        }
        Ok(Self { entries })
    }

    /// Reads a keytab given as base64 text, with any white space in it. No error shows any of the text.
    pub(crate) fn from_base64(encoded: &str) -> Result<Self, KerberosError> {
        let mut packed = Zeroizing::new(Vec::with_capacity(encoded.len()));
        packed.extend(encoded.bytes().filter(|b| !b.is_ascii_whitespace()));
        let mut bytes = Zeroizing::new(vec![0; packed.len() / 4 * 3 + 3]);
        let count = STANDARD
            .decode_slice(&packed, &mut bytes)
            .map_err(|_| KerberosError::Config("the inline keytab is not base64".to_owned()))?;
        Self::parse(&bytes[..count])
    }

    /// Reads a keytab file.
    pub(crate) fn load(path: &Path) -> Result<Self, KerberosError> {
        let bytes = read_secret(path, LIMIT, WHAT)?;
        Self::parse(&bytes).map_err(|e| KerberosError::Config(format!("{}: {e}", path.display())))
    }

    /// All entries, in the file's order.
    pub(crate) fn entries(&self) -> &[KeytabEntry] {
        &self.entries
    }

    /// The types of the keys that a principal has here, without repetition, in the file's order.
    pub(crate) fn enctypes(&self, principal: &Principal) -> Vec<Enctype> {
        let mut enctypes = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.principal == *principal) {
            if !enctypes.contains(&entry.key.enctype) {
                enctypes.push(entry.key.enctype);
            }
        }
        enctypes
    }

    /// The key of a principal: of this version, or the newest. An error lists what is there.
    pub(crate) fn find(
        &self,
        principal: &Principal,
        enctype: Enctype,
        kvno: Option<u32>,
    ) -> Result<&KeytabEntry, KerberosError> {
        let ours = || self.entries.iter().filter(|e| e.principal == *principal && e.key.enctype == enctype);
        let found = match kvno {
            None => ours().max_by_key(|e| (e.kvno, e.timestamp)),
            Some(kvno) => {
                let short = || ours().find(|e| e.kvno_is_short && e.kvno == kvno & 0xff);
                ours().find(|e| e.kvno == kvno).or_else(short)
            }
        };
        let entry = found.ok_or_else(|| self.missing(principal, enctype, kvno))?;
        match enctype.key_length() {
            Some(length) if length != entry.key.bytes.len() => Err(KerberosError::Config(format!(
                "the keytab's key of {principal} for {enctype} has {} bytes instead of {length}",
                entry.key.bytes.len()
            ))),
            _ => Ok(entry),
        }
    }

    fn missing(&self, principal: &Principal, enctype: Enctype, kvno: Option<u32>) -> KerberosError {
        let version = kvno.map(|kvno| format!(" of version {kvno}")).unwrap_or_default();
        KerberosError::Config(format!("the keytab has no {enctype} key{version} for {principal}; it has {self}"))
    }
}

impl fmt::Display for Keytab {
    /// What is there, without the keys: `alice@R (kvno 3: aes256-cts-hmac-sha1-96), …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 20;
        if self.entries.is_empty() {
            return f.write_str("no entry");
        }
        for (index, entry) in self.entries.iter().take(SHOWN).enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{} (kvno {}: {})", entry.principal, entry.kvno, entry.key.enctype)?;
        }
        match self.entries.len().checked_sub(SHOWN) {
            Some(more @ 1..) => write!(f, " and {more} more"),
            _ => Ok(()),
        }
    }
}

fn entry(mut cursor: Cursor<'_>) -> Result<KeytabEntry, Malformed> {
    let oldest = cursor.order == Order::Host;
    let count = usize::from(cursor.u16("number of components")?);
    // Version 1 counts the realm, too.
    let count = if oldest { count.checked_sub(1) } else { Some(count) };
    let count = count.ok_or_else(|| cursor.wrong("number of components", "is 0, but the realm counts"))?;
    let realm = text(cursor.counted16("realm")?);
    let components =
        (0..count).map(|_| cursor.counted16("component").map(text)).collect::<Result<Vec<_>, Malformed>>()?;
    let name_type = if oldest { PrincipalName::NT_UNKNOWN } else { cursor.u32("name type")? as i32 };
    let timestamp = cursor.u32("time")?;
    let short = cursor.u8("key version")?;
    let enctype = Enctype(i32::from(cursor.u16("key type")? as i16));
    let bytes = Zeroizing::new(cursor.counted16("key")?.to_vec());
    // Written since MIT 1.14 or so. A zero there is what older programs left in the entry's place.
    let long = if cursor.left() >= 4 { cursor.u32("long key version")? } else { 0 };
    Ok(KeytabEntry {
        principal: Principal::new(PrincipalName::new(name_type, components), realm),
        timestamp,
        kvno: if long == 0 { short.into() } else { long },
        kvno_is_short: long == 0,
        key: Key::new(enctype, bytes),
    })
}

/// The file behind a keytab's name: a path, `FILE:path` or `WRFILE:path`. Other kinds are refused by name.
pub(crate) fn keytab_path(name: &str) -> Result<PathBuf, KerberosError> {
    match name.split_once(':') {
        Some(("FILE" | "WRFILE", path)) => Ok(PathBuf::from(path)),
        Some((kind, _)) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_uppercase()) => {
            Err(KerberosError::Config(format!(
                "keytabs of type {kind}: are not supported ({name}); write the key to a file and name that"
            )))
        }
        _ => Ok(PathBuf::from(name)),
    }
}

#[cfg(test)]
mod tests;
