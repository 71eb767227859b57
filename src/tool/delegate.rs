//! `delegate`: another hub or agent of the group does something. The turn hands it over and waits; nothing runs here.

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::domain::call::{Effect, Outcome, Tier};
use crate::tool::{Audience, Spec, Tool, ToolContext, text};

pub const NAME: &str = "delegate";

/// What somebody else is asked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Order {
    /// Name or id of a member; blank for whoever is able.
    pub member: String,
    /// What the member must be good at; blank for anything.
    pub skill: String,
    /// In whole sentences: the other one knows nothing of this conversation.
    pub task: String,
}

impl Order {
    /// The order in the arguments of a call.
    pub fn of(arguments: &Value) -> Self {
        let field = |name: &str| text(arguments, name).trim().to_owned();
        Self { member: field("member"), skill: field("skill"), task: field("task") }
    }

    /// The arguments of a call with this order.
    pub fn to_arguments(&self) -> Value {
        json!({"member": self.member, "skill": self.skill, "task": self.task})
    }
}

pub struct Delegate {
    spec: Spec,
}

impl Default for Delegate {
    fn default() -> Self {
        let parameters = json!({
            "type": "object",
            "properties": {
                "task": {"type": "string", "minLength": 1, "description": "What to do or to find out, in whole sentences"},
                "member": {"type": "string", "description": "Name or id of the hub or agent; leave out for whoever is able"},
                "skill": {"type": "string", "description": "A skill that the member must offer"},
            },
            "required": ["task"],
        });
        let description = "Ask another hub or agent of the group to do something or to answer a question.";
        Self {
            spec: Spec {
                name: NAME,
                tier: Tier::Write,
                effect: Effect::Elsewhere,
                audience: Audience::Household,
                description,
                parameters,
            },
        }
    }
}

impl Tool for Delegate {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, _: &'a ToolContext, _: &'a Value) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::failed("Error: there is no group that could do this") })
    }
}
