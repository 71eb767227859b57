//! What must not leave this home: collected from where it lies, in every spelling that a log may have given it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::base::id::to_hex;
use crate::base::percent;

/// A secret is a line, not a book.
const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Spellings that are looked for.
const TEXTS_MAX: usize = 10_000;
/// Files of secrets that are read.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// What a mask looks like where secrets were already taken out.
const MASK: &str = "***";

/// The secrets of this home. Prints nothing of them.
#[derive(Clone, Default)]
pub struct Secrets(BTreeSet<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// A text that must not be seen; blank ones and very long ones are no secrets.
    pub fn add(&mut self, text: &str) {
        let text = text.trim();
        if text.is_empty() || text.len() > TEXT_BYTES_MAX {
            return;
        }
        let json = Value::from(text).to_string();
        for spelling in [
            text.to_owned(),
            json[1..json.len() - 1].to_owned(),
            format!("{text:?}").trim_matches('"').to_owned(),
            percent(text),
        ] {
            self.insert(spelling);
        }
        // A short one in another spelling is a word like any other.
        if text.len() >= 6 {
            self.add_bytes(text.as_bytes());
        }
        // An address with a user in it, such as a broker's.
        if let Some((_, rest)) = text.split_once("://")
            && let Some((user, _)) = rest.rsplit_once('@')
            && let Some((_, password)) = user.split_once(':')
        {
            self.add(password);
            self.add(&percent::decoded(password));
        }
    }

    /// Bytes that must not be seen in any alphabet.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        let hex = to_hex(bytes);
        self.insert(hex.to_uppercase());
        self.insert(hex);
        for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
            self.insert(engine.encode(bytes));
        }
    }

    /// Everything that is masked in `masked` and stands in `plain`, the same document with its secrets.
    pub fn add_masked(&mut self, plain: &Value, masked: &Value) {
        match (plain, masked) {
            (Value::String(text), Value::String(mask)) if mask == MASK => self.add(text),
            (Value::Number(number), Value::String(mask)) if mask == MASK => self.add(&number.to_string()),
            (whole, Value::String(mask)) if mask == MASK => self.add_all(whole),
            (Value::Object(plain), Value::Object(masked)) => {
                for (name, masked) in masked {
                    plain.get(name).into_iter().for_each(|plain| self.add_masked(plain, masked));
                }
            }
            (Value::Array(plain), Value::Array(masked)) => {
                plain.iter().zip(masked).for_each(|(plain, masked)| self.add_masked(plain, masked));
            }
            _ => {}
        }
    }

    /// Every text in a document that is secret as a whole.
    pub(super) fn add_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(items) => items.iter().for_each(|item| self.add_all(item)),
            Value::Object(fields) => fields.values().for_each(|value| self.add_all(value)),
            _ => {}
        }
    }

    /// A variable, when its name says that it is secret or that it may hold an address with a password.
    pub fn add_variable(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_uppercase();
        let names = ["TOKEN", "KEY", "SECRET", "PASS", "PSK", "CREDENTIAL", "AUTH"];
        if names.iter().any(|part| name.contains(part)) || value.contains("://") {
            self.add(value);
        }
    }

    /// The lines of a file, each of them secret, or what follows the colon in `user:password`. A file that cannot be read holds
    /// nothing that could get into the bundle either.
    pub fn add_file(&mut self, path: &Path) {
        let Ok(about) = fs::metadata(path) else { return };
        if !about.is_file() || about.len() > FILE_BYTES_MAX {
            return;
        }
        let Ok(bytes) = fs::read(path) else { return };
        let Ok(text) = std::str::from_utf8(&bytes) else { return self.add_bytes(&bytes) };
        self.add_bytes(&bytes);
        for line in text.lines() {
            self.add(line);
            if let Some((_, rest)) = line.split_once([':', '=']) {
                self.add(rest.trim().trim_matches(['"', '\'']));
            }
        }
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    fn insert(&mut self, text: String) {
        if self.0.len() < TEXTS_MAX && !text.is_empty() {
            self.0.insert(text);
        }
    }
}

/// As addresses spell it (RFC 3986 §2.1).
fn percent(text: &str) -> String {
    let mut spelled = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => spelled.push(char::from(byte)),
            _ => spelled.push_str(&format!("%{byte:02X}")),
        }
    }
    spelled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn texts(fill: impl FnOnce(&mut Secrets)) -> Vec<String> {
        let mut secrets = Secrets::default();
        fill(&mut secrets);
        secrets.texts().map(str::to_owned).collect()
    }

    #[test]
    fn a_secret_is_known_in_every_spelling() {
        let found = texts(|secrets| secrets.add("p\"ß/1 2"));
        for spelling in
            ["p\"ß/1 2", "p\\\"ß/1 2", "p%22%C3%9F%2F1%202", "7022c39f2f312032", "cCLDny8xIDI=", "cCLDny8xIDI"]
        {
            assert!(found.iter().any(|known| known == spelling), "{spelling} is not in {found:?}");
        }
    }

    #[test]
    fn the_password_in_an_address_is_a_secret_of_its_own() {
        let found = texts(|secrets| secrets.add("mqtt://anna:pa%3Ass@10.0.0.1:1883"));
        assert!(
            found.iter().any(|known| known == "pa%3Ass") && found.iter().any(|known| known == "pa:ss"),
            "{found:?}"
        );
        assert!(!found.iter().any(|known| known == "anna"), "{found:?}");
    }

    #[test]
    fn what_a_mask_hides_is_found_in_the_plain_document() {
        let plain = json!({"a": {"token": "t0ps3cret", "port": 1}, "l": [{"key": "zwei"}], "w": {"x": ["dreidrei"]}, "n": 123456});
        let masked = json!({"a": {"token": "***", "port": 1}, "l": [{"key": "***"}], "w": "***", "n": "***"});
        let found = texts(|secrets| secrets.add_masked(&plain, &masked));
        for secret in ["t0ps3cret", "zwei", "dreidrei", "123456"] {
            assert!(found.iter().any(|known| known == secret), "{secret} is not in {found:?}");
        }
    }

    #[test]
    fn variables_are_secret_by_their_name() {
        let found = texts(|secrets| {
            secrets.add_variable("KAFCLAW_OPENAI_API_KEY", "geheim-eins");
            secrets.add_variable("KAFCLAW_GATEWAY_PORT", "18790");
            secrets.add_variable("KAFCLAW_MQTT_URL", "mqtt://a:geheim-zwei@b");
        });
        assert!(found.iter().any(|known| known == "geheim-eins") && found.iter().any(|known| known == "geheim-zwei"));
        assert!(!found.iter().any(|known| known == "18790"));
    }

    proptest! {
        #[test]
        fn whatever_is_added_is_bounded_and_itself(text in "\\PC{0,80}") {
            let found = texts(|secrets| secrets.add(&text));
            prop_assert!(text.trim().is_empty() || found.iter().any(|known| known == text.trim()));
            prop_assert_eq!(percent::decoded(&percent(&text)), text);
        }
    }
}
