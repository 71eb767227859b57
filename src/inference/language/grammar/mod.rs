//! What a model may write when it has to write JSON: a schema, compiled into nodes, and a machine that walks them byte by byte.
//!
//! JSON is written as models were shown it: one line, at most one space after a colon or comma. Patterns and formats of texts,
//! multiples, and uniqueness are not held; everything else that a schema says of shape, kind, length and range is.

mod frame;
mod machine;
mod number;
mod object;
mod schema;
#[cfg(test)]
pub(super) mod tests;
mod text;

pub use machine::Machine;
pub use schema::SchemaError;

use std::sync::Arc;

use serde_json::Value;

use number::NumberRule;

/// Index of a node.
type NodeId = usize;

#[derive(Clone, Debug)]
enum Node {
    /// Exactly these bytes.
    Literal(Vec<u8>),
    /// One of these JSON texts.
    OneOf(Vec<Vec<u8>>),
    Text {
        letters_min: u64,
        letters_max: u64,
    },
    Number(NumberRule),
    Object(ObjectRule),
    Array {
        item: NodeId,
        count_min: u64,
        count_max: u64,
    },
    Either(Vec<NodeId>),
    Sequence(Vec<NodeId>),
    /// Any JSON value.
    Any,
}

#[derive(Clone, Debug, Default)]
struct ObjectRule {
    fields: Vec<Field>,
    /// What fields that are not listed hold; none means that there are none.
    others: Option<NodeId>,
}

#[derive(Clone, Debug)]
struct Field {
    /// As it stands between quotes.
    key: Vec<u8>,
    value: NodeId,
    is_required: bool,
}

/// A language of byte strings.
#[derive(Debug)]
pub struct Grammar {
    nodes: Vec<Node>,
    root: NodeId,
}

/// Nodes that every grammar has, so that [`Node::Any`] can lead to them.
const ANY: NodeId = 0;
const ANY_OBJECT: NodeId = 1;
const ANY_ARRAY: NodeId = 2;
const ANY_TEXT: NodeId = 3;
const ANY_NUMBER: NodeId = 4;
const ANY_WORD: NodeId = 5;

impl Grammar {
    /// JSON that follows a schema.
    pub fn of_schema(schema: &Value) -> Result<Arc<Self>, SchemaError> {
        schema::Compiler::new(schema).finish(|compiler| compiler.schema(schema))
    }

    /// Any JSON object.
    pub fn of_objects() -> Arc<Self> {
        Arc::new(Self { nodes: builtin(), root: ANY_OBJECT })
    }

    /// One of some texts, each with a value in its middle: the part before, its schema, the part after.
    pub fn of_framed(frames: &[(Vec<u8>, Value, Vec<u8>)]) -> Result<Arc<Self>, SchemaError> {
        let mut nodes = builtin();
        let mut choices = Vec::new();
        for (before, schema, after) in frames {
            let mut compiler = schema::Compiler::with(schema, nodes);
            let value = compiler.schema(schema)?;
            nodes = compiler.nodes;
            let first = nodes.len();
            nodes.push(Node::Literal(before.clone()));
            nodes.push(Node::Literal(after.clone()));
            nodes.push(Node::Sequence(vec![first, value, first + 1]));
            choices.push(first + 2);
        }
        let root = nodes.len();
        nodes.push(Node::Either(choices));
        Ok(Arc::new(Self { nodes, root }))
    }
}

fn builtin() -> Vec<Node> {
    let words = ["true", "false", "null"].map(|word| word.as_bytes().to_vec()).to_vec();
    vec![
        Node::Any,
        Node::Object(ObjectRule { fields: Vec::new(), others: Some(ANY) }),
        Node::Array { item: ANY, count_min: 0, count_max: u64::MAX },
        Node::Text { letters_min: 0, letters_max: u64::MAX },
        Node::Number(NumberRule::any()),
        Node::OneOf(words),
    ]
}
