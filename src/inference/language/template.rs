//! The model's own way to write a conversation: a Jinja template from its file, or ChatML where there is none.
//!
//! Templates are written for Hugging Face's `apply_chat_template`; what that offers beyond Jinja is offered here. A template's
//! work is bounded by fuel and its output by length.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use crate::base::clock::Timestamp;

const SOURCE_BYTES_MAX: usize = 256 * 1024;
const OUTPUT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Instructions of one rendering; a long conversation needs some ten thousand.
const FUEL: u64 = 4_000_000;

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}\
{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("the chat template is longer than {SOURCE_BYTES_MAX} bytes")]
    Size,
    #[error("the chat template does not parse")]
    Parse(#[source] Box<Error>),
    #[error("the chat template refuses this conversation")]
    Render(#[source] Box<Error>),
}

#[derive(Debug)]
pub struct Template {
    source: String,
    bos: String,
    eos: String,
}

impl Template {
    pub fn new(source: Option<&str>, bos: String, eos: String) -> Result<Self, TemplateError> {
        let source = source.unwrap_or(CHATML);
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TemplateError::Size);
        }
        let template = Self { source: source.to_owned(), bos, eos };
        environment(Timestamp::from_millis(0))?
            .template_from_str(&template.source)
            .map_err(|error| TemplateError::Parse(Box::new(error)))?;
        Ok(template)
    }

    /// Whether the template says anything of this word, such as `tools`.
    pub fn mentions(&self, word: &str) -> bool {
        self.source.contains(word)
    }

    /// The conversation as the model expects it, up to where its answer begins. `values` has at least `messages`.
    pub fn render(
        &self,
        mut values: serde_json::Map<String, serde_json::Value>,
        now: Timestamp,
    ) -> Result<String, TemplateError> {
        let environment = environment(now)?;
        let template =
            environment.template_from_str(&self.source).map_err(|error| TemplateError::Parse(Box::new(error)))?;
        values.insert("bos_token".to_owned(), self.bos.clone().into());
        values.insert("eos_token".to_owned(), self.eos.clone().into());
        values.insert("add_generation_prompt".to_owned(), true.into());
        let mut out = Bounded(Vec::new());
        template
            .render_captured_to(Value::from(Serde(values)), &mut out)
            .map_err(|error| TemplateError::Render(Box::new(error)))?;
        Ok(String::from_utf8_lossy(&out.0).into_owned())
    }
}

fn environment(now: Timestamp) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| TemplateError::Parse(Box::new(error)))?);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(64);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: String| strftime(now.to_utc(), &format));
    environment.add_filter("tojson", tojson);
    Ok(environment)
}

fn strftime(now: DateTime<Utc>, format: &str) -> Result<String, Error> {
    use std::fmt::Write as _;
    let mut out = String::new();
    // `to_string` would panic on a format that does not exist.
    write!(out, "{}", now.format(format))
        .map_err(|_| Error::new(ErrorKind::InvalidOperation, "no such format of time"))?;
    Ok(out)
}

/// As Python writes JSON: with spaces, and without HTML's escapes, which models were never shown.
fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let _: Option<bool> = options.get("ensure_ascii")?;
    let _: Option<bool> = options.get("sort_keys")?;
    let _: Option<Vec<String>> = options.get("separators")?;
    options.assert_all_used()?;
    let mut out = Vec::new();
    let spaces;
    let written = match indent {
        Some(indent) => {
            spaces = vec![b' '; indent.min(16)];
            value.serialize(&mut Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(&spaces)))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced)),
    };
    written.map_err(|_| Error::new(ErrorKind::InvalidOperation, "this value has no JSON form"))?;
    Ok(Value::from(String::from_utf8_lossy(&out).into_owned()))
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Refuses to grow beyond [`OUTPUT_BYTES_MAX`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the conversation is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str, values: serde_json::Value) -> Result<String, TemplateError> {
        let template = Template::new(Some(source), "<s>".to_owned(), "</s>".to_owned())?;
        let serde_json::Value::Object(values) = values else { panic!("an object") };
        template.render(values, Timestamp::from_millis(86_400_000))
    }

    #[test]
    fn what_hugging_faces_templates_use_is_there() {
        for (source, expected) in [
            (
                "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }}{{ m.content.strip() }}{% endfor %}",
                "<s>USERhi",
            ),
            ("{{ strftime_now('%d %b %Y') }}", "02 Jan 1970"),
            ("{{ tools | tojson }}", "[{\"type\": \"function\", \"a\": \"<b> 'c'\"}]"),
            (
                "{%- set ns = namespace(a=1) -%}{% for m in [1,2,3] %}{% set ns.a = m %}{% if m == 2 %}{% break %}{% endif %}{% endfor %}{{ ns.a }}",
                "2",
            ),
            ("{% if messages[0].content.startswith('  h') %}yes{% endif %}", "yes"),
            ("{{ messages[::-1][0].role }}{{ messages[0]['content'].split('h')[-1] }}", "useri "),
            (
                "{{ messages is iterable and messages is not mapping and tools is defined and none_such is not defined }}",
                "True",
            ),
            ("{% macro f(x) %}<{{ x }}>{% endmacro %}{{ f(1) }}", "<1>"),
            ("{% if true %}\n  a\n{% endif %}\nb", "  a\nb"),
        ] {
            let values = json!({"messages": [{"role": "user", "content": "  hi "}], "tools": [{"type": "function", "a": "<b> 'c'"}]});
            assert_eq!(render(source, values).expect(source), expected, "{source}");
        }
    }

    #[test]
    fn templates_may_refuse_and_are_stopped_when_they_do_not_end() {
        let refused = render("{{ raise_exception('roles must alternate') }}", json!({"messages": []}));
        assert!(crate::base::error::chain(&refused.expect_err("refused")).contains("roles must alternate"));
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{% endfor %}{% endfor %}{% endfor %}";
        assert!(matches!(render(endless, json!({})), Err(TemplateError::Render(_))));
        assert!(matches!(render("{% for", json!({})), Err(TemplateError::Parse(_))));
        assert!(render("{{ strftime_now('%Q') }}", json!({})).is_err());
        let long = "{% for a in range(9999) %}{{ 'x' * 9999 }}{% endfor %}";
        assert!(matches!(render(long, json!({})), Err(TemplateError::Render(_))));
    }
}
