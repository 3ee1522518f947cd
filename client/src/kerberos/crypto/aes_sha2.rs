//! aes128-cts-hmac-sha256-128 and aes256-cts-hmac-sha384-192 (RFC 8009): the checksum is over the ciphertext, so nothing is decrypted that is
//! not authentic.

use hmac::Hmac;
use sha2::{Sha256, Sha384};
use zeroize::Zeroizing;

use super::cts::{Aes, BLOCK};
use super::{
    CHECKSUM, Confounder, CryptoError, ENCRYPTION, Enctype, INTEGRITY, Usage, equal, hmac, purpose, split_tag,
};

/// How often string-to-key iterates unless the KDC says otherwise (RFC 8009 §4).
pub(super) const ITERATIONS: u32 = 32_768;

/// The state before the first message: a zero vector, which the checksum covers too (RFC 8009 §5).
const STATE: [u8; BLOCK] = [0; BLOCK];

type Hash = fn(&[u8], &[&[u8]]) -> Zeroizing<Vec<u8>>;

/// What differs between the two. Sizes are in bytes.
pub(super) struct Suite {
    /// The name that string-to-key puts before the salt.
    name: &'static str,
    /// HMAC with the suite's hash.
    hmac: Hash,
    pbkdf2: fn(&[u8], &[u8], u32, &mut [u8]),
    /// Keys of encryption, and the base key.
    key: usize,
    /// Keys of checksums, and the checksums.
    tag: usize,
}

impl Suite {
    /// The suite of type 20, or of 19, which is meant by any other.
    pub(super) fn of(enctype: Enctype) -> Self {
        if enctype == Enctype::AES256_SHA2 {
            let name = "aes256-cts-hmac-sha384-192";
            return Self { name, hmac: hmac::<Hmac<Sha384>>, pbkdf2: pbkdf2::pbkdf2_hmac::<Sha384>, key: 32, tag: 24 };
        }
        let name = "aes128-cts-hmac-sha256-128";
        Self { name, hmac: hmac::<Hmac<Sha256>>, pbkdf2: pbkdf2::pbkdf2_hmac::<Sha256>, key: 16, tag: 16 }
    }

    /// RFC 8009 §4.
    pub(super) fn string_to_key(&self, password: &[u8], salt: &[u8], iterations: u32) -> Zeroizing<Vec<u8>> {
        let salt = [self.name.as_bytes(), &[0], salt].concat();
        let mut key = Zeroizing::new(vec![0; self.key]);
        (self.pbkdf2)(password, &salt, iterations, &mut key);
        self.derive(&key, b"kerberos", self.key)
    }

    /// KDF-HMAC-SHA2 (RFC 8009 §3), for at most as many bytes as the hash has.
    fn derive(&self, key: &[u8], label: &[u8], size: usize) -> Zeroizing<Vec<u8>> {
        let bits = (size as u32 * 8).to_be_bytes();
        let mut derived = (self.hmac)(key, &[&[0, 0, 0, 1], label, &[0], &bits]);
        derived.truncate(size);
        derived
    }

    pub(super) fn encrypt(
        &self,
        key: &[u8],
        usage: Usage,
        confounder: &Confounder,
        plain: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        let mut cipher = Vec::with_capacity(BLOCK + plain.len() + self.tag);
        cipher.extend_from_slice(confounder);
        cipher.extend_from_slice(plain);
        self.cipher_of(key, usage)?.encrypt(&mut cipher)?;
        let tag = self.tag(key, purpose(usage, INTEGRITY), &[&STATE, &cipher]);
        cipher.extend_from_slice(&tag);
        Ok(cipher)
    }

    pub(super) fn decrypt(&self, key: &[u8], usage: Usage, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (sealed, theirs) = split_tag(cipher, self.tag, BLOCK)?;
        equal(&self.tag(key, purpose(usage, INTEGRITY), &[&STATE, sealed]), theirs)?;
        let mut plain = Zeroizing::new(sealed.to_vec());
        self.cipher_of(key, usage)?.decrypt(&mut plain)?;
        Ok(Zeroizing::new(plain[BLOCK..].to_vec()))
    }

    pub(super) fn checksum(&self, key: &[u8], usage: Usage, data: &[&[u8]]) -> Vec<u8> {
        self.tag(key, purpose(usage, CHECKSUM), data)
    }

    fn cipher_of(&self, key: &[u8], usage: Usage) -> Result<Aes, CryptoError> {
        Aes::new(&self.derive(key, &purpose(usage, ENCRYPTION), self.key)).ok_or(CryptoError::TooShort)
    }

    fn tag(&self, key: &[u8], purpose: [u8; 5], data: &[&[u8]]) -> Vec<u8> {
        let key = self.derive(key, &purpose, self.tag);
        (self.hmac)(&key, data)[..self.tag].to_vec()
    }
}

