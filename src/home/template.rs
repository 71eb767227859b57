//! Home Assistant's value and command templates, on minijinja, with bounds. A template that fails leaves the value unknown.
//!
//! Documents come from whoever may publish, so a template is only taken when what it can build is bounded: few operators that make
//! text longer, no captures, macros or ranges, filters that refuse to inflate, fuel, and a limit on what is printed.

use std::cell::OnceCell;
use std::io::Write;
use std::sync::OnceLock;

use minijinja::value::{Kwargs, Rest, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};

/// Work that one template may do; real ones need a few dozen.
const FUEL: u64 = 20_000;
/// Longest template, in bytes.
const SOURCE_BYTES_MAX: usize = 8 * 1024;
/// Longest payload that a template reads, in bytes.
const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Longest text that a template or one of its filters makes, in bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024;
/// Operators that make text longer, in one template.
const GROWTH_MAX: usize = 12;
/// The same beside a `*`, which can repeat a text many times.
const GROWTH_BESIDE_REPEAT_MAX: usize = 2;
const REPEATS_MAX: usize = 4;
/// Statements that neither capture output nor define anything that does.
const STATEMENTS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "set"];

/// A template's text; rendered as needed, because homes have hundreds and most run rarely.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Template(String);

/// What came on a topic; read as JSON at most once, however many entities listen.
pub(super) struct Payload<'a> {
    pub text: &'a str,
    json: OnceCell<Option<serde_json::Value>>,
}

impl<'a> Payload<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, json: OnceCell::new() }
    }

    pub(super) fn json(&self) -> Option<&serde_json::Value> {
        self.json.get_or_init(|| serde_json::from_str(self.text).ok()).as_ref()
    }
}

impl Template {
    /// None for one that is empty or might build too much.
    pub(super) fn new(source: &str) -> Option<Self> {
        let source = source.trim();
        (!source.is_empty() && source.len() <= SOURCE_BYTES_MAX && is_bounded(source)).then(|| Self(source.to_owned()))
    }

    /// What an incoming payload says.
    pub(super) fn read(&self, payload: &Payload<'_>) -> Option<String> {
        if payload.text.len() > PAYLOAD_BYTES_MAX {
            return None;
        }
        // The commonest form needs no engine: `{{ value_json.temperature }}`.
        if let Some(path) = self.plain_path() {
            return plain(path, payload.json()?);
        }
        let value_json = payload.json().map_or(Value::UNDEFINED, |json| Value::from(Serde(json)));
        let rendered = self.render(context! { value => payload.text, value_json => value_json })?;
        Some(rendered.trim().to_owned())
    }

    /// What is sent for `value`.
    pub(super) fn write(&self, value: &serde_json::Value) -> Option<String> {
        self.render(context! { value => Value::from(Serde(value)) })
    }

    /// What is sent for several named values.
    pub(super) fn write_all(&self, variables: &serde_json::Value) -> Option<String> {
        self.render(Value::from(Serde(variables)))
    }

    fn render(&self, variables: Value) -> Option<String> {
        let mut output = Bounded(Vec::new());
        let template = environment().template_from_str(&self.0).ok()?;
        template.render_captured_to(variables, &mut output).ok()?;
        String::from_utf8(output.0).ok()
    }

    fn plain_path(&self) -> Option<&str> {
        let inside = self.0.strip_prefix("{{")?.strip_suffix("}}")?.trim();
        let path = inside.strip_prefix("value_json.")?;
        path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')).then_some(path)
    }
}

/// Takes a limited number of bytes.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn is_bounded(source: &str) -> bool {
    let repeats = source.matches('*').count();
    let growth = source.matches(['~', '+']).count();
    let growth_max = if repeats > 0 { GROWTH_BESIDE_REPEAT_MAX } else { GROWTH_MAX };
    let statements_known = source.split("{%").skip(1).all(|rest| {
        let rest = rest.trim_start_matches(['-', '+']).trim_start();
        let word: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        // Without `=`, `set` captures the output of a block.
        let is_assignment = word != "set" || rest.split("%}").next().is_some_and(|inside| inside.contains('='));
        STATEMENTS.contains(&word.as_str()) && is_assignment
    });
    repeats <= REPEATS_MAX && growth <= growth_max && statements_known
}

fn plain(path: &str, json: &serde_json::Value) -> Option<String> {
    let value = path.split('.').try_fold(json, |value, key| value.get(key))?;
    Some(match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::Null => "None".to_owned(),
        other => other.to_string(),
    })
}

