//! JSON Schema to nodes.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::inference::language::grammar::number::NumberRule;
use crate::inference::language::grammar::{ANY, ANY_NUMBER, Field, Grammar, Node, NodeId, ObjectRule, builtin};

const NODES_MAX: usize = 8_192;
const DEPTH_MAX: usize = 48;
/// Fields of one object: seen ones are bits of a number.
pub(super) const FIELDS_MAX: usize = 128;

#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema allows nothing at {0}")]
    Nothing(String),
    #[error("the schema has too many parts, or parts too deep in one another")]
    Size,
    #[error("the schema refers to {0}, which is not in it")]
    Reference(String),
    #[error("an object of the schema has {0} fields; at most {FIELDS_MAX} are held")]
    Fields(usize),
}

pub(super) struct Compiler<'a> {
    root: &'a Value,
    pub(super) nodes: Vec<Node>,
    references: HashMap<String, NodeId>,
    depth: usize,
}

impl<'a> Compiler<'a> {
    pub(super) fn new(root: &'a Value) -> Self {
        Self::with(root, builtin())
    }

    /// Goes on behind the nodes of others.
    pub(super) fn with(root: &'a Value, nodes: Vec<Node>) -> Self {
        Self { root, nodes, references: HashMap::new(), depth: 0 }
    }

    pub(super) fn finish(
        mut self,
        compile: impl FnOnce(&mut Self) -> Result<NodeId, SchemaError>,
    ) -> Result<Arc<Grammar>, SchemaError> {
        let root = compile(&mut self)?;
        Ok(Arc::new(Grammar { nodes: self.nodes, root }))
    }

