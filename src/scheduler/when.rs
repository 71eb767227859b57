//! When a job should run, as people and programs write it: `{"at": …}`, `{"in": "10m"}` or `{"cron": "0 7 * * *"}`.

use std::time::Duration;

use chrono::{NaiveDateTime, NaiveTime};
use serde::Deserialize;

use super::cron::{CronText, CronTextError, Zone};
use crate::base::clock::Timestamp;

/// Farthest a job may lie in the future.
pub const HORIZON_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// When a job should run; what is still to be worked out is only "now".
#[derive(Clone, PartialEq, Debug)]
pub enum When {
    /// Once, at that moment of the wall clock.
    At(Timestamp),
    /// Once, after that time has passed: follows real time when the wall clock is set.
    In(Duration),
    /// Again and again.
    Cron { cron: CronText, zone: Zone },
}

impl When {
    /// Reads a specification; exactly one of `at`, `in` and `cron` must be given.
    pub fn read(spec: &WhenSpec, now: Timestamp) -> Result<Self, WhenError> {
        let zone_text = spec.time_zone.as_deref().unwrap_or("");
        let zone = Zone::parse(zone_text).ok_or_else(|| WhenError::Zone(zone_text.to_owned()))?;
        match (&spec.at, &spec.after, &spec.cron) {
            (Some(at), None, None) => Ok(Self::At(read_at(at, zone, now)?)),
            (None, Some(after), None) => Ok(Self::In(parse_duration(after)?)),
            (None, None, Some(cron)) => Ok(Self::Cron { cron: cron.parse()?, zone }),
            _ => Err(WhenError::NotOne),
        }
    }

    /// The first time it comes due after `now`.
    pub fn first_run(&self, now: Timestamp) -> Result<Timestamp, WhenError> {
        let first = match self {
            Self::At(at) if *at <= now => return Err(WhenError::Past(*at)),
            Self::At(at) => *at,
            Self::In(after) => now.plus(*after),
            Self::Cron { cron, zone } => {
                zone.next_run(cron, now).ok_or_else(|| WhenError::Never(cron.as_str().to_owned()))?
            }
        };
        if first.since(now) > HORIZON_MAX {
            return Err(WhenError::TooFar);
        }
        Ok(first)
    }
}

/// A specification as it stands in JSON.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhenSpec {
    /// RFC 3339, or without an offset in the job's zone (`2026-08-18T07:00`), or a time of day (`07:00`: the next one).
    #[serde(default)]
    pub at: Option<String>,
    /// `10m`, `1h30m`, `90s`, `2d`.
    #[serde(default, rename = "in")]
    pub after: Option<String>,
    #[serde(default)]
    pub cron: Option<String>,
    /// See [`Zone::parse`].
    #[serde(default)]
    pub time_zone: Option<String>,
}

/// Why a time was refused. The text is meant for the person who wrote it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WhenError {
    #[error("exactly one of `at`, `in` and `cron` must be given")]
    NotOne,
    #[error("`{0}` is not a time; write 2026-08-18T07:00:00+02:00, 2026-08-18T07:00 or 07:00")]
    At(String),
    #[error("`{0}` is not a length of time; write 90s, 10m, 1h30m or 2d")]
    In(String),
    #[error("`{0}` is not a known time zone; write local, UTC or an offset such as +02:00")]
    Zone(String),
    #[error(transparent)]
    Cron(#[from] CronTextError),
    #[error("{0:?} has already passed")]
    Past(Timestamp),
    #[error("`{0}` never comes due")]
    Never(String),
    #[error("that is more than ten years away")]
    TooFar,
}

/// `1d2h3m4s`, with any of the parts, largest first or not; also `w` for weeks, `min` and `ms`. Never zero.
pub fn parse_duration(text: &str) -> Result<Duration, WhenError> {
    let refused = || WhenError::In(text.chars().take(64).collect());
    let mut rest = text.trim();
    let mut millis = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refused)?;
        let number: u64 = rest[..digits].parse().map_err(|_| refused())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit_ms = unit_ms(&rest[..letters]).ok_or_else(refused)?;
        rest = rest[letters..].trim_start();
        millis = number.checked_mul(unit_ms).and_then(|part| millis.checked_add(part)).ok_or_else(refused)?;
    }
    let duration = Duration::from_millis(millis);
    if duration.is_zero() || duration > HORIZON_MAX { Err(refused()) } else { Ok(duration) }
}

fn unit_ms(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" | "sec" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        "w" => Some(7 * 86_400_000),
        _ => None,
    }
}

