//! The orders that `ottla demo` sends: 10,000 JSON objects, one a line, the same bytes on every run.
//!
//! The orders hold what careless JSON handling breaks: integers beyond 2^53 and beyond 64 bits, decimals longer than
//! a double, every escape of RFC 8259 (surrogate pairs, `\u0000` and the optional `\/` included), raw and escaped
//! non-ASCII text, deep nesting, empty strings, arrays and objects, nulls, keys in changing order, blanks between
//! tokens. No object has a key twice. A line has 200 to 1024 bytes.
//!
//! They are made, not shipped: 4.5 MB less in the binary and in the package. `examples/make_orders.rs` writes them to a file.

use std::fmt::Write as _;

/// How many orders there are.
pub(crate) const ORDERS: u64 = 10_000;

/// The bytes of a line without its line break.
const LINE: std::ops::RangeInclusive<usize> = 200..=1024;

/// The whole file.
pub(crate) fn orders() -> String {
    let mut chance = Chance(0x6f74_746c_615f_6f72);
    (0..ORDERS).fold(String::new(), |mut file, number| {
        file.push_str(&order(number, &mut chance));
        file.push('\n');
        file
    })
}

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014): small, and the same
/// everywhere, which no crate promises across its versions.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}

/// Texts as they stand between the quotes, escapes included.
const NAMES: [&str; 12] = [
    "王小明",
    "李娜",
    "欧阳修竹",
    "山田太郎",
    "Zoë Müller",
    "Łukasz Żak",
    "O'Brien, Áine",
    "Иван Петров",
    "\\u738b\\u5c0f\\u660e",
    "N\\u00fa\\u00f1ez",
    "Ann \\\"Andy\\\" Lee",
    "محمد علي",
];
const CITIES: [&str; 8] = ["上海", "北京市朝阳区", "深圳", "São Paulo", "Zürich", "New York", "\\u6771\\u4eac", ""];
const NOTES: [&str; 14] = [
    "",
    "请在工作日送货，谢谢！",
    "line one\\nline two\\r\\n\\tindented",
    "C:\\\\orders\\\\2024\\\\new",
    "say \\\"hello\\\" \\/ \\\"你好\\\"",
    "emoji \\ud83d\\ude00 and 😀 are the same",
    "\\b\\f\\u0000\\u001f\\u007f",
    "\\u2028 and \\u2029 are line breaks to JavaScript only",
    "{\\\"json\\\": [\\\"in\\\", \\\"json\\\"]}",
    "%s ${env:HOME} {{x}} <b>&amp;</b>",
    "加急 🚚 ‼️ 易碎品",
    "trailing blank ",
    "null",
    "NaN",
];
/// Numbers as they stand in the text; all of them are valid JSON and none may be rewritten on the way.
const AMOUNTS: [&str; 12] = [
    "0",
    "-0",
    "-0.0",
    "19.90",
    "1e-7",
    "6.02214076E+23",
    "0.1000000000000000055511151231257827021181583404541015625",
    "12345678901234567890.123456789012345678901234567890",
    "9007199254740993",
    "18446744073709551616",
    "-170141183460469231731687303715884105729",
    "1E400",
];

/// One line. Orders that come out too long lose items (without items a line is far below the limit), those too short get
/// a longer memo.
fn order(number: u64, chance: &mut Chance) -> String {
    let mut items = chance.below(5);
    let mut line = self::line(number, items, chance);
    while line.len() > *LINE.end() && items > 0 {
        items -= 1;
        line = self::line(number, items, chance);
    }
    if line.len() < *LINE.start() {
        let missing = LINE.start() - line.len();
        return format!("{},\"memo\":\"{}\"}}", &line[..line.len() - 1], "~".repeat(missing));
    }
    line
}

fn line(number: u64, items: usize, chance: &mut Chance) -> String {
    // Beyond 2^53 for every third order, beyond 2^64 for some.
    let id = match number % 30 {
        0 => format!("184467440737095{number:08}"),
        n if n % 3 == 0 => format!("{}", 9_007_199_254_740_993_u64 + number * 2),
        _ => format!("{number}"),
    };
    let mut fields = vec![
        field("order_id", &id),
        field("seq", &number.to_string()),
        field("customer", &customer(chance)),
        field("items", &list((0..items).map(|_| item(chance)))),
        field("total", chance.pick(&AMOUNTS)),
        field("paid", chance.pick(&["true", "false", "null"])),
        field(
            "placed_at",
            &format!(
                "\"2024-{:02}-{:02}T{:02}:00:00.{:09}Z\"",
                chance.below(12) + 1,
                chance.below(28) + 1,
                chance.below(24),
                chance.below(1_000_000_000)
            ),
        ),
    ];
    if chance.one_in(2) {
        fields.push(field("note", &quoted(chance.pick(&NOTES))));
    }
    if chance.one_in(3) {
        fields.push(field("备注", &quoted(chance.pick(&NOTES))));
    }
    if chance.one_in(4) {
        fields.push(field("extra", &nested(chance.below(8), chance)));
    }
    if chance.one_in(5) {
        fields.push(field("", "null"));
    }
    object(fields, chance)
}

fn customer(chance: &mut Chance) -> String {
    let address = object(
        vec![
            field("city", &quoted(chance.pick(&CITIES))),
            field("zip", &quoted(&format!("{:06}", chance.below(1_000_000)))),
            field("geo", &list((0..2).map(|_| coordinate(chance)))),
        ],
        chance,
    );
    let email =
        if chance.one_in(4) { "null".to_owned() } else { quoted(&format!("u{}@example.com", chance.below(5000))) };
    let fields = vec![field("name", &quoted(chance.pick(&NAMES))), field("email", &email), field("address", &address)];
    object(fields, chance)
}

fn item(chance: &mut Chance) -> String {
    let fields = vec![
        field("sku", &quoted(&format!("SKU-{:05}", chance.below(100_000)))),
        field("qty", &(chance.below(9) + 1).to_string()),
        field("price", &format!("{}.{:02}", chance.below(2000), chance.below(100))),
        field("tags", &list((0..chance.below(3)).map(|_| quoted(chance.pick(&["新品", "sale", "", "50%", "A\\/B"]))))),
    ];
    object(fields, chance)
}

/// Seventeen digits after the point: more than a double keeps.
fn coordinate(chance: &mut Chance) -> String {
    let sign = chance.pick(&["", "-"]);
    format!("{sign}{}.{:017}", chance.below(180), chance.next() % 100_000_000_000_000_000)
}

/// An object or array that is `depth` levels deep.
fn nested(depth: usize, chance: &mut Chance) -> String {
    match (depth, chance.below(2)) {
        (0, _) => chance.pick(&["{}", "[]", "\"\"", "null", "0", "[[],{}]"]).to_owned(),
        (_, 0) => list([nested(depth - 1, chance)].into_iter()),
        _ => object(vec![field("层", &nested(depth - 1, chance)), field("depth", &depth.to_string())], chance),
    }
}

fn field(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn quoted(escaped: &str) -> String {
    format!("\"{escaped}\"")
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<_>>().join(","))
}

/// The fields in any order; blanks between the tokens of every eighth object.
fn object(mut fields: Vec<(String, String)>, chance: &mut Chance) -> String {
    chance.shuffle(&mut fields);
    let (colon, comma) = if chance.one_in(8) { (" : ", ",\t ") } else { (":", ",") };
    let mut text = String::from("{");
    for (index, (name, value)) in fields.iter().enumerate() {
        let _ = write!(text, "{}\"{name}\"{colon}{value}", if index == 0 { "" } else { comma });
    }
    text.push('}');
    text
}
