//! KRB-ERROR (RFC 4120 §5.9.1): what a KDC or a service says instead of what was asked for.

use super::super::der::{Reader, Writer};
use super::super::error::{KerberosError, Malformed, Peer, Refusal};
use super::super::error_code::KrbErrorCode;
use super::super::principal::{Principal, PrincipalName};
use super::super::time::KerberosTime;
use super::parts::{read_name, read_principal, write_name, write_principal};
use super::{Message, PVNO, read_application, write_application};
use crate::core::peer_text::printable;

/// A refusal. It is not authenticated: anyone on the way may have written it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KrbError {
    /// The peer's clock.
    pub(crate) server_time: KerberosTime,
    /// What.
    pub(crate) code: KrbErrorCode,
    /// The client's realm; where to ask instead, with code 68.
    pub(crate) client_realm: Option<String>,
    /// The client's name.
    pub(crate) client_name: Option<PrincipalName>,
    /// The service.
    pub(crate) server: Principal,
    /// The peer's words, in whatever encoding it has.
    pub(crate) text: Option<Vec<u8>>,
    /// More for programs; METHOD-DATA with code 25.
    pub(crate) data: Option<Vec<u8>>,
}

/// `msg-type` and application number.
const NUMBER: u8 = 30;

impl KrbError {
    /// As an error. `now` is what the local clock says, to name a skew by its size.
    pub(crate) fn into_error(self, by: Peer, now: KerberosTime) -> KerberosError {
        if self.code == KrbErrorCode::SKEW {
            return KerberosError::ClockSkew { ours: now, theirs: self.server_time };
        }
        KerberosError::Refused(Box::new(Refusal {
            by,
            code: self.code,
            text: self.text.as_deref().map(readable).filter(|text| !text.is_empty()),
            client: self.client_name.map(|name| match self.client_realm {
                Some(realm) => readable(Principal::new(name, realm).to_string().as_bytes()),
                None => readable(name.to_string().as_bytes()),
            }),
            server: readable(self.server.to_string().as_bytes()),
            server_time: self.server_time,
        }))
    }
}

/// A peer's words for a log: no control characters, no end of zeros, not too long.
fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    printable(text.trim_end_matches('\0'))
}

impl Message for KrbError {
    const NAME: &'static str = "KRB-ERROR";

    fn write(&self, writer: &mut Writer) {
        write_application(writer, NUMBER, |w| {
            w.field(0, |w| w.integer(PVNO));
            w.field(1, |w| w.integer(NUMBER));
            w.field(4, |w| w.time(self.server_time));
            w.field(5, |w| w.integer(self.server_time.micros));
            w.field(6, |w| w.integer(self.code.0));
            if let Some(realm) = &self.client_realm {
                w.field(7, |w| w.text(realm));
            }
            if let Some(name) = &self.client_name {
                w.field(8, |w| write_name(w, name));
            }
            write_principal(w, 9, &self.server);
            if let Some(text) = &self.text {
                w.field(11, |w| w.value(super::super::der::GENERAL_STRING, |w| w.raw(text)));
            }
            if let Some(data) = &self.data {
                w.field(12, |w| w.octets(data));
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = read_application(reader, NUMBER, Self::NAME)?;
        fields.field(0, "pvno")?.exactly(PVNO, "pvno")?;
        fields.field(1, "msg-type")?.exactly(i32::from(NUMBER), "msg-type")?;
        fields.optional_field(2, "ctime")?;
        fields.optional_field(3, "cusec")?;
        let mut server_time = fields.field(4, "stime")?.time("stime")?;
        server_time.micros = fields.field(5, "susec")?.micros("susec")?;
        let code = KrbErrorCode(fields.field(6, "error-code")?.i32("error-code")?);
        let client_realm = fields.optional_field(7, "crealm")?.map(|realm| realm.text("crealm")).transpose()?;
        let client_name = fields.optional_field(8, "cname")?.map(|name| read_name(name, "cname")).transpose()?;
        let server = read_principal(&mut fields, 9, "realm and sname")?;
        let text = fields.optional_field(11, "e-text")?.map(|text| text.text_bytes("e-text")).transpose()?;
        let data = fields.optional_field(12, "e-data")?.map(|data| data.octets("e-data")).transpose()?;
        let (text, data) = (text.map(<[u8]>::to_vec), data.map(<[u8]>::to_vec));
        fields.end_extensible(Self::NAME)?;
        Ok(Self { server_time, code, client_realm, client_name, server, text, data })
    }
}
