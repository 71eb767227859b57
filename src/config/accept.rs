//! Judges one value against what its key accepts. Pure: the answer is the value in its resolved form, or nothing.

use std::path::{Path, PathBuf};

use serde_json::{Map, Number, Value};

use crate::config::duration;
use crate::config::key::Kind;
use crate::update::Window;

impl Kind {
    /// What is valid, for a message.
    pub fn valid(&self) -> String {
        match self {
            Self::Flag => "valid is true or false".to_owned(),
            Self::Whole(min, i64::MAX) => format!("valid is a whole number from {min}"),
            Self::Whole(min, max) => format!("valid is a whole number from {min} to {max}"),
            Self::Count(max) => format!("valid is a whole number from 1 to {max}, or 0 for the default"),
            Self::Number(min, max) => format!("valid is a number from {min} to {max}"),
            Self::Duration => {
                "valid is a duration such as \"250ms\", \"60s\" or \"1h30m\", or whole nanoseconds".to_owned()
            }
            Self::Text => "valid is a text".to_owned(),
            Self::Path => "valid is a path; a leading ~/ means home (another user's home cannot be named)".to_owned(),
            Self::Url(schemes) => format!("valid is an address that begins with {}://", schemes.join(":// or ")),
            Self::OneOf(words) => format!("valid is one of: {}", words.join(", ")),
            Self::Host => "valid is an IP address to listen on, or localhost".to_owned(),
            Self::Window => "valid is a time of day from when to when, such as 02:00-05:00".to_owned(),
            Self::Segment => "valid is a name without white space, /, + and #".to_owned(),
            Self::Topic => "valid are topic levels separated by /, without white space, + and #".to_owned(),
            Self::List(item) => format!("valid is a list; for each: {}", item.valid()),
            Self::Map(item) => format!("valid is an object of names; for each: {}", item.valid()),
        }
    }

    /// Whether an empty variable means something for this key.
    pub fn may_be_blank(&self) -> bool {
        matches!(self, Self::Text | Self::Path | Self::Url(_) | Self::List(_) | Self::Map(_))
    }

    /// Reads text from a variable, a default, or `config set`.
    pub fn read(&self, text: &str, home: &Path) -> Option<Value> {
        match self {
            Self::Flag => match text.to_ascii_lowercase().as_str() {
                "1" | "t" | "true" | "yes" | "on" => Some(Value::Bool(true)),
                "0" | "f" | "false" | "no" | "off" => Some(Value::Bool(false)),
                _ => None,
            },
            Self::Whole(..) | Self::Count(_) => self.number(&Number::from(text.trim().parse::<i64>().ok()?)),
            Self::Number(..) => self.number(&Number::from_f64(text.trim().parse().ok()?)?),
            Self::Duration if text.bytes().all(|byte| byte.is_ascii_digit()) => self.number(&text.parse().ok()?),
            Self::List(item) => {
                if text.trim_start().starts_with('[') {
                    let Ok(Value::Array(items)) = serde_json::from_str(text) else { return None };
                    return items.iter().map(|value| item.accept(value, home)).collect();
                }
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| item.read(part, home))
                    .collect()
            }
            Self::Map(item) => {
                if text.trim_start().starts_with('{') {
                    let Ok(Value::Object(entries)) = serde_json::from_str(text) else { return None };
                    return entries
                        .iter()
                        .map(|(name, value)| Some((name.clone(), item.accept(value, home)?)))
                        .collect();
                }
                let pairs = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let entries: Option<Map<String, Value>> = pairs
                    .map(|pair| {
                        let (name, value) = pair.split_once(':')?;
                        Some((name.trim().to_owned(), item.read(value.trim(), home)?))
                    })
                    .collect();
                entries.map(Value::Object)
            }
            _ => self.text(text, home),
        }
    }

    /// Judges a JSON value.
    pub fn accept(&self, value: &Value, home: &Path) -> Option<Value> {
        match (self, value) {
            (Self::Flag, Value::Bool(_)) => Some(value.clone()),
            (Self::List(item), Value::Array(items)) => items.iter().map(|value| item.accept(value, home)).collect(),
            (Self::Map(item), Value::Object(entries)) => {
                entries.iter().map(|(name, value)| Some((name.clone(), item.accept(value, home)?))).collect()
            }
            (_, Value::Number(number)) => self.number(number),
            (_, Value::String(text)) => self.text(text, home),
            _ => None,
        }
    }

    fn number(&self, number: &Number) -> Option<Value> {
        match self {
            Self::Whole(min, max) => {
                let whole = whole(number)?;
                (*min..=*max).contains(&whole).then(|| Value::from(whole))
            }
            Self::Count(max) => {
                let whole = whole(number)?;
                (whole <= *max).then(|| if whole < 1 { Value::Null } else { Value::from(whole) })
            }
            Self::Number(min, max) => {
                let real = number.as_f64()?;
                (*min..=*max).contains(&real).then(|| Value::from(real))
            }
            Self::Duration => {
                let nanos = u64::try_from(whole(number)?).ok()?;
                Some(Value::from(duration::format(std::time::Duration::from_nanos(nanos))))
            }
            _ => None,
        }
    }

    fn text(&self, text: &str, home: &Path) -> Option<Value> {
        let is_topic_letter = |letter: char| !letter.is_whitespace() && !letter.is_control() && !"+#".contains(letter);
        let is_valid = match self {
            Self::Text => true,
            Self::Path => return expand(text, home).map(Value::from),
            Self::Duration => return duration::parse(text).map(|value| Value::from(duration::format(value))),
            Self::Url(schemes) => text.is_empty() || is_url(text, schemes),
            Self::OneOf(_) if text.is_empty() => return Some(Value::Null),
            Self::OneOf(words) => words.contains(&text),
            Self::Host => return host(text).map(|address| Value::from(address.to_string())),
            Self::Window => Window::parse(text).is_some(),
            Self::Segment if text.is_empty() => return Some(Value::Null),
            Self::Segment => text.chars().all(|letter| is_topic_letter(letter) && letter != '/'),
            Self::Topic if text.is_empty() => return Some(Value::Null),
            Self::Topic => text.chars().all(is_topic_letter) && text.split('/').all(|level| !level.is_empty()),
            _ => false,
        };
        is_valid.then(|| Value::from(text))
    }
}

