//! Time as a value: wall-clock timestamps in their stored form, and a clock that tests can move.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeZone, Utc};

/// Milliseconds since the Unix epoch, UTC.
///
/// Stored as `YYYY-MM-DD HH:MM:SS.mmm`: it sorts as text, compares correctly with SQLite's `datetime('now')`,
/// and KafClaw's own binary still parses it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// `duration` later; saturates at the end of time.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// `duration` earlier; saturates at the beginning of time.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Time since `earlier`, zero when the clock was set back in between.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    pub fn to_utc(self) -> DateTime<Utc> {
        Utc.timestamp_millis_opt(self.0).single().unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The stored form, see the type.
    pub fn to_sql(self) -> String {
        self.to_utc().format("%Y-%m-%d %H:%M:%S%.3f").to_string()
    }

    /// RFC 3339 in UTC, the form of the HTTP API.
    pub fn to_rfc3339(self) -> String {
        self.to_utc().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
    }

    /// Reads every form KafClaw ever stored (specification §5): ours, SQLite's `YYYY-MM-DD HH:MM:SS`, RFC 3339, and Go's
    /// `Time.String()` such as `2026-08-18 16:30:12.123456 +0200 CEST m=+0.1`. `None` when the text is none of them.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.split(" m=").next().unwrap_or(text);
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Some(Self(time.timestamp_millis()));
        }
        for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"] {
            if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
                return Some(Self(time.and_utc().timestamp_millis()));
            }
        }
        // Go appends the zone's name after the offset; the offset alone decides.
        let mut parts = text.splitn(4, ' ');
        let (date, time, offset) = (parts.next()?, parts.next()?, parts.next()?);
        let joined = format!("{date} {time} {offset}");
        DateTime::<FixedOffset>::parse_from_str(&joined, "%Y-%m-%d %H:%M:%S%.f %z")
            .ok()
            .map(|time| Self(time.timestamp_millis()))
    }
}

/// What lies before the epoch is the epoch: no clock of ours means it.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_rfc3339())
    }
}

impl rusqlite::ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
        Ok(Timestamp::to_sql(*self).into())
    }
}

impl rusqlite::types::FromSql for Timestamp {
    fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
        let text = value.as_str()?;
        Timestamp::parse(text).ok_or(rusqlite::types::FromSqlError::InvalidType)
    }
}

/// Where "now" comes from. Clones share the same clock.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    /// Stands still until a test moves it; milliseconds since the Unix epoch.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_millis())))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::from(SystemTime::now()),
            Self::Manual(millis) => Timestamp::from_millis(millis.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; a system clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(millis) = self {
            millis.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_format_kafclaw_stored_reads_back_as_the_same_instant() {
        let expected = Timestamp::from_millis(1_787_063_412_123);
        for text in [
            "2026-08-18 16:30:12.123456 +0200 CEST m=+0.1",
            "2026-08-18 16:30:12.123456 +0200 CEST",
            "2026-08-18 14:30:12.123",
            "2026-08-18T14:30:12.123Z",
            "2026-08-18T16:30:12.123456+02:00",
            "2026-08-18 14:30:12.123 +0000 UTC",
        ] {
            assert_eq!(Timestamp::parse(text), Some(expected), "{text}");
        }
        assert_eq!(Timestamp::parse("2026-08-18 14:30:12"), Some(Timestamp::from_millis(1_787_063_412_000)));
        assert_eq!(Timestamp::parse("yesterday"), None);
    }

    #[test]
    fn the_stored_form_sorts_like_the_instant() {
        let early = Timestamp::from_millis(1_787_063_412_009);
        let late = early.plus(Duration::from_millis(1));
        assert!(early.to_sql() < late.to_sql());
        assert_eq!(Timestamp::parse(&late.to_sql()), Some(late));
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = Timestamp::parse(&text);
        }
    }
}
