//! What one configuration key is: its path, what it accepts, its default, its variables, and one sentence about it.

/// One row of the table. Everything that knows the keys (defaults, checks, variables, schema, `config get`) is driven by these rows.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted path; `*` stands for any name in a map, a trailing `[]` for each element of a list of objects.
    pub path: &'static str,
    pub kind: Kind,
    /// The default in the form a variable would carry it; `None` when the key is simply absent.
    pub default: Option<&'static str>,
    /// Names of variables besides the one derived from the path, without `KAFCLAW_` or `MIKROBOT_` in front.
    pub also: &'static [&'static str],
    /// Masked wherever it is shown.
    pub secret: bool,
    pub about: &'static str,
}

/// What a key accepts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Flag,
    /// A whole number within bounds, both included.
    Whole(i64, i64),
    /// A whole number from 1 up to the bound; zero and less mean the default (specification §1.5).
    Count(i64),
    /// A number within bounds, both included.
    Number(f64, f64),
    /// A Go duration such as `60s`, or whole nanoseconds.
    Duration,
    Text,
    /// A file or folder; a leading `~/` is the home of the configuration, anything relative starts there.
    Path,
    /// An address with one of these schemes; blank means none.
    Url(&'static [&'static str]),
    /// One of these words; blank means the default.
    OneOf(&'static [&'static str]),
    /// An address to listen on.
    Host,
    /// A time of day from when to when, such as `02:00-05:00`.
    Window,
    /// One level of an MQTT topic: not blank, without `/`, `+`, `#` and white space.
    Segment,
    /// Levels of an MQTT topic, without wildcards.
    Topic,
    /// A list of values of one kind.
    List(&'static Kind),
    /// Names with values of one kind.
    Map(&'static Kind),
}

pub const TEXTS: Kind = Kind::List(&Kind::Text);
pub const PORT: Kind = Kind::Whole(0, 65_535);
pub const WEB: &[&str] = &["http", "https"];

impl Key {
    pub const fn also(mut self, names: &'static [&'static str]) -> Self {
        self.also = names;
        self
    }

    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// Whether the path names exactly one place, so that a variable can set it.
    pub fn is_single(&self) -> bool {
        !self.path.contains('*') && !self.path.contains("[]")
    }

    /// Names of the variables that set this key, most specific first, without prefix.
    pub fn variables(&self) -> Vec<String> {
        if !self.is_single() {
            return Vec::new();
        }
        let derived = variable_name(self.path);
        let mut names = vec![derived];
        for name in self.also {
            if !names.iter().any(|known| known == name) {
                names.push((*name).to_owned());
            }
        }
        names
    }
}

/// `gateway.controlPort` as `GATEWAY_CONTROL_PORT`; runs of capitals stay together (`kafkaTlsCAFile`, `maxConcLLM`).
fn variable_name(path: &str) -> String {
    let mut name = String::with_capacity(path.len() + 8);
    let mut previous_is_small = false;
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '.' {
            name.push('_');
            previous_is_small = false;
            continue;
        }
        let next_is_small = letters.peek().is_some_and(|next| next.is_ascii_lowercase());
        let starts_word = letter.is_ascii_uppercase()
            && (previous_is_small || (next_is_small && !name.is_empty() && !name.ends_with('_')));
        if starts_word {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
        previous_is_small = letter.is_ascii_lowercase() || letter.is_ascii_digit();
    }
    name
}

/// A row with a default.
pub const fn key(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default: Some(default), also: &[], secret: false, about }
}

/// A row that is absent until somebody sets it.
pub const fn optional(path: &'static str, kind: Kind, about: &'static str) -> Key {
    Key { path, kind, default: None, also: &[], secret: false, about }
}

pub const fn flag(path: &'static str, default: &'static str, about: &'static str) -> Key {
    key(path, Kind::Flag, default, about)
}

pub const fn text(path: &'static str, default: &'static str, about: &'static str) -> Key {
    key(path, Kind::Text, default, about)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_names_follow_the_path() {
        for (path, expected) in [
            ("gateway.controlPort", "GATEWAY_CONTROL_PORT"),
            ("mqtt.url", "MQTT_URL"),
            ("scheduler.maxConcLLM", "SCHEDULER_MAX_CONC_LLM"),
            ("group.kafkaTlsCAFile", "GROUP_KAFKA_TLS_CA_FILE"),
            ("outputSanitization.redactPII", "OUTPUT_SANITIZATION_REDACT_PII"),
            ("er1.userId", "ER1_USER_ID"),
        ] {
            assert_eq!(variable_name(path), expected);
        }
    }
}
