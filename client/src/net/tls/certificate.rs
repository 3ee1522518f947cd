//! The one thing that we read in a certificate ourselves: until when it is valid. All else is webpki's.

use std::time::{Duration, SystemTime};

use pkcs8::der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use pkcs8::der::{Decode, Reader, Result as DerResult, SliceReader, Tag, Tagged};

/// From when and until when a certificate is valid (RFC 5280 §4.1.2.5); `None` if the bytes are no certificate.
pub(crate) fn validity(certificate: &[u8]) -> Option<(SystemTime, SystemTime)> {
    let (from, until) = parse(certificate).ok()?;
    Some((SystemTime::UNIX_EPOCH.checked_add(from)?, SystemTime::UNIX_EPOCH.checked_add(until)?))
}

/// `Certificate ::= SEQUENCE { tbsCertificate SEQUENCE { [0] version?, serialNumber, signature, issuer, validity, … }, … }`
fn parse(certificate: &[u8]) -> DerResult<(Duration, Duration)> {
    let whole = AnyRef::try_from(certificate)?;
    let mut outer = SliceReader::new(tagged(whole, Tag::Sequence)?.value())?;
    let signed = AnyRef::decode(&mut outer)?;
    let mut fields = SliceReader::new(tagged(signed, Tag::Sequence)?.value())?;
    let mut field = AnyRef::decode(&mut fields)?;
    if field.tag() != Tag::Integer {
        // Version 1 has no version field.
        field = AnyRef::decode(&mut fields)?;
    }
    tagged(field, Tag::Integer)?;
    for _signature_and_issuer in 0..2 {
        tagged(AnyRef::decode(&mut fields)?, Tag::Sequence)?;
    }
    let validity = tagged(AnyRef::decode(&mut fields)?, Tag::Sequence)?;
    let mut times = SliceReader::new(validity.value())?;
    Ok((time(&mut times)?, time(&mut times)?))
}

fn tagged(any: AnyRef<'_>, tag: Tag) -> DerResult<AnyRef<'_>> {
    any.tag().assert_eq(tag).map(|_| any)
}

/// Until 2049 a certificate says `UTCTime`, after it `GeneralizedTime`.
fn time(times: &mut SliceReader<'_>) -> DerResult<Duration> {
    if times.peek_tag()? == Tag::UtcTime {
        UtcTime::decode(times).map(|time| time.to_unix_duration())
    } else {
        GeneralizedTime::decode(times).map(|time| time.to_unix_duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::time::KerberosTime;
    use crate::net::tls::pem;

    fn server_certificate() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/tls/server.pem");
        pem::certificates(&std::fs::read(path).unwrap()).unwrap()[0].to_vec()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let der = server_certificate();
        let (from, until) = validity(&der).unwrap();
        assert_eq!(KerberosTime::from(from).to_string(), "2020-01-01 00:00:00 UTC");
        assert_eq!(KerberosTime::from(until).to_string(), "2120-01-01 00:00:00 UTC");
    }

    #[test]
    fn a_certificate_cut_anywhere_has_no_times_and_none_of_its_bits_makes_a_panic() {
        let der = server_certificate();
        for len in 0..der.len() {
            assert_eq!(validity(&der[..len]), None, "{len}");
        }
        let mut others = 0;
        for bit in 0..der.len() * 8 {
            let mut flipped = der.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            others += usize::from(validity(&flipped) != validity(&der));
        }
        assert!(others > 100, "only {others} flips were noticed");
    }
}
