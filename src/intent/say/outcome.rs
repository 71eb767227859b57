//! What came of a command.

use super::Say;
use super::reply::{ReplyKey, capitalized, number};
use crate::domain::household::{Action, CommandResult, Rgb};
use crate::intent::kind::{Described, Order};
use crate::intent::language::Color;

impl Say<'_> {
    /// "The kitchen lamp is on.", or what went wrong with which of them. `results` pairs an entity's name with its result.
    pub fn command(&self, what: &Described, action: &Action, results: &[(String, CommandResult)]) -> String {
        let with = |wanted: fn(&CommandResult) -> bool| -> Vec<&str> {
            results.iter().filter(|(_, result)| wanted(result)).map(|(name, _)| name.as_str()).collect()
        };
        let confirmed = with(|result| *result == CommandResult::Confirmed);
        if results.is_empty() {
            return self.one(ReplyKey::NothingDone, &[("what", &what.words)]);
        }
        if confirmed.len() == results.len() {
            return self.done(what, action);
        }
        if results.iter().all(|(_, result)| *result == CommandResult::NotConnected) {
            return self.one(ReplyKey::NotConnected, &[("what", &what.words)]);
        }
        let mut said = Vec::new();
        if !confirmed.is_empty() {
            said.push(self.done(&self.called(&confirmed), action));
        }
        let problems = [
            (ReplyKey::NotConfirmed, with(|result| *result == CommandResult::NotConfirmed)),
            (ReplyKey::Unavailable, with(|result| *result == CommandResult::Unavailable)),
            (ReplyKey::NotSupported, with(|result| matches!(result, CommandResult::NotSupported { .. }))),
            (ReplyKey::NotConnected, with(|result| *result == CommandResult::NotConnected)),
        ];
        for (key, names) in problems.iter().filter(|(_, names)| !names.is_empty()) {
            let subject = if names.len() == results.len() { what.clone() } else { self.called(names) };
            said.push(self.numbered(*key, subject.number, &[("what", &subject.words)]));
        }
        said.join(" ")
    }

    /// The same for each of several commands; what they have in common is said once.
    pub fn commands(&self, outcomes: &[(Order, Vec<(String, CommandResult)>)]) -> String {
        let mut said: Vec<String> = Vec::new();
        for (order, results) in outcomes {
            let sentence = self.command(&order.what, &order.action, results);
            if !said.contains(&sentence) {
                said.push(sentence);
            }
        }
        said.join(" ")
    }

    /// There is no such thing in this home.
    pub fn not_found(&self, what: &str) -> String {
        self.one(ReplyKey::NotFound, &[("what", what)])
    }

    fn done(&self, what: &Described, action: &Action) -> String {
        let (key, value) = self.sentence_of(action);
        self.numbered(key, what.number, &[("what", &what.words), ("value", &value)])
    }

    fn called(&self, names: &[&str]) -> Described {
        let number = self.language.number_of(names);
        Described { words: self.language.replies.names(self.language, names), number }
    }

    fn sentence_of(&self, action: &Action) -> (ReplyKey, String) {
        let percent = |value: f64| format!("{} %", number(value));
        match action {
            Action::TurnOn => (ReplyKey::TurnOn, String::new()),
            Action::TurnOff => (ReplyKey::TurnOff, String::new()),
            Action::Toggle => (ReplyKey::Toggle, String::new()),
            Action::SetBrightness { percent: value } => (ReplyKey::SetBrightness, percent(*value)),
            Action::ChangeBrightness { percent: value } if *value < 0.0 => (ReplyKey::Darker, percent(-value)),
            Action::ChangeBrightness { percent: value } => (ReplyKey::Brighter, percent(*value)),
            Action::SetColor { color } => (ReplyKey::SetColor, self.color_name(*color)),
            Action::SetColorTemperature { kelvin } => (ReplyKey::SetColorTemperature, format!("{kelvin} K")),
            Action::SetTemperature { degrees } => (ReplyKey::SetTemperature, format!("{} °", number(*degrees))),
            Action::ChangeTemperature { degrees } if *degrees < 0.0 => {
                (ReplyKey::Colder, format!("{} °", number(-degrees)))
            }
            Action::ChangeTemperature { degrees } => (ReplyKey::Warmer, format!("{} °", number(*degrees))),
            Action::Open => (ReplyKey::Open, String::new()),
            Action::Close => (ReplyKey::Close, String::new()),
            Action::Stop => (ReplyKey::Stop, String::new()),
            Action::SetPosition { percent: value } => (ReplyKey::SetPosition, percent(*value)),
            Action::Lock => (ReplyKey::Lock, String::new()),
            Action::Unlock => (ReplyKey::Unlock, String::new()),
            Action::SetMode { mode } => (ReplyKey::SetMode, mode.clone()),
            Action::SetSpeed { percent: value } => (ReplyKey::SetSpeed, percent(*value)),
            Action::SetNumber { value } => (ReplyKey::SetNumber, number(*value)),
            Action::Select { option } => (ReplyKey::Select, option.clone()),
            Action::Press => (ReplyKey::Press, String::new()),
        }
    }

    fn color_name(&self, color: Rgb) -> String {
        let named = self.language.colors.iter().filter(|(_, known)| **known == Color::Rgb(color));
        // The shortest word, and the first of those, so that the same color is always called the same.
        let name = named.map(|(name, _)| name).min_by_key(|name| (name.len(), *name));
        name.map_or_else(|| format!("#{:02x}{:02x}{:02x}", color.r, color.g, color.b), str::to_owned)
    }

    /// The words for an action that still waits for somebody's permission.
    pub fn approval(&self, request: &str) -> String {
        self.one(ReplyKey::Approval, &[("request", request)])
    }

    pub fn denied(&self) -> String {
        self.one(ReplyKey::Denied, &[])
    }

    /// Nobody answered the question for permission in time.
    pub fn approval_expired(&self) -> String {
        self.one(ReplyKey::Expired, &[])
    }

    /// Power or process went away between the command and its confirmation.
    pub fn interrupted(&self, request: &str) -> String {
        capitalized(&self.one(ReplyKey::Interrupted, &[("request", request)]))
    }
}
