//! The messages of Kerberos (RFC 4120 §5): those that a client sends are written, those that it receives are read. The
//! other directions are there too where they cost a line a field: tests play the KDC and the service with them.
//!
//! Reading checks the version and type of a message and the form of every field that is used. What later editions add behind the
//! fields is skipped; what a client never looks at (addresses, authorization data) is not read and not written.

mod ap;
mod kdc_rep;
mod kdc_req;
mod krb_error;
mod padata;
mod parts;

pub(crate) use ap::{ApRep, ApReq, Authenticator, EncApRepPart};
pub(crate) use kdc_rep::{EncKdcRepPart, KdcRep, Ticket};
pub(crate) use kdc_req::{KdcReq, KdcReqBody};
pub(crate) use krb_error::KrbError;
pub(crate) use padata::{EtypeInfo2, EtypeInfo2Entry, MethodData, PaData, PaEncTimestamp};
pub(crate) use parts::{Checksum, EncryptedData, Exchange};

use zeroize::Zeroizing;

use super::der::{Reader, Writer, application};
use super::error::Malformed;

/// The protocol's version, which stands in every message.
const PVNO: i32 = 5;

/// A type of RFC 4120 that has a DER of its own.
pub(crate) trait Message: Sized {
    /// Its name, for errors.
    const NAME: &'static str;

    /// Appends its DER.
    fn write(&self, writer: &mut Writer);

    /// Takes it from the front of what is left.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed>;

    /// Its DER. It may hold keys, so it is erased.
    fn to_der(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// From its DER, behind which nothing may stand.
    fn from_der(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(Self::NAME, bytes);
        let message = Self::read(&mut reader)?;
        reader.end(Self::NAME)?;
        Ok(message)
    }
}

/// `[APPLICATION number] SEQUENCE`
fn write_application(writer: &mut Writer, number: u8, fields: impl FnOnce(&mut Writer)) {
    writer.value(application(number), |w| w.sequence(fields));
}

/// The fields within `[APPLICATION number] SEQUENCE`.
fn read_application<'a>(reader: &mut Reader<'a>, number: u8, name: &'static str) -> Result<Reader<'a>, Malformed> {
    reader.value(application(number), name)?.only_sequence(name)
}

#[cfg(test)]
mod tests;
