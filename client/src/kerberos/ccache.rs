//! Credential caches of type FILE: what `kinit` leaves and `klist` shows (MIT `lib/krb5/ccache/cc_file.c`,
//! `ccmarshal.c`). Versions 1 to 4 are read, version 4 is written.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use zeroize::Zeroizing;

use super::cursor::{Cursor, Order, read_secret, text};
use super::enctype::Enctype;
use super::error::{KerberosError, Malformed};
use super::key::Key;
use super::principal::{Principal, PrincipalName};
use super::ticket::HeldTicket;
use super::time::KerberosTime;

const WHAT: &str = "credential cache";
/// Tickets of Active Directory reach 64 KiB.
const LIMIT: usize = 16 * 1024 * 1024;
/// The realm of entries that are MIT's notes to itself, not tickets.
const NOTES_REALM: &str = "X-CACHECONF:";
/// The header's field with the KDC's clock.
const TAG_KDC_OFFSET: u16 = 1;

/// A credential cache's content.
#[derive(Debug, Clone)]
pub(crate) struct CredentialCache {
    /// Whose it is.
    pub(crate) principal: Principal,
    /// How far the KDC's clock is ahead of ours, in seconds and microseconds, if that was noted.
    pub(crate) kdc_offset: Option<(i32, i32)>,
    entries: Vec<Entry>,
}

/// An entry as it stands in the file: a ticket, and what only other programs use, kept for when the file is written back.
#[derive(Debug, Clone)]
struct Entry {
    ticket: HeldTicket,
    is_skey: bool,
    addresses: Vec<(u16, Vec<u8>)>,
    authdata: Vec<(u16, Vec<u8>)>,
    second_ticket: Vec<u8>,
}

impl Entry {
    fn is_usable(&self) -> bool {
        !self.is_skey && self.ticket.server.realm != NOTES_REALM
    }
}

impl CredentialCache {
    /// An empty cache.
    pub(crate) fn new(principal: Principal) -> Self {
        Self { principal, kdc_offset: None, entries: Vec::new() }
    }

