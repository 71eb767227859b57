//! Whatever a machine lets pass is JSON, and follows the schema.

use std::sync::Arc;

use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};
use serde_json::{Value, json};

use crate::inference::language::grammar::{Grammar, Machine};
use crate::inference::language::sample::Die;

/// Schemas of the kinds that tools have.
pub fn schemas() -> Vec<Value> {
    vec![
        json!({"type": "object", "properties": {"on": {"type": "boolean"}, "level": {"type": "integer", "minimum": 1, "maximum": 100}},
               "required": ["on"]}),
        json!({"type": "object", "properties": {}}),
        json!({"type": "object"}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}, "required": ["a\"b"]}),
        json!({"type": "object", "required": ["mode", "note"], "properties": {
            "mode": {"enum": ["heat", "heater", "off", 1, 12, null, true]},
            "note": {"type": "string", "minLength": 2, "maxLength": 5},
            "when": {"type": ["string", "null"]}, "k\u{fc}che": {"const": {"a": [1, 2]}}}}),
        json!({"type": "array", "items": {"type": "number", "minimum": -2.5, "exclusiveMaximum": 3}, "minItems": 1, "maxItems": 3}),
        json!({"anyOf": [{"type": "integer", "exclusiveMinimum": -20, "maximum": -3}, {"type": "string", "maxLength": 3},
                         {"type": "object", "properties": {"x": {"type": "null"}}, "required": ["x"]}]}),
        json!({"type": "object", "required": ["tree"], "properties": {"tree": {"$ref": "#/$defs/tree"}}, "$defs": {"tree": {
            "type": "object", "required": ["name"], "properties": {"name": {"type": "string"},
            "children": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/tree"}}}}}}),
        json!({"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}}]}),
        json!({"type": "integer", "minimum": 95, "maximum": 1005}),
        json!({"type": "number", "minimum": 0, "maximum": 1}),
        json!({}),
    ]
}

/// Holds the rules that grammars hold; `root` is where references lead.
pub fn follows(value: &Value, schema: &Value, root: &Value) -> bool {
    let Value::Object(rules) = schema else { return *schema != Value::Bool(false) };
    if let Some(reference) = rules.get("$ref").and_then(Value::as_str) {
        return root.pointer(&reference[1..]).is_some_and(|target| follows(value, target, root));
    }
    if let Some(choices) = rules.get("anyOf").and_then(Value::as_array) {
        return choices.iter().any(|choice| follows(value, choice, root));
    }
    if let Some(parts) = rules.get("allOf").and_then(Value::as_array) {
        return parts.iter().all(|part| follows(value, part, root));
    }
    let number = |key: &str| rules.get(key).and_then(Value::as_f64);
    let kind_is = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        _ => value.is_null(),
    };
    let typed = match rules.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).any(kind_is),
        Some(Value::String(kind)) => kind_is(kind),
        _ => true,
    };
    let chosen = rules.get("const").is_none_or(|wanted| value == wanted)
        && rules.get("enum").and_then(Value::as_array).is_none_or(|wanted| wanted.contains(value));
    let ranged = value.as_f64().is_none_or(|value| {
        number("minimum").is_none_or(|least| value >= least)
            && number("maximum").is_none_or(|most| value <= most)
            && number("exclusiveMinimum").is_none_or(|least| value > least)
            && number("exclusiveMaximum").is_none_or(|most| value < most)
    });
    let sized = |len: usize, min: &str, max: &str| {
        number(min).is_none_or(|least| len as f64 >= least) && number(max).is_none_or(|most| len as f64 <= most)
    };
    let inside = match value {
        Value::String(text) => sized(text.chars().count(), "minLength", "maxLength"),
        Value::Array(items) => {
            let item = rules.get("items").unwrap_or(&Value::Null);
            sized(items.len(), "minItems", "maxItems") && items.iter().all(|value| follows(value, item, root))
        }
        Value::Object(fields) => {
            let required = rules.get("required").and_then(Value::as_array).into_iter().flatten();
            let properties = rules.get("properties").and_then(Value::as_object);
            required.filter_map(Value::as_str).all(|key| fields.contains_key(key))
                && fields.iter().all(|(key, value)| match properties.and_then(|known| known.get(key)) {
                    Some(schema) => follows(value, schema, root),
                    None => rules.get("additionalProperties").is_none_or(|other| {
                        rules
                            .get("required")
                            .is_some_and(|keys| keys.as_array().is_some_and(|keys| keys.contains(&json!(key))))
                            || follows(value, other, root)
                    }),
                })
        }
        _ => true,
    };
    typed && chosen && ranged && inside
}

/// Writes with a die as the model: any byte that may come, and after a while only what leads to an end.
fn write(grammar: &Arc<Grammar>, seed: u64, patience: usize) -> Option<Vec<u8>> {
    let mut die = Die::new(seed);
    let mut machine = Machine::new(Arc::clone(grammar));
    let mut text = Vec::new();
    for step in 0..4_000 {
        if machine.may_end() && (machine.is_over() || step > patience || die.next().is_multiple_of(8)) {
            return Some(text);
        }
        let may = |byte: &u8| machine.clone().push(*byte);
        let choices: Vec<u8> = (0..=255).filter(may).collect();
        if choices.is_empty() {
            return machine.may_end().then_some(text);
        }
        let hurry = b"\"}]0125:,aeflnrstux".iter().copied().find(|byte| choices.contains(byte));
        let byte = match hurry.filter(|_| step > patience) {
            Some(byte) => byte,
            None => *choices.get(die.next() as usize % choices.len().max(1))?,
        };
        machine.push(byte);
        text.push(byte);
    }
    None
}

#[test]
fn what_follows_a_schema_passes_and_nothing_else() {
    let passes = |schema: &Value, text: &str| {
        let mut machine = Machine::new(Grammar::of_schema(schema).expect("a grammar"));
        text.bytes().all(|byte| machine.push(byte)) && machine.may_end()
    };
    let all = schemas();
    for (number, text, expected) in [
        (0, "{\"on\": true, \"level\": 100}", true),
        (0, "{\"level\":7,\"on\":false}", true),
        (0, "{\"level\": 7}", false),
        (0, "{\"on\": true, \"level\": 101}", false),
        (0, "{\"on\": true, \"on\": true}", false),
        (0, "{\"on\": true, }", false),
        (0, "{\"on\": 1}", false),
        (1, "{}", true),
        (1, "{\"a\": 1}", false),
        (2, "{\"a\": [1, {\"b\": null}, \"\\u00e9\\n\"]}", true),
        (3, "{\"a\\\"b\": {}, \"c\": 3}", true),
        (3, "{\"c\": 3}", false),
        (4, "{\"mode\": \"heater\", \"note\": \"gr\u{fc}n\"}", true),
        (4, "{\"mode\": 12, \"note\": \"ab\", \"when\": null, \"k\u{fc}che\": {\"a\":[1,2]}}", true),
        (4, "{\"mode\": \"heate\", \"note\": \"ab\"}", false),
        (4, "{\"mode\": \"off\", \"note\": \"abcdef\"}", false),
        (4, "{\"mode\": \"off\", \"note\": \"a\"}", false),
        (5, "[-2.5, 2.999]", true),
        (5, "[3]", false),
        (5, "[]", false),
        (6, "-20", false),
        (6, "-19", true),
        (6, "\"\\ud83d\"", false),
        (7, "{\"tree\": {\"name\": \"a\", \"children\": [{\"name\": \"b\"}]}}", true),
        (8, "{\"a\": 1, \"b\": \"\"}", true),
        (9, "95", true),
        (9, "1005", true),
        (9, "94", false),
        (9, "1006", false),
        (10, "0.25", true),
        (10, "1e1", false),
        (11, "-0.5e-3", true),
        (11, "01", false),
        (11, "tru", false),
    ] {
        assert_eq!(passes(&all[number], text), expected, "{number}: {text}");
    }
}

#[test]
fn schemas_that_cannot_be_held_are_refused() {
    let mut deep = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "array", "items": deep});
    }
    let wide: serde_json::Map<String, Value> = (0..200).map(|number| (format!("f{number}"), json!({}))).collect();
    for schema in [
        json!(false),
        json!({"enum": []}),
        json!({"anyOf": []}),
        json!({"$ref": "#/none"}),
        json!({"type": "integer", "minimum": 3, "maximum": 2}),
        json!({"type": "string", "minLength": 3, "maxLength": 2}),
        json!({"properties": wide}),
        deep,
    ] {
        assert!(Grammar::of_schema(&schema).is_err(), "{schema}");
    }
    // Nothing can be written, but nothing runs forever.
    let circle = json!({"$ref": "#"});
    assert!(write(&Grammar::of_schema(&circle).expect("a grammar"), 1, 10).is_none());
}