fn read_at(text: &str, zone: Zone, now: Timestamp) -> Result<Timestamp, WhenError> {
    let refused = || WhenError::At(text.chars().take(64).collect());
    let text = text.trim();
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(Timestamp::from_millis(time.timestamp_millis()));
    }
    for format in ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"] {
        if let Ok(wall) = NaiveDateTime::parse_from_str(text, format) {
            return zone.instant(wall).ok_or_else(refused);
        }
    }
    let time = ["%H:%M", "%H:%M:%S"]
        .into_iter()
        .find_map(|format| NaiveTime::parse_from_str(text, format).ok())
        .ok_or_else(refused)?;
    let today = zone.wall(now).date();
    [Some(today), today.succ_opt()]
        .into_iter()
        .flatten()
        .filter_map(|day| zone.instant(day.and_time(time)))
        .find(|at| *at > now)
        .ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123); // 2026-08-18 14:30:12 UTC

    fn read(json: &str) -> Result<When, String> {
        let spec: WhenSpec = serde_json::from_str(json).map_err(|error| error.to_string())?;
        When::read(&spec, NOW).map_err(|error| error.to_string())
    }

    #[test]
    fn each_way_of_writing_a_time_is_understood() {
        let check = |json: &str, first: &str| {
            let when = read(json).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(when.first_run(NOW).unwrap().to_rfc3339(), first, "{json}");
        };
        check(r#"{"at":"2026-08-18T17:00:00+02:00"}"#, "2026-08-18T15:00:00.000Z");
        check(r#"{"at":"2026-08-18T17:00","time_zone":"+02:00"}"#, "2026-08-18T15:00:00.000Z");
        check(r#"{"at":"17:00","time_zone":"+02:00"}"#, "2026-08-18T15:00:00.000Z");
        check(r#"{"at":"07:00","time_zone":"+02:00"}"#, "2026-08-19T05:00:00.000Z");
        check(r#"{"in":"1h30m"}"#, "2026-08-18T16:00:12.123Z");
        check(r#"{"cron":"0 7 * * *","time_zone":"+02:00"}"#, "2026-08-19T05:00:00.000Z");
    }

    #[test]
    fn what_cannot_be_understood_says_what_would_be() {
        for (json, part) in [
            (r#"{}"#, "exactly one"),
            (r#"{"in":"10m","cron":"* * * * *"}"#, "exactly one"),
            (r#"{"at":"soon"}"#, "write 2026-08-18T07:00:00+02:00"),
            (r#"{"in":"10"}"#, "write 90s"),
            (r#"{"in":"0s"}"#, "write 90s"),
            (r#"{"in":"99999w"}"#, "write 90s"),
            (r#"{"cron":"* * * * * *"}"#, "five fields"),
            (r#"{"cron":"* * * * *","time_zone":"Mars"}"#, "time zone"),
            (r#"{"every":"10m"}"#, "unknown field"),
        ] {
            let error = read(json).expect_err(json);
            assert!(error.contains(part), "{json}: {error}");
        }
        let past = read(r#"{"at":"2020-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(past.first_run(NOW), Err(WhenError::Past(Timestamp::parse("2020-01-01T00:00:00Z").unwrap())));
        let far = read(r#"{"at":"2099-01-01T00:00:00Z"}"#).unwrap();
        assert_eq!(far.first_run(NOW), Err(WhenError::TooFar));
        let never = read(r#"{"cron":"0 0 30 2 *"}"#).unwrap();
        assert_eq!(never.first_run(NOW), Err(WhenError::Never("0 0 30 2 *".to_owned())));
    }

    proptest! {
        #[test]
        fn any_specification_is_read_or_refused(at in ".{0,24}", after in "[0-9a-z ]{0,12}", zone in ".{0,8}") {
            for spec in [
                WhenSpec { at: Some(at.clone()), time_zone: Some(zone.clone()), ..WhenSpec::default() },
                WhenSpec { at: Some(at.clone()), ..WhenSpec::default() },
                WhenSpec { after: Some(after.clone()), ..WhenSpec::default() },
            ] {
                if let Ok(first) = When::read(&spec, NOW).and_then(|when| when.first_run(NOW)) {
                    prop_assert!(first > NOW);
                }
            }
        }

        #[test]
        fn a_written_duration_reads_back(days in 0_u64..300, hours in 0_u64..24, minutes in 0_u64..60, seconds in 1_u64..60) {
            let parsed = parse_duration(&format!("{days}d{hours}h {minutes}m{seconds}s")).unwrap();
            prop_assert_eq!(parsed.as_secs(), ((days * 24 + hours) * 60 + minutes) * 60 + seconds);
        }
    }
}
