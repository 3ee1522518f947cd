//! Wrapped messages under RC4 keys (RFC 4757 §7.3, in the frame of RFC 1964 §1.2.2): authenticated, never sealed, which is all
//! that a login needs.
//!
//! The format is weak beyond its cipher: the number and the direction stand outside of the checksum, under a stream cipher, so
//! who alters the bytes on their way can renumber a message and send our own back to us. A login takes one message from the
//! service before it sends any of its own, and so has none that could come back.

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::super::crypto::{Crypto, Usage};
use super::super::error::{CryptoError, KerberosError};
use super::super::key::Key;
use super::{framed, unframed};

/// `TOK_ID`.
const WRAP: [u8; 2] = [2, 1];
/// `SGN_ALG` is HMAC, `SEAL_ALG` none, and a filler.
const ALGORITHMS: [u8; 6] = [0x11, 0, 0xFF, 0xFF, 0xFF, 0xFF];
/// What stands behind the number, by who sent it.
const BY_INITIATOR: u32 = 0;
const BY_ACCEPTOR: u32 = u32::MAX;
/// How many bytes of the checksum there are.
const CHECKSUM: usize = 8;
const CONFOUNDER: usize = 8;
/// A stream cipher needs no padding; the format wants a byte of it that says how many bytes it is.
const PADDING: [u8; 1] = [1];

/// The next message to the service.
pub(super) fn wrap(crypto: Crypto, key: &Key, sequence: u32, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    // Nothing is sealed, so there is nothing to confound.
    let covered = [&[0; CONFOUNDER], message, &PADDING].concat();
    let checksum = checksum(crypto, key, &covered)?;
    let mut number = (u64::from(sequence) << 32 | u64::from(BY_INITIATOR)).to_be_bytes();
    crypto.rc4_sequence(key, &checksum, &mut number)?;
    Ok(framed(WRAP, &[&ALGORITHMS[..], &number, &checksum, &covered].concat()))
}

/// The message and the number in the service's next token, which is authentic and the service's.
pub(super) fn unwrap(crypto: Crypto, key: &Key, token: &[u8]) -> Result<(Zeroizing<Vec<u8>>, u32), KerberosError> {
    let (WRAP, body) = unframed(token)? else { return Err(KerberosError::BadToken("it is not a wrapped message")) };
    let Some((mut number, theirs, covered)) = parts(body) else {
        return Err(KerberosError::BadToken("it is shorter than its header, or not authenticated as was agreed on"));
    };
    let failed = |cause: CryptoError| cause.of("the service's message");
    let ours = checksum(crypto, key, covered).map_err(failed)?;
    if !bool::from(ours.ct_eq(&theirs)) {
        return Err(KerberosError::BadToken("its checksum does not fit"));
    }
    crypto.rc4_sequence(key, &theirs, &mut number).map_err(failed)?;
    let number = u64::from_be_bytes(number);
    if number as u32 != BY_ACCEPTOR {
        return Err(KerberosError::BadToken("it is not from the service: our own token may have come back"));
    }
    let Some(message) = covered[CONFOUNDER..].strip_suffix(&PADDING) else {
        return Err(KerberosError::BadToken("its padding is not a byte of one"));
    };
    Ok((Zeroizing::new(message.to_vec()), (number >> 32) as u32))
}

/// The number as it stands, the checksum, and what that covers.
fn parts(body: &[u8]) -> Option<([u8; 8], [u8; CHECKSUM], &[u8])> {
    let body = body.strip_prefix(&ALGORITHMS)?;
    let (number, body) = body.split_first_chunk()?;
    let (checksum, covered) = body.split_first_chunk()?;
    (covered.len() > CONFOUNDER).then_some((*number, *checksum, covered))
}

/// The first half of the key's own checksum, over the header, too.
fn checksum(crypto: Crypto, key: &Key, covered: &[u8]) -> Result<[u8; CHECKSUM], CryptoError> {
    let whole = crypto.checksum(key, Usage::RC4_WRAP, &[&WRAP, &ALGORITHMS, covered])?;
    Ok(std::array::from_fn(|at| whole[at]))
}
