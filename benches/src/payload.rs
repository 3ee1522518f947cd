//! The records of every run: keys are ids in decimal, values one of 4,096 JSON objects. Byte for byte what the peers of the
//! comparison send, so that figures stand side by side; `ottla-bench payloads` prints a hash to show it.

/// How many different values there are.
pub(crate) const VALUES: u64 = 4096;

const FIRST_NAMES: [&str; 8] = ["Anna", "Bram", "Chloe", "Dmitri", "Elif", "Farid", "Greta", "Hugo"];
const CHINESE_NAMES: [&str; 8] = ["王小明", "李娜", "张伟", "刘洋", "陈静", "杨光", "赵敏", "黄磊"];
const WORDS: [&str; 16] = [
    "order", "paid", "north", "invoice", "retry", "parcel", "late", "customer", "store", "refund", "blue", "express",
    "batch", "signed", "window", "total",
];

/// What ends a value.
const CLOSE: &str = "\"}";

/// The values, made before any clock starts.
pub(crate) struct Payloads(Vec<Vec<u8>>);

impl Payloads {
    /// Values of `size` bytes each, if that is enough for the fields; 120 is.
    pub(crate) fn new(size: usize) -> Self {
        Self((0..VALUES).map(|number| value(number, size)).collect())
    }

    /// The value of record `id`.
    pub(crate) fn of(&self, id: u64) -> &[u8] {
        &self.0[(id % VALUES) as usize]
    }

    /// FNV-1a over all values.
    pub(crate) fn hash(&self) -> u64 {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in self.0.iter().flatten() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash
    }
}

fn value(number: u64, size: usize) -> Vec<u8> {
    let mut dice = Dice(number);
    let first = FIRST_NAMES[dice.below(8)];
    let last = CHINESE_NAMES[dice.below(8)];
    let (whole, cents) = (dice.below(100_000), dice.below(100));
    let ts = 1_700_000_000_000 + number * 137;
    let tags = [WORDS[dice.below(16)], WORDS[dice.below(16)]];
    let mut json = format!(
        "{{\"id\":{number},\"name\":\"{first} {last}\",\"amount\":{whole}.{cents:02},\"ts\":{ts},\"tags\":[\"{}\",\"{}\"],\"note\":\"",
        tags[0], tags[1]
    );
    let room = |json: &String| size.saturating_sub(CLOSE.len()).saturating_sub(json.len());
    while room(&json) > 0 {
        let word = WORDS[dice.below(16)];
        json.push_str(&word[..word.len().min(room(&json))]);
        if room(&json) > 0 {
            json.push(' ');
        }
    }
    json.push_str(CLOSE);
    json.into_bytes()
}

/// Steele, Lea and Flood's SplitMix64: the same numbers in every language.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        for (shift, factor) in [(30, 0xbf58_476d_1ce4_e5b9), (27, 0x94d0_49bb_1331_11eb)] {
            mixed = (mixed ^ (mixed >> shift)).wrapping_mul(factor);
        }
        ((mixed ^ (mixed >> 31)) % sides) as usize
    }
}

/// A record's key, written without an allocation.
pub(crate) struct Key {
    digits: [u8; 20],
    from: usize,
}

impl Key {
    pub(crate) fn new(id: u64) -> Self {
        let mut key = Self { digits: [b'0'; 20], from: 20 };
        let mut rest = id;
        while key.from == 20 || rest > 0 {
            key.from -= 1;
            key.digits[key.from] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        key
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.digits[self.from..]
    }

    /// The id that a key was made of.
    pub(crate) fn read(key: &[u8]) -> Option<u64> {
        std::str::from_utf8(key).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_are_those_of_the_peers() {
        assert_eq!(Payloads::new(200).hash(), 0x893d_86ff_b198_31b9);
    }

    #[test]
    fn a_value_has_the_asked_size_and_is_text() {
        for size in [120, 200, 1000] {
            let payloads = Payloads::new(size);
            assert!(
                (0..VALUES).all(|id| payloads.of(id).len() == size && std::str::from_utf8(payloads.of(id)).is_ok())
            );
        }
        assert!(Payloads::new(0).of(0).ends_with(b"\"note\":\"\"}"));
    }

    #[test]
    fn a_key_is_its_id_in_decimal_and_back() {
        for id in [0, 7, 10, 1_000_000, u64::MAX] {
            assert_eq!(Key::new(id).bytes(), id.to_string().as_bytes());
            assert_eq!(Key::read(Key::new(id).bytes()), Some(id));
        }
    }
}
