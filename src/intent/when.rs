//! Durations, clock times, days and repetitions as people say them: "half past six tomorrow", "in 20 Minuten", "every monday at 7".

use std::time::Duration;

use chrono::{NaiveDateTime, Weekday};

use super::due::{ClockTime, Half, Part, Prefer, Repeat, Said, valid};
use super::kind::When;
use super::language::TimeLists;
use super::normalize::Sentence;
use super::number::Numbers;
use super::phrases::Phrases;

/// Longest timer or delay.
const DURATION_SECONDS_MAX: f64 = 366.0 * 86_400.0;
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Word {
    At,
    Within,
    Every,
    Daily,
    HalfPast,
    HalfTo,
    Quarter,
    ThreeQuartersTo,
    Past,
    To,
    OClock,
    Am,
    Pm,
    Fixed(u32),
    Day(u64),
    DayPart(u64, Part),
    Part(Part),
    Weekday(Weekday),
    Weekdays,
    Weekends,
    On,
}

/// The time words of a language, compiled.
pub struct TimeWords {
    words: Phrases<Word>,
    units: Phrases<f64>,
    /// Whole durations: "half an hour".
    fixed: Phrases<f64>,
    joint: Phrases<()>,
    minute: Phrases<()>,
    numbers: Numbers,
}

impl TimeWords {
    pub fn new(lists: &TimeLists, numbers: Numbers) -> Self {
        let mut words = Phrases::default();
        for (list, word) in word_table(lists) {
            list.iter().for_each(|text| words.insert(text, word));
        }
        let mut units = Phrases::default();
        let seconds = [
            (&lists.second, 1.0),
            (&lists.minute, 60.0),
            (&lists.hour, 3600.0),
            (&lists.day, 86_400.0),
            (&lists.week, 604_800.0),
        ];
        for (list, seconds) in seconds {
            list.iter().for_each(|text| units.insert(text, seconds));
        }
        let mut fixed = Phrases::default();
        for (list, seconds) in
            [(&lists.half_hour, 1800.0), (&lists.quarter_hour, 900.0), (&lists.three_quarters_hour, 2700.0)]
        {
            list.iter().for_each(|text| fixed.insert(text, seconds));
        }
        Self { words, units, fixed, joint: Phrases::of(&lists.joint), minute: Phrases::of(&lists.minute), numbers }
    }

