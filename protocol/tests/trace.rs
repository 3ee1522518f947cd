//! The walk by shape alone, held against the typed decoders: two ways through the same bytes that must agree.

mod support;

use bytes::Bytes;
use ottla_protocol::messages::*;
use ottla_protocol::wire::trace::{Seen, Step, What};
use ottla_protocol::wire::{Shape, Value, Wire as _, trace};
use support::{bodies, read};

fn walk(shape: &Shape, version: i16, body: &[u8], visit: impl FnMut(&Seen<'_>)) -> Result<(), String> {
    trace(shape, version, Bytes::copy_from_slice(body), visit).map_err(|e| e.to_string())
}

/// A value as it grows while the walk goes through it, put together from paths alone.
#[derive(Default)]
struct Tree {
    open: Vec<(usize, Option<Step>, Value)>,
}

impl Tree {
    fn begin() -> Self {
        Self { open: vec![(0, None, Value::Struct(Vec::new()))] }
    }

    fn add(&mut self, seen: &Seen<'_>) {
        let value = match &seen.what {
            What::Value(value) => value.clone(),
            What::Secret(len) => Value::Int(*len as i64),
            What::Array(_) => Value::List(Vec::new()),
            What::Struct(_) => Value::Struct(Vec::new()),
        };
        self.close(seen.path.0.len());
        self.open.push((seen.path.0.len(), seen.path.0.last().copied(), value));
    }

    fn close(&mut self, depth: usize) {
        while self.open.last().is_some_and(|(open, ..)| *open >= depth.max(1)) {
            let (_, step, value) = self.open.pop().expect("open");
            match (&mut self.open.last_mut().expect("a parent").2, step) {
                (Value::Struct(fields), Some(Step::Field(name))) => fields.push((name, value)),
                (Value::List(elements), Some(Step::Element(i))) if i == elements.len() => elements.push(value),
                (parent, step) => panic!("{step:?} in {parent}"),
            }
        }
    }

    fn end(mut self) -> Value {
        self.close(0);
        self.open.pop().expect("the message").2
    }
}

/// The typed value with its credentials as the walk shows them: how long they are.
fn veiled(shape: &Shape, value: Value) -> Value {
    match (shape, value) {
        (Shape::Secret, Value::Bytes(bytes)) => Value::Int(bytes.len() as i64),
        (Shape::Nullable(inner), value) => veiled(inner, value),
        (Shape::Array(element), Value::List(values)) => {
            Value::List(values.into_iter().map(|value| veiled(element, value)).collect())
        }
        (Shape::Struct(shape), Value::Struct(values)) => {
            let of = |name| shape.fields.iter().find(|field| field.name == name).expect(name);
            Value::Struct(values.into_iter().map(|(name, value)| (name, veiled(&of(name).shape, value))).collect())
        }
        (_, value) => value,
    }
}

#[test]
fn every_byte_of_a_body_belongs_to_exactly_one_value() {
    for (message, version, body) in bodies() {
        let mut end = 0;
        let walked = walk(&message.shape, version, &body, |seen| {
            assert_eq!(seen.offset, end, "{} v{version}: {} overlaps or leaves a gap", message.name, seen.path);
            end += seen.len;
        });
        assert_eq!((walked, end), (Ok(()), body.len()), "{} v{version}", message.name);
    }
}

#[test]
fn the_shape_and_the_typed_decoder_see_the_same_values() {
    for (message, version, body) in bodies() {
        let mut tree = Tree::begin();
        walk(&message.shape, version, &body, |seen| tree.add(seen)).expect("a golden body");
        let (typed, _) = read(message, version, &body).expect("a golden body");
        assert_eq!(tree.end(), veiled(&message.shape, typed), "{} v{version}", message.name);
    }
}

#[test]
fn a_damaged_body_is_refused_by_the_shape_as_by_the_typed_decoder_in_the_same_words() {
    let mut refused = 0;
    let mut both = |message: &Body, version, body: &[u8]| {
        let walked = walk(&message.shape, version, body, |_| {});
        let typed = read(message, version, body).map(drop);
        assert_eq!(walked, typed, "{} v{version}: {body:02x?}", message.name);
        refused += usize::from(typed.is_err());
    };
    for (message, version, body) in bodies() {
        for end in 0..body.len() {
            both(message, version, &body[..end]);
        }
        for length in [-1, -2, 1 << 24] {
            for at in 0..body.len().saturating_sub(3) {
                let mut bad = body.clone();
                bad[at..at + 4].copy_from_slice(&i32::to_be_bytes(length));
                both(message, version, &bad);
            }
        }
    }
    println!("{refused} refused");
    assert!(refused > 50_000, "{refused}");
}

#[test]
fn a_value_is_shown_with_its_path_its_first_byte_and_its_length() {
    let request = CreateTopicsRequest {
        topics: vec![CreatableTopic { name: "ab".into(), num_partitions: 7, ..Default::default() }],
        ..Default::default()
    };
    let body = request.write(0).expect("encodes").concat();
    let mut lines = Vec::new();
    walk(&CreateTopicsRequest::SHAPE, 0, &body, |seen| {
        let what = match &seen.what {
            What::Value(value) => value.to_string(),
            what => format!("{what:?}"),
        };
        lines.push(format!("{} @{}+{} {what}", seen.path, seen.offset, seen.len));
    })
    .expect("a body");
    assert_eq!(
        lines,
        [
            "topics @0+4 Array(1)",
            "topics[0] @4+0 Struct(\"CreatableTopic\")",
            "topics[0].name @4+4 \"ab\"",
            "topics[0].num_partitions @8+4 7",
            "topics[0].replication_factor @12+2 0",
            "topics[0].assignments @14+4 Array(0)",
            "topics[0].configs @18+4 Array(0)",
            "timeout_ms @22+4 60000",
        ]
    );
}

#[test]
fn a_credential_is_seen_by_its_length_alone() {
    let request = SaslAuthenticateRequest { auth_bytes: Bytes::from_static(b"\0etl\0hunter2").into() };
    let body = request.write(1).expect("encodes").concat();
    let mut shown = Vec::new();
    walk(&SaslAuthenticateRequest::SHAPE, 1, &body, |seen| shown.push(format!("{seen:?}"))).expect("a body");
    assert!(shown.concat().contains("Secret(12)") && !shown.concat().contains("hunter2"), "{shown:?}");
}
