//! `remember`, `recall`, `forget`, `update_working_memory`: what the house was told, over the port [`Memories`]. The texts of
//! the first three are KafClaw's.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::domain::call::{Effect, Outcome, Tier};
use crate::tool::port::{Memories, PortError};
use crate::tool::{Audience, Spec, Tool, ToolContext, number, shortened, text};

/// Bytes of a memory repeated when it was stored.
const ECHO_BYTES_MAX: usize = 80;
/// Memories returned when the model does not say, and at most.
const LIMIT_DEFAULT: f64 = 5.0;
const LIMIT_MAX: f64 = 50.0;

#[derive(Clone, Copy)]
enum Operation {
    Remember,
    Recall,
    Forget,
    Note,
}

struct MemoryTool {
    spec: Spec,
    operation: Operation,
    port: Arc<dyn Memories>,
}

/// The memory tools.
pub fn tools(port: &Arc<dyn Memories>) -> Vec<Arc<dyn Tool>> {
    [Operation::Remember, Operation::Recall, Operation::Forget, Operation::Note]
        .map(|operation| -> Arc<dyn Tool> {
            Arc::new(MemoryTool { spec: spec(operation), operation, port: port.clone() })
        })
        .into()
}

impl Tool for MemoryTool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, ctx: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let result = match self.operation {
                Operation::Remember => self.remember(ctx, arguments).await,
                Operation::Recall => self.recall(ctx, arguments).await,
                Operation::Forget => self.forget(ctx, arguments).await,
                Operation::Note => self.note(ctx, arguments).await,
            };
            match result {
                Ok(text) => Outcome::done(text),
                Err(PortError::NotAvailable) => {
                    Outcome::failed("Memory system not available (no embedder configured).")
                }
                Err(error) => Outcome::failed(format!("Error: {error}")),
            }
        })
    }
}

impl MemoryTool {
    async fn remember(&self, ctx: &ToolContext, arguments: &Value) -> Result<String, PortError> {
        let content = text(arguments, "content");
        let id = self.port.remember(ctx, content, text(arguments, "tags")).await?;
        Ok(format!("Remembered: \"{}\" (id: {id})", shortened(content, ECHO_BYTES_MAX)))
    }

    async fn recall(&self, ctx: &ToolContext, arguments: &Value) -> Result<String, PortError> {
        let limit = number(arguments, "limit").unwrap_or(LIMIT_DEFAULT).clamp(1.0, LIMIT_MAX) as usize;
        let found = self.port.recall(ctx, text(arguments, "query"), limit).await?;
        if found.is_empty() {
            return Ok("No relevant memories found.".to_owned());
        }
        let mut answer = format!("Found {} relevant memories:\n", found.len());
        for (index, memory) in found.iter().enumerate() {
            let (score, source) = (memory.score, &memory.source);
            let _ = write!(answer, "\n{}. [score={score:.2}, source={source}] {}", index + 1, memory.text);
        }
        Ok(answer)
    }

    async fn forget(&self, ctx: &ToolContext, arguments: &Value) -> Result<String, PortError> {
        let id = text(arguments, "id");
        self.port.forget(ctx, id).await?;
        Ok(format!("Forgotten: {id}"))
    }

    async fn note(&self, ctx: &ToolContext, arguments: &Value) -> Result<String, PortError> {
        self.port.note(ctx, text(arguments, "content")).await?;
        Ok("Working memory updated.".to_owned())
    }
}