fn environment() -> &'static Environment<'static> {
    static ENVIRONMENT: OnceLock<Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        for name in ["range", "dict", "debug", "namespace"] {
            environment.remove_global(name);
        }
        // They pad, repeat or hold whole lists.
        for name in
            ["indent", "format", "batch", "slice", "list", "sort", "groupby", "unique", "chain", "zip", "pprint", "sum"]
        {
            environment.remove_filter(name);
        }
        add_filters(&mut environment);
        environment.add_function("float", |value: Value, fallback: Option<Value>| float(&value, fallback));
        environment.add_function("int", |value: Value, fallback: Option<Value>| int(&value, fallback));
        environment.set_unknown_method_callback(|_, value, method, arguments| {
            let argument = |index: usize| arguments.get(index).and_then(Value::as_str);
            match (value.kind(), method, value.as_str()) {
                (ValueKind::String, "lower", Some(text)) => Ok(Value::from(text.to_lowercase())),
                (ValueKind::String, "upper", Some(text)) => Ok(Value::from(text.to_uppercase())),
                (ValueKind::String, "strip", Some(text)) => Ok(Value::from(text.trim())),
                (ValueKind::String, "startswith", Some(text)) => {
                    Ok(Value::from(text.starts_with(argument(0).unwrap_or_default())))
                }
                (ValueKind::String, "endswith", Some(text)) => {
                    Ok(Value::from(text.ends_with(argument(0).unwrap_or_default())))
                }
                (ValueKind::String, "split", Some(text)) => Ok(split(text, argument(0))),
                (ValueKind::String, "replace", Some(text)) => {
                    replaced(text, argument(0).unwrap_or_default(), argument(1).unwrap_or_default())
                }
                (ValueKind::Map, "get", _) => {
                    let found = arguments
                        .first()
                        .and_then(|key| value.get_item(key).ok())
                        .filter(|found| !found.is_undefined());
                    Ok(found.or_else(|| arguments.get(1).cloned()).unwrap_or(Value::from(())))
                }
                _ => Err(Error::from(ErrorKind::UnknownMethod)),
            }
        });
        environment
    })
}

/// Python's names and meanings for what people write in Home Assistant.
fn add_filters(environment: &mut Environment<'static>) {
    environment.add_filter("is_defined", |value: Value| -> Result<Value, Error> {
        if value.is_undefined() { Err(Error::new(ErrorKind::UndefinedError, "not defined")) } else { Ok(value) }
    });
    environment.add_filter("iif", |value: Value, branches: Rest<Value>| {
        let index = usize::from(!value.is_true());
        branches.get(index).cloned().unwrap_or_else(|| Value::from(index == 0))
    });
    environment.add_filter("float", |value: Value, fallback: Option<Value>, named: Kwargs| {
        float(&value, fallback.or_else(|| named.get("default").ok()))
    });
    environment.add_filter("int", |value: Value, fallback: Option<Value>, named: Kwargs| {
        int(&value, fallback.or_else(|| named.get("default").ok()))
    });
    environment.add_filter("round", |value: Value, precision: Option<i32>, method: Option<String>| {
        let number = f64::try_from(float(&value, None)?)?;
        let precision = precision.unwrap_or(0).clamp(-12, 12);
        let scale = 10_f64.powi(precision);
        let scaled = match method.as_deref() {
            Some("floor") => (number * scale).floor(),
            Some("ceil") => (number * scale).ceil(),
            _ => (number * scale).round(),
        };
        Ok::<_, Error>(if precision > 0 { Value::from(scaled / scale) } else { Value::from((scaled / scale) as i64) })
    });
    for name in ["to_json", "tojson"] {
        environment.add_filter(name, |value: Value| serde_json::to_string(&value).unwrap_or_default());
    }
    environment.add_filter("from_json", |text: String| {
        serde_json::from_str::<serde_json::Value>(&text)
            .map(|json| Value::from(Serde(json)))
            .map_err(|_| Error::new(ErrorKind::InvalidOperation, "no JSON"))
    });
    environment.add_filter("replace", |text: String, from: String, to: String| replaced(&text, &from, &to));
    environment.add_filter("join", |list: Value, separator: Option<String>| {
        let separator = separator.unwrap_or_default();
        let mut joined = String::new();
        for (index, item) in list.try_iter()?.enumerate() {
            if index > 0 {
                joined.push_str(&separator);
            }
            joined.push_str(&item.to_string());
            fits(joined.len())?;
        }
        Ok::<_, Error>(joined)
    });
}

fn split(text: &str, separator: Option<&str>) -> Value {
    match separator.filter(|separator| !separator.is_empty()) {
        Some(separator) => text.split(separator).map(Value::from).collect(),
        None => text.split_whitespace().map(Value::from).collect(),
    }
}

fn replaced(text: &str, from: &str, to: &str) -> Result<Value, Error> {
    let found = if from.is_empty() { text.len() + 1 } else { text.matches(from).count() };
    fits(text.len().saturating_add(found.saturating_mul(to.len())))?;
    Ok(Value::from(text.replace(from, to)))
}

fn fits(len: usize) -> Result<(), Error> {
    if len <= OUTPUT_BYTES_MAX {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::InvalidOperation, "the text grows too long"))
    }
}

/// Like Home Assistant, fails on what is no number, so that nothing is read from it.
fn float(value: &Value, fallback: Option<Value>) -> Result<Value, Error> {
    let number = match value.as_str() {
        Some(text) => text.trim().parse::<f64>().ok(),
        None => f64::try_from(value.clone()).ok().or_else(|| bool::try_from(value.clone()).ok().map(f64::from)),
    };
    let number = number.filter(|number| number.is_finite()).map(Value::from);
    number.or(fallback).ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "not a number"))
}

