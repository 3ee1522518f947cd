//! Which versions have a field.

/// The rule of one field: its versions, in which of them it may be null, and what to do with a value that the version
/// cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// The first version that has the field.
    pub min: i16,
    /// The last version that has the field.
    pub max: i16,
    /// The first version in which a nullable field may be null. Without meaning for other types.
    pub null_from: i16,
    /// A value other than the default is dropped silently where the version lacks the field. Otherwise it is an error to
    /// send one, since the receiver would act on something else than was said.
    pub ignorable: bool,
}

impl Gate {
    /// In every version.
    pub const ALWAYS: Self = Self { min: 0, max: i16::MAX, null_from: 0, ignorable: false };

    /// From `min` on.
    pub const fn from(min: i16) -> Self {
        Self { min, ..Self::ALWAYS }
    }

    /// From `min` up to `max`, inclusive.
    pub const fn between(min: i16, max: i16) -> Self {
        Self { min, max, ..Self::ALWAYS }
    }

    /// The same, null only from version `min` on.
    #[must_use]
    pub const fn null_from(self, min: i16) -> Self {
        Self { null_from: min, ..self }
    }

    /// The same, dropped silently by versions that lack it.
    #[must_use]
    pub const fn ignorable(self) -> Self {
        Self { ignorable: true, ..self }
    }

    /// Whether the field is on the wire in this version.
    pub const fn has(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Whether a nullable field may be null in this version.
    pub const fn may_be_null(self, version: i16) -> bool {
        self.null_from <= version
    }
}
