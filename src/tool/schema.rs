//! Do a call's arguments fit the tool's JSON schema? The part of JSON schema that our own tools use; what models add beyond the
//! schema is ignored, and `null` counts as not given.

use serde_json::Value;

/// Longest text quoted back.
const QUOTED_BYTES_MAX: usize = 60;

/// Checks `arguments` against an object schema; the error is a sentence without a period for the model.
pub(super) fn check(schema: &Value, arguments: &Value) -> Result<(), String> {
    let Some(given) = arguments.as_object() else {
        return Err("the arguments must be an object".to_owned());
    };
    let given = |name: &str| given.get(name).filter(|value| !value.is_null());
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if given(name).is_none() {
            return Err(format!("{name} is required"));
        }
    }
    let properties = schema["properties"].as_object().into_iter().flatten();
    for (name, property) in properties {
        if let Some(value) = given(name) {
            check_value(name, property, value)?;
        }
    }
    Ok(())
}

fn check_value(name: &str, schema: &Value, value: &Value) -> Result<(), String> {
    let (fits, wanted) = match schema["type"].as_str() {
        Some("string") => (value.is_string(), "a string"),
        Some("number") => (value.is_number(), "a number"),
        // Models write 5.0 for 5.
        Some("integer") => (value.as_f64().is_some_and(|number| number.fract() == 0.0), "an integer"),
        Some("boolean") => (value.is_boolean(), "true or false"),
        Some("array") => (value.is_array(), "an array"),
        Some("object") => (value.is_object(), "an object"),
        _ => (true, ""),
    };
    if !fits {
        return Err(format!("{name} must be {wanted}"));
    }
    check_bounds(name, schema, value)?;
    for item in value.as_array().into_iter().flatten() {
        check_value(&format!("every item of {name}"), &schema["items"], item)?;
    }
    Ok(())
}

fn check_bounds(name: &str, schema: &Value, value: &Value) -> Result<(), String> {
    if value.as_str() == Some("") && schema["minLength"].as_u64().unwrap_or(0) > 0 {
        return Err(format!("{name} is required"));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let allowed: Vec<_> = allowed.iter().filter_map(Value::as_str).collect();
        let quoted = value.to_string();
        let quoted = &quoted[..quoted.floor_char_boundary(QUOTED_BYTES_MAX)];
        return Err(format!("{name} must be one of {}, not {quoted}", allowed.join(", ")));
    }
    let Some(number) = value.as_f64() else { return Ok(()) };
    match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        (Some(min), _) if number < min => Err(format!("{name} must be at least {min}")),
        (_, Some(max)) if number > max => Err(format!("{name} must be at most {max}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1},
                "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                "action": {"type": "string", "enum": ["on", "off"]},
                "tags": {"type": "array", "items": {"type": "string"}},
                "deep": {"type": "boolean"}
            },
            "required": ["path"]
        })
    }

    #[test]
    fn arguments_are_told_what_is_wrong_with_them() {
        for (arguments, expected) in [
            (json!({"path": "a"}), Ok(())),
            (json!({"path": "a", "unknown": {}}), Ok(())),
            (json!({"path": "a", "limit": 5.0, "tags": ["x"], "deep": true, "action": "on"}), Ok(())),
            (json!({"path": "a", "limit": null}), Ok(())),
            (json!({}), Err("path is required")),
            (json!({"path": null}), Err("path is required")),
            (json!({"path": ""}), Err("path is required")),
            (json!({"path": 1}), Err("path must be a string")),
            (json!({"path": "a", "limit": 1.5}), Err("limit must be an integer")),
            (json!({"path": "a", "limit": 0}), Err("limit must be at least 1")),
            (json!({"path": "a", "limit": 51}), Err("limit must be at most 50")),
            (json!({"path": "a", "action": "up"}), Err("action must be one of on, off, not \"up\"")),
            (json!({"path": "a", "tags": ["x", 1]}), Err("every item of tags must be a string")),
            (json!({"path": "a", "deep": "yes"}), Err("deep must be true or false")),
            (json!("path"), Err("the arguments must be an object")),
        ] {
            assert_eq!(check(&schema(), &arguments), expected.map_err(str::to_owned), "{arguments}");
        }
    }

    proptest! {
        #[test]
        fn no_text_that_is_json_makes_the_check_panic(path in ".*", action in ".*", limit: f64) {
            let arguments = json!({"path": path, "action": action, "limit": limit});
            if check(&schema(), &arguments).is_ok() {
                prop_assert!(!path.is_empty() && (action == "on" || action == "off"));
            }
        }
    }
}
