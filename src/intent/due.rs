//! From what was said about a time to the moment, or the repetition, that is meant.

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike, Weekday};

use super::kind::{LocalTime, When};

/// A day without a time of day.
const DEFAULT_HOUR: u32 = 9;

/// Which of two readings of "at seven" is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefer {
    /// Seven in the morning or in the evening, whichever comes first.
    Soonest,
    /// Seven in the morning: people wake up then.
    Morning,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    Morning,
    Forenoon,
    Afternoon,
    Evening,
    Night,
}

#[derive(Clone, Copy, Debug)]
pub struct ClockTime {
    pub hour: u32,
    pub minute: u32,
    pub half: Half,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    Unsaid,
    Am,
    Pm,
    /// A clock of 24 hours was clearly meant.
    Exact,
}

#[derive(Clone, Copy, Debug)]
pub enum Repeat {
    Days(&'static str),
    Minutes(u64),
    Hours(u64),
}

#[derive(Default, Debug)]
pub struct Said {
    pub clock: Option<ClockTime>,
    pub day: Option<u64>,
    pub weekday: Option<Weekday>,
    pub part: Option<Part>,
    pub repeat: Option<Repeat>,
}

impl Said {
    pub fn has_no_day(&self) -> bool {
        self.day.is_none() && self.weekday.is_none()
    }

    pub fn resolve(&self, now: NaiveDateTime, prefer: Prefer) -> Option<When> {
        match self.repeat {
            Some(Repeat::Minutes(minutes)) => {
                return self.clock.is_none().then(|| When::Every(format!("*/{minutes} * * * *")));
            }
            Some(Repeat::Hours(hours)) => {
                return self.clock.is_none().then(|| When::Every(format!("0 */{hours} * * *")));
            }
            Some(Repeat::Days(days)) => {
                let (hour, minute) = self.time_of_day();
                let days = self.weekday.map_or_else(|| days.to_owned(), |day| day.num_days_from_sunday().to_string());
                return Some(When::Every(format!("{minute} {hour} * * {days}")));
            }
            None => {}
        }
        if self.clock.is_none() && self.has_no_day() && self.part.is_none() {
            return None;
        }
        let (hour, minute) = self.time_of_day();
        let on = |date: NaiveDate, hour: u32| Some(date.and_time(NaiveTime::from_hms_opt(hour, minute, 0)?));
        let two_readings = self.part.is_none()
            && self.clock.is_some_and(|clock| clock.half == Half::Unsaid && (1..12).contains(&clock.hour));
        let today = now.date();
        let at = if let Some(weekday) = self.weekday {
            let days = (7 + weekday.num_days_from_monday() - today.weekday().num_days_from_monday()) % 7;
            let at = on(today.checked_add_days(Days::new(days.into()))?, hour)?;
            if at > now { at } else { at.checked_add_days(Days::new(7))? }
        } else if let Some(days) = self.day {
            let date = today.checked_add_days(Days::new(days))?;
            let at = on(date, hour)?;
            let at = if at <= now && two_readings { on(date, hour + 12)? } else { at };
            (at > now).then_some(at)?
        } else {
            let late = (two_readings && prefer == Prefer::Soonest).then(|| on(today, hour + 12)).flatten();
            let early = on(today, hour)?;
            [Some(early), late]
                .into_iter()
                .flatten()
                .find(|at| *at > now)
                .or_else(|| early.checked_add_days(Days::new(1)))?
        };
        Some(When::At(LocalTime(at)))
    }

    fn time_of_day(&self) -> (u32, u32) {
        let Some(clock) = self.clock else {
            let hour = match self.part {
                None => DEFAULT_HOUR,
                Some(Part::Morning) => 8,
                Some(Part::Forenoon) => 10,
                Some(Part::Afternoon) => 15,
                Some(Part::Evening) => 19,
                Some(Part::Night) => 21,
            };
            return (hour, 0);
        };
        let late = match clock.half {
            Half::Pm => true,
            Half::Am | Half::Exact => false,
            Half::Unsaid => match self.part {
                Some(Part::Afternoon | Part::Evening) => true,
                Some(Part::Night) => (6..12).contains(&clock.hour),
                _ => false,
            },
        };
        let hour = match (clock.half, clock.hour) {
            (Half::Am, 12) => 0,
            (_, hour @ 1..12) if late => hour + 12,
            (_, hour) => hour,
        };
        (hour, clock.minute)
    }
}

pub fn valid(hour: u32, minute: u32, half: Half) -> Option<ClockTime> {
    let (hour, minute) = if hour == 24 && minute == 0 { (0, 0) } else { (hour, minute) };
    NaiveTime::from_hms_opt(hour, minute, 0).map(|time| ClockTime { hour: time.hour(), minute: time.minute(), half })
}