#[test]
fn a_number_is_refused_as_soon_as_it_cannot_be_meant() {
    let mut machine = Machine::new(Grammar::of_schema(&schemas()[9]).expect("a grammar"));
    assert!(machine.clone().push(b'9') && machine.clone().push(b'1') && !machine.clone().push(b'0'));
    assert!(machine.push(b'2') && !machine.clone().may_end());
    assert!(machine.push(b'0') && machine.push(b'0') && machine.may_end() && !machine.push(b'0'));
}

#[test]
fn an_integer_is_never_minus_zero() {
    let mut machine = Machine::new(Grammar::of_schema(&json!({"type": "integer"})).expect("a grammar"));
    assert!(machine.clone().push(b'0') && machine.push(b'-') && !machine.clone().push(b'0') && machine.push(b'7'));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_parses_and_follows_the_schema(number in 0_usize..12, seed in any::<u64>(), patience in 0_usize..80) {
        let schema = &schemas()[number];
        let grammar = Grammar::of_schema(schema).expect("a grammar");
        let text = write(&grammar, seed, patience);
        prop_assert!(text.is_some(), "a dead end");
        let text = text.unwrap_or_default();
        let value: Result<Value, _> = serde_json::from_slice(&text);
        prop_assert!(value.is_ok(), "{:?}", String::from_utf8_lossy(&text));
        prop_assert!(follows(&value.expect("json"), schema, schema), "{}", String::from_utf8_lossy(&text));
    }

    #[test]
    fn no_schema_is_too_odd(text in "[\\[\\]{}\":,a-z0-9$# ]{0,60}") {
        let grammar = serde_json::from_str::<Value>(&text).ok().and_then(|schema| Grammar::of_schema(&schema).ok());
        if let Some(grammar) = grammar {
            write(&grammar, 5, 5);
        }
    }
}
