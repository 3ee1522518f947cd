//! `--check`: a frame is decoded into its types and encoded again; the same bytes have to come back.

use ottla_protocol::wire::{Wire as _, Writer};

use super::frame::{Framed, Header};

/// Encodes the frame again. The error says what does not decode, or which byte does not come back.
pub(crate) fn frame(framed: &Framed) -> Result<(), String> {
    let message = framed.row.read(framed.version, framed.body.clone()).map_err(|e| e.to_string())?;
    let mut out = Writer::new(framed.version);
    match &framed.header {
        Header::Request(header) => header.encode(&mut out),
        Header::Response { correlation_id } => correlation_id.encode(&mut out),
    }
    .and_then(|()| message.write_to(&mut out))
    .map_err(|e| e.to_string())?;
    compare(&framed.frame, &out.into_chunks().concat())
        .map_err(|difference| format!("{} v{}: comes back different: {difference}", framed.row.name, framed.version))
}

/// Says where two frames differ.
pub(crate) fn compare(was: &[u8], is: &[u8]) -> Result<(), String> {
    if let Some(at) = was.iter().zip(is).position(|(was, is)| was != is) {
        return Err(format!("byte {at} was {:02x} and is {:02x}", was[at], is[at]));
    }
    if was.len() != is.len() {
        return Err(format!("{} bytes became {}", was.len(), is.len()));
    }
    Ok(())
}
