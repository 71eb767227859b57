//! Which settings there are, what they may hold, and which are secret.

/// Longest name, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// What is shown in place of a secret.
pub const MASK: &str = "***";

/// What a known setting holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within these bounds, both included.
    Number {
        min: i64,
        max: i64,
    },
    /// A JSON document.
    Json,
    Text,
}

/// The settings of specification §5.2 that hold more than text. Counters and times are text: old databases have odd ones.
const KNOWN: &[(&str, Kind)] = &[
    ("approval_timeout_seconds", Kind::Number { min: 1, max: 7 * 24 * 3600 }),
    ("daily_token_limit", Kind::Number { min: i64::MIN, max: i64::MAX }),
    ("group_active", Kind::Bool),
    ("group_poll_interval_ms", Kind::Number { min: 100, max: 3_600_000 }),
    ("max_auto_tier", Kind::Number { min: 0, max: 3 }),
    ("pairing_pending_v1", Kind::Json),
    ("silent_mode", Kind::Bool),
];

/// Why a setting was refused. The text is meant for the person who wrote it and holds no value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingError {
    #[error("a setting needs a name of 1 to {KEY_BYTES_MAX} printable characters without spaces")]
    Key,
    #[error("the value of `{key}` is longer than {VALUE_BYTES_MAX} bytes")]
    TooLong { key: String },
    #[error("`{key}` must be true or false")]
    NotBool { key: String },
    #[error("`{key}` must be a whole number from {min} to {max}")]
    NotNumber { key: String, min: i64, max: i64 },
    #[error("`{key}` must be a JSON document")]
    NotJson { key: String },
    #[error("`{key}` is a secret; `{MASK}` is what is shown in its place, not a value")]
    Masked { key: String },
}

/// A setting that may be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    key: String,
    value: String,
}

impl Entry {
    pub fn new(key: &str, value: &str) -> Result<Self, SettingError> {
        let is_name = !key.is_empty() && key.len() <= KEY_BYTES_MAX && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            return Err(SettingError::Key);
        }
        let key = key.to_owned();
        if value.len() > VALUE_BYTES_MAX {
            return Err(SettingError::TooLong { key });
        }
        if is_secret(&key) && value == MASK {
            return Err(SettingError::Masked { key });
        }
        let value = match kind_of(&key) {
            Kind::Text => value.to_owned(),
            Kind::Bool => match parse_bool(value) {
                Some(value) => value.to_string(),
                None => return Err(SettingError::NotBool { key }),
            },
            Kind::Number { min, max } => match value.trim().parse::<i64>() {
                Ok(number) if (min..=max).contains(&number) => number.to_string(),
                _ => return Err(SettingError::NotNumber { key, min, max }),
            },
            Kind::Json if serde_json::from_str::<serde::de::IgnoredAny>(value).is_err() => {
                return Err(SettingError::NotJson { key });
            }
            Kind::Json => value.to_owned(),
        };
        Ok(Self { key, value })
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn value(&self) -> &str {
        &self.value
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.key, masked(&self.key, self.value.clone()))
    }
}

/// What `key` holds; text when it is not one of ours.
pub fn kind_of(key: &str) -> Kind {
    KNOWN.iter().find(|(name, _)| *name == key).map_or(Kind::Text, |(_, kind)| *kind)
}

/// Whether the value of `key` must not be shown. `pairing_pending_v1` is in because it lists codes that open the door.
pub fn is_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let ends = ["_token", "_key", "_secret", "_password"].iter().any(|end| key.ends_with(end));
    ends || matches!(key.as_str(), "token" | "key" | "secret" | "password" | "pairing_pending_v1")
}

/// `value`, or the mask when it is a secret.
pub(super) fn masked(key: &str, value: String) -> String {
    if is_secret(key) && !value.is_empty() { MASK.to_owned() } else { value }
}

pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Some(true),
        "false" | "0" | "off" | "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_settings_hold_what_they_should() {
        let check = |key: &str, value: &str| Entry::new(key, value).map(|entry| entry.value().to_owned());
        assert_eq!(check("silent_mode", " True ").as_deref(), Ok("true"));
        assert_eq!(check("silent_mode", "maybe"), Err(SettingError::NotBool { key: "silent_mode".to_owned() }));
        assert_eq!(check("daily_token_limit", "0").as_deref(), Ok("0"));
        assert!(check("daily_token_limit", "many").is_err());
        assert!(check("approval_timeout_seconds", "0").is_err());
        assert_eq!(check("whatsapp_allowlist", "a\nb").as_deref(), Ok("a\nb"));
        assert!(check("pairing_pending_v1", "[").is_err());
        assert!(check("my_api_key", MASK).is_err());
        assert!(check("", "x").is_err() && check("a b", "x").is_err());
        assert!(check("note", &"x".repeat(VALUE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn an_entry_does_not_print_its_secret() {
        let entry = Entry::new("kafscale_lfs_proxy_api_key", "hunter2").expect("an entry");
        assert_eq!(format!("{entry:?}"), "kafscale_lfs_proxy_api_key=***");
    }

    proptest! {
        #[test]
        fn what_was_accepted_is_accepted_again_unchanged(index in 0..KNOWN.len(), value in ".{0,30}") {
            if let Ok(entry) = Entry::new(KNOWN[index].0, &value) {
                prop_assert_eq!(Entry::new(entry.key(), entry.value()), Ok(entry.clone()));
            }
        }

        #[test]
        fn any_name_is_accepted_or_refused(key in ".{0,200}", value in ".{0,30}") {
            let _ = Entry::new(&key, &value);
        }
    }
}
