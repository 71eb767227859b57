//! Times, dates, timers, alarms, reminders and what was remembered.

use std::time::Duration;

use chrono::{Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::reply::ReplyKey;
use super::{NoteOrigin, Noted, Say};
use crate::intent::kind::{GrammaticalNumber, TimerKind, When};

/// Items of a list that are read out.
const ITEMS_SAID_MAX: usize = 10;

/// A timer, alarm or reminder that has not rung yet.
#[derive(Clone, PartialEq, Debug)]
pub struct Pending {
    pub kind: TimerKind,
    /// A timer's name or a reminder's text.
    pub label: Option<String>,
    /// Local time at which it rings next.
    pub at: NaiveDateTime,
}

/// How one note is told: what somebody said, what was talked about, what stands in a file, what another hub shared.
const NOTE: [ReplyKey; 4] =
    [ReplyKey::RecalledOne, ReplyKey::RecalledTalk, ReplyKey::RecalledFile, ReplyKey::RecalledPeer];
/// The same for one of several.
const NOTE_OF_MANY: [ReplyKey; 4] =
    [ReplyKey::RecalledItem, ReplyKey::RecalledTalkItem, ReplyKey::RecalledFileItem, ReplyKey::RecalledPeerItem];

impl Say<'_> {
    pub fn timer_set(&self, duration: Duration, label: Option<&str>) -> String {
        let spoken = self.duration(duration);
        match label {
            Some(label) => self.one(ReplyKey::TimerSetNamed, &[("duration", &spoken), ("label", label)]),
            None => self.one(ReplyKey::TimerSet, &[("duration", &spoken)]),
        }
    }

    pub fn alarm_set(&self, when: &When, now: NaiveDateTime) -> String {
        self.one(ReplyKey::AlarmSet, &[("when", &self.when(when, now))])
    }

    pub fn reminder_set(&self, when: &When, text: &str, now: NaiveDateTime) -> String {
        self.one(ReplyKey::ReminderSet, &[("when", &self.when(when, now)), ("text", text)])
    }

    pub fn pending(&self, pending: &[Pending], now: NaiveDateTime) -> String {
        if pending.is_empty() {
            return self.one(ReplyKey::TimersNone, &[]);
        }
        let items: Vec<String> = pending.iter().take(ITEMS_SAID_MAX).map(|item| self.item(item, now)).collect();
        self.one(ReplyKey::TimersList, &[("items", &items.join("; "))])
    }

    /// `labels` of what was canceled; empty when nothing was.
    pub fn canceled(&self, count: usize) -> String {
        match count {
            0 => self.one(ReplyKey::CancelNone, &[]),
            _ => self.counted(ReplyKey::Canceled, count as u64, &[("count", &count.to_string())]),
        }
    }

    /// It is time.
    pub fn rang(&self, kind: TimerKind, label: Option<&str>, now: NaiveDateTime) -> String {
        let label = label.filter(|label| !label.is_empty());
        match (kind, label) {
            (TimerKind::Timer, Some(label)) => self.one(ReplyKey::TimerRangNamed, &[("label", label)]),
            (TimerKind::Timer, None) => self.one(ReplyKey::TimerRang, &[]),
            (TimerKind::Alarm, _) => self.one(ReplyKey::AlarmRang, &[("time", &clock(now))]),
            (TimerKind::Reminder, label) => self.one(ReplyKey::ReminderDue, &[("text", label.unwrap_or_default())]),
        }
    }

    pub fn time(&self, now: NaiveDateTime) -> String {
        self.one(ReplyKey::Time, &[("time", &clock(now))])
    }

    pub fn date(&self, now: NaiveDateTime) -> String {
        self.one(ReplyKey::Date, &[("weekday", self.weekday(now.date())), ("date", &self.calendar(now.date()))])
    }

    pub fn remembered(&self, text: &str) -> String {
        self.one(ReplyKey::Remembered, &[("text", text)])
    }

    /// What was found about a topic, best first, each with its source. Stored times are shown in the zone of this machine.
    /// Without a topic the question was no question for what was told.
    pub fn recalled(&self, topic: Option<&str>, notes: &[Noted]) -> String {
        match notes {
            [] => self.one(ReplyKey::RecalledNothing, &[("topic", topic.unwrap_or_default())]),
            [note] => self.note(note, NOTE),
            notes => {
                let items: Vec<String> =
                    notes.iter().take(ITEMS_SAID_MAX).map(|note| self.note(note, NOTE_OF_MANY)).collect();
                let told = notes.iter().all(|note| note.origin == NoteOrigin::Told);
                let intro = match topic {
                    Some(topic) if told => self.one(ReplyKey::RecalledMany, &[("topic", topic)]),
                    _ => self.one(ReplyKey::RecalledFew, &[]),
                };
                format!("{intro}\n{}", items.join("\n"))
            }
        }
    }

    fn note(&self, note: &Noted, [told, talk, file, peer]: [ReplyKey; 4]) -> String {
        let at = note.at.to_utc().with_timezone(&chrono::Local).naive_local();
        let date = self.calendar(at.date());
        match &note.origin {
            NoteOrigin::Told => self.one(told, &[("text", &note.text), ("date", &date)]),
            NoteOrigin::Talk => self.one(talk, &[("text", &note.text), ("date", &date)]),
            NoteOrigin::File(name) => self.one(file, &[("text", &note.text), ("file", name)]),
            NoteOrigin::Peer(name) => self.one(peer, &[("text", &note.text), ("name", name), ("date", &date)]),
        }
    }

    /// What was forgotten is named, so that a slip is noticed.
    pub fn forgotten(&self, topic: &str, texts: &[String]) -> String {
        match texts {
            [] => self.one(ReplyKey::ForgottenNothing, &[("topic", topic)]),
            [text] => self.one(ReplyKey::Forgotten, &[("topic", topic), ("items", text)]),
            texts => {
                let items = texts.iter().map(|text| format!("- {text}")).collect::<Vec<_>>().join("\n");
                let count = texts.len().to_string();
                self.counted(
                    ReplyKey::Forgotten,
                    texts.len() as u64,
                    &[("topic", topic), ("count", &count), ("items", &items)],
                )
            }
        }
    }

    /// Asks before something is forgotten that was found by its meaning only.
    pub fn forget_which(&self, texts: &[String]) -> String {
        match texts {
            [text] => self.one(ReplyKey::ForgetOne, &[("text", text)]),
            texts => {
                let items = texts.iter().enumerate().map(|(index, text)| format!("{}. {text}", index + 1));
                self.one(ReplyKey::ForgetWhich, &[("items", &items.collect::<Vec<_>>().join("\n"))])
            }
        }
    }

    pub fn forget_too_many(&self, topic: &str, count: usize) -> String {
        self.one(ReplyKey::ForgetTooMany, &[("topic", topic), ("count", &count.to_string())])
    }

    pub fn kept(&self) -> String {
        self.one(ReplyKey::Kept, &[])
    }

    /// "1 hour and 20 minutes".
    pub fn duration(&self, duration: Duration) -> String {
        let seconds = duration.as_secs();
        let parts = [
            (seconds / 86_400, ReplyKey::Days),
            (seconds / 3600 % 24, ReplyKey::Hours),
            (seconds / 60 % 60, ReplyKey::Minutes),
            (seconds % 60, ReplyKey::Seconds),
        ];
        let named = |(count, key): &(u64, ReplyKey)| self.counted(*key, *count, &[("n", &count.to_string())]);
        let mut said: Vec<String> = parts.iter().filter(|(count, _)| *count > 0).take(2).map(named).collect();
        if said.is_empty() {
            said.push(self.counted(ReplyKey::Seconds, 0, &[("n", "0")]));
        }
        self.language.replies.list(&said.iter().map(String::as_str).collect::<Vec<_>>(), ReplyKey::And)
    }

    /// "tomorrow at 7:00", "in 20 minutes", "every day at 7:00".
    pub fn when(&self, when: &When, now: NaiveDateTime) -> String {
        let part = |key, values: &[(&str, &str)]| self.language.replies.part(key, GrammaticalNumber::One, values);
        match when {
            When::In(duration) => part(ReplyKey::InDuration, &[("duration", &self.duration(*duration))]),
            When::At(at) => self.at(at.0, now),
            When::Every(cron) => self.every(cron),
        }
    }

    fn at(&self, at: NaiveDateTime, now: NaiveDateTime) -> String {
        let time = clock(at);
        let days = at.date().signed_duration_since(now.date()).num_days();
        let part = |key, values: &[(&str, &str)]| self.language.replies.part(key, GrammaticalNumber::One, values);
        match days {
            0 => part(ReplyKey::TodayAt, &[("time", &time)]),
            1 => part(ReplyKey::TomorrowAt, &[("time", &time)]),
            _ => part(
                ReplyKey::DateAt,
                &[("time", &time), ("weekday", self.weekday(at.date())), ("date", &self.calendar(at.date()))],
            ),
        }
    }

    /// Words for the expressions that `when` makes; others are shown as they are.
    fn every(&self, cron: &str) -> String {
        let part = |key, values: &[(&str, &str)]| self.language.replies.part(key, GrammaticalNumber::One, values);
        let fields: Vec<&str> = cron.split(' ').collect();
        let [minute, hour, "*", "*", day] = fields.as_slice() else {
            return part(ReplyKey::Repeatedly, &[("cron", cron)]);
        };
        if let Some(minutes) = minute.strip_prefix("*/") {
            return part(ReplyKey::EveryMinutes, &[("n", minutes)]);
        }
        if let Some(hours) = hour.strip_prefix("*/") {
            return part(ReplyKey::EveryHours, &[("n", hours)]);
        }
        let time = format!("{hour}:{minute:0>2}");
        match (*day, day.parse::<usize>()) {
            ("*", _) => part(ReplyKey::EveryDayAt, &[("time", &time)]),
            ("1-5", _) => part(ReplyKey::Weekdays, &[("time", &time)]),
            ("0,6", _) => part(ReplyKey::Weekends, &[("time", &time)]),
            (_, Ok(day)) => {
                part(ReplyKey::EveryWeekdayAt, &[("time", &time), ("weekday", &self.language.weekdays[(day + 6) % 7])])
            }
            _ => part(ReplyKey::Repeatedly, &[("cron", cron)]),
        }
    }

    fn item(&self, item: &Pending, now: NaiveDateTime) -> String {
        let part = |key, values: &[(&str, &str)]| self.language.replies.part(key, GrammaticalNumber::One, values);
        let left = self.duration((item.at - now).to_std().unwrap_or_default());
        let when = self.at(item.at, now);
        match (item.kind, &item.label) {
            (TimerKind::Timer, Some(label)) => part(ReplyKey::TimerItemNamed, &[("label", label), ("left", &left)]),
            (TimerKind::Timer, None) => part(ReplyKey::TimerItem, &[("left", &left)]),
            (TimerKind::Alarm, _) => part(ReplyKey::AlarmItem, &[("when", &when)]),
            (TimerKind::Reminder, label) => {
                part(ReplyKey::ReminderItem, &[("text", label.as_deref().unwrap_or_default()), ("when", &when)])
            }
        }
    }

    fn weekday(&self, date: NaiveDate) -> &str {
        &self.language.weekdays[date.weekday().num_days_from_monday() as usize]
    }

    fn calendar(&self, date: NaiveDate) -> String {
        let months = self.language.replies.part(ReplyKey::Months, GrammaticalNumber::One, &[]);
        let month = months.split(' ').nth(date.month0() as usize).unwrap_or_default();
        self.language.replies.part(
            ReplyKey::DateForm,
            GrammaticalNumber::One,
            &[("day", &date.day().to_string()), ("month", month), ("year", &date.year().to_string())],
        )
    }
}

fn clock(at: NaiveDateTime) -> String {
    format!("{}:{:02}", at.hour(), at.minute())
}
