//! Tests of the cron arithmetic, with a Berlin of our own so that daylight saving does not depend on the test machine.

use chrono::{Datelike, NaiveDate, NaiveDateTime, TimeDelta};
use proptest::prelude::*;

use super::*;

/// Central European time by the rule in force since 1996: summer time from the last Sunday of March to the last of October, 01:00 UTC.
#[derive(Clone, Copy, Debug)]
struct Berlin;

impl Berlin {
    fn change(year: i32, month: u32) -> NaiveDateTime {
        let last = NaiveDate::from_ymd_opt(year, month, 31).unwrap();
        let sunday = last - TimeDelta::days(i64::from(last.weekday().num_days_from_sunday()));
        sunday.and_hms_opt(1, 0, 0).unwrap()
    }

    fn offset_at(utc: &NaiveDateTime) -> FixedOffset {
        let summer = *utc >= Self::change(utc.year(), 3) && *utc < Self::change(utc.year(), 10);
        FixedOffset::east_opt(if summer { 7200 } else { 3600 }).unwrap()
    }
}

impl TimeZone for Berlin {
    type Offset = FixedOffset;

    fn from_offset(_: &FixedOffset) -> Self {
        Self
    }

    fn offset_from_local_date(&self, local: &NaiveDate) -> chrono::LocalResult<FixedOffset> {
        self.offset_from_local_datetime(&local.and_hms_opt(12, 0, 0).unwrap())
    }

    fn offset_from_local_datetime(&self, local: &NaiveDateTime) -> chrono::LocalResult<FixedOffset> {
        let fitting: Vec<FixedOffset> = [7200, 3600]
            .into_iter()
            .map(|seconds| FixedOffset::east_opt(seconds).unwrap())
            .filter(|offset| Self::offset_at(&(*local - *offset)) == *offset)
            .collect();
        match fitting[..] {
            [] => chrono::LocalResult::None,
            [only] => chrono::LocalResult::Single(only),
            [earlier, later, ..] => chrono::LocalResult::Ambiguous(earlier, later),
        }
    }

    fn offset_from_utc_date(&self, utc: &NaiveDate) -> FixedOffset {
        Self::offset_at(&utc.and_hms_opt(12, 0, 0).unwrap())
    }