    /// "1 hour 20 minutes", "an hour and a half", "1h30".
    pub fn duration(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> Option<(Duration, usize)> {
        let mut seconds = 0.0;
        let mut at = from;
        let mut smallest = f64::INFINITY;
        loop {
            let start = if at > from { self.joint.skip(sentence, at, to) } else { at };
            if let Some((fixed, end)) = self.fixed.longest(sentence, start, to) {
                seconds += fixed;
                at = end;
                smallest = 60.0;
                continue;
            }
            let Some((count, unit_at)) = self.numbers.parse(sentence, start, to) else { break };
            let Some((unit, end)) = self.units.longest(sentence, unit_at, to).filter(|(unit, _)| **unit < smallest)
            else {
                // "1h30": minutes need no unit after hours.
                if smallest == 3600.0
                    && start == at
                    && count < 60.0
                    && sentence.token(start).starts_with(|c: char| c.is_ascii_digit())
                {
                    seconds += count * 60.0;
                    at = unit_at;
                }
                break;
            };
            seconds += count * unit;
            smallest = *unit;
            at = end;
            let half_end = self.numbers.and_a_half.skip(sentence, at, to);
            if half_end > at {
                seconds += unit / 2.0;
                at = half_end;
            }
        }
        (at > from && (1.0..=DURATION_SECONDS_MAX).contains(&seconds))
            .then(|| (Duration::from_secs_f64(seconds.round()), at))
    }

    /// The longest expression of time at `from`.
    pub fn when(
        &self,
        sentence: &Sentence<'_>,
        from: usize,
        to: usize,
        now: NaiveDateTime,
        prefer: Prefer,
    ) -> Option<(When, usize)> {
        if let Some((Word::Within, start)) = self.words.longest(sentence, from, to)
            && let Some((duration, end)) = self.duration(sentence, start, to)
        {
            return Some((When::In(duration), end));
        }
        let mut said = Said::default();
        let mut at = from;
        while at < to {
            let Some(end) = self.component(sentence, at, to, &mut said) else { break };
            at = end;
        }
        if at == from {
            return None;
        }
        Some((said.resolve(now, prefer)?, at))
    }

    /// One more part of the expression; `None` when nothing here belongs to it.
    fn component(&self, sentence: &Sentence<'_>, at: usize, to: usize, said: &mut Said) -> Option<usize> {
        let word = self.words.longest(sentence, at, to);
        match word {
            Some((Word::Every, start)) if said.repeat.is_none() => return self.every(sentence, start, to, said),
            Some((Word::Daily, end)) if said.repeat.is_none() => {
                said.repeat = Some(Repeat::Days("*"));
                return Some(end);
            }
            Some((Word::Weekdays, end)) if said.repeat.is_none() => {
                said.repeat = Some(Repeat::Days("1-5"));
                return Some(end);
            }
            Some((Word::Weekends, end)) if said.repeat.is_none() => {
                said.repeat = Some(Repeat::Days("0,6"));
                return Some(end);
            }
            Some((Word::At | Word::On | Word::Within, start)) => {
                return self.component_after(sentence, start, to, said);
            }
            _ => {}
        }
        if said.clock.is_none()
            && let Some((clock, end)) = self.clock(sentence, at, to)
        {
            said.clock = Some(clock);
            return Some(end);
        }
        let (word, end) = word?;
        match *word {
            Word::Day(days) if said.has_no_day() => said.day = Some(days),
            Word::Weekday(day) if said.has_no_day() => said.weekday = Some(day),
            Word::DayPart(days, part) if said.has_no_day() && said.part.is_none() => {
                said.day = Some(days);
                said.part = Some(part);
            }
            Word::Part(part) if said.part.is_none() => said.part = Some(part),
            _ => return None,
        }
        Some(end)
    }

    /// After "at", "on", "in the": only a part of the expression, not another such word.
    fn component_after(&self, sentence: &Sentence<'_>, start: usize, to: usize, said: &mut Said) -> Option<usize> {
        match self.words.longest(sentence, start, to) {
            Some((Word::At | Word::On | Word::Within | Word::Every, _)) => None,
            _ if start < to => self.component(sentence, start, to, said),
            _ => None,
        }
    }

    fn every(&self, sentence: &Sentence<'_>, start: usize, to: usize, said: &mut Said) -> Option<usize> {
        if let Some((word, end)) = self.words.longest(sentence, start, to) {
            match *word {
                Word::Weekday(day) => said.weekday = Some(day),
                Word::Part(part) => said.part = Some(part),
                Word::Weekdays => {
                    said.repeat = Some(Repeat::Days("1-5"));
                    return Some(end);
                }
                Word::Weekends => {
                    said.repeat = Some(Repeat::Days("0,6"));
                    return Some(end);
                }
                _ => return None,
            }
            said.repeat = Some(Repeat::Days("*"));
            return Some(end);
        }
        let (count, unit_at) = self.numbers.parse(sentence, start, to).unwrap_or((1.0, start));
        let (unit, end) = self.units.longest(sentence, unit_at, to)?;
        let whole = count.fract() == 0.0;
        said.repeat = Some(match (*unit as u64, count as u64) {
            (60, minutes @ 1..60) if whole && 60 % minutes == 0 => Repeat::Minutes(minutes),
            (3600, hours @ 1..24) if whole && 24 % hours == 0 => Repeat::Hours(hours),
            (86_400, 1) => Repeat::Days("*"),
            _ => return None,
        });
        Some(end)
    }

    fn clock(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> Option<(ClockTime, usize)> {
        if let Some((word, end)) = self.words.longest(sentence, from, to) {
            return match *word {
                Word::Fixed(hour) => Some((ClockTime { hour, minute: 0, half: Half::Exact }, end)),
                Word::HalfPast => self.around(sentence, end, to, 30),
                Word::HalfTo => self.around(sentence, end, to, -30),
                Word::ThreeQuartersTo => self.around(sentence, end, to, -15),
                Word::Quarter => self.offset(sentence, end, to, 15),
                _ => None,
            };
        }
        // "ten past seven", "ten minutes past seven".
        let count = self.numbers.parse(sentence, from, to);
        if let Some((count, after)) = count.filter(|(count, _)| (1.0..30.0).contains(count) && count.fract() == 0.0) {
            let unit_end = self.minute.skip(sentence, after, to);
            if let Some(found) = self.offset(sentence, unit_end, to, count as i32) {
                return Some(found);
            }
        }
        self.hour(sentence, from, to).map(|(clock, end)| self.half_of_day(sentence, clock, end, to))
    }

    /// `past` or `to`, then an hour.
    fn offset(&self, sentence: &Sentence<'_>, at: usize, to: usize, minutes: i32) -> Option<(ClockTime, usize)> {
        match self.words.longest(sentence, at, to)? {
            (Word::Past, end) => self.around(sentence, end, to, minutes),
            (Word::To, end) => self.around(sentence, end, to, -minutes),
            _ => None,
        }
    }

    fn around(&self, sentence: &Sentence<'_>, at: usize, to: usize, minutes: i32) -> Option<(ClockTime, usize)> {
        let (clock, end) = self.hour(sentence, at, to).filter(|(clock, _)| clock.minute == 0)?;
        let total = (i32::try_from(clock.hour).ok()? * 60 + minutes).rem_euclid(24 * 60);
        // "quarter to one" is 12:45 on a clock of twelve hours.
        let total = if clock.hour == 1 && clock.half == Half::Unsaid && minutes < 0 { total + 12 * 60 } else { total };
        let clock = ClockTime {
            hour: u32::try_from(total / 60).ok()? % 24,
            minute: u32::try_from(total % 60).ok()?,
            half: clock.half,
        };
        Some(self.half_of_day(sentence, clock, end, to))
    }

    /// `7`, `7:30`, `7.30`, `7 Uhr 30`, `seven thirty`.
    fn hour(&self, sentence: &Sentence<'_>, from: usize, to: usize) -> Option<(ClockTime, usize)> {
        if from >= to {
            return None;
        }
        if let Some((hour, minute)) = sentence.token(from).split_once([':', '.']) {
            let exact = hour.len() == 2 && hour.starts_with('0');
            let (hour, minute) = (hour.parse().ok()?, (minute.len() == 2).then(|| minute.parse().ok())??);
            let half = if exact { Half::Exact } else { Half::Unsaid };
            let clock = valid(hour, minute, half)?;
            return Some((clock, self.skip(sentence, from + 1, to, Word::OClock)));
        }
        let (hour, after) = self
            .numbers
            .words
            .longest(sentence, from, to)
            .map(|(value, end)| (*value, end))
            .or_else(|| self.numbers.parse(sentence, from, to))?;
        let oclock_end = self.skip(sentence, after, to, Word::OClock);
        let minute = self.numbers.parse(sentence, oclock_end, to).filter(|(minute, end)| {
            // A number that counts something else is not the minute: "at 7 20 minutes".
            (1.0..60.0).contains(minute)
                && minute.fract() == 0.0
                && self.units.longest(sentence, *end, to).is_none()
                && (oclock_end > after || *minute >= 10.0)
        });
        if hour.fract() != 0.0 {
            return None;
        }
        let (minute, end) = minute.map_or((0, oclock_end), |(minute, end)| (minute as u32, end));
        let end = self.minute.skip(sentence, end, to);
        let clock = valid(hour as u32, minute, Half::Unsaid)?;
        Some((clock, end))
    }

    fn half_of_day(&self, sentence: &Sentence<'_>, clock: ClockTime, end: usize, to: usize) -> (ClockTime, usize) {
        let end = self.skip(sentence, end, to, Word::OClock);
        match self.words.longest(sentence, end, to) {
            Some((Word::Am, after)) if clock.hour <= 12 => (ClockTime { half: Half::Am, ..clock }, after),
            Some((Word::Pm, after)) if clock.hour <= 12 => (ClockTime { half: Half::Pm, ..clock }, after),
            _ => (clock, end),
        }
    }

    fn skip(&self, sentence: &Sentence<'_>, at: usize, to: usize, word: Word) -> usize {
        self.words.longest(sentence, at, to).filter(|(found, _)| **found == word).map_or(at, |(_, end)| end)
    }
}

fn word_table(lists: &TimeLists) -> Vec<(&Vec<String>, Word)> {
    vec![
        (&lists.at, Word::At),
        (&lists.within, Word::Within),
        (&lists.every, Word::Every),
        (&lists.daily, Word::Daily),
        (&lists.half_past, Word::HalfPast),
        (&lists.half_to, Word::HalfTo),
        (&lists.quarter, Word::Quarter),
        (&lists.three_quarters_to, Word::ThreeQuartersTo),
        (&lists.past, Word::Past),
        (&lists.to, Word::To),
        (&lists.oclock, Word::OClock),
        (&lists.am, Word::Am),
        (&lists.pm, Word::Pm),
        (&lists.noon, Word::Fixed(12)),
        (&lists.midnight, Word::Fixed(0)),
        (&lists.today, Word::Day(0)),
        (&lists.tomorrow, Word::Day(1)),
        (&lists.after_tomorrow, Word::Day(2)),
        (&lists.tonight, Word::DayPart(0, Part::Evening)),
        (&lists.this_morning, Word::DayPart(0, Part::Morning)),
        (&lists.morning, Word::Part(Part::Morning)),
        (&lists.forenoon, Word::Part(Part::Forenoon)),
        (&lists.afternoon, Word::Part(Part::Afternoon)),
        (&lists.evening, Word::Part(Part::Evening)),
        (&lists.night, Word::Part(Part::Night)),
        (&lists.weekdays, Word::Weekdays),
        (&lists.weekends, Word::Weekends),
        (&lists.on, Word::On),
        (&lists.monday, Word::Weekday(Weekday::Mon)),
        (&lists.tuesday, Word::Weekday(Weekday::Tue)),
        (&lists.wednesday, Word::Weekday(Weekday::Wed)),
        (&lists.thursday, Word::Weekday(Weekday::Thu)),
        (&lists.friday, Word::Weekday(Weekday::Fri)),
        (&lists.saturday, Word::Weekday(Weekday::Sat)),
        (&lists.sunday, Word::Weekday(Weekday::Sun)),
    ]
}