/// RFC 8009 appendix A, all of it but the pseudo-random function, which nothing here uses.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::kerberos::crypto::testing::unhex;

    const KEY_128: &str = "3705D96080C17728A0E800EAB6E0D23C";
    const KEY_256: &str = "6D404D37FAF79F9DF0D33568D320669800EB4836472EA8A026D16B7182460C52";

    #[test]
    fn the_keys_of_rfc_8009_come_from_its_password() {
        let salt = [&unhex("10DF9DD783E5BC8ACEA1730E74355F61")[..], b"ATHENA.MIT.EDUraeburn"].concat();
        for (enctype, key) in [
            (Enctype::AES128_SHA2, "089BCA48B105EA6EA77CA5D2F39DC5E7"),
            (Enctype::AES256_SHA2, "45BD806DBF6A833A9CFFC1C94589A222367A79BC21C413718906E9F578A78467"),
        ] {
            assert_eq!(*Suite::of(enctype).string_to_key(b"password", &salt, 32_768), unhex(key), "{enctype}");
        }
    }

    #[test]
    fn the_derived_keys_of_rfc_8009_hold() {
        for (enctype, base, kind, derived) in [
            (Enctype::AES128_SHA2, KEY_128, CHECKSUM, "B31A018A48F54776F403E9A396325DC3"),
            (Enctype::AES128_SHA2, KEY_128, ENCRYPTION, "9B197DD1E8C5609D6E67C3E37C62C72E"),
            (Enctype::AES128_SHA2, KEY_128, INTEGRITY, "9FDA0E56AB2D85E1569A688696C26A6C"),
            (Enctype::AES256_SHA2, KEY_256, CHECKSUM, "EF5718BE86CC84963D8BBB5031E9F5C4BA41F28FAF69E73D"),
            (
                Enctype::AES256_SHA2,
                KEY_256,
                ENCRYPTION,
                "56AB22BEE63D82D7BC5227F6773F8EA7A5EB1C825160C38312980C442E5C7E49",
            ),
            (Enctype::AES256_SHA2, KEY_256, INTEGRITY, "69B16514E3CD8E56B82010D5C73012B622C4D00FFC23ED1F"),
        ] {
            let derived = unhex(derived);
            let ours = Suite::of(enctype).derive(&unhex(base), &purpose(Usage(2), kind), derived.len());
            assert_eq!(*ours, derived, "{enctype} {kind:x}");
        }
    }

    #[test]
    fn the_messages_of_rfc_8009_are_made_and_opened() {
        let plain: Vec<u8> = (0..21).collect();
        #[rustfmt::skip]
        let vectors = [
            (Enctype::AES128_SHA2, 0, "7E5895EAF2672435BAD817F545A37148",
             "EF85FB890BB8472F4DAB20394DCA781DAD877EDA39D50C870C0D5A0A8E48C718"),
            (Enctype::AES128_SHA2, 6, "7BCA285E2FD4130FB55B1A5C83BC5B24",
             "84D7F30754ED987BAB0BF3506BEB09CFB55402CEF7E6877CE99E247E52D16ED4421DFDF8976C"),
            (Enctype::AES128_SHA2, 16, "56AB21713FF62C0A1457200F6FA9948F",
             "3517D640F50DDC8AD3628722B3569D2AE07493FA8263254080EA65C1008E8FC2 95FB4852E7D83E1E7C48C37EEBE6B0D3"),
            (Enctype::AES128_SHA2, 21, "A7A4E29A4728CE10664FB64E49AD3FAC",
             "720F73B18D9859CD6CCB4346115CD336C70F58EDC0C4437C5573544C31C813BCE1E6D072C1 86B39A413C2F92CA9B8334A287FFCBFC"),
            (Enctype::AES256_SHA2, 0, "F764E9FA15C276478B2C7D0C4E5F58E4",
             "41F53FA5BFE7026D91FAF9BE959195A058707273A96A40F0A01960621AC612748B9BBFBE7EB4CE3C"),
            (Enctype::AES256_SHA2, 6, "B80D3251C1F6471494256FFE712D0B9A",
             "4ED7B37C2BCAC8F74F23C1CF07E62BC7B75FB3F637B9F559C7F664F69EAB7B6092237526EA0D1F61CB20D69D10F2"),
            (Enctype::AES256_SHA2, 16, "53BF8A0D105265D4E276428624CE5E63",
             "BC47FFEC7998EB91E8115CF8D19DAC4BBBE2E163E87DD37F49BECA92027764F6 8CF51F14D798C2273F35DF574D1F932E40C4FF255B36A266"),
            (Enctype::AES256_SHA2, 21, "763E65367E864F02F55153C7E3B58AF1",
             "40013E2DF58E8751957D2878BCD2D6FE101CCFD556CB1EAE79DB3C3EE86429F2B2A602AC86 FEF6ECB647D6295FAE077A1FEB517508D2C16B4192E01F62"),
        ];
        for (enctype, length, confounder, cipher) in vectors {
            let (suite, key) =
                (Suite::of(enctype), unhex(if enctype == Enctype::AES128_SHA2 { KEY_128 } else { KEY_256 }));
            let confounder = unhex(confounder).try_into().unwrap();
            let ours = suite.encrypt(&key, Usage(2), &confounder, &plain[..length]).unwrap();
            assert_eq!(ours, unhex(cipher), "{enctype} {length}");
            assert_eq!(*suite.decrypt(&key, Usage(2), &ours).unwrap(), &plain[..length]);
        }
    }

    #[test]
    fn the_checksums_of_rfc_8009_hold() {
        let data: Vec<u8> = (0..21).collect();
        for (enctype, key, sum) in [
            (Enctype::AES128_SHA2, KEY_128, "D78367186643D67B411CBA9139FC1DEE"),
            (Enctype::AES256_SHA2, KEY_256, "45EE791567EEFCA37F4AC1E0222DE80D43C3BFA06699672A"),
        ] {
            assert_eq!(Suite::of(enctype).checksum(&unhex(key), Usage(2), &[&data]), unhex(sum), "{enctype}");
        }
    }
}