fn spec(operation: Operation) -> Spec {
    let required =
        |name: &str, description: &str| json!({name: {"type": "string", "minLength": 1, "description": description}});
    let (name, tier, effect, description, mut properties) = match operation {
        Operation::Remember => (
            "remember",
            Tier::Write,
            Effect::Once,
            "Store something for later conversations.",
            required("content", "What to remember, as a sentence that stands on its own."),
        ),
        Operation::Recall => (
            "recall",
            Tier::Read,
            Effect::Repeatable,
            "Search what was remembered.",
            required("query", "What to look for."),
        ),
        Operation::Forget => (
            "forget",
            Tier::Write,
            Effect::Repeatable,
            "Delete one memory.",
            required("id", "The id that remember returned."),
        ),
        Operation::Note => (
            "update_working_memory",
            Tier::Write,
            Effect::Repeatable,
            "Replace your note about this conversation: what holds right now and later messages of it must know.",
            required("content", "The whole new note, a few short lines."),
        ),
    };
    let required: Vec<_> = properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    match operation {
        Operation::Remember => {
            properties["tags"] = json!({"type": "string", "description": "Words to find it by, with commas."})
        }
        Operation::Recall => properties["limit"] = json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX}),
        Operation::Forget | Operation::Note => {}
    }
    let parameters = json!({"type": "object", "properties": properties, "required": required});
    Spec { name, tier, effect, audience: Audience::Household, description, parameters }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::Call;
    use crate::tool::port::Recalled;
    use crate::tool::{Registry, testing};

    struct Fake {
        is_available: bool,
    }

    impl Memories for Fake {
        fn remember<'a>(
            &'a self,
            _: &'a ToolContext,
            _: &'a str,
            _: &'a str,
        ) -> BoxFuture<'a, Result<String, PortError>> {
            Box::pin(async { if self.is_available { Ok("m1".to_owned()) } else { Err(PortError::NotAvailable) } })
        }

        fn recall<'a>(
            &'a self,
            _: &'a ToolContext,
            query: &'a str,
            limit: usize,
        ) -> BoxFuture<'a, Result<Vec<Recalled>, PortError>> {
            let one = Recalled { id: "m1".to_owned(), text: "Tea".to_owned(), source: "user".to_owned(), score: 0.826 };
            let count = if query == "nothing" { 0 } else { limit };
            Box::pin(async move { Ok(vec![one; count]) })
        }

        fn forget<'a>(&'a self, _: &'a ToolContext, id: &'a str) -> BoxFuture<'a, Result<(), PortError>> {
            Box::pin(async move { if id == "m1" { Ok(()) } else { Err(PortError::NotFound { name: id.to_owned() }) } })
        }

        fn note<'a>(&'a self, _: &'a ToolContext, _: &'a str) -> BoxFuture<'a, Result<(), PortError>> {
            Box::pin(async { Ok(()) })
        }
    }

    async fn said(is_available: bool, tool: &str, arguments: Value) -> String {
        let port: Arc<dyn Memories> = Arc::new(Fake { is_available });
        let registry = Registry::new(tools(&port)).expect("unique");
        let call = Call { id: "1".to_owned(), tool: tool.to_owned(), arguments };
        registry.run(&testing::context(), &call).await.text
    }

    #[tokio::test]
    async fn the_texts_are_kafclaws() {
        for (tool, arguments, text) in [
            ("remember", json!({"content": "Tea at five"}), "Remembered: \"Tea at five\" (id: m1)".to_owned()),
            ("remember", json!({"content": "x".repeat(90)}), format!("Remembered: \"{}\" (id: m1)", "x".repeat(80))),
            ("remember", json!({"content": ""}), "Error: content is required".to_owned()),
            ("recall", json!({"query": "nothing"}), "No relevant memories found.".to_owned()),
            (
                "recall",
                json!({"query": "tea", "limit": 2.0}),
                "Found 2 relevant memories:\n\n1. [score=0.83, source=user] Tea\n2. [score=0.83, source=user] Tea"
                    .to_owned(),
            ),
            ("recall", json!({"query": "tea", "limit": 0}), "Error: limit must be at least 1".to_owned()),
            ("forget", json!({"id": "m1"}), "Forgotten: m1".to_owned()),
            ("update_working_memory", json!({"content": "Guests."}), "Working memory updated.".to_owned()),
            ("forget", json!({"id": "m2"}), "Error: there is nothing named m2".to_owned()),
        ] {
            assert_eq!(said(true, tool, arguments).await, text);
        }
        let text = said(false, "remember", json!({"content": "x"})).await;
        assert_eq!(text, "Memory system not available (no embedder configured).");
    }
}
