//! Typed identifiers: a trace id cannot be passed where a task id is wanted.

use std::fmt;
use std::sync::Arc;

/// `bytes` random bytes as lower-case hexadecimal.
///
/// # Panics
/// When the operating system has no randomness: nothing safe can go on without it.
pub fn random_hex(bytes: usize) -> String {
    let mut buffer = vec![0_u8; bytes];
    getrandom::fill(&mut buffer).expect("invariant: the operating system provides random bytes");
    to_hex(&buffer)
}

/// Lower-case hexadecimal of `bytes`.
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self::new(text)
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                value.as_str().map(Self::new)
            }
        }
    };
}

id!(
    /// One piece of work; 32 hexadecimal digits when we made it.
    TaskId
);
id!(
    /// Follows a message from door to delivery; 16 hexadecimal digits when we made it.
    TraceId
);
id!(
    /// One step inside a trace; 16 hexadecimal digits.
    SpanId
);
id!(
    /// A conversation: `<channel>:<chat>`, the unit within which messages stay in order.
    SessionKey
);
id!(
    /// An approval request; 16 hexadecimal digits.
    ApprovalId
);
id!(
    /// An answer on its way out; stays the same when the answer is delivered again.
    DeliveryId
);
id!(
    /// A physical or logical device of the home, unique in the registry.
    DeviceId
);
id!(
    /// One controllable or readable thing of a device, unique in the registry.
    EntityId
);
id!(
    /// A room of the home.
    RoomId
);
id!(
    /// A scheduled job.
    JobId
);
id!(
    /// A member of the group, as it names itself (`agent_id`).
    PeerId
);
id!(
    /// A circle of members within the group.
    ZoneId
);

macro_rules! random_id {
    ($($name:ident: $bytes:literal),*) => {$(
        impl $name {
            /// A new, unguessable id.
            pub fn random() -> Self {
                Self::new(random_hex($bytes))
            }
        }
    )*};
}

random_id!(TaskId: 16, TraceId: 8, SpanId: 8, ApprovalId: 8, DeliveryId: 16, JobId: 8);
