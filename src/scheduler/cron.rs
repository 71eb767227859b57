//! When a cron expression comes due next: pure calendar arithmetic, in any time zone.
//!
//! What daylight saving does, on purpose: a fixed time that falls into the hour skipped in spring runs at the first moment
//! after it; a fixed time in the hour repeated in autumn runs once, the first time; `*/15`-like expressions follow real time
//! and run in both halves.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, FixedOffset, Local, TimeZone, Timelike, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};

use crate::base::clock::Timestamp;

/// Longest cron expression, in bytes.
pub const CRON_BYTES_MAX: usize = 200;
/// Calendar arithmetic is refused from here on (2200-01-01), where time zone tables mean nothing.
const CALENDAR_END: Timestamp = Timestamp::from_millis(7_258_118_400_000);

/// Why a cron expression was refused. The text is meant for the person who wrote it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum CronTextError {
    #[error("a cron expression has five fields (minute hour day month weekday); `{0}` has not")]
    FieldCount(String),
    #[error("the cron expression is longer than {CRON_BYTES_MAX} bytes")]
    TooLong,
    #[error("could not read the cron expression `{text}`: {reason}")]
    Unreadable { text: String, reason: String },
}

/// A cron expression that was read: five fields, or a name such as `@daily`. Never more often than once a minute.
#[derive(Clone)]
pub struct CronText {
    text: String,
    cron: Box<Cron>,
}

impl CronText {
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for CronText {
    type Err = CronTextError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.len() > CRON_BYTES_MAX {
            return Err(CronTextError::TooLong);
        }
        let field_count = text.split_whitespace().count();
        let is_named = text.starts_with('@') && field_count == 1;
        if field_count != 5 && !is_named {
            return Err(CronTextError::FieldCount(text.to_owned()));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        match parser.parse(text) {
            Ok(cron) => Ok(Self { text: text.to_owned(), cron: Box::new(cron) }),
            Err(error) => Err(CronTextError::Unreadable { text: text.to_owned(), reason: error.to_string() }),
        }
    }
}

impl fmt::Debug for CronText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for CronText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Whose wall clock a job follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Zone {
    /// The house's own, as the operating system has it.
    #[default]
    Local,
    Fixed(FixedOffset),
}

impl Zone {
    /// `local` (or nothing), `UTC`, or an offset such as `+02:00`. Names such as `Europe/Berlin` are not carried in the
    /// binary; the house's zone is set in the operating system.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "" | "local" => Some(Self::Local),
            "UTC" | "utc" | "Z" => Some(Self::Fixed(FixedOffset::east_opt(0)?)),
            offset => offset.parse().ok().map(Self::Fixed),
        }
    }

    /// The next time `cron` comes due strictly after `after`; `None` when it never does.
    pub fn next_run(self, cron: &CronText, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Local => next_run(cron, after, &Local),
            Self::Fixed(offset) => next_run(cron, after, &offset),
        }
    }

    /// The last time `cron` came due, `at` included.
    pub fn last_run(self, cron: &CronText, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Local => last_run(cron, at, &Local),
            Self::Fixed(offset) => last_run(cron, at, &offset),
        }
    }

    /// The instant of a wall-clock time; a time that daylight saving skips becomes the first one after it.
    pub fn instant(self, wall: chrono::NaiveDateTime) -> Option<Timestamp> {
        match self {
            Self::Local => instant(wall, &Local),
            Self::Fixed(offset) => instant(wall, &offset),
        }
    }

    /// What a clock on the wall shows at `at`.
    pub fn wall(self, at: Timestamp) -> chrono::NaiveDateTime {
        let utc = at.min(CALENDAR_END).to_utc();
        match self {
            Self::Local => utc.with_timezone(&Local).naive_local(),
            Self::Fixed(offset) => utc.with_timezone(&offset).naive_local(),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Fixed(offset) => write!(f, "{offset}"),
        }
    }
}

/// See [`Zone::next_run`].
pub fn next_run<Tz: TimeZone>(cron: &CronText, after: Timestamp, zone: &Tz) -> Option<Timestamp> {
    let found = cron.cron.find_next_occurrence(&whole_second(after, zone)?, false).ok()?;
    Some(to_timestamp(&found)).filter(|next| *next > after && *next < CALENDAR_END)
}

/// See [`Zone::last_run`].
pub fn last_run<Tz: TimeZone>(cron: &CronText, at: Timestamp, zone: &Tz) -> Option<Timestamp> {
    let found = cron.cron.find_previous_occurrence(&whole_second(at, zone)?, true).ok()?;
    Some(to_timestamp(&found)).filter(|last| *last <= at)
}

fn instant<Tz: TimeZone>(wall: chrono::NaiveDateTime, zone: &Tz) -> Option<Timestamp> {
    // The longest gap any zone's daylight saving makes is two hours; a skipped calendar day is not worth more steps.
    const GAP_STEPS_MAX: i64 = 8;
    (0..=GAP_STEPS_MAX).find_map(|step| {
        let moved = wall.checked_add_signed(chrono::TimeDelta::minutes(15 * step))?;
        zone.from_local_datetime(&moved).earliest().map(|found| to_timestamp(&found))
    })
}

fn whole_second<Tz: TimeZone>(at: Timestamp, zone: &Tz) -> Option<DateTime<Tz>> {
    if at >= CALENDAR_END || at < Timestamp::default() {
        return None;
    }
    at.to_utc().with_nanosecond(0).map(|whole| whole.with_timezone(zone))
}

fn to_timestamp<Tz: TimeZone>(at: &DateTime<Tz>) -> Timestamp {
    Timestamp::from_millis(at.with_timezone(&Utc).timestamp_millis())
}

#[cfg(test)]
#[path = "cron_tests.rs"]
mod tests;
