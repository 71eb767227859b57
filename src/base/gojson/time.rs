//! An instant as Go writes it: RFC 3339 with up to nine digits, trailing zeros cut, in the sender's own zone.

use std::fmt;

use chrono::{DateTime, FixedOffset, SecondsFormat, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base::clock::Timestamp;

/// Go's `time.Time` on the wire, kept to the nanosecond and with its offset, so that what was read is written back the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GoTime(DateTime<FixedOffset>);

impl GoTime {
    /// Reads RFC 3339; the year has four digits.
    pub fn parse(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text).ok().map(Self)
    }

    /// The instant, to the millisecond below.
    pub fn to_timestamp(self) -> Timestamp {
        Timestamp::from_millis(self.0.timestamp_millis())
    }

    /// Whether it is Go's zero time, which stands for "never".
    pub fn is_zero(self) -> bool {
        self.0.timestamp() == GO_ZERO_SECONDS && self.0.nanosecond() == 0
    }

    /// Go's `RFC3339Nano`.
    pub fn to_text(self) -> String {
        let is_utc = self.0.offset().local_minus_utc() == 0;
        // A leap second would have a fraction of ten digits.
        let nanos = self.0.nanosecond() % 1_000_000_000;
        let mut text = self.0.format("%Y-%m-%dT%H:%M:%S").to_string();
        if nanos > 0 {
            let digits = format!("{nanos:09}");
            text.push('.');
            text.push_str(digits.trim_end_matches('0'));
        }
        if is_utc {
            text.push('Z');
        } else {
            text.push_str(&self.0.format("%:z").to_string());
        }
        text
    }

    /// Go's `RFC3339`: whole seconds, in UTC; the form of `joined_at` and `deadline_at`.
    pub fn seconds_text(at: Timestamp) -> String {
        Self::from(at).0.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

/// 0001-01-01T00:00:00Z in seconds since the Unix epoch.
const GO_ZERO_SECONDS: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59.999Z; Go refuses to write a later year.
const YEAR_9999_MILLIS: i64 = 253_402_300_799_999;

impl From<Timestamp> for GoTime {
    fn from(at: Timestamp) -> Self {
        let millis = at.as_millis().clamp(GO_ZERO_SECONDS * 1000, YEAR_9999_MILLIS);
        Self(Timestamp::from_millis(millis).to_utc().fixed_offset())
    }
}

impl Default for GoTime {
    fn default() -> Self {
        Self(DateTime::<Utc>::from_timestamp(GO_ZERO_SECONDS, 0).unwrap_or_default().fixed_offset())
    }
}

impl fmt::Debug for GoTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Serialize for GoTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for GoTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Null is the zero time; an empty text is no time, as in Go.
        match Option::<std::borrow::Cow<'de, str>>::deserialize(deserializer)? {
            None => Ok(Self::default()),
            Some(text) => Self::parse(&text).ok_or_else(|| de::Error::custom(NO_TIME)),
        }
    }
}

const NO_TIME: &str = "a time is not RFC 3339";
