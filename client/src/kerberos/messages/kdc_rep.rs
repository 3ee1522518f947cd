//! AS-REP and TGS-REP (RFC 4120 §5.4.2), and the ticket in them (§5.3).

use super::super::der::{Reader, Writer, application};
use super::super::error::Malformed;
use super::super::key::Key;
use super::super::principal::Principal;
use super::super::ticket::HeldTicket;
use super::super::time::KerberosTime;
use super::padata::MethodData;
use super::parts::{EncryptedData, Exchange, read_key, read_principal, write_key, write_principal};
use super::{Message, PVNO, read_application, write_application};

/// A ticket, with what its client needs sealed for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KdcRep {
    /// Which of the two.
    pub(crate) exchange: Exchange,
    /// From an AS: with which salt the client's key is made, if it did not say so before.
    pub(crate) padata: MethodData,
    /// For whom it is.
    pub(crate) client: Principal,
    /// The DER of [`Ticket`], exactly as it came.
    pub(crate) ticket: Vec<u8>,
    /// [`EncKdcRepPart`], sealed.
    pub(crate) enc_part: EncryptedData,
}

impl Message for KdcRep {
    const NAME: &'static str = "KDC-REP";

    fn write(&self, writer: &mut Writer) {
        let number = self.exchange.reply();
        write_application(writer, number, |w| {
            w.field(0, |w| w.integer(PVNO));
            w.field(1, |w| w.integer(number));
            if !self.padata.0.is_empty() {
                w.field(2, |w| self.padata.write(w));
            }
            write_principal(w, 3, &self.client);
            w.field(5, |w| w.raw(&self.ticket));
            w.field(6, |w| self.enc_part.write(w));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let is_tgs = reader.peek() == Some(application(Exchange::Tgs.reply()));
        let exchange = if is_tgs { Exchange::Tgs } else { Exchange::As };
        let mut fields = read_application(reader, exchange.reply(), Self::NAME)?;
        fields.field(0, "pvno")?.exactly(PVNO, "pvno")?;
        fields.field(1, "msg-type")?.exactly(i32::from(exchange.reply()), "msg-type")?;
        let padata = fields.optional_field(2, "padata")?.map(MethodData::read_in).transpose()?.unwrap_or_default();
        let client = read_principal(&mut fields, 3, "crealm and cname")?;
        let ticket = Ticket::read_raw(fields.field(5, "ticket")?)?;
        let enc_part = EncryptedData::read_in(fields.field(6, "enc-part")?)?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { exchange, padata, client, ticket, enc_part })
    }
}

/// A ticket as anyone can read it. What is sealed in it is for the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    /// For which service it is.
    pub(crate) server: Principal,
    /// `EncTicketPart`, sealed with the service's key.
    pub(crate) enc_part: EncryptedData,
}

impl Ticket {
    /// The only value in here is a well-formed ticket: its DER as it stands.
    pub(super) fn read_raw(mut reader: Reader<'_>) -> Result<Vec<u8>, Malformed> {
        let mut parsed = reader;
        Self::read(&mut parsed)?;
        let raw = reader.raw(application(1), Self::NAME)?;
        reader.end(Self::NAME)?;
        Ok(raw.to_vec())
    }
}

impl Message for Ticket {
    const NAME: &'static str = "Ticket";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, 1, |w| {
            w.field(0, |w| w.integer(PVNO));
            write_principal(w, 1, &self.server);
            w.field(3, |w| self.enc_part.write(w));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = read_application(reader, 1, Self::NAME)?;
        fields.field(0, "tkt-vno")?.exactly(PVNO, "tkt-vno")?;
        let server = read_principal(&mut fields, 1, "realm and sname")?;
        let enc_part = EncryptedData::read_in(fields.field(3, "enc-part")?)?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { server, enc_part })
    }
}

/// What the KDC seals for the client (RFC 4120 §5.4.2).
#[derive(Clone, Debug)]
pub(crate) struct EncKdcRepPart {
    /// The session key.
    pub(crate) key: Key,
    /// The request's nonce.
    pub(crate) nonce: u32,
    /// When the client's password expires, if the KDC tells.
    pub(crate) key_expiration: Option<KerberosTime>,
    /// `TicketFlags`, see [`HeldTicket`].
    pub(crate) flags: u32,
    /// When the client proved itself with a password or key.
    pub(crate) auth_time: KerberosTime,
    /// From when on the ticket is valid; `None` means from `auth_time` on.
    pub(crate) start_time: Option<KerberosTime>,
    /// Until when it is valid.
    pub(crate) end_time: KerberosTime,
    /// Until when it can be renewed.
    pub(crate) renew_till: Option<KerberosTime>,
    /// For which service the ticket is.
    pub(crate) server: Principal,
}

impl EncKdcRepPart {
    /// The application number in an AS-REP; MIT and Heimdal write this one into TGS-REPs' too (RFC 4120 §5.4.2 allows either).
    const AS: u8 = 25;
    /// The application number in a TGS-REP.
    const TGS: u8 = 26;

    /// The ticket as its holder keeps it.
    pub(crate) fn held(self, client: Principal, ticket: Vec<u8>) -> HeldTicket {
        HeldTicket {
            client,
            server: self.server,
            session_key: self.key,
            ticket,
            flags: self.flags,
            auth_time: self.auth_time,
            start_time: self.start_time.unwrap_or(self.auth_time),
            end_time: self.end_time,
            renew_till: self.renew_till.filter(|_| self.flags & HeldTicket::RENEWABLE != 0),
        }
    }
}

impl Message for EncKdcRepPart {
    const NAME: &'static str = "EncKDCRepPart";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, Self::AS, |w| {
            w.field(0, |w| write_key(w, &self.key));
            w.field(1, |w| w.sequence(|_| {}));
            w.field(2, |w| w.integer(self.nonce));
            w.optional_time(3, self.key_expiration);
            w.field(4, |w| w.flags(self.flags));
            w.field(5, |w| w.time(self.auth_time));
            w.optional_time(6, self.start_time);
            w.field(7, |w| w.time(self.end_time));
            w.optional_time(8, self.renew_till);
            write_principal(w, 9, &self.server);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let number = if reader.peek() == Some(application(Self::TGS)) { Self::TGS } else { Self::AS };
        let mut fields = read_application(reader, number, Self::NAME)?;
        let key = read_key(fields.field(0, "key")?)?;
        fields.field(1, "last-req")?.each("last-req", |list| list.sequence("last-req").map(drop))?;
        let part = Self {
            key,
            nonce: fields.field(2, "nonce")?.u32("nonce")?,
            key_expiration: fields.optional_time(3, "key-expiration")?,
            flags: fields.field(4, "flags")?.flags("flags")?,
            auth_time: fields.field(5, "authtime")?.time("authtime")?,
            start_time: fields.optional_time(6, "starttime")?,
            end_time: fields.field(7, "endtime")?.time("endtime")?,
            renew_till: fields.optional_time(8, "renew-till")?,
            server: read_principal(&mut fields, 9, "srealm and sname")?,
        };
        fields.end_extensible(Self::NAME)?;
        Ok(part)
    }
}