    /// Reads a cache's bytes. Versions 1 and 2 are in this machine's byte order.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KerberosError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let (first, version) = (cursor.u8("version")?, cursor.u8("version")?);
        if first != 5 || !(1..=4).contains(&version) {
            return Err(cursor.wrong("version", "not 0x0501 to 0x0504: this is no credential cache").into());
        }
        cursor.order = if version < 3 { Order::Host } else { Order::Network };
        let kdc_offset = if version == 4 { header(&mut cursor)? } else { None };
        let principal = principal(&mut cursor, version)?;
        let mut entries = Vec::new();
        while cursor.left() > 0 {
            entries.push(entry(&mut cursor, version)?);
        }
        Ok(Self { principal, kdc_offset, entries })
    }

    /// Reads a cache file.
    pub(crate) fn load(path: &Path) -> Result<Self, KerberosError> {
        let bytes = read_secret(path, LIMIT, WHAT)?;
        Self::parse(&bytes).map_err(|e| KerberosError::Config(format!("{}: {e}", path.display())))
    }

    /// All tickets, without MIT's notes to itself and without those of other kinds (user-to-user).
    pub(crate) fn tickets(&self) -> impl Iterator<Item = &HeldTicket> {
        self.entries.iter().filter(|entry| entry.is_usable()).map(|entry| &entry.ticket)
    }

    /// The ticket of the owner that gets others in the owner's realm; of several the one that ends last. It may have ended.
    pub(crate) fn tgt(&self) -> Option<&HeldTicket> {
        let realm = &self.principal.realm;
        let name = PrincipalName::krbtgt(realm);
        self.latest(|server| server.name == name && server.realm == *realm)
    }

    /// The owner's ticket for a service, in whatever realm the service is; of several the one that ends last. It may have
    /// ended.
    pub(crate) fn service(&self, name: &PrincipalName) -> Option<&HeldTicket> {
        self.latest(|server| server.name == *name)
    }

    fn latest(&self, is_it: impl Fn(&Principal) -> bool) -> Option<&HeldTicket> {
        let ours = self.tickets().filter(|ticket| ticket.client == self.principal && is_it(&ticket.server));
        ours.max_by_key(|ticket| ticket.end_time)
    }

    /// Puts a ticket in, in place of one for the same client and service with a key of the same type.
    pub(crate) fn store(&mut self, ticket: HeldTicket) {
        self.entries.retain(|entry| {
            let old = &entry.ticket;
            let same = old.client == ticket.client
                && old.server == ticket.server
                && old.session_key.enctype == ticket.session_key.enctype;
            !(entry.is_usable() && same)
        });
        let (addresses, authdata, second_ticket) = (Vec::new(), Vec::new(), Vec::new());
        self.entries.push(Entry { ticket, is_skey: false, addresses, authdata, second_ticket });
    }

    /// The cache's bytes in version 4.
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let room: usize = self.entries.iter().map(Entry::room).sum::<usize>() + principal_room(&self.principal);
        // Enough at once: a vector that grows leaves copies of keys behind.
        let mut out = Zeroizing::new(Vec::with_capacity(room + 64));
        out.extend([5, 4]);
        match self.kdc_offset {
            None => out.extend([0, 0]),
            Some((seconds, micros)) => {
                out.extend([0, 12]);
                out.extend(TAG_KDC_OFFSET.to_be_bytes());
                out.extend([0, 8]);
                out.extend(seconds.to_be_bytes());
                out.extend(micros.to_be_bytes());
            }
        }
        put_principal(&mut out, &self.principal);
        for entry in &self.entries {
            entry.put(&mut out);
        }
        out
    }

    /// Writes the cache to a file that only its owner can read. Readers see the old content or the new one, never a part:
    /// it is written beside and renamed.
    pub(crate) fn save(&self, path: &Path) -> Result<(), KerberosError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut beside = path.to_owned().into_os_string();
        beside.push(format!(".{}.{count}.new", std::process::id()));
        let written = write_private(Path::new(&beside), &self.to_bytes()).and_then(|()| fs::rename(&beside, path));
        written.map_err(|e| {
            let _ = fs::remove_file(&beside);
            KerberosError::Config(format!("the credential cache {} cannot be written: {e}", path.display()))
        })
    }
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The file behind a cache's name: a path, `FILE:path` or `DIR::path`. Other kinds are refused, with what to do.
pub(crate) fn ccache_path(name: &str) -> Result<PathBuf, KerberosError> {
    let (kind, rest) = match name.split_once(':') {
        Some((kind, rest)) if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_uppercase()) => (kind, rest),
        _ => return Ok(PathBuf::from(name)),
    };
    let advice = match (kind, rest.strip_prefix(':')) {
        ("FILE" | "WRFILE", _) => return Ok(PathBuf::from(rest)),
        ("DIR", Some(file)) => return Ok(PathBuf::from(file)),
        ("DIR", None) => "name one of its files, as DIR::PATH",
        _ => "log in with kinit -c FILE:PATH and name that file, or use a keytab",
    };
    Err(KerberosError::Config(format!("credential caches of type {kind}: cannot be read ({name}); {advice}")))
}

fn header(cursor: &mut Cursor<'_>) -> Result<Option<(i32, i32)>, Malformed> {
    let size = cursor.u16("header's size")?;
    let mut header = cursor.part("header", size.into())?;
    let mut offset = None;
    while header.left() > 0 {
        let tag = header.u16("header's tag")?;
        let size = header.u16("header field's size")?;
        let mut field = header.part("header's field", size.into())?;
        if tag == TAG_KDC_OFFSET {
            offset = Some((field.u32("clock's seconds")? as i32, field.u32("clock's microseconds")? as i32));
        }
    }
    Ok(offset)
}

fn principal(cursor: &mut Cursor<'_>, version: u8) -> Result<Principal, Malformed> {
    let name_type = if version == 1 { PrincipalName::NT_UNKNOWN } else { cursor.u32("name type")? as i32 };
    let count = cursor.u32("number of components")?;
    // Version 1 counts the realm, too.
    let count = if version == 1 { count.checked_sub(1) } else { Some(count) };
    let count = count.ok_or_else(|| cursor.wrong("number of components", "is 0, but the realm counts"))?;
    let realm = text(cursor.counted32("realm")?);
    let components =
        (0..count).map(|_| cursor.counted32("component").map(text)).collect::<Result<Vec<_>, Malformed>>()?;
    Ok(Principal::new(PrincipalName::new(name_type, components), realm))
}

