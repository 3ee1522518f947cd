//! `codes!`: an int8 with names, as an open set.

/// Declares a newtype of an int8 with a constant a value, each with what it means. Kafka's names.
macro_rules! codes {
    ($(#[$doc:meta])* $type:ident { $($(#[$code_doc:meta])* $name:ident = $code:literal,)* }) => {
        $(#[$doc])*
        ///
        /// An open set: a later release may have more.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $type(pub i8);

        impl $type {
            $($(#[$code_doc])* pub const $name: Self = Self($code);)*

            /// Kafka's name, or `None` for a value that 2.3.1 lacks.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{}", self.0),
                }
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl $crate::wire::Wire for $type {
            const SHAPE: $crate::wire::Shape = $crate::wire::Shape::Int8;

            fn encode(&self, out: &mut $crate::wire::Writer) -> Result<(), $crate::wire::EncodeError> {
                self.0.encode(out)
            }

            fn decode(input: &mut $crate::wire::Reader) -> Result<Self, $crate::wire::DecodeError> {
                i8::decode(input).map(Self)
            }

            fn value(&self, version: i16) -> $crate::wire::Value {
                self.0.value(version)
            }
        }
    };
}

pub(crate) use codes;