/// Numbers such as `20.0` and `6e10` are whole too.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the bounds are checked first")]
fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let real = number.as_f64()?;
        let is_exact = real.fract() == 0.0 && real.abs() <= (1_i64 << 53) as f64;
        is_exact.then_some(real as i64)
    })
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    reqwest::Url::parse(text)
        .is_ok_and(|url| schemes.contains(&url.scheme()) && url.host_str().is_some_and(|host| !host.is_empty()))
}

fn host(text: &str) -> Option<std::net::IpAddr> {
    if text.eq_ignore_ascii_case("localhost") {
        return Some(std::net::Ipv4Addr::LOCALHOST.into());
    }
    text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// `~` and `~/x` are `home`; anything relative starts there; blank stays blank. `~bob/x` is refused (fault B44 guessed).
pub fn expand(text: &str, home: &Path) -> Option<String> {
    let path = match text.strip_prefix('~') {
        _ if text.is_empty() => return Some(String::new()),
        _ if text.contains('\0') => return None,
        Some("") => home.to_owned(),
        Some(rest) => home.join(rest.strip_prefix('/')?.trim_start_matches('/')),
        None => home.join(text),
    };
    PathBuf::into_os_string(path).into_string().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::key::WEB;

    #[test]
    fn values_are_accepted_in_their_resolved_form() {
        let home = Path::new("/h");
        for (kind, value, resolved) in [
            (Kind::Duration, r#""1m30s""#, r#""1m30s""#),
            (Kind::Duration, "60000000000", r#""1m""#),
            (Kind::Duration, "6e10", r#""1m""#),
            (Kind::Path, r#""~/a""#, r#""/h/a""#),
            (Kind::Path, r#""a/b""#, r#""/h/a/b""#),
            (Kind::Path, r#""/etc/x""#, r#""/etc/x""#),
            (Kind::Path, r#""""#, r#""""#),
            (Kind::Host, r#""localhost""#, r#""127.0.0.1""#),
            (Kind::Host, r#""[::1]""#, r#""::1""#),
            (Kind::Window, r#""23:30-04:00""#, r#""23:30-04:00""#),
            (Kind::Count(5), "0", "null"),
            (Kind::Whole(0, 5), "5", "5"),
            (Kind::Url(WEB), r#""http://[::1]:8080/v1""#, r#""http://[::1]:8080/v1""#),
            (Kind::Url(&["mqtts"]), r#""mqtts://me:p%40ss@broker""#, r#""mqtts://me:p%40ss@broker""#),
        ] {
            let value: Value = serde_json::from_str(value).expect("test value");
            let resolved: Value = serde_json::from_str(resolved).expect("test value");
            assert_eq!(kind.accept(&value, home), Some(resolved), "{kind:?} {value}");
        }
    }

    #[test]
    fn values_that_do_not_fit_are_refused() {
        let home = Path::new("/h");
        for (kind, value) in [
            (Kind::Duration, r#""60""#),
            (Kind::Duration, "-1"),
            (Kind::Path, r#""~bob/x""#),
            (Kind::Host, r#""example.org""#),
            (Kind::Window, r#""at night""#),
            (Kind::Window, r#""02:00-02:00""#),
            (Kind::Window, r#""""#),
            (Kind::Whole(0, 5), "6"),
            (Kind::Whole(0, 5), "1.5"),
            (Kind::Whole(0, 5), r#""5""#),
            (Kind::Url(WEB), r#""ftp://x""#),
            (Kind::Url(WEB), r#""http://""#),
            (Kind::Topic, r##""a/#""##),
            (Kind::Topic, r#""a//b""#),
            (Kind::Segment, r#""a/b""#),
            (Kind::Text, "5"),
            (Kind::Flag, r#""true""#),
        ] {
            let value: Value = serde_json::from_str(value).expect("test value");
            assert_eq!(kind.accept(&value, home), None, "{kind:?} {value}");
        }
    }

    #[test]
    fn variables_carry_lists_and_maps() {
        let home = Path::new("/h");
        let list = Kind::List(&Kind::Text);
        assert_eq!(list.read("a, b,,c", home), Some(serde_json::json!(["a", "b", "c"])));
        assert_eq!(list.read(r#"["a,b"]"#, home), Some(serde_json::json!(["a,b"])));
        let map = Kind::Map(&Kind::OneOf(&["allow", "ask"]));
        assert_eq!(map.read("exec:ask, x:allow", home), Some(serde_json::json!({"exec": "ask", "x": "allow"})));
        assert_eq!(map.read("exec:never", home), None);
        assert_eq!(Kind::Flag.read("TRUE", home), Some(Value::Bool(true)));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*", which in 0_usize..200) {
            let keys: Vec<_> = crate::config::table::keys().collect();
            let _ = keys[which % keys.len()].kind.read(&text, Path::new("/h"));
        }
    }
}
