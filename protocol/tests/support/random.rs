//! Bodies by chance, from Kafka's schema data alone: none of this crate's encoder or declarations is asked.

use ottla_protocol::wire::Value;

use super::schema::Field;

/// What a body has to be.
pub(crate) struct Wanted<'a> {
    /// The version that the body is written in: fields that it lacks are left out.
    pub(crate) version: i16,
    /// Fields that this version lacks have their default; null is only where this one has it, too.
    pub(crate) also: i16,
    /// The field that is not to have its default, by its path.
    pub(crate) odd: &'a [&'static str],
}

impl Wanted<'_> {
    /// Any body of a version.
    pub(crate) fn any(version: i16) -> Self {
        Self { version, also: version, odd: &[] }
    }
}

/// A struct's fields by chance.
pub(crate) fn body(rng: &mut fastrand::Rng, fields: &[Field], wanted: &Wanted<'_>) -> Value {
    let present = fields.iter().filter(|field| field.versions.contains(&wanted.version));
    Value::Struct(present.map(|field| (field.name, value(rng, field, wanted))).collect())
}

fn value(rng: &mut fastrand::Rng, field: &Field, wanted: &Wanted<'_>) -> Value {
    let (on_the_way, odd) = match wanted.odd {
        [name, rest @ ..] if *name == field.name => (true, rest.is_empty()),
        _ => (false, false),
    };
    if !odd && !field.versions.contains(&wanted.also) {
        return default(field, wanted.version);
    }
    let may_be_null = field.nullable.contains(&wanted.version) && field.nullable.contains(&wanted.also);
    if may_be_null && !on_the_way && rng.u8(..4) == 0 {
        return Value::Null;
    }
    let Some(element) = field.wire.strip_prefix("[]") else {
        let default = default(field, wanted.version);
        let mut leaves = std::iter::repeat_with(|| leaf(rng, &field.wire));
        return leaves.find(|value| !odd || *value != default).expect("endless");
    };
    // A field that the other version lacks is odd as a whole: what is in it is free.
    let also = if odd { wanted.version } else { wanted.also };
    let within = Wanted { also, odd: if on_the_way { &wanted.odd[1..] } else { &[] }, ..*wanted };
    let count = if on_the_way { 1 } else { rng.usize(..4) };
    let elements = (0..count).map(|_| match &field.fields[..] {
        [] => leaf(rng, element),
        fields => body(rng, fields, &within),
    });
    Value::List(elements.collect())
}

/// What a field has where nothing was said.
pub(crate) fn default(field: &Field, version: i16) -> Value {
    match &field.wire[..] {
        _ if field.nullable.contains(&version) => Value::Null,
        "bool" => Value::Bool(field.default == "true"),
        "string" => Value::Text(field.default.clone()),
        "bytes" => Value::Bytes(bytes::Bytes::new()),
        array if array.starts_with("[]") => Value::List(Vec::new()),
        _ if field.default.is_empty() => Value::Int(0),
        _ => Value::Int(field.default.parse().expect("a number")),
    }
}

fn leaf(rng: &mut fastrand::Rng, wire: &str) -> Value {
    match wire {
        "bool" => Value::Bool(rng.bool()),
        "int8" => Value::Int(int(rng, i8::MIN.into(), i8::MAX.into())),
        "int16" => Value::Int(int(rng, i16::MIN.into(), i16::MAX.into())),
        "int32" => Value::Int(int(rng, i32::MIN.into(), i32::MAX.into())),
        "int64" => Value::Int(int(rng, i64::MIN, i64::MAX)),
        "string" => Value::Text(text(rng)),
        // Above 2048 bytes they are a chunk by reference.
        "bytes" => Value::Bytes(vec![rng.u8(..); if rng.u8(..) == 0 { 5000 } else { rng.usize(..40) }].into()),
        other => panic!("no type {other}"),
    }
}

