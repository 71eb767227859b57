//! The table as a JSON Schema (draft 2020-12), for editors and for `kafclaw config schema`.

use serde_json::{Map, Value, json};

use crate::config::key::{Key, Kind};
use crate::config::table::{self, Branch, Children};

pub fn schema() -> Value {
    let mut schema = branch(table::tree());
    let head = [
        ("$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("title", json!("KafClaw configuration")),
        ("description", json!("Comments, trailing commas, \"$include\" and ${NAME} are understood too.")),
    ];
    let mut result: Map<String, Value> = head.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if let Some(object) = schema.as_object_mut() {
        object["properties"]["$include"] = json!({"description": "Files to read first, relative to this one.", "type": ["string", "array"], "items": {"type": "string"}});
        result.append(object);
    }
    Value::Object(result)
}

fn branch(branch_of: &Branch) -> Value {
    match branch_of {
        Branch::Object(children) => object(children, json!(false)),
        Branch::Map(fixed, inner) => object(fixed, branch(inner)),
        Branch::List(item) => json!({"type": ["array", "null"], "items": branch(item)}),
        Branch::Leaf(key) => leaf(key),
    }
}

fn object(children: &Children, others: Value) -> Value {
    let properties: Map<String, Value> =
        children.iter().map(|(name, child)| ((*name).to_owned(), branch(child))).collect();
    json!({"type": ["object", "null"], "properties": properties, "additionalProperties": others})
}

fn leaf(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] = json!(key.about);
    if let Some(default) = key.default {
        // A home of "" leaves `~` readable in the schema; what needs a home is shown as written.
        let value = match key.kind {
            Kind::Path | Kind::Duration | Kind::OneOf(_) => json!(default),
            _ => key.kind.read(default, std::path::Path::new("/")).unwrap_or_else(|| json!(default)),
        };
        schema["default"] = value;
    }
    if key.secret {
        schema["writeOnly"] = json!(true);
    }
    let names: Vec<String> = key.variables().into_iter().map(|name| format!("KAFCLAW_{name}")).collect();
    if !names.is_empty() {
        schema["x-variables"] = json!(names);
    }
    schema
}

fn kind(kind_of: &Kind) -> Value {
    match kind_of {
        Kind::Flag => json!({"type": ["boolean", "null"]}),
        Kind::Whole(min, i64::MAX) => json!({"type": ["integer", "null"], "minimum": min}),
        Kind::Whole(min, max) => json!({"type": ["integer", "null"], "minimum": min, "maximum": max}),
        Kind::Count(max) => json!({"type": ["integer", "null"], "maximum": max}),
        Kind::Number(min, max) => json!({"type": ["number", "null"], "minimum": min, "maximum": max}),
        Kind::Duration => json!({"type": ["string", "integer", "null"], "examples": ["250ms", "60s", "1h30m"]}),
        Kind::Text | Kind::Path | Kind::Host | Kind::Window | Kind::Segment | Kind::Topic => {
            json!({"type": ["string", "null"]})
        }
        Kind::Url(schemes) => {
            json!({"type": ["string", "null"], "pattern": format!("^$|^({})://|\\$\\{{", schemes.join("|"))})
        }
        Kind::OneOf(words) => {
            let mut allowed: Vec<Value> = words.iter().map(|word| json!(word)).collect();
            allowed.extend([json!(""), Value::Null]);
            json!({"enum": allowed})
        }
        Kind::List(item) => json!({"type": ["array", "null"], "items": kind(item)}),
        Kind::Map(item) => json!({"type": ["object", "null"], "additionalProperties": kind(item)}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_schema_with_its_sentence() {
        let schema = schema();
        for key in table::keys() {
            let place = key.path.split('.').try_fold(&schema, |place, step| match step.strip_suffix("[]") {
                Some(name) => place.get("properties")?.get(name)?.get("items"),
                None if step == "*" => place.get("additionalProperties"),
                None => place.get("properties")?.get(step),
            });
            let about = place.and_then(|place| place.get("description"));
            assert_eq!(about, Some(&json!(key.about)), "{}", key.path);
        }
    }
}