    fn add(&mut self, node: Node) -> Result<NodeId, SchemaError> {
        if self.nodes.len() >= NODES_MAX {
            return Err(SchemaError::Size);
        }
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    pub(super) fn schema(&mut self, schema: &Value) -> Result<NodeId, SchemaError> {
        if self.depth >= DEPTH_MAX {
            return Err(SchemaError::Size);
        }
        self.depth += 1;
        let node = match schema {
            Value::Bool(false) => Err(SchemaError::Nothing("false".to_owned())),
            Value::Object(rules) => self.rules(rules),
            _ => Ok(ANY),
        };
        self.depth -= 1;
        node
    }

    fn rules(&mut self, rules: &Map<String, Value>) -> Result<NodeId, SchemaError> {
        if let Some(reference) = rules.get("$ref").and_then(Value::as_str) {
            return self.reference(reference);
        }
        if let Some(value) = rules.get("const") {
            return self.add(Node::OneOf(vec![value.to_string().into_bytes()]));
        }
        if let Some(values) = rules.get("enum").and_then(Value::as_array) {
            if values.is_empty() {
                return Err(SchemaError::Nothing("enum".to_owned()));
            }
            let texts = values.iter().map(|value| value.to_string().into_bytes()).collect();
            return self.add(Node::OneOf(texts));
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(choices) = rules.get(key).and_then(Value::as_array) {
                return self.either(key, choices);
            }
        }
        if let Some(parts) = rules.get("allOf").and_then(Value::as_array) {
            return self.schema(&merged(rules, parts));
        }
        match rules.get("type") {
            Some(Value::Array(kinds)) => {
                let choices: Vec<Value> = kinds.iter().map(|kind| with_type(rules, kind.clone())).collect();
                self.either("type", &choices)
            }
            Some(Value::String(kind)) if rules.get("nullable") == Some(&Value::Bool(true)) && kind != "null" => {
                let mut plain = rules.clone();
                plain.remove("nullable");
                self.either("type", &[plain.into(), json!({"type": "null"})])
            }
            Some(Value::String(kind)) => self.kind(kind, rules),
            _ => self.guess(rules),
        }
    }

    fn kind(&mut self, kind: &str, rules: &Map<String, Value>) -> Result<NodeId, SchemaError> {
        match kind {
            "object" => self.object(rules),
            "array" => self.array(rules),
            "string" => {
                let (letters_min, letters_max) = bounds(rules, "minLength", "maxLength")?;
                self.add(Node::Text { letters_min, letters_max })
            }
            "integer" | "number" => {
                let rule = NumberRule::read(rules, kind == "integer");
                match rule {
                    Some(rule) if rule.is_free() && kind == "number" => Ok(ANY_NUMBER),
                    Some(rule) => self.add(Node::Number(rule)),
                    None => Err(SchemaError::Nothing(kind.to_owned())),
                }
            }
            "boolean" => self.add(Node::OneOf(vec![b"true".to_vec(), b"false".to_vec()])),
            "null" => self.add(Node::Literal(b"null".to_vec())),
            _ => Ok(ANY),
        }
    }

    /// Schemas that do not say a type but speak of what only one type has.
    fn guess(&mut self, rules: &Map<String, Value>) -> Result<NodeId, SchemaError> {
        let says = |keys: &[&str]| keys.iter().any(|key| rules.contains_key(*key));
        if says(&["properties", "required", "additionalProperties"]) {
            self.object(rules)
        } else if says(&["items", "minItems", "maxItems"]) {
            self.array(rules)
        } else if says(&["minLength", "maxLength", "pattern", "format"]) {
            self.kind("string", rules)
        } else if says(&["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"]) {
            self.kind("number", rules)
        } else {
            Ok(ANY)
        }
    }

    fn either(&mut self, what: &str, choices: &[Value]) -> Result<NodeId, SchemaError> {
        let nodes: Result<Vec<NodeId>, SchemaError> = choices.iter().map(|choice| self.schema(choice)).collect();
        let nodes = nodes?;
        if nodes.is_empty() {
            return Err(SchemaError::Nothing(what.to_owned()));
        }
        self.add(Node::Either(nodes))
    }

    /// Parts that refer to one another, or to themselves, share a node.
    fn reference(&mut self, reference: &str) -> Result<NodeId, SchemaError> {
        if let Some(node) = self.references.get(reference) {
            return Ok(*node);
        }
        let root = self.root;
        let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        let target = target.ok_or_else(|| SchemaError::Reference(reference.chars().take(80).collect()))?;
        let place = self.add(Node::Either(Vec::new()))?;
        self.references.insert(reference.to_owned(), place);
        let node = self.schema(target)?;
        self.nodes[place] = Node::Either(vec![node]);
        Ok(place)
    }

    fn object(&mut self, rules: &Map<String, Value>) -> Result<NodeId, SchemaError> {
        let required: Vec<&str> =
            rules.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = rules.get("properties").and_then(Value::as_object);
        let mut fields = Vec::new();
        for (name, schema) in properties.into_iter().flatten() {
            let is_required = required.contains(&name.as_str());
            let value = match self.schema(schema) {
                // A field that can hold nothing is left out, if it may be.
                Err(SchemaError::Nothing(_)) if !is_required => continue,
                other => other?,
            };
            fields.push(Field { key: key_text(name), value, is_required });
        }
        for name in required.iter().filter(|name| properties.is_none_or(|properties| !properties.contains_key(**name)))
        {
            let key = key_text(name);
            if fields.iter().all(|field| field.key != key) {
                fields.push(Field { key, value: ANY, is_required: true });
            }
        }
        if fields.len() > FIELDS_MAX {
            return Err(SchemaError::Fields(fields.len()));
        }
        let others = match rules.get("additionalProperties") {
            Some(Value::Bool(false)) => None,
            Some(schema) => Some(self.schema(schema)?),
            // What a schema does not list is not meant, unless it lists nothing at all.
            None => (properties.is_none() && fields.is_empty()).then_some(ANY),
        };
        self.add(Node::Object(ObjectRule { fields, others }))
    }

    fn array(&mut self, rules: &Map<String, Value>) -> Result<NodeId, SchemaError> {
        let item = rules.get("items").map_or(Ok(ANY), |items| self.schema(items))?;
        let (count_min, count_max) = bounds(rules, "minItems", "maxItems")?;
        self.add(Node::Array { item, count_min, count_max })
    }
}

fn bounds(rules: &Map<String, Value>, min: &str, max: &str) -> Result<(u64, u64), SchemaError> {
    let number = |key: &str| rules.get(key).and_then(Value::as_u64);
    let (least, most) = (number(min).unwrap_or(0), number(max).unwrap_or(u64::MAX));
    if least > most { Err(SchemaError::Nothing(max.to_owned())) } else { Ok((least, most)) }
}

/// A key as it stands between the quotes of JSON.
fn key_text(name: &str) -> Vec<u8> {
    let quoted = Value::from(name).to_string();
    quoted.as_bytes()[1..quoted.len() - 1].to_vec()
}

fn with_type(rules: &Map<String, Value>, kind: Value) -> Value {
    let mut rules = rules.clone();
    rules.insert("type".to_owned(), kind);
    rules.into()
}

/// All parts of an `allOf` as one schema: fields and requirements are joined, of other rules the last one holds.
fn merged(rules: &Map<String, Value>, parts: &[Value]) -> Value {
    let mut whole = rules.clone();
    whole.remove("allOf");
    for part in parts.iter().filter_map(Value::as_object) {
        for (key, value) in part {
            match (whole.get_mut(key), value) {
                (Some(Value::Object(whole)), Value::Object(part)) if key == "properties" => {
                    whole.extend(part.clone());
                }
                (Some(Value::Array(whole)), Value::Array(part)) if key == "required" => whole.extend(part.clone()),
                _ => drop(whole.insert(key.clone(), value.clone())),
            }
        }
    }
    whole.into()
}
