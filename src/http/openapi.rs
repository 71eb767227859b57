//! The OpenAPI document (3.1) of a table of routes.

use serde_json::{Map, Value, json};

use crate::http::{Access, Route};

/// One line of the document.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub method: &'static str,
    pub path: &'static str,
    pub is_open: bool,
    pub summary: &'static str,
    /// The default port the route is served on.
    pub port: u16,
}

/// The lines of `routes`.
pub fn entries<S>(routes: &[Route<S>], port: u16) -> Vec<Entry> {
    let entry = |route: &Route<S>| Entry {
        method: route.method.as_str(),
        path: route.path,
        is_open: route.access == Access::Open,
        summary: route.summary,
        port,
    };
    routes.iter().map(entry).collect()
}

pub fn document(entries: &[Entry], version: &str) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for entry in entries {
        let parameters: Vec<Value> = entry
            .path
            .split('/')
            .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let mut operation = json!({
            "summary": entry.summary,
            "x-port": entry.port,
            "responses": {
                "200": {"description": "Done."},
                "default": {"description": "An error.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}},
            },
        });
        if !parameters.is_empty() {
            operation["parameters"] = json!(parameters);
        }
        if entry.is_open {
            operation["security"] = json!([]);
        }
        let path = paths.entry(entry.path).or_insert_with(|| json!({}));
        path[entry.method.to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "KafClaw Edge", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": super::LOGIN_COOKIE},
            },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
                },
            },
        },
    })
}
