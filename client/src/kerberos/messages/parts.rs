//! What several messages have in common (RFC 4120 §5.2).

use zeroize::Zeroizing;

use super::super::crypto::{Confounder, Crypto, Usage};
use super::super::der::{Reader, Writer};
use super::super::enctype::Enctype;
use super::super::error::{CryptoError, KerberosError, Malformed};
use super::super::key::Key;
use super::super::principal::{Principal, PrincipalName};
use super::Message;

/// With whom tickets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchange {
    /// The authentication service: the client proves itself by password or key (RFC 4120 §3.1).
    As,
    /// The ticket-granting service: a ticket gets another (RFC 4120 §3.3).
    Tgs,
}

impl Exchange {
    /// `msg-type` and application number of the request.
    pub(super) fn request(self) -> u8 {
        match self {
            Self::As => 10,
            Self::Tgs => 12,
        }
    }

    /// `msg-type` and application number of the reply.
    pub(super) fn reply(self) -> u8 {
        self.request() + 1
    }
}

/// Something encrypted, with the type of its key (RFC 4120 §5.2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EncryptedData {
    /// The type of the key.
    pub(crate) enctype: Enctype,
    /// Which of the principal's keys, if it is one of those and its writer says so.
    pub(crate) kvno: Option<u32>,
    /// The ciphertext.
    pub(crate) cipher: Vec<u8>,
}

impl EncryptedData {
    /// Encrypts a message.
    pub(crate) fn seal(
        crypto: Crypto,
        key: &Key,
        usage: Usage,
        confounder: &Confounder,
        message: &impl Message,
    ) -> Result<Self, CryptoError> {
        let cipher = crypto.encrypt(key, usage, confounder, &message.to_der())?;
        Ok(Self { enctype: key.enctype, kvno: None, cipher })
    }

    /// Decrypts; the key has to be of the type that this says. `what` names it in errors.
    pub(crate) fn open(
        &self,
        crypto: Crypto,
        key: &Key,
        usage: Usage,
        what: &'static str,
    ) -> Result<Zeroizing<Vec<u8>>, KerberosError> {
        if self.enctype != key.enctype {
            return Err(KerberosError::NoEnctype { offered: vec![self.enctype], usable: vec![key.enctype] });
        }
        crypto.decrypt(key, usage, &self.cipher).map_err(|cause| cause.of(what))
    }

    /// The only value in here.
    pub(super) fn read_in(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let read = Self::read(&mut reader)?;
        reader.end(Self::NAME)?;
        Ok(read)
    }
}

impl Message for EncryptedData {
    const NAME: &'static str = "EncryptedData";

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|w| {
            w.field(0, |w| w.integer(self.enctype.0));
            if let Some(kvno) = self.kvno {
                w.field(1, |w| w.integer(kvno));
            }
            w.field(2, |w| w.octets(&self.cipher));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.sequence(Self::NAME)?;
        let enctype = Enctype(fields.field(0, "etype")?.i32("etype")?);
        let kvno = fields.optional_field(1, "kvno")?.map(|kvno| kvno.u32("kvno")).transpose()?;
        let cipher = fields.field(2, "cipher")?.octets("cipher")?.to_vec();
        fields.end_extensible(Self::NAME)?;
        Ok(Self { enctype, kvno, cipher })
    }
}

/// A checksum with its type (RFC 4120 §5.2.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    /// IANA "Kerberos Checksum Type Numbers".
    pub(crate) kind: i32,
    /// The checksum.
    pub(crate) bytes: Vec<u8>,
}

impl Checksum {
    pub(super) fn write(&self, writer: &mut Writer) {
        write_typed(writer, self.kind, &self.bytes);
    }

    pub(super) fn read(reader: Reader<'_>) -> Result<Self, Malformed> {
        let (kind, bytes) = read_typed(reader, "Checksum")?;
        Ok(Self { kind, bytes: bytes.to_vec() })
    }
}

/// `EncryptionKey`
pub(super) fn write_key(writer: &mut Writer, key: &Key) {
    write_typed(writer, key.enctype.0, &key.bytes);
}

/// `EncryptionKey`
pub(super) fn read_key(reader: Reader<'_>) -> Result<Key, Malformed> {
    let (enctype, bytes) = read_typed(reader, "EncryptionKey")?;
    Ok(Key::new(Enctype(enctype), bytes.to_vec()))
}

/// `EncryptionKey` and `Checksum` have the same form: a number and octets.
fn write_typed(writer: &mut Writer, number: i32, octets: &[u8]) {
    writer.sequence(|w| {
        w.field(0, |w| w.integer(number));
        w.field(1, |w| w.octets(octets));
    });
}

fn read_typed<'a>(reader: Reader<'a>, name: &'static str) -> Result<(i32, &'a [u8]), Malformed> {
    let mut fields = reader.only_sequence(name)?;
    let number = fields.field(0, name)?.i32(name)?;
    let octets = fields.field(1, name)?.octets(name)?;
    fields.end_extensible(name)?;
    Ok((number, octets))
}

/// `PrincipalName`
pub(super) fn write_name(writer: &mut Writer, name: &PrincipalName) {
    writer.sequence(|w| {
        w.field(0, |w| w.integer(name.name_type));
        w.field(1, |w| w.sequence(|w| name.components.iter().for_each(|component| w.text(component))));
    });
}

/// `PrincipalName`
pub(super) fn read_name(reader: Reader<'_>, field: &'static str) -> Result<PrincipalName, Malformed> {
    let mut fields = reader.only_sequence(field)?;
    let name_type = fields.field(0, field)?.i32(field)?;
    let components = fields.field(1, field)?.each(field, |list| list.next_text(field))?;
    if components.is_empty() {
        return Err(fields.malformed(field, "the name has no component"));
    }
    fields.end_extensible(field)?;
    Ok(PrincipalName { name_type, components })
}

/// A realm and a name in two fields that follow each other.
pub(super) fn write_principal(writer: &mut Writer, first: u8, principal: &Principal) {
    writer.field(first, |w| w.text(&principal.realm));
    writer.field(first + 1, |w| write_name(w, &principal.name));
}

/// A realm and a name in two fields that follow each other. `field` is both.
pub(super) fn read_principal(fields: &mut Reader<'_>, first: u8, field: &'static str) -> Result<Principal, Malformed> {
    let realm = fields.field(first, field)?.text(field)?;
    Ok(Principal { realm, name: read_name(fields.field(first + 1, field)?, field)? })
}
