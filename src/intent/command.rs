//! Judges one reading of a sentence: what it means in this home, and how well it fits.

use super::choose;
use super::class::ClassId;
use super::due::Prefer;
use super::kind::{CancelWhich, Described, GrammaticalNumber, Intent, IntentKind, Order, Sense, TimerKind};
use super::language::{Color, Language};
use super::matcher::{Context, Recognition};
use super::normalize::Sentence;
use super::query;
use super::resolve::{Phrase, Quantity, Scope, Targets};
use super::suit::{Chosen, choose, suits};
use super::template::Slot;
use super::trie::{Capture, Reading};
use super::vocabulary::{EntityRow, Row, Vocabulary};
use crate::domain::household::{Action, EntityKind};

/// One step of "brighter", in percent.
const BRIGHTNESS_STEP: f64 = 20.0;
/// One step of "warmer", in degrees.
const TEMPERATURE_STEP: f64 = 1.0;
/// A reading whose targets do not exist loses against every other.
const NOT_FOUND_COST: i32 = 1000;
/// A reading whose targets cannot do what it says loses against one whose targets can.
const NOT_SUITED_COST: i32 = 200;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    Unsaid,
    Percent,
    Degrees,
    Kelvin,
}

/// What one reading means. A question is put into words only when it is the best of them.
enum Meaning {
    Clear(IntentKind),
    OneOf { rows: Vec<Row>, waiting: IntentKind },
}

/// A sentence in one language, with everything around it that decides what it means.
pub struct Hearing<'a> {
    pub language: &'a Language,
    pub vocabulary: &'a Vocabulary,
    pub sentence: &'a Sentence<'a>,
    pub context: &'a Context,
    pub recent: &'a [Row],
}