    fn offset_from_utc_datetime(&self, utc: &NaiveDateTime) -> FixedOffset {
        Self::offset_at(utc)
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn runs(cron: &str, after: &str, count: usize) -> Vec<String> {
    let cron: CronText = cron.parse().unwrap();
    let mut after = at(after);
    let mut found = Vec::new();
    for _ in 0..count {
        after = next_run(&cron, after, &Berlin).unwrap();
        found.push(after.to_utc().with_timezone(&Berlin).format("%m-%d %H:%M%:z").to_string());
    }
    found
}

#[test]
fn common_expressions_come_due_when_people_expect() {
    assert_eq!(runs("0 7 * * *", "2026-01-10T05:59:59+01:00", 2), ["01-10 07:00+01:00", "01-11 07:00+01:00"]);
    assert_eq!(runs("0 7 * * *", "2026-01-10T07:00:00.500+01:00", 1), ["01-11 07:00+01:00"]);
    assert_eq!(
        runs("*/20 * * * *", "2026-01-10T07:00:00+01:00", 3),
        ["01-10 07:20+01:00", "01-10 07:40+01:00", "01-10 08:00+01:00"]
    );
    assert_eq!(runs("0 9 * * mon-fri", "2026-01-10T12:00:00+01:00", 1), ["01-12 09:00+01:00"]);
    assert_eq!(runs("0 9 * * 7", "2026-01-10T12:00:00+01:00", 1), ["01-11 09:00+01:00"]);
    assert_eq!(runs("@daily", "2026-01-10T12:00:00+01:00", 1), ["01-11 00:00+01:00"]);
    // Day of month and weekday together mean "either", as in Vixie cron.
    assert_eq!(runs("0 9 13 * fri", "2026-01-10T12:00:00+01:00", 2), ["01-13 09:00+01:00", "01-16 09:00+01:00"]);
}

#[test]
fn a_time_skipped_in_spring_runs_right_after_the_gap() {
    assert_eq!(runs("30 2 * * *", "2026-03-28T12:00:00+01:00", 2), ["03-29 03:00+02:00", "03-30 02:30+02:00"]);
}

#[test]
fn a_time_repeated_in_autumn_runs_once() {
    assert_eq!(runs("30 2 * * *", "2026-10-24T12:00:00+02:00", 2), ["10-25 02:30+02:00", "10-26 02:30+01:00"]);
}

#[test]
fn an_interval_follows_real_time_through_both_changes() {
    assert_eq!(runs("*/30 * * * *", "2026-03-29T01:30:00+01:00", 2), ["03-29 03:00+02:00", "03-29 03:30+02:00"]);
    assert_eq!(
        runs("*/30 * * * *", "2026-10-25T02:00:00+02:00", 4),
        ["10-25 02:30+02:00", "10-25 02:00+01:00", "10-25 02:30+01:00", "10-25 03:00+01:00"]
    );
}

#[test]
fn a_wall_clock_time_in_the_gap_is_the_first_moment_after_it() {
    let wall = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap().and_hms_opt(2, 0, 0).unwrap();
    assert_eq!(instant(wall, &Berlin), Some(at("2026-03-29T03:00:00+02:00")));
}

#[test]
fn a_date_that_never_comes_is_never_due_and_says_so_quickly() {
    let cron: CronText = "0 0 30 2 *".parse().unwrap();
    let begun = std::time::Instant::now();
    assert_eq!(next_run(&cron, at("2026-01-10T12:00:00Z"), &Berlin), None);
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn seconds_years_and_nonsense_are_refused() {
    for text in [
        "",
        "* * * *",
        "* * * * * *",
        "0 0 7 * * * 2026",
        "61 * * * *",
        "a b c d e",
        "*/0 * * * *",
        "@never",
        "5-1 * * * *x",
    ] {
        assert!(text.parse::<CronText>().is_err(), "{text}");
    }
    assert_eq!("1".repeat(CRON_BYTES_MAX + 1).parse::<CronText>(), Err(CronTextError::TooLong));
}

#[test]
fn zones_read_back() {
    for text in ["local", "+02:00", "-05:30"] {
        assert_eq!(Zone::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Zone::parse("UTC").unwrap().to_string(), "+00:00");
    assert_eq!(Zone::parse("Europe/Nowhere"), None);
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("*".to_owned()),
        (0_u32..60).prop_map(|n| n.to_string()),
        (0_u32..30, 0_u32..30).prop_map(|(from, len)| format!("{from}-{}", from + len)),
        (1_u32..40).prop_map(|step| format!("*/{step}")),
        "[0-9A-Z,/#LW?+*-]{1,6}",
    ]
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused_but_never_panics(text in ".{0,40}") {
        let _ = text.parse::<CronText>();
    }

    #[test]
    fn the_next_run_is_after_and_the_last_run_is_not(
        fields in proptest::collection::vec(field(), 5),
        millis in 0_i64..7_258_118_400_000,
    ) {
        if let Ok(cron) = fields.join(" ").parse::<CronText>() {
            let now = Timestamp::from_millis(millis);
            if let Some(next) = next_run(&cron, now, &Berlin) {
                prop_assert!(next > now);
                // A minute at the least: the second run is never in the same minute as the first.
                if let Some(second) = next_run(&cron, next, &Berlin) {
                    prop_assert!(second.since(next) >= std::time::Duration::from_secs(60), "{cron:?} {next:?} {second:?}");
                }
            }
            if let Some(last) = last_run(&cron, now, &Berlin) {
                prop_assert!(last <= now);
            }
        }
    }
}
