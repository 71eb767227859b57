//! All tools by name, and the one way to run them: arguments checked, result bounded.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::base::limits;
use crate::domain::call::{Call, Outcome};
use crate::domain::message::Origin;
use crate::policy::{self, Question, Verdict};
use crate::tool::{Spec, Tool, ToolContext, denied, schema, shortened};

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("there are two tools named {name}")]
    Duplicate { name: &'static str },
}

/// Sorted by name, so that what models are sent is the same every time and their prompt caches hold.
#[derive(Clone, Default)]
pub struct Registry {
    tools: Arc<BTreeMap<&'static str, Arc<dyn Tool>>>,
}

impl Registry {
    pub fn new(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Result<Self, RegistryError> {
        let mut sorted = BTreeMap::new();
        for tool in tools {
            let name = tool.spec().name;
            if sorted.insert(name, tool).is_some() {
                return Err(RegistryError::Duplicate { name });
            }
        }
        Ok(Self { tools: Arc::new(sorted) })
    }

    pub fn find(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.get(name)
    }

    /// Every tool, sorted by name.
    pub fn specs(&self) -> impl Iterator<Item = &Spec> {
        self.tools.values().map(|tool| tool.spec())
    }

    /// The tools that somebody of `origin` could use under `config`, perhaps after an approval; sorted by name.
    pub fn offered_to(&self, origin: Origin, config: &policy::Config) -> Vec<&Spec> {
        // Who exactly asks, and in which conversation, makes no difference to what is offered, only to what is allowed.
        let session = "".into();
        let open_to_all = policy::Config { allowed_senders: Default::default(), ..config.clone() };
        self.specs()
            .filter(|spec| may_see(spec, origin))
            .filter(|spec| {
                let question = Question { tool: spec.name, tier: spec.tier, origin, sender: "", session: &session };
                policy::judge(&open_to_all, &question).verdict != Verdict::Denied
            })
            .collect()
    }

    /// Every tool in the form OpenAI-compatible servers take, sorted by name.
    pub fn schemas(&self) -> Vec<Value> {
        self.specs().map(Spec::to_openai).collect()
    }

    /// Runs `call`: an unknown tool, wrong arguments and a tool out of reach are outcomes with a text, like any other.
    pub async fn run(&self, ctx: &ToolContext, call: &Call) -> Outcome {
        let Some(tool) = self.find(&call.tool) else {
            return Outcome::failed(format!("Error: tool not found: {}", shortened(&call.tool, 100)));
        };
        if !may_see(tool.spec(), ctx.origin) {
            return denied(format!("Error: {} is for members of the household only.", call.tool));
        }
        if let Err(complaint) = schema::check(&tool.spec().parameters, &call.arguments) {
            return Outcome::failed(format!("Error: {complaint}"));
        }
        let outcome = tool.run(ctx, &call.arguments).await;
        Outcome { text: bounded(outcome.text), ..outcome }
    }
}

impl Spec {
    /// The form OpenAI-compatible servers take.
    pub fn to_openai(&self) -> Value {
        json!({
            "type": "function",
            "function": { "name": self.name, "description": self.description, "parameters": self.parameters },
        })
    }
}

fn may_see(spec: &Spec, origin: Origin) -> bool {
    spec.audience.admits(origin)
}

/// Cuts a result that is too long for a prompt, and says so in the room that is left (specification §15 P11).
fn bounded(text: String) -> String {
    const NOTICE_BYTES_MAX: usize = 80;
    if text.len() <= limits::TOOL_RESULT_BYTES_MAX {
        return text;
    }
    let kept = shortened(&text, limits::TOOL_RESULT_BYTES_MAX - NOTICE_BYTES_MAX);
    format!("{kept}\n[result truncated: {} of {} bytes shown]", kept.len(), text.len())
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::*;
    use crate::domain::call::{Effect, OutcomeStatus, Tier};
    use crate::tool::{Audience, testing};

    struct Fake {
        spec: Spec,
        answer: String,
    }

    impl Tool for Fake {
        fn spec(&self) -> &Spec {
            &self.spec
        }

        fn run<'a>(&'a self, _: &'a ToolContext, _: &'a Value) -> BoxFuture<'a, Outcome> {
            Box::pin(async { Outcome::done(self.answer.clone()) })
        }
    }

    fn fake(name: &'static str, tier: Tier, audience: Audience, answer: &str) -> Arc<dyn Tool> {
        let parameters = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let spec = Spec { name, tier, effect: Effect::Repeatable, audience, description: "A fake.", parameters };
        Arc::new(Fake { spec, answer: answer.to_owned() })
    }

    fn call(tool: &str, arguments: Value) -> Call {
        Call { id: "1".to_owned(), tool: tool.to_owned(), arguments }
    }

    #[test]
    fn schemas_are_the_same_whatever_the_order_of_registration() {
        let tools = ["zeta", "alpha", "mid"].map(|name| fake(name, Tier::Read, Audience::Everybody, ""));
        let forward = Registry::new(tools.clone()).expect("unique").schemas();
        let backward = Registry::new(tools.into_iter().rev()).expect("unique").schemas();
        assert_eq!(
            serde_json::to_string(&forward).expect("serializable"),
            serde_json::to_string(&backward).expect("serializable")
        );
        let names: Vec<_> = forward.iter().map(|schema| schema["function"]["name"].as_str().expect("named")).collect();
        assert_eq!(names, ["alpha", "mid", "zeta"]);
    }

    #[test]
    fn two_tools_of_one_name_are_refused() {
        let twice = ["a", "a"].map(|name| fake(name, Tier::Read, Audience::Everybody, ""));
        assert!(matches!(Registry::new(twice), Err(RegistryError::Duplicate { name: "a" })));
    }

    #[test]
    fn outsiders_are_offered_neither_high_tiers_nor_the_households_own() {
        let registry = Registry::new([
            fake("clock", Tier::Read, Audience::Everybody, ""),
            fake("read_file", Tier::Read, Audience::Household, ""),
            fake("write_file", Tier::Write, Audience::Household, ""),
            fake("fetch", Tier::Write, Audience::Everybody, ""),
            fake("exec", Tier::HighRisk, Audience::Everybody, ""),
        ])
        .expect("unique");
        let names = |origin, config: &policy::Config| {
            registry.offered_to(origin, config).iter().map(|spec| spec.name).collect::<Vec<_>>()
        };
        let mut config = policy::Config { allowed_senders: ["ann".to_owned()].into(), ..policy::Config::default() };
        assert_eq!(names(Origin::External, &config), ["clock"]);
        assert_eq!(names(Origin::Internal, &config), ["clock", "exec", "fetch", "read_file", "write_file"]);
        config.tools.insert("exec".to_owned(), policy::Rule::Deny);
        config.external_max_tier = Tier::HighRisk;
        assert_eq!(names(Origin::External, &config), ["clock", "fetch"]);
    }

    #[tokio::test]
    async fn what_was_not_offered_does_not_run_when_called_all_the_same() {
        let registry = Registry::new([fake("read_file", Tier::Read, Audience::Household, "secret")]).expect("unique");
        let ctx = ToolContext { origin: Origin::External, ..testing::context() };
        let outcome = registry.run(&ctx, &call("read_file", json!({"n": 1}))).await;
        assert_eq!(outcome.status, OutcomeStatus::Denied);
        assert!(!outcome.text.contains("secret"));
    }

    #[tokio::test]
    async fn a_wrong_call_is_answered_with_what_is_wrong() {
        let registry = Registry::new([fake("count", Tier::Read, Audience::Everybody, "ok")]).expect("unique");
        for (call, text) in [
            (call("count", json!({"n": 1.0})), "ok"),
            (call("count", json!({})), "Error: n is required"),
            (call("count", json!({"n": "one"})), "Error: n must be an integer"),
            (call("count", json!([1])), "Error: the arguments must be an object"),
            (call("cuont", json!({})), "Error: tool not found: cuont"),
        ] {
            assert_eq!(registry.run(&testing::context(), &call).await.text, text);
        }
    }

    #[tokio::test]
    async fn a_long_result_is_cut_between_characters_with_a_notice() {
        for answer in
            ["ä".repeat(limits::TOOL_RESULT_BYTES_MAX), format!("x{}", "€".repeat(limits::TOOL_RESULT_BYTES_MAX))]
        {
            let registry = Registry::new([fake("long", Tier::Read, Audience::Everybody, &answer)]).expect("unique");
            let text = registry.run(&testing::context(), &call("long", json!({"n": 1}))).await.text;
            assert!(text.len() <= limits::TOOL_RESULT_BYTES_MAX);
            assert!(text.ends_with(&format!(" of {} bytes shown]", answer.len())), "{}", &text[text.len() - 100..]);
        }
        let exact = "x".repeat(limits::TOOL_RESULT_BYTES_MAX);
        assert_eq!(bounded(exact.clone()), exact);
    }
}
