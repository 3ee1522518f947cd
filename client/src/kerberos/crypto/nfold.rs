//! n-fold (RFC 3961 §5.1): stretches or shrinks bytes so that each bit of the input counts about equally.

/// `input` folded to `size` bytes: as many copies as the least common multiple of the lengths holds, each rotated right by
/// 13 bits more than the one before, added up in pieces of `size` bytes with end-around carry. Neither length may be 0; such a fold
/// is all zeros.
pub(super) fn nfold(input: &[u8], size: usize) -> Vec<u8> {
    let mut sum = vec![0_u8; size];
    if input.is_empty() || size == 0 {
        return sum;
    }
    let total = input.len() / gcd(input.len(), size) * size;
    for piece in (0..total).step_by(size) {
        add(&mut sum, |index| stretched(input, piece + index));
    }
    sum
}

/// A byte of the row of rotated copies.
fn stretched(input: &[u8], position: usize) -> u8 {
    let bits = input.len() * 8;
    let rotation = 13 * (position / input.len()) % bits;
    let first = (position % input.len() * 8 + bits - rotation) % bits;
    let (byte, shift) = (first / 8, first % 8);
    let pair = u16::from_be_bytes([input[byte], input[(byte + 1) % input.len()]]);
    (pair << shift >> 8) as u8
}

/// Ones' complement addition of big-endian numbers.
fn add(sum: &mut [u8], other: impl Fn(usize) -> u8) {
    let mut carry = 0;
    for index in (0..sum.len()).rev() {
        carry += u16::from(sum[index]) + u16::from(other(index));
        sum[index] = carry as u8;
        carry >>= 8;
    }
    for byte in sum.iter_mut().rev() {
        carry += u16::from(*byte);
        *byte = carry as u8;
        carry >>= 8;
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::crypto::testing::unhex;

    /// RFC 3961 appendix A.1.
    #[test]
    fn the_vectors_of_rfc_3961_hold() {
        for (input, size, folded) in [
            ("012345", 8, "be072631276b1955"),
            ("password", 7, "78a07b6caf85fa"),
            ("Rough Consensus, and Running Code", 8, "bb6ed30870b7f0e0"),
            ("password", 21, "59e4a8ca7c0385c3c37b3f6d2000247cb6e6bd5b3e"),
            ("MASSACHVSETTS INSTITVTE OF TECHNOLOGY", 24, "db3b0d8f0b061e603282b308a50841229ad798fab9540c1b"),
            ("Q", 21, "518a54a2 15a8452a 518a54a2 15a8452a 518a54a2 15"),
            ("ba", 21, "fb25d531 ae897449 9f52fd92 ea9857c4 ba24cf29 7e"),
            ("kerberos", 8, "6b65726265726f73"),
            ("kerberos", 16, "6b65726265726f737b9b5b2b93132b93"),
            ("kerberos", 21, "8372c236344e5f1550cd0747e15d62ca7a5a3bcea4"),
            ("kerberos", 32, "6b65726265726f737b9b5b2b93132b935c9bdcdad95c9899c4cae4dee6d6cae4"),
        ] {
            assert_eq!(nfold(input.as_bytes(), size), unhex(folded), "{size}-byte fold of {input}");
        }
    }

    #[test]
    fn a_fold_of_nothing_is_zeros() {
        assert_eq!(nfold(b"", 4), [0; 4]);
        assert!(nfold(b"x", 0).is_empty());
    }
}