impl Hearing<'_> {
    /// The best meaning and its score.
    pub fn best(&self) -> Option<(i32, Recognition)> {
        let readings = self.language.trie.read(self.sentence, &|slot, at| self.slot_end(slot, at));
        let mut best: Option<(i32, Meaning)> = None;
        for reading in &readings {
            if let Some((score, meaning)) = self.judge(reading)
                && best.as_ref().is_none_or(|(other, _)| score > *other)
            {
                best = Some((score, meaning));
            }
        }
        let (score, meaning) = best?;
        let recognition = match meaning {
            Meaning::Clear(kind) => Recognition::Intent(Intent { language: self.language.id.clone(), kind }),
            Meaning::OneOf { rows, waiting } => {
                Recognition::Ask(choose::question(self.language, self.vocabulary, &rows, waiting))
            }
        };
        Some((score, recognition))
    }

    fn slot_end(&self, slot: Slot, at: usize) -> Option<usize> {
        let len = self.sentence.len();
        match slot {
            Slot::Value => self.value(at).map(|(_, _, end)| end),
            Slot::Color => self.color(at).map(|(_, end)| end),
            Slot::Mode => self.mode_at(at).map(|(_, end)| end),
            Slot::Duration => self.language.time.duration(self.sentence, at, len).map(|(_, end)| end),
            Slot::When => {
                self.language.time.when(self.sentence, at, len, self.context.now, Prefer::Soonest).map(|(_, end)| end)
            }
            _ => None,
        }
    }

    fn judge(&self, reading: &Reading) -> Option<(i32, Meaning)> {
        let literals = i32::try_from(reading.literals).unwrap_or(0) * 10;
        let free: usize = reading
            .captures
            .iter()
            .filter(|capture| matches!(capture.slot, Slot::Text | Slot::Label))
            .map(|capture| capture.to - capture.from)
            .sum();
        let score = literals - i32::try_from(free).unwrap_or(0);
        if let Some(kind) = self.plain(reading) {
            return Some((score, Meaning::Clear(kind)));
        }
        let phrase = self.phrase(reading)?;
        let quality = phrase.quality;
        if let Some(kind) = query::query(self, reading, &phrase) {
            let cost = if matches!(kind, IntentKind::NotFound { .. }) { NOT_FOUND_COST } else { 0 };
            return Some((score + quality - cost, Meaning::Clear(kind)));
        }
        let (meaning, cost) = self.command(reading, &phrase)?;
        Some((score + quality - cost, meaning))
    }

    /// Meanings that have nothing to do with devices.
    fn plain(&self, reading: &Reading) -> Option<IntentKind> {
        let text =
            || self.capture(reading, Slot::Text).map(|capture| self.free_text(capture)).filter(|text| !text.is_empty());
        let cancel = |of, which| Some(IntentKind::CancelTimer { of, which });
        let named = || {
            let label = self.label(reading).or_else(text);
            label.map_or(CancelWhich::Next, CancelWhich::Named)
        };
        match reading.sense {
            Sense::SetTimer => {
                let capture = self.capture(reading, Slot::Duration)?;
                let (duration, _) = self.language.time.duration(self.sentence, capture.from, capture.to)?;
                Some(IntentKind::SetTimer { duration, label: self.label(reading) })
            }
            Sense::SetAlarm => Some(IntentKind::SetAlarm { when: self.when(reading, Prefer::Morning)? }),
            Sense::SetReminder => {
                Some(IntentKind::SetReminder { when: self.when(reading, Prefer::Soonest)?, text: text()? })
            }
            Sense::ListTimers => Some(IntentKind::ListTimers),
            Sense::CancelTimer => cancel(Some(TimerKind::Timer), named()),
            Sense::CancelAlarm => cancel(Some(TimerKind::Alarm), named()),
            Sense::CancelReminder => cancel(Some(TimerKind::Reminder), named()),
            Sense::CancelAll => cancel(None, CancelWhich::All),
            Sense::CancelAllTimers => cancel(Some(TimerKind::Timer), CancelWhich::All),
            Sense::CancelAllAlarms => cancel(Some(TimerKind::Alarm), CancelWhich::All),
            Sense::CancelAllReminders => cancel(Some(TimerKind::Reminder), CancelWhich::All),
            Sense::Remember => Some(IntentKind::Remember { text: text()? }),
            Sense::Recall => Some(IntentKind::Recall { topic: text()? }),
            Sense::Forget => Some(IntentKind::Forget { topic: text()? }),
            Sense::AskMember => Some(IntentKind::AskMember { member: self.label(reading)?, task: asked(&text()?) }),
            Sense::TellMember => Some(IntentKind::AskMember { member: self.label(reading)?, task: text()? }),
            Sense::Time => Some(IntentKind::Time),
            Sense::Date => Some(IntentKind::Date),
            Sense::Capabilities => Some(IntentKind::Capabilities),
            Sense::Status => Some(IntentKind::Status),
            Sense::Greeting => Some(IntentKind::Greeting),
            Sense::Thanks => Some(IntentKind::Thanks),
            Sense::NeverMind => Some(IntentKind::NeverMind),
            _ => None,
        }
    }

    fn when(&self, reading: &Reading, prefer: Prefer) -> Option<super::When> {
        if let Some(capture) = self.capture(reading, Slot::Duration) {
            return self
                .language
                .time
                .duration(self.sentence, capture.from, capture.to)
                .map(|(duration, _)| super::When::In(duration));
        }
        let capture = self.capture(reading, Slot::When)?;
        self.language.time.when(self.sentence, capture.from, capture.to, self.context.now, prefer).map(|(when, _)| when)
    }

    fn label(&self, reading: &Reading) -> Option<String> {
        let capture = self.capture(reading, Slot::Label)?;
        Some(self.sentence.written(capture.from, capture.to).to_owned())
    }

    /// A text in the middle ends at its last token, a text at the end goes on as far as the message.
    fn free_text(&self, capture: Capture) -> String {
        let written = if capture.to == self.sentence.len() {
            self.sentence.written_from(capture.from)
        } else {
            self.sentence.written(capture.from, capture.to)
        };
        written.trim_end_matches(|end: char| end.is_whitespace() || matches!(end, '?' | '.' | '!' | ',')).to_owned()
    }

    fn phrase(&self, reading: &Reading) -> Option<Phrase> {
        let targets = Targets {
            language: self.language,
            vocabulary: self.vocabulary,
            sentence: self.sentence,
            room: self.context.room.as_ref(),
            recent: self.recent,
        };
        let place = self.capture(reading, Slot::Place);
        let phrase = match (self.capture(reading, Slot::Target), place) {
            (Some(target), _) => targets.parse(target.from, target.to)?,
            (None, Some(place)) => return self.implied(reading.sense, targets.place(place.from, place.to)?.rows, true),
            (None, None) => return self.implied(reading.sense, self.vocabulary.all(), false),
        };
        match place {
            Some(place) => targets.within(phrase, place.from, place.to),
            None => Some(phrase),
        }
    }

    /// "Make it warmer" means the heating, "brighter" the lamps.
    fn implied(&self, sense: Sense, mut rows: Vec<Row>, located: bool) -> Option<Phrase> {
        let class = match sense {
            Sense::SetTemperature | Sense::Warmer | Sense::Colder => "climate",
            Sense::TurnOn
            | Sense::TurnOff
            | Sense::Brighten
            | Sense::Darken
            | Sense::FullBrightness
            | Sense::HalfBrightness
            | Sense::SetBrightness => "light",
            _ => {
                let scope = Scope::Everything;
                return Some(Phrase { rows, located, scope, quantity: Quantity::All, ..Phrase::default() });
            }
        };
        let class = ClassId::named(class)?;
        rows.retain(|row| self.vocabulary.row(*row).classes & class.bit() != 0);
        Some(Phrase {
            rows,
            located,
            quantity: Quantity::Mass,
            classes: class.bit(),
            recent: true,
            ..Phrase::default()
        })
    }

    fn command(&self, reading: &Reading, phrase: &Phrase) -> Option<(Meaning, i32)> {
        let chosen = choose(self.vocabulary, phrase, reading.sense, self.context.room.as_ref());
        let (Chosen::These(rows) | Chosen::OneOf(rows)) = &chosen else {
            let what = self.said(reading)?;
            return Some((Meaning::Clear(IntentKind::NotFound { what }), NOT_FOUND_COST));
        };
        if reading.literals == 0 && !self.is_clear_without_verb(reading, phrase) {
            return None;
        }
        let action = self.action(reading, self.vocabulary.row(rows[0]))?;
        let can = |row: &Row| suits(reading.sense, self.vocabulary.row(*row));
        let each_part_can = phrase.parts.iter().all(|part| part.iter().any(can));
        let cost = if each_part_can && rows.iter().any(can) { 0 } else { NOT_SUITED_COST };
        let targets = |rows: &[Row]| rows.iter().map(|row| self.vocabulary.row(*row).id.clone()).collect();
        match &chosen {
            Chosen::OneOf(rows) => {
                let what = Described { words: String::new(), number: GrammaticalNumber::One };
                let waiting = IntentKind::Command(Order { targets: Vec::new(), action, what });
                Some((Meaning::OneOf { rows: rows.clone(), waiting }, cost))
            }
            _ => {
                let what = self.described(reading, phrase, rows);
                Some((Meaning::Clear(IntentKind::Command(Order { targets: targets(rows), action, what })), cost))
            }
        }
    }

    /// "Kitchen lamp 30 %" is a command, "bedroom 21" may be anything.
    fn is_clear_without_verb(&self, reading: &Reading, phrase: &Phrase) -> bool {
        let value = self.capture(reading, Slot::Value).and_then(|capture| self.value(capture.from));
        phrase.scope != Scope::Place && value.is_none_or(|(_, unit, _)| unit != Unit::Unsaid)
    }

    fn action(&self, reading: &Reading, first: &EntityRow) -> Option<Action> {
        let value = self
            .capture(reading, Slot::Value)
            .and_then(|capture| self.value(capture.from))
            .map(|(value, unit, _)| (value, unit));
        let amount = |default: f64| value.map_or(default, |(value, _)| value);
        let percent = |value: f64| value.clamp(0.0, 100.0);
        Some(match reading.sense {
            Sense::TurnOn if first.kind == EntityKind::Valve => Action::Open,
            Sense::TurnOff if first.kind == EntityKind::Valve => Action::Close,
            Sense::TurnOn => Action::TurnOn,
            Sense::TurnOff => Action::TurnOff,
            Sense::Toggle => Action::Toggle,
            Sense::SetValue => value_action(first.kind, value?)?,
            Sense::SetBrightness => Action::SetBrightness { percent: percent(value?.0) },
            Sense::FullBrightness => Action::SetBrightness { percent: 100.0 },
            Sense::HalfBrightness => Action::SetBrightness { percent: 50.0 },
            Sense::Brighten => Action::ChangeBrightness { percent: percent(amount(BRIGHTNESS_STEP)) },
            Sense::Darken => Action::ChangeBrightness { percent: -percent(amount(BRIGHTNESS_STEP)) },
            Sense::Raise => match first.kind {
                EntityKind::Cover => Action::Open,
                EntityKind::Climate => Action::ChangeTemperature { degrees: amount(TEMPERATURE_STEP) },
                _ => Action::ChangeBrightness { percent: percent(amount(BRIGHTNESS_STEP)) },
            },
            Sense::Lower => match first.kind {
                EntityKind::Cover => Action::Close,
                EntityKind::Climate => Action::ChangeTemperature { degrees: -amount(TEMPERATURE_STEP) },
                _ => Action::ChangeBrightness { percent: -percent(amount(BRIGHTNESS_STEP)) },
            },
            Sense::SetColor => match self.color(self.capture(reading, Slot::Color)?.from)?.0 {
                Color::Rgb(color) => Action::SetColor { color },
                Color::Kelvin(kelvin) => Action::SetColorTemperature { kelvin },
            },
            Sense::SetTemperature => {
                Action::SetTemperature { degrees: value.filter(|(_, unit)| *unit != Unit::Percent)?.0 }
            }
            Sense::Warmer => Action::ChangeTemperature { degrees: amount(TEMPERATURE_STEP) },
            Sense::Colder => Action::ChangeTemperature { degrees: -amount(TEMPERATURE_STEP) },
            Sense::Open => match value {
                Some((value, _)) => Action::SetPosition { percent: percent(value) },
                None => Action::Open,
            },
            Sense::HalfOpen => Action::SetPosition { percent: 50.0 },
            Sense::Close => Action::Close,
            Sense::Stop => Action::Stop,
            Sense::Lock => Action::Lock,
            Sense::Unlock => Action::Unlock,
            Sense::SetMode => self.mode(self.capture(reading, Slot::Mode)?, first.kind)?,
            Sense::Activate if first.kind == EntityKind::Scene => Action::TurnOn,
            Sense::Activate | Sense::Press => Action::Press,
            _ => return None,
        })
    }

    /// The devices' own words come before the language's.
    fn mode_at(&self, at: usize) -> Option<(&str, usize)> {
        let len = self.sentence.len();
        let own = self.vocabulary.options.longest(self.sentence, at, len);
        let (mode, end) = own.or_else(|| self.language.modes.longest(self.sentence, at, len))?;
        Some((mode, end))
    }

    fn mode(&self, capture: Capture, kind: EntityKind) -> Option<Action> {
        let mode = self.mode_at(capture.from)?.0.to_owned();
        Some(if kind == EntityKind::Select { Action::Select { option: mode } } else { Action::SetMode { mode } })
    }

    fn value(&self, at: usize) -> Option<(f64, Unit, usize)> {
        let len = self.sentence.len();
        if let Some((percent, end)) = self.language.amounts.longest(self.sentence, at, len) {
            return Some((*percent, Unit::Percent, end));
        }
        let (value, end) = self.language.numbers.parse(self.sentence, at, len)?;
        let units = [
            (&self.language.percent, Unit::Percent),
            (&self.language.degrees, Unit::Degrees),
            (&self.language.kelvin, Unit::Kelvin),
        ];
        let unit =
            units.iter().find_map(|(words, unit)| words.longest(self.sentence, end, len).map(|(_, end)| (*unit, end)));
        let (unit, end) = unit.unwrap_or((Unit::Unsaid, end));
        Some((value, unit, end))
    }

    fn color(&self, at: usize) -> Option<(Color, usize)> {
        if let Some((color, end)) = self.language.colors.longest(self.sentence, at, self.sentence.len()) {
            return Some((*color, end));
        }
        let (value, unit, end) = self.value(at)?;
        (unit == Unit::Kelvin && (1000.0..=12_000.0).contains(&value)).then_some((Color::Kelvin(value as u32), end))
    }

    pub fn capture(&self, reading: &Reading, slot: Slot) -> Option<Capture> {
        reading.captures.iter().copied().find(|capture| capture.slot == slot)
    }
}

