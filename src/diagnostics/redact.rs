//! Takes secrets out of texts: those of this home by what they are, those of others by what they look like.

use regex::{NoExpand, Regex, RegexBuilder};
use serde_json::Value;

use crate::diagnostics::secrets::Secrets;

/// What stands where a secret was.
const MASK: &str = "***";
/// A shorter secret is only taken out where it stands alone: `1234` is part of too much.
const ANYWHERE_LEN_MIN: usize = 6;
/// Memory of one pattern once it is compiled, in bytes; a home with very many secrets has a large one.
const PATTERN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What looks like a secret whosesoever it is: the pattern, and what takes its place.
const LOOKS: &[(&str, &str)] = &[
    // A private key, also one whose end is missing.
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)", "***"),
    // Headers, to the end of the line.
    (
        r#"(?i)\b((?:proxy-)?authorization|x-api-key|x-channel-token|cookie|set-cookie)(["']?\s*[:=]\s*)[^\r\n]+"#,
        "${1}${2}***",
    ),
    (r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{6,}", "${1} ***"),
    // A name that says so, and its value, in quotes or not.
    (
        r#"(?i)((?:token|passwd|password|passphrase|passwort|secret|api[_-]?key|private[_-]?key|access[_-]?key|psk|credentials?|pwd|setup[_-]?code)\\?["']?\s*[:=]\s*)(?:\\?"(?:[^"\\]|\\[^"])*\\?"|'[^']*'|[^\s"'&,;}\])]+)"#,
        "${1}***",
    ),
    // `scheme://user:password@host`
    (r#"://[^/\s:@"']*:[^/\s@"']+@"#, "://***@"),
    // What providers give out, tokens that are signed, setup codes.
    (r"\b(?:sk|pk|rk|xox[a-z]|xapp|gh[a-z]|github_pat|glpat|hf|gsk|xai)[-_][A-Za-z0-9_-]{10,}", "***"),
    (r"\bAIza[A-Za-z0-9_-]{20,}", "***"),
    (r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?", "***"),
    (r"\b[34679AC-HJKMNP-RTVWXY]{4}-[34679AC-HJKMNP-RTVWXY]{4}\b", "***"),
    // Long numbers and words that nobody thinks up; checksums go with them.
    (r"\b[A-Za-z0-9_]{40,}\b", "***"),
];
/// Fields of JSON whose name ends so have no business in a bundle.
const SECRET_ENDS: &[&str] = &[
    "token",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "apikey",
    "privatekey",
    "accesskey",
    "psk",
    "credentials",
    "setupcode",
    "pairingcode",
];

pub struct Redactor {
    /// None when there are none.
    known: Option<Regex>,
    looks: Vec<(Regex, &'static str)>,
}

impl Redactor {
    pub fn new(secrets: &Secrets) -> Self {
        let looks = LOOKS
            .iter()
            .map(|(pattern, mask)| (Regex::new(pattern).expect("invariant: the patterns above are right"), *mask));
        Self { known: known(secrets), looks: looks.collect() }
    }

    pub fn text(&self, text: &str) -> String {
        let mut text = match &self.known {
            Some(known) => known.replace_all(text, NoExpand(MASK)).into_owned(),
            None => text.to_owned(),
        };
        for (look, mask) in &self.looks {
            if look.is_match(&text) {
                text = look.replace_all(&text, *mask).into_owned();
            }
        }
        text
    }

    /// The same document with the same shape.
    pub fn json(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| {
                    let value = match value {
                        Value::String(text) if !text.is_empty() && is_secret_name(name) => Value::from(MASK),
                        Value::Number(_) if is_secret_name(name) => Value::from(MASK),
                        value => self.json(value),
                    };
                    (self.text(name), value)
                });
                Value::Object(fields.collect())
            }
            Value::Number(number) if self.known.as_ref().is_some_and(|known| known.is_match(&number.to_string())) => {
                Value::from(MASK)
            }
            other => other.clone(),
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_ENDS.iter().any(|end| plain.ends_with(end))
}

/// One pattern for all secrets, the longest first, so that none is left because a part of it was taken.
fn known(secrets: &Secrets) -> Option<Regex> {
    let mut texts: Vec<&str> = secrets.texts().filter(|text| !text.chars().all(|c| c == '*')).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    if texts.is_empty() {
        return None;
    }
    let patterns: Vec<String> = texts
        .iter()
        .map(|text| {
            let escaped = regex::escape(text);
            // Half a boundary asks only what stands outside of the secret, so it also holds beside a `¹`, which is no letter of
            // a word.
            match text.chars().count() < ANYWHERE_LEN_MIN {
                true => format!(r"\b{{start-half}}{escaped}\b{{end-half}}"),
                false => escaped,
            }
        })
        .collect();
    let pattern = RegexBuilder::new(&patterns.join("|")).size_limit(PATTERN_BYTES_MAX).build();
    Some(pattern.expect("invariant: the number and length of secrets are bounded"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn redactor(secrets: &[&str]) -> Redactor {
        let mut known = Secrets::default();
        secrets.iter().for_each(|secret| known.add(secret));
        Redactor::new(&known)
    }

    #[test]
    fn secrets_of_others_are_known_by_their_looks() {
        let redactor = redactor(&[]);
        for text in [
            "Authorization: Bearer S3CRET-VALUE",
            "curl -H 'authorization: Basic S3CRET-VALUE=='",
            "mqtt://anna:S3CRET-VALUE@10.0.0.4:1883",
            "password=S3CRET-VALUE",
            "\"kafkaSaslPassword\": \"S3CRET-VALUE with spaces\"",
            r#"{\"psk\": \"S3CRET-VALUE\"}"#,
            "api_key: 'S3CRET-VALUE'",
            "GET /x?token=S3CRET-VALUE&y=1",
            "--llm-token=S3CRET-VALUE",
            "sk-S3CRET-VALUE-0123456789",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nS3CRET-VALUE\n-----END OPENSSH PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\nS3CRET-VALUE\nand then it was cut",
            "Cookie: kafclaw_session=S3CRET-VALUE; x=S3CRET-VALUE",
        ] {
            let clean = redactor.text(text);
            assert!(!clean.contains("S3CRET") && clean.contains("***"), "{text} became {clean}");
        }
        let hex = "0123456789abcdef".repeat(4);
        assert_eq!(redactor.text(&format!("a {hex} b K7QD-94TM c")), "a *** b *** c");
    }

    #[test]
    fn what_helps_is_left() {
        let redactor = redactor(&["hunter2!"]);
        for text in [
            "The house is ready. elapsed_ms=38 trace_id=0123456789abcdef",
            "tokens_today=5 maxTokens: 8192 key=value",
            "http://127.0.0.1:18791/ is open; mqtt://10.0.0.4:1883 is not",
            "Nov 21 18:00:01 kafclaw kafclaw[812]: A wrong token was refused. peer=10.0.0.9",
            "/dev/disk/by-partlabel/root-a on / type ext4 (ro,relatime)",
        ] {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn documents_keep_their_shape() {
        let redactor = redactor(&["hunter2!", "1883123"]);
        let clean = redactor.json(&json!({
            "gateway": {"authToken": "abc", "port": 18790, "empty": {"token": ""}},
            "list": ["say hunter2!", 1883123, 7], "hunter2!": true, "mqttPassword": 12345,
        }));
        assert_eq!(
            clean,
            json!({
                "gateway": {"authToken": "***", "port": 18790, "empty": {"token": ""}},
                "list": ["say ***", "***", 7], "***": true, "mqttPassword": "***",
            })
        );
    }

    #[test]
    fn a_short_secret_is_taken_where_it_stands_alone() {
        let redactor = redactor(&["1234", "a+b"]);
        assert_eq!(redactor.text("pin 1234, port 11234, a+b"), "pin ***, port 11234, ***");
    }

    #[test]
    fn a_short_secret_may_end_in_what_is_no_letter() {
        let redactor = redactor(&["0 ¡¹", "+a)"]);
        assert_eq!(redactor.text("\t0 ¡¹\t0 ¡¹ (+a)"), "\t***\t*** (***");
    }

    proptest! {
        #[test]
        fn no_known_secret_is_ever_left(secret in "[^*\\s][^*]{4,38}[^*\\s]", before in "\\PC{0,40}", after in "\\PC{0,40}") {
            let redactor = redactor(&[&secret]);
            let clean = redactor.text(&format!("{before}{secret}{after}{secret}"));
            prop_assert!(!clean.contains(&secret), "{:?} is left in {:?}", secret, clean);
        }

        #[test]
        fn whatever_is_redacted_comes_out(text in "\\PC{0,200}") {
            let _ = redactor(&["x"]).text(&text);
        }
    }
}
