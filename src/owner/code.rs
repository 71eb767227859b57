//! The setup code: short enough to type from a screen, long enough that nobody guesses it in the few tries there are.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::secret::Secret;

/// What can be told apart on a bad screen: neither 0 nor O, 1, I nor L, 2 nor Z, 5 nor S, 8 nor B, and V without U.
const LETTERS: &[u8; 24] = b"34679ACDEFGHJKMNPQRTVWXY";
/// Letters of a code: 24^8 are 1.1e11 codes, of which somebody may try five each half a minute.
const LEN: usize = 8;
/// Shown in groups of so many.
const GROUP_LEN: usize = 4;

/// Prints as `***`; [`SetupCode::shown`] is for the owner's eyes.
#[derive(Clone, PartialEq, Eq)]
pub struct SetupCode(Secret<String>);

impl SetupCode {
    /// A new one.
    ///
    /// # Panics
    /// When the operating system has no randomness: nothing safe can go on without it.
    pub fn random() -> Self {
        // Bytes beyond the last whole multiple would make the first letters likelier.
        let fair = u8::try_from(256 / LETTERS.len() * LETTERS.len()).unwrap_or(u8::MAX);
        let mut text = String::with_capacity(LEN);
        while text.len() < LEN {
            let mut bytes = [0_u8; 2 * LEN];
            getrandom::fill(&mut bytes).expect("invariant: the operating system provides random bytes");
            let letters = bytes.iter().filter(|byte| **byte < fair);
            let letters = letters.map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
            text.extend(letters.take(LEN - text.len()));
        }
        Self(Secret::new(text))
    }

    /// As people read it: `K7QD-94TM`.
    pub fn shown(&self) -> String {
        let text = self.0.reveal().as_bytes();
        text.chunks(GROUP_LEN).map(String::from_utf8_lossy).collect::<Vec<_>>().join("-")
    }

    /// Whether somebody typed this code, in letters of any size and with whatever between the groups.
    pub fn matches(&self, typed: &str) -> bool {
        normal(typed).is_some_and(|typed| self.0.matches(&typed))
    }
}

impl fmt::Debug for SetupCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for SetupCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for SetupCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let code = normal(&text).map(Secret::new).map(Self);
        code.ok_or_else(|| serde::de::Error::custom("this is no setup code"))
    }
}

/// The letters of what was typed; none when it cannot be a code.
fn normal(typed: &str) -> Option<String> {
    let mut text = String::with_capacity(LEN);
    for c in typed.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}' | '.')) {
        let letter = c.to_ascii_uppercase();
        let is_letter = u8::try_from(letter).is_ok_and(|letter| LETTERS.contains(&letter));
        if !is_letter || text.len() == LEN {
            return None;
        }
        text.push(letter);
    }
    (text.len() == LEN).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_differ_are_easy_to_read_and_stay_out_of_logs() {
        let codes: HashSet<String> = (0..200).map(|_| SetupCode::random().shown()).collect();
        assert_eq!(codes.len(), 200);
        for code in codes {
            assert!(code.len() == 9 && code.as_bytes()[4] == b'-', "{code}");
            assert!(!code.contains(['0', 'O', '1', 'I', 'L', 'U', '2', 'Z', '5', 'S', '8', 'B']), "{code}");
        }
        assert_eq!(format!("{:?}", SetupCode::random()), "***");
    }

    #[test]
    fn a_code_is_known_however_it_is_typed() {
        let code: SetupCode = serde_json::from_str("\"K7QD-94TM\"").expect("a code");
        for typed in ["K7QD-94TM", "k7qd94tm", " k7qd 94tm ", "K7QD–94TM", "K-7-Q-D-9-4-T-M"] {
            assert!(code.matches(typed), "{typed}");
        }
        for typed in ["", "K7QD-94T", "K7QD-94TMM", "K7QD-94TN", "K7QD_94TM", "ĸ7QD-94TM"] {
            assert!(!code.matches(typed), "{typed}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_only_the_code_itself_is_taken(typed in "\\PC{0,20}") {
            let code = SetupCode::random();
            prop_assert!(!code.matches(&typed) || normal(&typed) == normal(&code.shown()));
        }

        #[test]
        fn what_is_shown_can_be_typed(_ in 0..8_u8) {
            let code = SetupCode::random();
            prop_assert!(code.matches(&code.shown()));
            let kept: SetupCode = serde_json::from_str(&serde_json::to_string(&code).expect("text")).expect("a code");
            prop_assert!(kept == code);
        }
    }
}
