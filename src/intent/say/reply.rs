//! Reply texts of a language: a fixed set of keys, each with a text for one thing and for many.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::intent::kind::GrammaticalNumber;
use crate::intent::language::{Language, snake_case};
use crate::intent::normalize::Sentence;

macro_rules! keys {
    ($($key:ident),* $(,)?) => {
        /// The keys of `[replies]` in the language files.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ReplyKey { $($key),* }

        const KEYS: &[ReplyKey] = &[$(ReplyKey::$key),*];
    };
}

keys! {
    TurnOn, TurnOff, Toggle, SetBrightness, Brighter, Darker, SetColor, SetColorTemperature, SetTemperature, Warmer, Colder, Open, Close,
    Stop, SetPosition, Lock, Unlock, SetMode, SetSpeed, SetNumber, Select, Press,
    NotConfirmed, Unavailable, NotSupported, NotConnected, NothingDone,
    Name, And, Or, Which, NotFound, NamesMore,
    YesIs, NoIs, IsState, UnknownState, AnyNone, WhichNone, TemperatureIn, TemperatureHere, TargetTemperature, Reading, BrightnessAt, NoTemperature,
    NoHumidity, NoBrightness, NoBattery, BatteriesFine, BatteriesLow,
    Seconds, Minutes, Hours, Days, TimerSet, TimerSetNamed, AlarmSet, ReminderSet, TimersNone, TimersList, TimerItem, TimerItemNamed,
    AlarmItem, ReminderItem, Canceled, CancelNone, TimerRang, TimerRangNamed, AlarmRang, ReminderDue, InDuration, AtTime, TodayAt, TomorrowAt,
    DateAt, EveryDayAt, Weekdays, Weekends, EveryWeekdayAt, EveryMinutes, EveryHours, Repeatedly,
    Remembered, RecalledOne, RecalledMany, RecalledItem, RecalledTalk, RecalledTalkItem, RecalledFile, RecalledFileItem,
    RecalledPeer, RecalledPeerItem, RecalledNothing,
    RecalledFew, Forgotten, ForgottenNothing, ForgetOne, ForgetWhich, ForgetTooMany, Kept,
    Time, Date, Months, DateForm,
    CapabilitiesIntro, CapabilitySwitch, CapabilityDim, CapabilityColor, CapabilityCover, CapabilityClimate, CapabilityLock, CapabilityScene,
    CapabilityAsk, CapabilityTimer, CapabilityMemory, CapabilityNoDevices,
    StatusFine, StatusDevices, StatusUnavailable, StatusBrokerGone, StatusModel, StatusNoModel, StatusWaiting, StatusUptime,
    Greeting, Thanks, NeverMind, NoModel, NoModelDevices, Interrupted, Approval, Denied, Expired, Failed,
}

/// A reply as written: one text, or one for a single thing and one for many.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum ReplyText {
    Same(String),
    Numbered([String; 2]),
}

#[derive(Debug)]
pub struct Replies {
    texts: BTreeMap<ReplyKey, ReplyText>,
}

impl Replies {
    /// Fails with the first key that has no text.
    pub fn new(texts: BTreeMap<ReplyKey, ReplyText>) -> Result<Self, String> {
        match KEYS.iter().find(|key| !texts.contains_key(key)) {
            Some(missing) => Err(snake_case(&format!("{missing:?}"))),
            None => Ok(Self { texts }),
        }
    }

    /// The text with its holes filled, beginning with a capital.
    pub fn say(&self, key: ReplyKey, number: GrammaticalNumber, values: &[(&str, &str)]) -> String {
        capitalized(&fill(self.text(key, number), values))
    }

    /// The text with its holes filled, for the middle of a sentence.
    pub fn part(&self, key: ReplyKey, number: GrammaticalNumber, values: &[(&str, &str)]) -> String {
        fill(self.text(key, number), values)
    }

    /// "a, b and c".
    pub fn list(&self, items: &[&str], last: ReplyKey) -> String {
        match items {
            [] => String::new(),
            [one] => (*one).to_owned(),
            [front @ .., end] => format!("{}{}{end}", front.join(", "), self.text(last, GrammaticalNumber::One)),
        }
    }

    /// Names as the subject of a sentence: "the kitchen lamp and the fan".
    pub fn names(&self, language: &Language, names: &[&str]) -> String {
        const NAMES_SAID_MAX: usize = 8;
        let mut said: Vec<String> = names.iter().take(NAMES_SAID_MAX).map(|name| self.name(language, name)).collect();
        if names.len() > NAMES_SAID_MAX {
            said.push(self.part(
                ReplyKey::NamesMore,
                GrammaticalNumber::Many,
                &[("count", &(names.len() - NAMES_SAID_MAX).to_string())],
            ));
        }
        self.list(&said.iter().map(String::as_str).collect::<Vec<_>>(), ReplyKey::And)
    }

    /// An entity's name with its article, where the language can know it: names that end with a common word.
    pub fn name(&self, language: &Language, name: &str) -> String {
        let plain = self.plain_name(language, name);
        let last = plain.split_whitespace().next_back().unwrap_or("");
        if language.words.common.iter().any(|word| word == last) && !plain.contains(['\'', '’']) {
            return self.part(ReplyKey::Name, GrammaticalNumber::One, &[("name", &plain)]);
        }
        plain
    }

    /// A name with its common words in lower case: "kitchen lamp", but "Anna lamp" and "TV".
    pub fn plain_name(&self, language: &Language, name: &str) -> String {
        let lowered = |word: &str| {
            let lower = word.to_lowercase();
            if language.words.common.contains(&lower) { lower } else { word.to_owned() }
        };
        name.split_whitespace().map(lowered).collect::<Vec<_>>().join(" ")
    }

    fn text(&self, key: ReplyKey, number: GrammaticalNumber) -> &str {
        match (self.texts.get(&key), number) {
            (Some(ReplyText::Same(text)), _) => text,
            (Some(ReplyText::Numbered([one, _])), GrammaticalNumber::One) => one,
            (Some(ReplyText::Numbered([_, many])), GrammaticalNumber::Many) => many,
            (None, _) => "",
        }
    }
}

fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 32);
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        let Some(len) = rest[start..].find('}') else { break };
        let name = &rest[start + 1..start + len];
        filled.push_str(values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value));
        rest = &rest[start + len + 1..];
    }
    filled.push_str(rest);
    filled
}

pub fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or(String::new(), |first| first.to_uppercase().chain(rest).collect())
}

/// A number without a needless fraction.
pub fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded.fract() == 0.0 { format!("{rounded:.0}") } else { format!("{rounded:.1}") }
}

/// True when the words begin with "in the" or another preposition.
pub fn begins_with_preposition(language: &Language, words: &str) -> bool {
    use crate::intent::language::Particle;
    let sentence = Sentence::new(words);
    matches!(language.particles.longest(&sentence, 0, sentence.len()), Some((Particle::Preposition, _)))
}
