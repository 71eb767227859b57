//! The lines that observations are written in: `## YYYY-MM-DD`, and below it `- [HIGH|MEDIUM|LOW] text`. Models are careless,
//! so bullets and brackets are read generously; whatever is neither is counted, never dropped in silence.

use chrono::NaiveDate;

use super::date_of;
use super::store::Observation;
use crate::base::clock::Timestamp;

/// Longest text of one observation, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;
/// Observations read from one answer.
const COUNT_MAX: usize = 500;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Priority {
    Low,
    Medium,
    High,
}

impl Priority {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// What a memory of this priority is worth, 0 to 1.
    pub const fn importance(self) -> f32 {
        match self {
            Self::Low => 0.3,
            Self::Medium => 0.5,
            Self::High => 0.8,
        }
    }

    /// Any case; anything unknown is medium.
    pub fn parse(text: &str) -> Self {
        match text.trim().to_ascii_lowercase().as_str() {
            "high" => Self::High,
            "low" => Self::Low,
            _ => Self::Medium,
        }
    }
}

/// One line that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub priority: Priority,
    pub text: String,
    /// Midnight UTC of the date it stood under.
    pub referenced_at: Timestamp,
}

/// What an answer held.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parsed {
    pub observations: Vec<Line>,
    /// Lines that say something in no known form.
    pub unread: usize,
}

/// Reads an answer. Lines before the first date belong to the day of `now`.
pub fn parse(answer: &str, now: Timestamp) -> Parsed {
    let mut parsed = Parsed::default();
    let mut referenced_at = day(&date_of(now)).unwrap_or(now);
    for line in answer.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(title) = line.strip_prefix('#') {
            let title = title.trim_start_matches('#').trim();
            match title.get(..10).and_then(day) {
                Some(at) => referenced_at = at,
                // A heading is no observation, but a list under a heading that nobody can read lost its date.
                None if title.starts_with(|c: char| c.is_ascii_digit()) => parsed.unread += 1,
                None => {}
            }
            continue;
        }
        match observation(line) {
            Some((priority, text)) if parsed.observations.len() < COUNT_MAX => {
                parsed.observations.push(Line { priority, text: text.to_owned(), referenced_at });
            }
            _ if matches!(line, "```" | "---" | "```markdown" | "***") => {}
            _ => parsed.unread += 1,
        }
    }
    parsed
}

/// The observations in the form that [`parse`] reads, oldest date first.
pub(super) fn format(observations: &[Observation]) -> String {
    let mut text = String::new();
    let mut date = String::new();
    for observation in observations {
        let own = date_of(observation.referenced_at);
        if own != date {
            text.push_str(&format!("## {own}\n"));
            date = own;
        }
        let priority = observation.priority.as_str().to_uppercase();
        text.push_str(&format!("- [{priority}] {}\n", observation.content.replace(['\n', '\r'], " ")));
    }
    text
}

fn observation(line: &str) -> Option<(Priority, &str)> {
    let rest = line.strip_prefix(['-', '*', '•'])?.trim_start().trim_start_matches("**");
    let (priority, text) = match rest.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        Some((word, text)) if is_priority(word) => (Priority::parse(word), text.trim_start_matches("**")),
        _ => (Priority::Medium, rest),
    };
    let text = text.trim_start_matches(':').trim();
    let text = text[..text.floor_char_boundary(TEXT_BYTES_MAX)].trim_end();
    text.chars().any(char::is_alphanumeric).then_some((priority, text))
}

fn is_priority(word: &str) -> bool {
    ["high", "medium", "low"].iter().any(|known| word.trim().eq_ignore_ascii_case(known))
}

fn day(text: &str) -> Option<Timestamp> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    Some(Timestamp::from_millis(date.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123); // 2026-08-18

    #[test]
    fn careless_models_are_read_and_prose_is_counted() {
        let answer = "Here is the list:\n```\n## 2026-08-01\n- [HIGH] Anna is allergic to nuts\n* [low]: likes tea\n\
                      - **[MEDIUM]** The boiler was serviced\n## Notes\n- no priority here\n-\nThat is all.";
        let parsed = parse(answer, NOW);
        let brief: Vec<(Priority, &str)> =
            parsed.observations.iter().map(|line| (line.priority, line.text.as_str())).collect();
        assert_eq!(
            brief,
            [
                (Priority::High, "Anna is allergic to nuts"),
                (Priority::Low, "likes tea"),
                (Priority::Medium, "The boiler was serviced"),
                (Priority::Medium, "no priority here"),
            ]
        );
        assert_eq!(parsed.unread, 3);
        assert_eq!(date_of(parsed.observations[0].referenced_at), "2026-08-01");
        assert_eq!(date_of(parse("- [HIGH] x", NOW).observations[0].referenced_at), "2026-08-18");
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_harm(answer in "(.|\n){0,400}") {
            let parsed = parse(&answer, NOW);
            let lines = answer.lines().filter(|line| !line.trim().is_empty()).count();
            prop_assert!(parsed.observations.len() + parsed.unread <= lines);
            prop_assert!(parsed.observations.iter().all(|line| !line.text.is_empty() && line.text.len() <= TEXT_BYTES_MAX));
        }

        #[test]
        fn what_was_written_reads_back(texts in proptest::collection::vec("[a-zA-Z0-9äß]{1,3}( [a-zA-Z0-9.,:äß]{1,8}){0,5}", 0..12), days in 0_i64..400) {
            let observations: Vec<Observation> = texts.iter().enumerate().map(|(id, text)| Observation {
                id: id as i64,
                content: text.clone(),
                priority: [Priority::Low, Priority::Medium, Priority::High][id % 3],
                referenced_at: Timestamp::from_millis((days + id as i64 / 4) * 86_400_000),
            }).collect();
            let parsed = parse(&format(&observations), NOW);
            prop_assert_eq!(parsed.unread, 0);
            let read: Vec<(Priority, String, Timestamp)> =
                parsed.observations.into_iter().map(|line| (line.priority, line.text, line.referenced_at)).collect();
            let written: Vec<(Priority, String, Timestamp)> = observations
                .into_iter()
                .map(|observation| (observation.priority, observation.content, observation.referenced_at))
                .collect();
            prop_assert_eq!(read, written);
        }
    }
}
