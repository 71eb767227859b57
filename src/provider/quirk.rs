//! What a server does not understand of the dialect, learned from its refusals, so that nobody has to configure it.

use crate::provider::wire::Message;

/// Each is learned at most once, so that learning ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Quirks {
    /// `max_completion_tokens` instead of `max_tokens`.
    pub names_completion_tokens: bool,
    /// The temperature cannot be chosen.
    pub fixes_temperature: bool,
    /// `stream_options` is unknown; usage is not told.
    pub lacks_stream_options: bool,
    /// The model, or the way its server was started, has no tools.
    pub lacks_tools: bool,
    /// The model's template takes one system message, in front.
    pub wants_one_system: bool,
    /// Calls need a signature of the thought that led to them, and take the documented stand-in for one that was not kept.
    pub wants_signatures: bool,
}

impl Quirks {
    /// Learns from the text of a refusal. `false` when nothing new is in it.
    pub(super) fn learn(&mut self, refusal: &str) -> bool {
        let refusal = refusal.to_ascii_lowercase();
        let says = |phrases: &[&str]| phrases.iter().any(|phrase| refusal.contains(phrase));
        let cannot = says(&["unsupported", "not support", "deprecated", "not permitted", "only the default"]);
        let heard = [
            (&mut self.names_completion_tokens, says(&["max_completion_tokens"])),
            (&mut self.fixes_temperature, says(&["temperature"]) && cannot),
            (&mut self.lacks_stream_options, says(&["stream_options"])),
            (
                &mut self.lacks_tools,
                says(&[
                    "does not support tool",
                    "not support tool",
                    "not support function",
                    "tools param requires",
                    "tool choice requires",
                    "support tool use",
                ]),
            ),
            (
                &mut self.wants_one_system,
                says(&["system message must be", "roles must alternate", "system role not supported"]),
            ),
            (&mut self.wants_signatures, says(&["thought_signature"])),
        ];
        let mut is_new = false;
        for (known, heard) in heard {
            is_new |= heard && !*known;
            *known |= heard;
        }
        is_new
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            names_completion_tokens: self.names_completion_tokens || other.names_completion_tokens,
            fixes_temperature: self.fixes_temperature || other.fixes_temperature,
            lacks_stream_options: self.lacks_stream_options || other.lacks_stream_options,
            lacks_tools: self.lacks_tools || other.lacks_tools,
            wants_one_system: self.wants_one_system || other.wants_one_system,
            wants_signatures: self.wants_signatures || other.wants_signatures,
        }
    }
}

/// The same conversation with one system message in front: what the later ones say goes to the person's next message.
pub(super) fn with_one_system(messages: &[Message]) -> Vec<Message> {
    let mut front = Vec::new();
    let mut rest = Vec::new();
    let mut waiting = Vec::new();
    for message in messages {
        match message {
            Message::System(text) if rest.is_empty() && waiting.is_empty() => front.push(text.as_str()),
            Message::System(text) => waiting.push(text.as_str()),
            Message::User(text) => {
                waiting.push(text);
                rest.push(Message::User(waiting.join("\n\n")));
                waiting.clear();
            }
            other => rest.push(other.clone()),
        }
    }
    if !waiting.is_empty() {
        rest.push(Message::User(waiting.join("\n\n")));
    }
    if !front.is_empty() {
        rest.insert(0, Message::System(front.join("\n\n")));
    }
    rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refusals_of_known_servers_are_understood() {
        let plain = Quirks::default();
        for (refusal, expected) in [
            (
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Quirks { names_completion_tokens: true, ..plain },
            ),
            (
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) value is supported.",
                Quirks { fixes_temperature: true, ..plain },
            ),
            (
                r#"{"detail":[{"type":"extra_forbidden","loc":["body","stream_options"],"msg":"Extra inputs are not permitted"}]}"#,
                Quirks { lacks_stream_options: true, ..plain },
            ),
            ("registry.ollama.ai/library/gemma2:2b does not support tools", Quirks { lacks_tools: true, ..plain }),
            ("tools param requires --jinja flag", Quirks { lacks_tools: true, ..plain }),
            (
                "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
                Quirks { lacks_tools: true, ..plain },
            ),
            ("System message must be at the beginning.", Quirks { wants_one_system: true, ..plain }),
            (
                "Function call is missing a thought_signature in functionCall parts.",
                Quirks { wants_signatures: true, ..plain },
            ),
        ] {
            let mut learned = plain;
            assert!(learned.learn(refusal), "{refusal}");
            assert_eq!(learned, expected, "{refusal}");
            assert!(!learned.learn(refusal), "twice: {refusal}");
        }
        assert!(!Quirks::default().learn("This model's maximum context length is 8192 tokens."));
    }

    #[test]
    fn later_system_messages_go_to_the_next_message_of_the_person() {
        let (system, user) =
            (|text: &str| Message::System(text.to_owned()), |text: &str| Message::User(text.to_owned()));
        assert_eq!(
            with_one_system(&[system("a"), system("b"), user("c"), system("d"), user("e"), system("f")]),
            [system("a\n\nb"), user("c"), user("d\n\ne"), user("f")]
        );
        assert_eq!(with_one_system(&[]), []);
    }

    proptest! {
        #[test]
        fn at_most_one_system_message_is_left_and_in_front(kinds in proptest::collection::vec(0..3, 0..10)) {
            let messages: Vec<Message> = kinds.iter().map(|kind| match kind {
                0 => Message::System("s".to_owned()),
                1 => Message::User("u".to_owned()),
                _ => Message::Assistant { text: "a".to_owned(), calls: Vec::new() },
            }).collect();
            let folded = with_one_system(&messages);
            prop_assert!(folded.iter().skip(1).all(|message| !matches!(message, Message::System(_))));
        }
    }
}
