//! Which turns and tool results are worth keeping, and as which text (specification §8.3). Pure.

/// Shortest pair of question and answer that is kept, in bytes.
const PAIR_BYTES_MIN: usize = 100;
/// Kept of one side of a pair, in bytes.
const SIDE_BYTES_MAX: usize = 6 * 1024;
/// Errors shorter than this say nothing worth keeping, in bytes.
const ERROR_BYTES_MAX: usize = 200;
/// Shortest tool result that is kept and how much of it, in bytes.
const RESULT_BYTES_MIN: usize = 200;
const RESULT_BYTES_MAX: usize = 500;
/// Longest tag, in bytes.
const TAG_BYTES_MAX: usize = 500;

const GREETINGS: &[&str] =
    &["hi", "hello", "hey", "hallo", "moin", "servus", "ok", "yes", "no", "ja", "nein", "danke", "thanks"];
/// How texts begin that are calls, not words.
const CALLS: &[&str] = &["{\"tool_call", "[{\"id\""];

/// The chunk of a question and its answer; none when it is not worth keeping.
pub(super) fn pair(question: &str, answer: &str) -> Option<String> {
    let (question, answer) = (question.trim(), answer.trim());
    if question.is_empty() || answer.is_empty() || is_small_talk(question) || is_noise(question) || is_noise(answer) {
        return None;
    }
    let text = format!("Q: {}\nA: {}", cut(question, SIDE_BYTES_MAX), cut(answer, SIDE_BYTES_MAX));
    (text.len() >= PAIR_BYTES_MIN).then_some(text)
}

/// A tool's result as a chunk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ToolChunk {
    pub content: String,
    pub tags: String,
}

/// The chunk of a tool's result; none when it is not worth keeping. `path` is the file it is about, or empty.
pub(super) fn tool_chunk(tool: &str, path: &str, result: &str) -> Option<ToolChunk> {
    // What came out of the memory does not go into it again.
    if matches!(tool, "remember" | "recall" | "forget" | "update_working_memory") {
        return None;
    }
    let result = result.trim();
    if result.len() <= RESULT_BYTES_MIN || is_noise(result) {
        return None;
    }
    let body = cut(result, RESULT_BYTES_MAX);
    let content = if path.is_empty() { body } else { format!("File: {path}\n{body}") };
    Some(ToolChunk { content, tags: path[..path.floor_char_boundary(TAG_BYTES_MAX)].to_owned() })
}

fn is_small_talk(text: &str) -> bool {
    let word = text.trim_end_matches(['.', '!', '?', ',']).to_lowercase();
    GREETINGS.contains(&word.as_str())
}

fn is_noise(text: &str) -> bool {
    let is_short_error =
        text.len() < ERROR_BYTES_MAX && text.get(..6).is_some_and(|head| head.eq_ignore_ascii_case("error:"));
    is_short_error || CALLS.iter().any(|call| text.starts_with(call))
}

/// `text`, or its beginning with dots; never cut within a character.
pub(super) fn cut(text: &str, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(bytes_max)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_pairs_that_say_something_are_kept() {
        let long = "x".repeat(120);
        for (question, answer, kept) in [
            ("What is the boiler's pressure?", long.as_str(), true),
            ("hallo", &long, false),
            ("Danke!", &long, false),
            ("short", "short", false),
            (
                "What is it?",
                "Error: the printer is on fire and nobody knows why it is, but there is smoke everywhere",
                false,
            ),
            ("{\"tool_calls\": [1, 2, 3, 4]}", &long, false),
            ("[{\"id\": 7}]", &long, false),
            ("", &long, false),
        ] {
            assert_eq!(pair(question, answer).is_some(), kept, "{question}");
        }
        assert!(pair("Why?", &long).expect("kept").starts_with("Q: Why?\nA: xxx"));
        let long_error = format!("error: {}", "y".repeat(300));
        assert!(pair("Why?", &long_error).is_some(), "a long error explains something");
    }

    #[test]
    fn tool_results_are_cut_and_name_their_file() {
        assert_eq!(tool_chunk("exec", "", &"x".repeat(200)), None);
        let chunk = tool_chunk("read_file", "/srv/a.txt", &"é".repeat(400)).expect("kept");
        assert_eq!(chunk.content, format!("File: /srv/a.txt\n{}...", "é".repeat(250)));
        assert_eq!(chunk.tags, "/srv/a.txt");
        assert_eq!(tool_chunk("recall", "", &"x".repeat(999)), None);
    }

    proptest! {
        #[test]
        fn cutting_never_breaks_a_character(text in ".{0,300}", bytes_max in 0_usize..200) {
            let short = cut(&text, bytes_max);
            prop_assert!(short.len() <= bytes_max + 3);
            let head = short.strip_suffix("...").unwrap_or(&short);
            prop_assert!(text.starts_with(head) || text == short);
        }
    }
}
