//! Which events of our own timeline are told to the group, and how much of them.

use sha2::{Digest, Sha256};

use crate::domain::message::Channel;
use crate::group::trace::Span;
use crate::timeline::Row;

/// Longest text that is told, in bytes.
const CONTENT_BYTES_MAX: usize = 4 * 1024;

/// What is told of conversations that are no business of the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Private {
    /// Nothing.
    Nothing,
    /// That there was a call, of what, and how long it took; no words.
    Figures,
    /// The words too. Only by an explicit setting.
    Words,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    pub is_on: bool,
    pub private: Private,
    /// One in so many traces is told, as a whole.
    pub one_in: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { is_on: true, private: Private::Nothing, one_in: 1 }
    }
}

/// How much of a trace is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    Figures,
    Words,
}

impl Config {
    /// How much of a trace is told; none for nothing. `channel` is that of the task whose trace it is.
    pub fn scope(&self, channel: &Channel, trace_id: &str) -> Option<Scope> {
        if !self.is_on || !is_sampled(trace_id, self.one_in) {
            return None;
        }
        match self.private {
            _ if channel.as_str() == Channel::GROUP => Some(Scope::Words),
            Private::Nothing => None,
            Private::Figures => Some(Scope::Figures),
            Private::Words => Some(Scope::Words),
        }
    }
}

/// Whether an event is of a kind that is told at all.
pub fn may_tell(row: &Row) -> bool {
    let kind = row.classification.as_str();
    matches!(kind, "LLM" | "TOOL") || kind.contains("_OUTBOUND") || kind.starts_with("APPROVAL_")
}

/// The span that tells of an event; none when it is not told. `channel` is that of the task whose trace it is.
pub fn span_of(row: &Row, channel: &Channel, config: &Config) -> Option<Span> {
    let may_say_words = config.scope(channel, &row.trace_id)? == Scope::Words;
    let (span_type, title, content) = match row.classification.as_str() {
        // Their content is figures: model, tokens, tools by name, durations.
        "LLM" => ("LLM", format!("LLM call: {}", word_after(&row.content_text, "model=")), row.content_text.as_str()),
        "TOOL" => ("TOOL", format!("Tool: {}", word_after(&row.content_text, "tool=")), row.content_text.as_str()),
        other if other.contains("_OUTBOUND") => {
            let title = format!("Task via {channel}");
            ("TASK", title, if may_say_words { row.content_text.as_str() } else { "" })
        }
        _ => return None,
    };
    let duration_ms = u64::try_from(row.duration_ms).unwrap_or(0);
    Some(Span {
        trace_id: row.trace_id.clone(),
        span_id: row.span_id.clone(),
        parent_span_id: row.parent_span_id.clone(),
        span_type: span_type.to_owned(),
        title,
        content: content[..content.floor_char_boundary(CONTENT_BYTES_MAX)].to_owned(),
        started_at: Some(row.timestamp.minus(std::time::Duration::from_millis(duration_ms))),
        ended_at: Some(row.timestamp),
        duration_ms,
    })
}

/// All spans of one trace are told, or none.
fn is_sampled(trace_id: &str, one_in: u32) -> bool {
    let digest = Sha256::digest(trace_id.as_bytes());
    let number = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
    one_in > 0 && number.is_multiple_of(one_in)
}

fn word_after<'a>(text: &'a str, label: &str) -> &'a str {
    let rest = text.strip_prefix(label).unwrap_or_default();
    rest.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;

    fn row(classification: &str, content: &str) -> Row {
        Row {
            id: 1,
            event_id: "e".to_owned(),
            trace_id: "t".to_owned(),
            span_id: "s".to_owned(),
            parent_span_id: String::new(),
            timestamp: Timestamp::from_millis(10_000),
            sender_id: "ann".to_owned(),
            sender_name: String::new(),
            event_type: "SYSTEM".to_owned(),
            content_text: content.to_owned(),
            media_path: String::new(),
            vector_id: String::new(),
            classification: classification.to_owned(),
            authorized: true,
            metadata: "{\"response_text\":\"secret\"}".to_owned(),
            duration_ms: 4_000,
        }
    }

    fn told(classification: &str, content: &str, channel: &str, private: Private) -> Option<Span> {
        let config = Config { private, ..Config::default() };
        span_of(&row(classification, content), &Channel::new(channel), &config)
    }

    #[test]
    fn private_words_leave_only_by_an_explicit_setting() {
        let answer = "MQTT_OUTBOUND status=sent";
        assert_eq!(told(answer, "secret", "mqtt", Private::Nothing), None);
        assert_eq!(told(answer, "secret", "mqtt", Private::Figures).map(|span| span.content).as_deref(), Some(""));
        assert_eq!(told(answer, "secret", "mqtt", Private::Words).map(|span| span.content).as_deref(), Some("secret"));
        assert_eq!(
            told(answer, "public", "group", Private::Nothing).map(|span| span.content).as_deref(),
            Some("public")
        );
        assert_eq!(told("MQTT_INBOUND", "secret", "mqtt", Private::Words), None, "what people say is never told");
        let figures = told("LLM", "model=m tokens=3 duration=4ms", "mqtt", Private::Figures).expect("told");
        assert_eq!((figures.title.as_str(), figures.duration_ms), ("LLM call: m", 4_000));
        assert_eq!(figures.started_at, Some(Timestamp::from_millis(6_000)));
        assert_eq!(
            told("TOOL", "tool=exec duration=1ms", "group", Private::Nothing).expect("told").title,
            "Tool: exec"
        );
        assert_eq!(told("APPROVAL_REQUESTED", "secret", "group", Private::Words), None);
    }

    #[test]
    fn a_trace_is_told_as_a_whole_or_not_at_all() {
        let kept = |one_in| (0..1_000).filter(|number| is_sampled(&number.to_string(), one_in)).count();
        assert_eq!((kept(1), kept(0)), (1_000, 0));
        assert!((50..200).contains(&kept(10)), "{}", kept(10));
    }
}
