//! AS-REQ and TGS-REQ (RFC 4120 §5.4.1).

use super::super::der::{Reader, Writer};
use super::super::enctype::Enctype;
use super::super::error::Malformed;
use super::super::principal::PrincipalName;
use super::super::time::KerberosTime;
use super::padata::MethodData;
use super::parts::{Exchange, read_name, write_name};
use super::{Message, PVNO, read_application, write_application};

/// Asks a KDC for a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KdcReq {
    /// Which of the two.
    pub(crate) exchange: Exchange,
    /// With what the client proves itself; empty is left out.
    pub(crate) padata: MethodData,
    /// What is asked for.
    pub(crate) body: KdcReqBody,
}

/// What is asked for. A TGS-REQ's authenticator has a checksum of its DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KdcReqBody {
    /// `KDCOptions`, the first of them in the highest bit.
    pub(crate) options: u32,
    /// The client; an AS-REQ has it, a TGS-REQ has a ticket instead.
    pub(crate) client: Option<PrincipalName>,
    /// The realm of the service, and of the client in an AS-REQ.
    pub(crate) realm: String,
    /// The service.
    pub(crate) server: Option<PrincipalName>,
    /// Until when the ticket is to be valid; the KDC may shorten it.
    pub(crate) till: KerberosTime,
    /// Until when it is to be renewable.
    pub(crate) renew_till: Option<KerberosTime>,
    /// Random; the reply repeats it. Below 2^31: some readers have it signed.
    pub(crate) nonce: u32,
    /// The types that may be used, best first.
    pub(crate) enctypes: Vec<Enctype>,
}

impl KdcReqBody {
    /// The ticket may be exchanged for one with other addresses.
    pub(crate) const FORWARDABLE: u32 = 0x4000_0000;
    /// The ticket may be renewed until `renew_till`.
    pub(crate) const RENEWABLE: u32 = 0x0080_0000;
    /// The KDC may answer with another name, or refer to another realm (RFC 6806).
    pub(crate) const CANONICALIZE: u32 = 0x0001_0000;
    /// Renews the ticket in the padata.
    pub(crate) const RENEW: u32 = 0x0000_0002;
}

impl Message for KdcReq {
    const NAME: &'static str = "KDC-REQ";

    fn write(&self, writer: &mut Writer) {
        let number = self.exchange.request();
        write_application(writer, number, |w| {
            w.field(1, |w| w.integer(PVNO));
            w.field(2, |w| w.integer(number));
            if !self.padata.0.is_empty() {
                w.field(3, |w| self.padata.write(w));
            }
            w.field(4, |w| self.body.write(w));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let is_tgs = reader.peek() == Some(super::super::der::application(Exchange::Tgs.request()));
        let exchange = if is_tgs { Exchange::Tgs } else { Exchange::As };
        let mut fields = read_application(reader, exchange.request(), Self::NAME)?;
        fields.field(1, "pvno")?.exactly(PVNO, "pvno")?;
        fields.field(2, "msg-type")?.exactly(i32::from(exchange.request()), "msg-type")?;
        let padata = fields.optional_field(3, "padata")?.map(MethodData::read_in).transpose()?.unwrap_or_default();
        let mut body = fields.field(4, "req-body")?;
        let read = KdcReqBody::read(&mut body)?;
        body.end("req-body")?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { exchange, padata, body: read })
    }
}

impl Message for KdcReqBody {
    const NAME: &'static str = "KDC-REQ-BODY";

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|w| {
            w.field(0, |w| w.flags(self.options));
            if let Some(client) = &self.client {
                w.field(1, |w| write_name(w, client));
            }
            w.field(2, |w| w.text(&self.realm));
            if let Some(server) = &self.server {
                w.field(3, |w| write_name(w, server));
            }
            w.field(5, |w| w.time(self.till));
            w.optional_time(6, self.renew_till);
            w.field(7, |w| w.integer(self.nonce));
            w.field(8, |w| w.sequence(|w| self.enctypes.iter().for_each(|enctype| w.integer(enctype.0))));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.sequence(Self::NAME)?;
        let options = fields.field(0, "kdc-options")?.flags("kdc-options")?;
        let client = fields.optional_field(1, "cname")?.map(|name| read_name(name, "cname")).transpose()?;
        let realm = fields.field(2, "realm")?.text("realm")?;
        let server = fields.optional_field(3, "sname")?.map(|name| read_name(name, "sname")).transpose()?;
        fields.optional_field(4, "from")?;
        let till = fields.field(5, "till")?.time("till")?;
        let renew_till = fields.optional_time(6, "rtime")?;
        let nonce = fields.field(7, "nonce")?.u32("nonce")?;
        let enctypes = fields.field(8, "etype")?.each("etype", |list| list.next_i32("etype").map(Enctype))?;
        fields.end_extensible(Self::NAME)?;
        Ok(Self { options, client, realm, server, till, renew_till, nonce, enctypes })
    }
}
