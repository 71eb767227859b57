//! What was understood: intents as values that can be stored while a person decides.

use std::time::Duration;

use chrono::NaiveDateTime;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::id::EntityId;
use crate::domain::household::Action;

/// A language by its short code: `en`, `de`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LanguageId(String);

impl LanguageId {
    pub fn new(code: impl Into<String>) -> Self {
        Self(code.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Intent {
    /// The language the person used, and the answer's.
    pub language: LanguageId,
    #[serde(flatten)]
    pub kind: IntentKind,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum IntentKind {
    Command(Order),
    /// Commands of one sentence, in its order.
    Several {
        orders: Vec<Order>,
    },
    Query {
        targets: Vec<EntityId>,
        about: About,
        what: Described,
    },
    /// The sentence was clear, but the home has no such thing ("the lamp in the attic").
    NotFound {
        what: String,
    },
    SetTimer {
        duration: Duration,
        label: Option<String>,
    },
    SetAlarm {
        when: When,
    },
    SetReminder {
        when: When,
        text: String,
    },
    ListTimers,
    CancelTimer {
        of: Option<TimerKind>,
        which: CancelWhich,
    },
    Remember {
        text: String,
    },
    Recall {
        topic: String,
    },
    Forget {
        topic: String,
    },
    /// "Ask the garage hub whether the door is open."
    AskMember {
        member: String,
        /// A question or an order, as one would say it to the member.
        task: String,
    },
    Time,
    Date,
    Capabilities,
    Status,
    Greeting,
    Thanks,
    /// "Never mind": the pending question is dropped.
    NeverMind,
}

/// One action for some entities.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Order {
    pub targets: Vec<EntityId>,
    pub action: Action,
    pub what: Described,
}

/// How the answer calls the targets: the person's own words where possible.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Described {
    pub words: String,
    pub number: GrammaticalNumber,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrammaticalNumber {
    One,
    Many,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "about", content = "state", rename_all = "snake_case")]
pub enum About {
    State,
    /// "Is it open?"
    Is(Condition),
    /// "Are any windows open?"
    Any(Condition),
    /// "Which lights are on?"
    Which(Condition),
    Temperature,
    Humidity,
    Brightness,
    Battery,
    LowBattery,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    On,
    Off,
    Open,
    Closed,
    Locked,
    Unlocked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    Timer,
    Alarm,
    Reminder,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelWhich {
    /// The only one, or the next to ring.
    Next,
    All,
    /// The one whose name or text contains this.
    Named(String),
}

/// When something is due. Local times carry no zone; whoever schedules knows the home's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    In(Duration),
    At(LocalTime),
    /// A cron expression of five fields, in local time.
    Every(String),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LocalTime(pub NaiveDateTime);

const LOCAL_TIME_FORMAT: &str = "%Y-%m-%dT%H:%M:%S";

impl Serialize for LocalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.format(LOCAL_TIME_FORMAT))
    }
}

impl<'de> Deserialize<'de> for LocalTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        NaiveDateTime::parse_from_str(&text, LOCAL_TIME_FORMAT).map(Self).map_err(serde::de::Error::custom)
    }
}

/// What a sentence means before its targets are known; the keys of `[intents]` in the language files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sense {
    TurnOn,
    TurnOff,
    Toggle,
    /// A value whose meaning follows from the target: brightness, position, speed, degrees.
    SetValue,
    SetBrightness,
    /// "up": brighter, warmer or open.
    Raise,
    /// "down": darker, colder or closed.
    Lower,
    Brighten,
    Darken,
    FullBrightness,
    HalfBrightness,
    SetColor,
    SetTemperature,
    Warmer,
    Colder,
    Open,
    Close,
    Stop,
    HalfOpen,
    Lock,
    Unlock,
    SetMode,
    Activate,
    Press,
    IsOn,
    IsOff,
    IsOpen,
    IsClosed,
    IsLocked,
    IsUnlocked,
    AnyOn,
    AnyOpen,
    AnyUnlocked,
    WhichOn,
    WhichOff,
    WhichOpen,
    WhichClosed,
    WhichLocked,
    WhichUnlocked,
    Temperature,
    Humidity,
    Brightness,
    Battery,
    LowBattery,
    State,
    SetTimer,
    SetAlarm,
    SetReminder,
    ListTimers,
    CancelTimer,
    CancelAlarm,
    CancelReminder,
    CancelAll,
    CancelAllTimers,
    CancelAllAlarms,
    CancelAllReminders,
    Remember,
    Recall,
    Forget,
    /// A question for another hub of the group.
    AskMember,
    /// An order for another hub of the group.
    TellMember,
    Time,
    Date,
    Capabilities,
    Status,
    Greeting,
    Thanks,
    NeverMind,
}
