//! What goes before a ticket: pre-authentication (RFC 4120 §5.2.7).

use super::super::der::{Reader, Writer};
use super::super::enctype::Enctype;
use super::super::error::Malformed;
use super::super::time::KerberosTime;
use super::Message;

/// One piece of pre-authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PaData {
    /// What it is; one of the constants or another number.
    pub(crate) kind: i32,
    /// Its value; the form depends on `kind`.
    pub(crate) value: Vec<u8>,
}

impl PaData {
    /// An AP-REQ, in a TGS-REQ.
    pub(crate) const TGS_REQ: i32 = 1;
    /// An encrypted [`PaEncTimestamp`].
    pub(crate) const ENC_TIMESTAMP: i32 = 2;
    /// The salt as plain bytes; older than ETYPE-INFO2.
    pub(crate) const PW_SALT: i32 = 3;
    /// [`EtypeInfo2`].
    pub(crate) const ETYPE_INFO2: i32 = 19;
    /// FAST (RFC 6113), which is not here.
    pub(crate) const FX_FAST: i32 = 136;
    /// SPAKE (RFC 9588), which is not here.
    pub(crate) const SPAKE: i32 = 151;

    fn read_fields(list: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = list.sequence("PA-DATA")?;
        let kind = fields.field(1, "padata-type")?.i32("padata-type")?;
        let value = fields.field(2, "padata-value")?.octets("padata-value")?.to_vec();
        fields.end_extensible("PA-DATA")?;
        Ok(Self { kind, value })
    }
}

/// Several pieces: `METHOD-DATA`, the `e-data` of error 25, and the padata of requests and replies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MethodData(pub(crate) Vec<PaData>);

impl MethodData {
    /// The value of the first piece of a kind.
    pub(crate) fn find(&self, kind: i32) -> Option<&[u8]> {
        self.0.iter().find(|piece| piece.kind == kind).map(|piece| piece.value.as_slice())
    }

    /// The kinds that are there.
    pub(crate) fn kinds(&self) -> Vec<i32> {
        self.0.iter().map(|piece| piece.kind).collect()
    }

    /// What stands in an explicit tag.
    pub(super) fn read_in(reader: Reader<'_>) -> Result<Self, Malformed> {
        reader.each("padata", PaData::read_fields).map(Self)
    }
}

impl Message for MethodData {
    const NAME: &'static str = "METHOD-DATA";

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|w| {
            for piece in &self.0 {
                w.sequence(|w| {
                    w.field(1, |w| w.integer(piece.kind));
                    w.field(2, |w| w.octets(&piece.value));
                });
            }
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let list = *reader;
        reader.sequence(Self::NAME)?;
        reader.end(Self::NAME)?;
        Self::read_in(list)
    }
}

/// With which types and salts a client's keys are made, the KDC's favourite first (RFC 4120 §5.2.7.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EtypeInfo2(pub(crate) Vec<EtypeInfo2Entry>);

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EtypeInfo2Entry {
    /// The type of the key.
    pub(crate) enctype: Enctype,
    /// The salt as it goes into string-to-key; `None` means the default, realm and name.
    pub(crate) salt: Option<Vec<u8>>,
    /// The parameters of string-to-key; `None` means its defaults.
    pub(crate) s2kparams: Option<Vec<u8>>,
}

impl EtypeInfo2Entry {
    fn write(&self, writer: &mut Writer) {
        writer.sequence(|w| {
            w.field(0, |w| w.integer(self.enctype.0));
            if let Some(salt) = &self.salt {
                w.field(1, |w| w.value(super::super::der::GENERAL_STRING, |w| w.raw(salt)));
            }
            if let Some(params) = &self.s2kparams {
                w.field(2, |w| w.octets(params));
            }
        });
    }

    fn read(list: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = list.sequence("ETYPE-INFO2-ENTRY")?;
        let enctype = Enctype(fields.field(0, "etype")?.i32("etype")?);
        let salt = fields.optional_field(1, "salt")?.map(|salt| salt.text_bytes("salt")).transpose()?;
        let params = fields.optional_field(2, "s2kparams")?.map(|params| params.octets("s2kparams")).transpose()?;
        fields.end_extensible("ETYPE-INFO2-ENTRY")?;
        Ok(Self { enctype, salt: salt.map(<[u8]>::to_vec), s2kparams: params.map(<[u8]>::to_vec) })
    }
}

impl Message for EtypeInfo2 {
    const NAME: &'static str = "ETYPE-INFO2";

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|w| self.0.iter().for_each(|entry| entry.write(w)));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let list = *reader;
        reader.sequence(Self::NAME)?;
        reader.end(Self::NAME)?;
        list.each(Self::NAME, EtypeInfo2Entry::read).map(Self)
    }
}

/// PA-ENC-TS-ENC: the time, which proves the key that it is encrypted under (RFC 4120 §5.2.7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PaEncTimestamp(pub(crate) KerberosTime);

impl Message for PaEncTimestamp {
    const NAME: &'static str = "PA-ENC-TS-ENC";

    fn write(&self, writer: &mut Writer) {
        writer.sequence(|w| {
            w.field(0, |w| w.time(self.0));
            w.field(1, |w| w.integer(self.0.micros));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut fields = reader.sequence(Self::NAME)?;
        let mut time = fields.field(0, "patimestamp")?.time("patimestamp")?;
        if let Some(micros) = fields.optional_field(1, "pausec")? {
            time.micros = micros.micros("pausec")?;
        }
        fields.end_extensible(Self::NAME)?;
        Ok(Self(time))
    }
}
