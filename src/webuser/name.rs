//! What a web user may be called, and what address may be linked to one.

/// Longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 100;
/// Longest address, in bytes.
const JID_BYTES_MAX: usize = 200;
/// Where a bare number lives.
const WHATSAPP_HOST: &str = "s.whatsapp.net";

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    #[error("name is required")]
    Missing,
    #[error("a name has at most {NAME_BYTES_MAX} bytes and no control characters")]
    Unfit,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a WhatsApp address is a number, or a name, an @ and a host, without spaces")]
pub struct JidError;

/// A name that may be stored: trimmed, not empty, printable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name(String);

impl Name {
    pub fn new(text: &str) -> Result<Self, NameError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NameError::Missing);
        }
        if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(NameError::Unfit);
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A WhatsApp address with its host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Jid(String);

impl Jid {
    /// A bare number gets WhatsApp's host (specification §3.10). Blank means "no address".
    pub fn parse(text: &str) -> Result<Option<Self>, JidError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(None);
        }
        if text.len() > JID_BYTES_MAX || text.chars().any(|letter| letter.is_control() || letter.is_whitespace()) {
            return Err(JidError);
        }
        let Some((user, host)) = text.split_once('@') else {
            let number = text.strip_prefix('+').unwrap_or(text);
            let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
            return if is_number { Ok(Some(Self(format!("{number}@{WHATSAPP_HOST}")))) } else { Err(JidError) };
        };
        if user.is_empty() || host.is_empty() || host.contains('@') {
            return Err(JidError);
        }
        Ok(Some(Self(text.to_owned())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(Name::new("  Änne ").expect("a name").as_str(), "Änne");
        assert_eq!(Name::new(" \t"), Err(NameError::Missing));
        assert_eq!(Name::new("a\nb"), Err(NameError::Unfit));
        assert_eq!(Name::new(&"x".repeat(NAME_BYTES_MAX + 1)), Err(NameError::Unfit));
    }

    #[test]
    fn a_bare_number_gets_its_host_and_a_blank_means_none() {
        let parse = |text: &str| Jid::parse(text).map(|jid| jid.map(|jid| jid.as_str().to_owned()));
        assert_eq!(parse("4915112345"), Ok(Some("4915112345@s.whatsapp.net".to_owned())));
        assert_eq!(parse("+4915112345"), Ok(Some("4915112345@s.whatsapp.net".to_owned())));
        assert_eq!(parse(" 12345-678@g.us "), Ok(Some("12345-678@g.us".to_owned())));
        assert_eq!(parse("  "), Ok(None));
        for text in ["ann", "@host", "a@", "a@b@c", "a b@c", "+"] {
            assert_eq!(parse(text), Err(JidError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_accepted_is_accepted_again_unchanged(text in ".{0,120}") {
            if let Ok(name) = Name::new(&text) {
                prop_assert_eq!(Name::new(name.as_str()), Ok(name.clone()));
            }
            if let Ok(Some(jid)) = Jid::parse(&text) {
                prop_assert_eq!(Jid::parse(jid.as_str()), Ok(Some(jid.clone())));
            }
        }
    }
}
