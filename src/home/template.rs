//! Home Assistant's value and command templates, on minijinja, with bounds. A template that fails leaves the value unknown.

use std::sync::OnceLock;

use minijinja::value::{Kwargs, Rest, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};

/// Work that one template may do; real ones need a few dozen.
const FUEL: u64 = 20_000;
/// Longest template, in bytes.
const SOURCE_BYTES_MAX: usize = 8 * 1024;

/// A template's text; rendered as needed, because homes have hundreds and most run rarely.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Template(String);

impl Template {
    pub(super) fn new(source: &str) -> Option<Self> {
        (!source.trim().is_empty() && source.len() <= SOURCE_BYTES_MAX).then(|| Self(source.trim().to_owned()))
    }

    /// What an incoming payload says.
    pub(super) fn read(&self, payload: &str) -> Option<String> {
        // The commonest form needs no engine: `{{ value_json.temperature }}`.
        let json: Option<serde_json::Value> = serde_json::from_str(payload).ok();
        if let Some(path) = self.plain_path() {
            return plain(path, json.as_ref()?);
        }
        let value_json = Value::from(Serde(&json));
        let rendered =
            environment().render_str(&self.0, context! { value => payload, value_json => value_json }).ok()?;
        Some(rendered.trim().to_owned())
    }

    /// What is sent for `value`.
    pub(super) fn write(&self, value: &serde_json::Value) -> Option<String> {
        environment().render_str(&self.0, context! { value => Value::from(Serde(value)) }).ok()
    }

    fn plain_path(&self) -> Option<&str> {
        let inside = self.0.strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let path = inside.strip_prefix("value_json.")?;
        path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).then_some(path)
    }
}

fn plain(path: &str, json: &serde_json::Value) -> Option<String> {
    let value = path.split('.').try_fold(json, |value, key| value.get(key))?;
    Some(match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::Null => return None,
        other => other.to_string(),
    })
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        // Python's names for what people write in Home Assistant.
        environment.add_filter("is_defined", |value: Value| -> Result<Value, Error> {
            if value.is_undefined() { Err(Error::new(ErrorKind::UndefinedError, "not defined")) } else { Ok(value) }
        });
        environment.add_filter("iif", |value: Value, branches: Rest<Value>| {
            let index = usize::from(!value.is_true());
            branches.get(index).cloned().unwrap_or_else(|| Value::from(index == 0))
        });
        environment.add_filter("float", |value: Value, fallback: Option<Value>, _: Kwargs| number(&value).or(fallback));
        environment.add_filter("int", |value: Value, fallback: Option<Value>, _: Kwargs| {
            number(&value)
                .and_then(|number| f64::try_from(number).ok())
                .map(|number| Value::from(number as i64))
                .or(fallback)
        });
        environment.add_filter("to_json", |value: Value| serde_json::to_string(&value).unwrap_or_default());
        environment.add_function("float", |value: Value| number(&value));
        environment.add_function("int", |value: Value| {
            number(&value).and_then(|number| f64::try_from(number).ok()).map(|number| Value::from(number as i64))
        });
        environment.set_unknown_method_callback(|_, value, method, _| match (value.kind(), method, value.as_str()) {
            (ValueKind::String, "lower", Some(text)) => Ok(Value::from(text.to_lowercase())),
            (ValueKind::String, "upper", Some(text)) => Ok(Value::from(text.to_uppercase())),
            (ValueKind::String, "strip", Some(text)) => Ok(Value::from(text.trim())),
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        });
        environment
    })
}

fn number(value: &Value) -> Option<Value> {
    if let Some(text) = value.as_str() {
        return text.trim().parse::<f64>().ok().map(Value::from);
    }
    f64::try_from(value.clone()).ok().map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_the_common_firmwares_are_read() {
        for (template, payload, value) in [
            ("{{ value_json.temperature }}", r#"{"temperature": 21.5}"#, Some("21.5")),
            ("{{value_json.POWER1}}", r#"{"POWER1": "ON"}"#, Some("ON")),
            ("{{ value_json['ENERGY'].Power }}", r#"{"ENERGY": {"Power": 12}}"#, Some("12")),
            ("{{ value_json.temperature | round(1) }}", r#"{"temperature": 21.55}"#, Some("21.6")),
            ("{{ value | float * 2 }}", "2.5", Some("5.0")),
            ("{{ value_json.x | default('none') }}", "{}", Some("none")),
            ("{% if value == 'on' %}ON{% else %}OFF{% endif %}", "on", Some("ON")),
            ("{{ 'open' if value_json.contact == false else 'closed' }}", r#"{"contact": false}"#, Some("open")),
            ("{{ value_json.contact | iif('a', 'b') }}", r#"{"contact": true}"#, Some("a")),
            ("{{ (value | int / 255 * 100) | round(0) }}", "255", Some("100.0")),
            ("{{ value_json.missing }}", "{}", None),
            ("{{ value_json.missing | is_defined }}", "{}", None),
            ("{{ broken", "x", None),
            ("{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}", "x", None),
        ] {
            let read = Template::new(template).and_then(|template| template.read(payload));
            assert_eq!(read.as_deref(), value, "{template}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_template_and_no_payload_panics(template in "[ -~]{0,60}", payload in "[ -~]{0,60}") {
            let _ = Template::new(&template).and_then(|template| template.read(&payload));
        }
    }
}
