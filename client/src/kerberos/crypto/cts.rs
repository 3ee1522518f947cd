//! AES in CBC mode with ciphertext stealing and a zero first vector (RFC 3962 §5, the variant that NIST SP 800-38A-add calls
//! CS3): the last two blocks change places, so that any length from a block on keeps its length.

use aes::cipher::generic_array::GenericArray;
use aes::cipher::{BlockDecrypt, BlockEncrypt, KeyInit, consts::U16};
use aes::{Aes128, Aes256};

use super::super::error::CryptoError;

/// The block of AES in bytes.
pub(super) const BLOCK: usize = 16;

/// AES with a key of 16 or 32 bytes. The schedule is erased on drop by `aes` (feature `zeroize`).
pub(super) enum Aes {
    Short(Box<Aes128>),
    Long(Box<Aes256>),
}

impl Aes {
    /// `None` if the key has another length.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        match key.len() {
            16 => Aes128::new_from_slice(key).ok().map(|aes| Self::Short(Box::new(aes))),
            32 => Aes256::new_from_slice(key).ok().map(|aes| Self::Long(Box::new(aes))),
            _ => None,
        }
    }

    /// One block in place.
    pub(super) fn encrypt_block(&self, block: &mut [u8; BLOCK]) {
        match self {
            Self::Short(aes) => encrypt_one(&**aes, block),
            Self::Long(aes) => encrypt_one(&**aes, block),
        }
    }

    fn decrypt_block(&self, block: &mut [u8; BLOCK]) {
        match self {
            Self::Short(aes) => decrypt_one(&**aes, block),
            Self::Long(aes) => decrypt_one(&**aes, block),
        }
    }

    /// Encrypts in place; at least a block.
    pub(super) fn encrypt(&self, data: &mut [u8]) -> Result<(), CryptoError> {
        let tail = tail_start(data)?;
        let mut previous = [0; BLOCK];
        let (head, rest) = data.split_at_mut(tail);
        for block in head.chunks_exact_mut(BLOCK) {
            xor(&mut previous, block);
            self.encrypt_block(&mut previous);
            block.copy_from_slice(&previous);
        }
        self.encrypt_tail(previous, rest);
        Ok(())
    }

    /// One block, or one and a piece of the next, which change places.
    fn encrypt_tail(&self, mut previous: [u8; BLOCK], tail: &mut [u8]) {
        let (full, piece) = tail.split_at_mut(BLOCK);
        xor(&mut previous, full);
        self.encrypt_block(&mut previous);
        let stolen = previous;
        if !piece.is_empty() {
            xor(&mut previous[..piece.len()], piece);
            self.encrypt_block(&mut previous);
            piece.copy_from_slice(&stolen[..piece.len()]);
        }
        full.copy_from_slice(&previous);
    }

    /// Decrypts in place; at least a block.
    pub(super) fn decrypt(&self, data: &mut [u8]) -> Result<(), CryptoError> {
        let tail = tail_start(data)?;
        let mut previous = [0; BLOCK];
        let (head, rest) = data.split_at_mut(tail);
        for block in head.chunks_exact_mut(BLOCK) {
            let mut plain = copied(block);
            let cipher = plain;
            self.decrypt_block(&mut plain);
            xor(&mut plain, &previous);
            block.copy_from_slice(&plain);
            previous = cipher;
        }
        self.decrypt_tail(previous, rest);
        Ok(())
    }

    fn decrypt_tail(&self, previous: [u8; BLOCK], tail: &mut [u8]) {
        let (full, piece) = tail.split_at_mut(BLOCK);
        let mut last = copied(full);
        self.decrypt_block(&mut last);
        if !piece.is_empty() {
            let mut stolen = last;
            stolen[..piece.len()].copy_from_slice(piece);
            xor(piece, &last);
            self.decrypt_block(&mut stolen);
            last = stolen;
        }
        xor(&mut last, &previous);
        full.copy_from_slice(&last);
    }
}

fn encrypt_one(aes: &impl BlockEncrypt<BlockSize = U16>, block: &mut [u8; BLOCK]) {
    aes.encrypt_block(GenericArray::from_mut_slice(block));
}

fn decrypt_one(aes: &impl BlockDecrypt<BlockSize = U16>, block: &mut [u8; BLOCK]) {
    aes.decrypt_block(GenericArray::from_mut_slice(block));
}

/// Where the last whole block and what follows it begin.
fn tail_start(data: &[u8]) -> Result<usize, CryptoError> {
    if data.len() < BLOCK {
        return Err(CryptoError::TooShort);
    }
    Ok(data.len().saturating_sub(BLOCK + 1) / BLOCK * BLOCK)
}

fn copied(block: &[u8]) -> [u8; BLOCK] {
    let mut copy = [0; BLOCK];
    copy.copy_from_slice(block);
    copy
}

fn xor(into: &mut [u8], other: &[u8]) {
    for (byte, other) in into.iter_mut().zip(other) {
        *byte ^= other;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::crypto::testing::unhex;

    /// RFC 3962 appendix B, the second part; the key is the ASCII of "chicken teriyaki".
    #[test]
    fn the_vectors_of_rfc_3962_hold_in_both_directions() {
        let text = b"I would like the General Gau's Chicken, please, and wonton soup.";
        let aes = Aes::new(b"chicken teriyaki").unwrap();
        for (length, cipher) in [
            (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
            (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
            (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
            (47, "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5"),
            (48, "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8"),
            (
                64,
                "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8\
                 4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
            ),
        ] {
            let mut data = text[..length].to_vec();
            aes.encrypt(&mut data).unwrap();
            assert_eq!(data, unhex(cipher), "{length} bytes");
            aes.decrypt(&mut data).unwrap();
            assert_eq!(data, &text[..length]);
        }
    }

    #[test]
    fn any_length_from_a_block_on_comes_back_and_less_is_refused() {
        let aes = Aes::new(&[7; 32]).unwrap();
        for length in 0..100_u8 {
            let plain: Vec<_> = (0..length).collect();
            let mut data = plain.clone();
            if usize::from(length) < BLOCK {
                assert_eq!(aes.encrypt(&mut data), Err(CryptoError::TooShort));
                assert_eq!(aes.decrypt(&mut data), Err(CryptoError::TooShort));
            } else {
                aes.encrypt(&mut data).unwrap();
                assert_ne!(data, plain);
                aes.decrypt(&mut data).unwrap();
                assert_eq!(data, plain);
            }
        }
        assert!(Aes::new(&[0; 24]).is_none());
    }
}
