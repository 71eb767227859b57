//! Why a record from the group was not taken. The text never repeats the record: it may be hostile, or private.

/// Longest id, name or key that a peer may use, in bytes.
pub const ID_BYTES_MAX: usize = 256;

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("the record is empty")]
    Empty,
    #[error("the record has {bytes} bytes; at most {bytes_max} are taken")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the record is not JSON of the expected shape (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("the payload of a {kind} does not have its shape (line {line}, column {column})")]
    Payload { kind: &'static str, line: usize, column: usize },
    #[error("nobody speaks on this topic")]
    UnknownTopic,
    #[error("version {version} of the protocol is not known")]
    UnknownVersion { version: String },
    #[error("messages of this type are not known here")]
    UnknownType,
    #[error("a {kind} with this action is not known")]
    UnknownAction { kind: &'static str },
    #[error("`{field}` is not a time")]
    BadTimestamp { field: &'static str },
    #[error("`{field}` is missing")]
    Missing { field: &'static str },
    #[error("`{field}` is longer than {bytes_max} bytes")]
    TooLong { field: &'static str, bytes_max: usize },
    #[error("`{field}` has more than {len_max} entries")]
    TooMany { field: &'static str, len_max: usize },
    #[error("`{field}` has a value that means nothing")]
    Meaningless { field: &'static str },
}

impl Refusal {
    /// Stable name for counters and records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::NotJson { .. } => "not_json",
            Self::Payload { .. } => "bad_payload",
            Self::UnknownTopic => "unknown_topic",
            Self::UnknownVersion { .. } => "unknown_version",
            Self::UnknownType => "unknown_type",
            Self::UnknownAction { .. } => "unknown_action",
            Self::BadTimestamp { .. } => "bad_timestamp",
            Self::Missing { .. } => "missing_field",
            Self::TooLong { .. } => "field_too_long",
            Self::TooMany { .. } => "too_many_entries",
            Self::Meaningless { .. } => "meaningless_field",
        }
    }

    pub fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson { line: error.line(), column: error.column() }
    }

    pub fn payload(kind: &'static str, error: &serde_json::Error) -> Self {
        Self::Payload { kind, line: error.line(), column: error.column() }
    }
}

/// A name that other members may use as a key: not blank, short, without control characters.
pub fn check_id(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::Missing { field });
    }
    check_name(field, text)
}

/// As [`check_id`], but it may be missing.
pub fn check_name(field: &'static str, text: &str) -> Result<(), Refusal> {
    if text.len() > ID_BYTES_MAX {
        return Err(Refusal::TooLong { field, bytes_max: ID_BYTES_MAX });
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::Meaningless { field });
    }
    Ok(())
}

pub fn check_len<T>(field: &'static str, list: &[T], len_max: usize) -> Result<(), Refusal> {
    if list.len() > len_max { Err(Refusal::TooMany { field, len_max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_others_are_short_and_plain() {
        assert_eq!(check_id("sender_id", "kafclaw-pi"), Ok(()));
        assert_eq!(check_id("sender_id", " "), Err(Refusal::Missing { field: "sender_id" }));
        assert_eq!(check_id("sender_id", "a\nb").map_err(|refusal| refusal.code()), Err("meaningless_field"));
        assert_eq!(check_id("sender_id", &"x".repeat(257)).map_err(|refusal| refusal.code()), Err("field_too_long"));
        assert_eq!(check_name("zone_id", ""), Ok(()));
    }
}
