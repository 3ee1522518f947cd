//! `messages!`: one declaration per message, a line a field; both directions follow from it.

use super::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind, Gate, Reader, Wire, Writer};

/// A version gate as it is written: nothing, `4..` or `2..=4`, then `null 1..`, then `ignorable`.
macro_rules! gate {
    (@words $gate:expr) => { $gate };
    (@words $gate:expr; null $from:literal .. $(, $($word:tt)+)?) => {
        $crate::wire::macros::gate!(@words $gate.null_from($from) $(; $($word)+)?)
    };
    (@words $gate:expr; ignorable $(, $($word:tt)+)?) => {
        $crate::wire::macros::gate!(@words $gate.ignorable() $(; $($word)+)?)
    };
    (@words $gate:expr; $($word:tt)+) => {
        compile_error!(concat!("unknown word in a version gate: ", stringify!($($word)+)))
    };
    () => { $crate::wire::Gate::ALWAYS };
    ($min:literal ..= $max:literal $(, $($word:tt)+)?) => {
        $crate::wire::macros::gate!(@words $crate::wire::Gate::between($min, $max) $(; $($word)+)?)
    };
    ($min:literal .. $(, $($word:tt)+)?) => {
        $crate::wire::macros::gate!(@words $crate::wire::Gate::from($min) $(; $($word)+)?)
    };
}

/// A field's default: as written, or the type's.
macro_rules! default_of {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Declares messages and their structs, in wire order. The form is described in [`crate::messages`].
macro_rules! messages {
    () => {};
    (
        $(#[$doc:meta])*
        request $name:ident = $key:ident ($min:literal ..= $max:literal) => $response:ident { $($fields:tt)* }
        $($rest:tt)*
    ) => {
        $crate::wire::macros::messages!($(#[$doc])* struct $name { $($fields)* });

        impl $crate::messages::Message for $name {
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            const NAME: &'static str = stringify!($name);
            const VERSIONS: std::ops::RangeInclusive<i16> = $min..=$max;
        }

        impl $crate::messages::Request for $name {
            type Response = $response;
        }

        impl $crate::messages::Message for $response {
            const KEY: $crate::ApiKey = $crate::ApiKey::$key;
            const NAME: &'static str = stringify!($response);
            const VERSIONS: std::ops::RangeInclusive<i16> = $min..=$max;
        }

        $crate::wire::macros::messages!($($rest)*);
    };
    (
        $(#[$doc:meta])*
        struct $name:ident { $(
            $(#[$field_doc:meta])*
            $field:ident : $type:ty $([$($gate:tt)*])? $(= $default:expr)?
        ),* $(,)? }
        $($rest:tt)*
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &$crate::wire::Shown(&self.$field)))*
                    .finish()
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $crate::wire::macros::default_of!($($default)?),)* }
            }
        }

        impl $name {
            /// Reads the fields as `fields` says.
            #[allow(unused_variables, reason = "a message may have no field")]
            #[inline]
            pub(crate) fn decode_by(
                input: &mut $crate::wire::Reader,
                fields: &mut impl $crate::wire::macros::ReadFields,
            ) -> Result<Self, $crate::wire::DecodeError> {
                Ok(Self { $($field: fields.field(
                    input,
                    const { $crate::wire::macros::gate!($($($gate)*)?) },
                    stringify!($field),
                    || $crate::wire::macros::default_of!($($default)?),
                )?,)* })
            }
        }

        impl $crate::wire::Wire for $name {
            const SHAPE: $crate::wire::Shape = $crate::wire::Shape::Struct(&$crate::wire::StructShape {
                name: stringify!($name),
                fields: &[$($crate::wire::FieldShape {
                    name: stringify!($field),
                    shape: <$type as $crate::wire::Wire>::SHAPE,
                    gate: $crate::wire::macros::gate!($($($gate)*)?),
                    default: $crate::wire::macros::messages!(@written $($default)?),
                },)*],
            });

            #[allow(unused_variables, reason = "a message may have no field")]
            fn encode(&self, out: &mut $crate::wire::Writer) -> Result<(), $crate::wire::EncodeError> {
                $($crate::wire::macros::encode_field(
                    out,
                    const { $crate::wire::macros::gate!($($($gate)*)?) },
                    stringify!($field),
                    &self.$field,
                    || $crate::wire::macros::default_of!($($default)?),
                )?;)*
                Ok(())
            }

            fn decode(input: &mut $crate::wire::Reader) -> Result<Self, $crate::wire::DecodeError> {
                Self::decode_by(input, &mut $crate::wire::macros::Whole)
            }

            #[allow(unused_mut, unused_variables, reason = "a message may have no field")]
            fn value(&self, version: i16) -> $crate::wire::Value {
                let mut fields = Vec::new();
                $(if const { $crate::wire::macros::gate!($($($gate)*)?) }.has(version) {
                    fields.push((stringify!($field), $crate::wire::Wire::value(&self.$field, version)));
                })*
                $crate::wire::Value::Struct(fields)
            }
        }

        $crate::wire::macros::messages!($($rest)*);
    };
    (@written) => { None };
    (@written $default:expr) => { Some(stringify!($default)) };
}

pub(crate) use {default_of, gate, messages};

/// Writes a field if the version has it; else makes sure that nothing is lost by leaving it out.
#[inline]
pub(crate) fn encode_field<T: Wire + PartialEq>(
    out: &mut Writer,
    gate: Gate,
    name: &'static str,
    value: &T,
    default: impl FnOnce() -> T,
) -> Result<(), EncodeError> {
    let version = out.version();
    if gate.has(version) {
        if value.is_null() && !gate.may_be_null(version) {
            return Err(out.fail(EncodeErrorKind::Null).in_field(name));
        }
        return value.encode(out).map_err(|e| e.in_field(name));
    }
    if !gate.ignorable && *value != default() {
        return Err(out.fail(EncodeErrorKind::NotInVersion { min: gate.min, max: gate.max }).in_field(name));
    }
    Ok(())
}

/// How the fields of a struct are read: a visitor reads some of them its own way, and the rest as declared.
pub(crate) trait ReadFields {
    /// Reads a field if the version has it, else gives its default.
    #[inline]
    fn field<T: Wire>(
        &mut self,
        input: &mut Reader,
        gate: Gate,
        name: &'static str,
        default: impl FnOnce() -> T,
    ) -> Result<T, DecodeError> {
        decode_field(input, gate, name, default)
    }
}

/// Reads every field into the struct.
pub(crate) struct Whole;

impl ReadFields for Whole {}

/// Reads a field if the version has it, else gives its default.
#[inline]
pub(crate) fn decode_field<T: Wire>(
    input: &mut Reader,
    gate: Gate,
    name: &'static str,
    default: impl FnOnce() -> T,
) -> Result<T, DecodeError> {
    let version = input.version();
    if !gate.has(version) {
        return Ok(default());
    }
    let value = T::decode(input).map_err(|e| e.in_field(name))?;
    if value.is_null() && !gate.may_be_null(version) {
        return Err(input.fail(DecodeErrorKind::Null).in_field(name));
    }
    Ok(value)
}