fn entry(cursor: &mut Cursor<'_>, version: u8) -> Result<Entry, Malformed> {
    let client = principal(cursor, version)?;
    let server = principal(cursor, version)?;
    let enctype = cursor.u16("key type")?;
    if version == 3 {
        // It stands there twice.
        cursor.u16("key type")?;
    }
    let bytes = Zeroizing::new(cursor.counted32("key")?.to_vec());
    let mut time = |field| cursor.u32(field).map(|seconds| KerberosTime::at(seconds.into()));
    let (auth_time, start_time) = (time("auth time")?, time("start time")?);
    let (end_time, renew_till) = (time("end time")?, time("renewal time")?);
    let is_skey = cursor.u8("second key's flag")? != 0;
    let flags = cursor.u32("flags")?;
    let addresses = typed_list(cursor, "address")?;
    let authdata = typed_list(cursor, "authorization data")?;
    let ticket = cursor.counted32("ticket")?.to_vec();
    let second_ticket = cursor.counted32("second ticket")?.to_vec();
    let unset = KerberosTime::at(0);
    let ticket = HeldTicket {
        client,
        server,
        session_key: Key::new(Enctype(i32::from(enctype as i16)), bytes),
        ticket,
        flags,
        auth_time,
        start_time: if start_time == unset { auth_time } else { start_time },
        end_time,
        renew_till: Some(renew_till).filter(|time| *time != unset),
    };
    Ok(Entry { ticket, is_skey, addresses, authdata, second_ticket })
}

fn typed_list(cursor: &mut Cursor<'_>, field: &'static str) -> Result<Vec<(u16, Vec<u8>)>, Malformed> {
    let count = cursor.u32(field)?;
    (0..count).map(|_| Ok((cursor.u16(field)?, cursor.counted32(field)?.to_vec()))).collect()
}

fn principal_room(principal: &Principal) -> usize {
    let components = &principal.name.components;
    12 + principal.realm.len() + components.iter().map(|component| component.len() + 4).sum::<usize>()
}

fn put_principal(out: &mut Vec<u8>, principal: &Principal) {
    out.extend(principal.name.name_type.to_be_bytes());
    out.extend((principal.name.components.len() as u32).to_be_bytes());
    put_counted(out, principal.realm.as_bytes());
    for component in &principal.name.components {
        put_counted(out, component.as_bytes());
    }
}

fn put_counted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_be_bytes());
    out.extend(bytes);
}

fn put_time(out: &mut Vec<u8>, time: KerberosTime) {
    let seconds = u32::try_from(time.seconds.max(0)).unwrap_or(u32::MAX);
    out.extend(seconds.to_be_bytes());
}

impl Entry {
    fn room(&self) -> usize {
        let lists = self.addresses.iter().chain(&self.authdata).map(|(_, data)| data.len() + 6);
        let ticket = &self.ticket;
        let principals = principal_room(&ticket.client) + principal_room(&ticket.server);
        64 + principals
            + ticket.session_key.bytes.len()
            + ticket.ticket.len()
            + self.second_ticket.len()
            + lists.sum::<usize>()
    }

    fn put(&self, out: &mut Vec<u8>) {
        let ticket = &self.ticket;
        put_principal(out, &ticket.client);
        put_principal(out, &ticket.server);
        out.extend((ticket.session_key.enctype.0 as u16).to_be_bytes());
        put_counted(out, &ticket.session_key.bytes);
        put_time(out, ticket.auth_time);
        put_time(out, ticket.start_time);
        put_time(out, ticket.end_time);
        put_time(out, ticket.renew_till.unwrap_or(KerberosTime::at(0)));
        out.push(self.is_skey.into());
        out.extend(ticket.flags.to_be_bytes());
        for list in [&self.addresses, &self.authdata] {
            out.extend((list.len() as u32).to_be_bytes());
            for (kind, data) in list {
                out.extend(kind.to_be_bytes());
                put_counted(out, data);
            }
        }
        put_counted(out, &ticket.ticket);
        put_counted(out, &self.second_ticket);
    }
}

#[cfg(test)]
mod tests;