fn int(value: &Value, fallback: Option<Value>) -> Result<Value, Error> {
    match float(value, None) {
        Ok(number) => Ok(Value::from(f64::try_from(number)? as i64)),
        Err(error) => fallback.ok_or(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(template: &str, payload: &str) -> Option<String> {
        Template::new(template).and_then(|template| template.read(&Payload::new(payload)))
    }

    #[test]
    fn templates_of_the_common_firmwares_are_read() {
        for (template, payload, value) in [
            ("{{ value_json.temperature }}", r#"{"temperature": 21.5}"#, Some("21.5")),
            ("{{value_json.POWER1}}", r#"{"POWER1": "ON"}"#, Some("ON")),
            ("{{ value_json['ENERGY'].Power }}", r#"{"ENERGY": {"Power": 12}}"#, Some("12")),
            ("{{ value_json.temperature | round(1) }}", r#"{"temperature": 21.55}"#, Some("21.6")),
            ("{{ value | float * 2 }}", "2.5", Some("5.0")),
            ("{{ value_json.x | default('none') }}", "{}", Some("none")),
            ("{{ value_json.x | int(7) }} {{ value_json.x | float(default=1) }}", "{}", Some("7 1")),
            ("{% if value == 'on' %}ON{% else %}OFF{% endif %}", "on", Some("ON")),
            ("{%- set t = value_json.t | float -%}{{ t * 9 / 5 + 32 }}", r#"{"t": 20}"#, Some("68.0")),
            ("{{ 'open' if value_json.contact == false else 'closed' }}", r#"{"contact": false}"#, Some("open")),
            ("{{ value_json.contact | iif('a', 'b') }}", r#"{"contact": true}"#, Some("a")),
            ("{{ (value | int / 255 * 100) | round(0) }}", "255", Some("100")),
            ("{{ value_json.Color.split(',')[1] }}", r#"{"Color": "1,2,3"}"#, Some("2")),
            ("{{ value_json.get('mode', 'idle') | upper }}", "{}", Some("IDLE")),
            ("{{ value_json.a | tojson }}", r#"{"a": [1,2]}"#, Some("[1,2]")),
            ("{{ value.replace('_', ' ') | lower }}", "TWO_WORDS", Some("two words")),
            (
                "{{ value_json.list | map(attribute='x') | join('+') }}",
                r#"{"list": [{"x": 1}, {"x": 2}]}"#,
                Some("1+2"),
            ),
            ("{{ value_json.missing }}", "{}", None),
            ("{{ value_json.missing | is_defined }}", "{}", None),
            ("{{ value | float }}", "warm", None),
            ("{{ broken", "x", None),
        ] {
            assert_eq!(read(template, payload).as_deref(), value, "{template}");
        }
    }

    #[test]
    fn templates_that_could_build_too_much_are_refused_or_fail() {
        for template in [
            "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
            "{% set x %}{{ value }}{{ value }}{% endset %}{{ x }}",
            "{% macro m(a) %}{{ a }}{{ a }}{% endmacro %}{{ m(m(m(value))) }}",
            "{{ value.replace('', value) }}",
            "{{ value | join(value) }}",
            "{{ 'x' * 50000000 }}",
            "{{ '%1000000000s' | format(value) }}",
            "{{ value | indent(1000000000) }}",
        ] {
            assert_eq!(read(template, &"x".repeat(2_000)), None, "{template}");
        }
        let doubling = format!("{}{{{{ value }}}}", "{% set value = value ~ value %}".repeat(40));
        assert_eq!(read(&doubling, "x"), None);
    }

    #[test]
    fn command_templates_see_their_values() {
        let template = Template::new(r#"{"level": {{ (value / 255 * 100) | round | int }}}"#).expect("bounded");
        assert_eq!(template.write(&serde_json::json!(128)).as_deref(), Some(r#"{"level": 50}"#));
        let template = Template::new("{{ red }}-{{ green }}-{{ blue }}").expect("bounded");
        assert_eq!(template.write_all(&serde_json::json!({"red": 1, "green": 2, "blue": 3})).as_deref(), Some("1-2-3"));
    }

    proptest::proptest! {
        #[test]
        fn no_template_and_no_payload_panics(template in "[ -~]{0,60}", payload in "[ -~]{0,60}") {
            let _ = read(&template, &payload);
            let _ = read(&format!("{{{{ {template} }}}}"), &payload);
        }

        /// The short way for plain paths says what the engine says.
        #[test]
        fn a_plain_path_means_what_the_engine_means(number in -1000..1000_i32, word in "[a-z]{1,8}") {
            let payload = serde_json::json!({"a": {"n": number, "w": word}}).to_string();
            for key in ["n", "w"] {
                let short = read(&format!("{{{{ value_json.a.{key} }}}}"), &payload);
                let long = read(&format!("{{{{ value_json['a'].{key} }}}}"), &payload);
                proptest::prop_assert_eq!(short, long);
            }
        }
    }
}