/// The ends of the range as often as anything between.
fn int(rng: &mut fastrand::Rng, min: i64, max: i64) -> i64 {
    match rng.u8(..8) {
        0 => min,
        1 => max,
        2 => 0,
        3 => -1,
        _ => rng.i64(min..=max),
    }
}

fn text(rng: &mut fastrand::Rng) -> String {
    let len = if rng.u16(..5000) == 0 { i16::MAX as usize / 4 } else { rng.usize(..12) };
    (0..len).map(|_| *rng.choice(&['a', '.', '\0', 'é', '語', '🦦']).expect("some")).collect()
}

/// A length prefix of a body.
#[derive(Debug, Clone)]
pub(crate) struct Length {
    /// Where it stands.
    pub(crate) at: usize,
    /// Two bytes of a text, else four.
    pub(crate) width: usize,
    /// Whether -1 would be an answer.
    pub(crate) nullable: bool,
    /// The way to it, as in an error.
    pub(crate) path: String,
}

/// Writes bodies by the schema data alone.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lengths: Vec<Length>,
}

impl Bytes {
    /// A body in this version. A field that the value lacks has its default.
    pub(crate) fn of(fields: &[Field], value: &Value, version: i16) -> Self {
        let mut out = Self::default();
        out.fields("", fields, value, version);
        out
    }

    fn fields(&mut self, path: &str, fields: &[Field], value: &Value, version: i16) {
        let Value::Struct(values) = value else { panic!("{path}: no struct: {value}") };
        for field in fields.iter().filter(|field| field.versions.contains(&version)) {
            let given = values.iter().find(|(name, _)| *name == field.name).map(|(_, value)| value.clone());
            let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
            self.value(&path, field, &given.unwrap_or_else(|| default(field, version)), version);
        }
    }

    fn value(&mut self, path: &str, field: &Field, value: &Value, version: i16) {
        let nullable = field.nullable.contains(&version);
        let Some(element) = field.wire.strip_prefix("[]") else {
            return self.leaf(path, &field.wire, nullable, value);
        };
        let Value::List(values) = value else {
            return self.length(path, 4, nullable, None);
        };
        self.length(path, 4, nullable, Some(values.len()));
        for (i, value) in values.iter().enumerate() {
            match &field.fields[..] {
                [] => self.leaf(&format!("{path}[{i}]"), element, false, value),
                fields => self.fields(&format!("{path}[{i}]"), fields, value, version),
            }
        }
    }

    fn leaf(&mut self, path: &str, wire: &str, nullable: bool, value: &Value) {
        let width = if wire == "string" { 2 } else { 4 };
        match (wire, value) {
            ("bool", Value::Bool(value)) => self.bytes.push((*value).into()),
            ("int8", Value::Int(value)) => self.bytes.extend(&value.to_be_bytes()[7..]),
            ("int16", Value::Int(value)) => self.bytes.extend(&value.to_be_bytes()[6..]),
            ("int32", Value::Int(value)) => self.bytes.extend(&value.to_be_bytes()[4..]),
            ("int64", Value::Int(value)) => self.bytes.extend(&value.to_be_bytes()),
            ("string" | "bytes", Value::Null) => self.length(path, width, nullable, None),
            ("string", Value::Text(text)) => self.prefixed(path, width, nullable, text.as_bytes()),
            ("bytes", Value::Bytes(bytes)) => self.prefixed(path, width, nullable, bytes),
            (wire, value) => panic!("{path}: {wire} cannot be {value}"),
        }
    }

    fn prefixed(&mut self, path: &str, width: usize, nullable: bool, bytes: &[u8]) {
        self.length(path, width, nullable, Some(bytes.len()));
        self.bytes.extend(bytes);
    }

    fn length(&mut self, path: &str, width: usize, nullable: bool, length: Option<usize>) {
        assert!(nullable || length.is_some(), "{path} cannot be null");
        self.lengths.push(Length { at: self.bytes.len(), width, nullable, path: path.to_owned() });
        let length = length.map_or(-1, |length| length as i64);
        self.bytes.extend(&length.to_be_bytes()[8 - width..]);
    }
}