fn value_action(kind: EntityKind, (value, unit): (f64, Unit)) -> Option<Action> {
    let percent = value.clamp(0.0, 100.0);
    Some(match (kind, unit) {
        (EntityKind::Light, Unit::Kelvin) => {
            Action::SetColorTemperature { kelvin: value.clamp(1000.0, 12_000.0) as u32 }
        }
        (_, Unit::Kelvin) => return None,
        (EntityKind::Climate, Unit::Percent)
        | (EntityKind::Light | EntityKind::Cover | EntityKind::Fan, Unit::Degrees) => return None,
        (EntityKind::Cover | EntityKind::Valve, _) => Action::SetPosition { percent },
        (EntityKind::Climate, _) => Action::SetTemperature { degrees: value },
        (EntityKind::Fan, _) => Action::SetSpeed { percent },
        (EntityKind::Number | EntityKind::Humidifier, _) => Action::SetNumber { value },
        _ => Action::SetBrightness { percent },
    })
}
/// An indirect question as a direct one: "the door is open" becomes "is the door open", "die Tür offen ist" becomes "ist die Tür
/// offen". What has another form is passed on as it was said.
fn asked(text: &str) -> String {
    for verb in ["is", "are"] {
        if let Some((subject, state)) = text.split_once(&format!(" {verb} ")) {
            return format!("{verb} {subject} {state}");
        }
    }
    for verb in ["ist", "sind"] {
        if let Some(clause) = text.strip_suffix(&format!(" {verb}")) {
            return format!("{verb} {clause}");
        }
    }
    text.to_owned()
}
