//! AP-REQ and AP-REP (RFC 4120 §5.5): a ticket is shown, and the one who could open it answers.

use super::super::der::{Reader, Writer};
use super::super::error::Malformed;
use super::super::key::Key;
use super::super::principal::Principal;
use super::super::time::KerberosTime;
use super::kdc_rep::Ticket;
use super::parts::{Checksum, EncryptedData, read_key, read_principal, write_key, write_principal};
use super::{Message, PVNO, read_application, write_application};

/// Shows a ticket to its service, or to the ticket-granting service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApReq {
    /// `APOptions`, the first of them in the highest bit.
    pub(crate) options: u32,
    /// The DER of [`Ticket`], exactly as it came from the KDC.
    pub(crate) ticket: Vec<u8>,
    /// [`Authenticator`], sealed with the session key.
    pub(crate) authenticator: EncryptedData,
}

impl ApReq {
    /// The service has to prove itself too.
    pub(crate) const MUTUAL_REQUIRED: u32 = 0x2000_0000;
    const NUMBER: u8 = 14;
}

impl Message for ApReq {
    const NAME: &'static str = "AP-REQ";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, Self::NUMBER, |w| {
            w.field(0, |w| w.integer(PVNO));
            w.field(1, |w| w.integer(Self::NUMBER));
            w.field(2, |w| w.flags(self.options));
            w.field(3, |w| w.raw(&self.ticket));
            w.field(4, |w| self.authenticator.write(w));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = read_application(reader, Self::NUMBER, Self::NAME)?;
        fields.field(0, "pvno")?.exactly(PVNO, "pvno")?;
        fields.field(1, "msg-type")?.exactly(i32::from(Self::NUMBER), "msg-type")?;
        let options = fields.field(2, "ap-options")?.flags("ap-options")?;
        let ticket = Ticket::read_raw(fields.field(3, "ticket")?)?;
        let authenticator = EncryptedData::read_in(fields.field(4, "authenticator")?)?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { options, ticket, authenticator })
    }
}

/// Proves that the session key is known, now.
#[derive(Clone, Debug)]
pub(crate) struct Authenticator {
    /// Who shows the ticket.
    pub(crate) client: Principal,
    /// Of what goes with it: a request's body, or GSS-API's flags.
    pub(crate) checksum: Option<Checksum>,
    /// Now, to the microsecond.
    pub(crate) time: KerberosTime,
    /// A fresh key for what follows.
    pub(crate) subkey: Option<Key>,
    /// Where the client's messages begin to count.
    pub(crate) sequence: Option<u32>,
}

impl Message for Authenticator {
    const NAME: &'static str = "Authenticator";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, 2, |w| {
            w.field(0, |w| w.integer(PVNO));
            write_principal(w, 1, &self.client);
            if let Some(checksum) = &self.checksum {
                w.field(3, |w| checksum.write(w));
            }
            w.field(4, |w| w.integer(self.time.micros));
            w.field(5, |w| w.time(self.time));
            if let Some(subkey) = &self.subkey {
                w.field(6, |w| write_key(w, subkey));
            }
            if let Some(sequence) = self.sequence {
                w.field(7, |w| w.integer(sequence));
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = read_application(reader, 2, Self::NAME)?;
        fields.field(0, "authenticator-vno")?.exactly(PVNO, "authenticator-vno")?;
        let client = read_principal(&mut fields, 1, "crealm and cname")?;
        let checksum = fields.optional_field(3, "cksum")?.map(Checksum::read).transpose()?;
        let micros = fields.field(4, "cusec")?.micros("cusec")?;
        let time = KerberosTime { micros, ..fields.field(5, "ctime")?.time("ctime")? };
        let subkey = fields.optional_field(6, "subkey")?.map(read_key).transpose()?;
        let sequence = fields.optional_field(7, "seq-number")?.map(|number| number.u32("seq-number")).transpose()?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { client, checksum, time, subkey, sequence })
    }
}

/// The service's answer to an AP-REQ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApRep {
    /// [`EncApRepPart`], sealed with the ticket's session key, never with the subkey.
    pub(crate) enc_part: EncryptedData,
}

impl ApRep {
    const NUMBER: u8 = 15;
}

impl Message for ApRep {
    const NAME: &'static str = "AP-REP";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, Self::NUMBER, |w| {
            w.field(0, |w| w.integer(PVNO));
            w.field(1, |w| w.integer(Self::NUMBER));
            w.field(2, |w| self.enc_part.write(w));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = read_application(reader, Self::NUMBER, Self::NAME)?;
        fields.field(0, "pvno")?.exactly(PVNO, "pvno")?;
        fields.field(1, "msg-type")?.exactly(i32::from(Self::NUMBER), "msg-type")?;
        let enc_part = EncryptedData::read_in(fields.field(2, "enc-part")?)?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { enc_part })
    }
}

/// The proof in it: the authenticator's time, which only the one who opened the ticket can repeat.
#[derive(Clone, Debug)]
pub(crate) struct EncApRepPart {
    /// The authenticator's time.
    pub(crate) time: KerberosTime,
    /// The service's own key for what follows.
    pub(crate) subkey: Option<Key>,
    /// Where the service's messages begin to count.
    pub(crate) sequence: Option<u32>,
}

impl Message for EncApRepPart {
    const NAME: &'static str = "EncAPRepPart";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, 27, |w| {
            w.field(0, |w| w.time(self.time));
            w.field(1, |w| w.integer(self.time.micros));
            if let Some(subkey) = &self.subkey {
                w.field(2, |w| write_key(w, subkey));
            }
            if let Some(sequence) = self.sequence {
                w.field(3, |w| w.integer(sequence));
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = read_application(reader, 27, Self::NAME)?;
        let mut time = fields.field(0, "ctime")?.time("ctime")?;
        time.micros = fields.field(1, "cusec")?.micros("cusec")?;
        let subkey = fields.optional_field(2, "subkey")?.map(read_key).transpose()?;
        let sequence = fields.optional_field(3, "seq-number")?.map(|number| number.u32("seq-number")).transpose()?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { time, subkey, sequence })
    }
}
