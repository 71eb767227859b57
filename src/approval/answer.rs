//! The words of an answer in a chat: `approve:<id>` and `deny:<id>`.

use crate::approval::Decision;
use crate::base::id::ApprovalId;

/// Longest id that can be one; ours have 16 characters.
const ID_BYTES_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub id: ApprovalId,
    pub decision: Decision,
}

/// Reads a whole message as an answer; `None` when it is about anything else. Phones capitalize first words and add spaces.
pub fn parse_answer(text: &str) -> Option<Answer> {
    let (word, id) = text.trim().split_once(':')?;
    let word = word.trim_end();
    let decision = if word.eq_ignore_ascii_case("approve") {
        Decision::Approve
    } else if word.eq_ignore_ascii_case("deny") {
        Decision::Deny
    } else {
        return None;
    };
    let id = id.trim_start();
    let is_id = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    is_id.then(|| Answer { id: ApprovalId::from(id), decision })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_whole_message_is_an_answer() {
        let answer = |decision| Some(Answer { id: ApprovalId::from("00ff"), decision });
        for (text, expected) in [
            ("approve:00ff", answer(Decision::Approve)),
            ("deny:00ff", answer(Decision::Deny)),
            (" Approve: 00ff \n", answer(Decision::Approve)),
            ("DENY :00ff", answer(Decision::Deny)),
            ("approve:", None),
            ("approve", None),
            ("please approve:00ff", None),
            ("approve:00ff now", None),
            ("approve:00ff;deny:11", None),
            ("approved:00ff", None),
            ("", None),
        ] {
            assert_eq!(parse_answer(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_without_panic_and_only_answers_are_answers(text in ".*") {
            if let Some(answer) = parse_answer(&text) {
                let word = if answer.decision == Decision::Approve { "approve" } else { "deny" };
                prop_assert!(text.to_ascii_lowercase().contains(word));
                prop_assert!(text.contains(answer.id.as_str()));
            }
        }

        #[test]
        fn every_id_we_could_make_reads_back(id in "[0-9a-f]{16}", approve: bool) {
            let (word, decision) = if approve { ("approve", Decision::Approve) } else { ("deny", Decision::Deny) };
            let parsed = parse_answer(&format!("{word}:{id}"));
            prop_assert_eq!(parsed, Some(Answer { id: ApprovalId::from(id), decision }));
        }
    }
}
