//! `set_timer`, `list_timers`, `cancel_timer`, `schedule_job`, over the port [`Timers`].

use std::sync::Arc;
use std::time::Duration;

use chrono::NaiveDateTime;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::domain::call::{Effect, Outcome, Tier};
use crate::tool::port::{NewTimer, PortError, Purpose, Timer, Timers, When};
use crate::tool::{Audience, Spec, Tool, ToolContext, number, text};

/// Longest wait that can be asked for in seconds: a year.
const SECONDS_MAX: f64 = 366.0 * 24.0 * 3600.0;

#[derive(Clone, Copy)]
enum Operation {
    Set,
    List,
    Cancel,
    Schedule,
}

struct TimerTool {
    spec: Spec,
    operation: Operation,
    port: Arc<dyn Timers>,
}

/// The four timer tools.
pub fn tools(port: &Arc<dyn Timers>) -> Vec<Arc<dyn Tool>> {
    [Operation::Set, Operation::List, Operation::Cancel, Operation::Schedule]
        .map(|operation| -> Arc<dyn Tool> {
            Arc::new(TimerTool { spec: spec(operation), operation, port: port.clone() })
        })
        .into()
}

impl Tool for TimerTool {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, ctx: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let result = match self.operation {
                Operation::Set => self.set(ctx, arguments, Purpose::Ring).await,
                Operation::Schedule => {
                    self.set(ctx, arguments, Purpose::Say(text(arguments, "message").to_owned())).await
                }
                Operation::List => self.port.list(ctx).await.map(|timers| listing(&timers)),
                Operation::Cancel => {
                    let cancelled = self.port.cancel(ctx, text(arguments, "which")).await;
                    cancelled.map(|timer| format!("Cancelled: {}", line(&timer)))
                }
            };
            result.map_or_else(|error| Outcome::failed(format!("Error: {error}")), Outcome::done)
        })
    }
}

impl TimerTool {
    async fn set(&self, ctx: &ToolContext, arguments: &Value, purpose: Purpose) -> Result<String, PortError> {
        let when = when(arguments)?;
        let label = text(arguments, "label").to_owned();
        let timer = self.port.set(ctx, NewTimer { label, when, purpose }).await?;
        Ok(format!("Set: {}", line(&timer)))
    }
}

/// Exactly one of `seconds`, `at` and `cron`.
fn when(arguments: &Value) -> Result<When, PortError> {
    let refused = |why: &str| PortError::Refused { why: why.to_owned() };
    let (seconds, at, cron) = (number(arguments, "seconds"), text(arguments, "at"), text(arguments, "cron"));
    match (seconds, at.is_empty(), cron.is_empty()) {
        // The schema has checked its bounds; a float of this size is exact.
        (Some(seconds), true, true) => {
            let wait =
                Duration::try_from_secs_f64(seconds).map_err(|_| refused("seconds must be a positive number"))?;
            Ok(When::In(wait))
        }
        (None, false, true) => parse_at(at).ok_or_else(|| refused("at must be a time such as 2026-08-18T07:00")),
        (None, true, false) => Ok(When::Cron(cron.to_owned())),
        _ => Err(refused("exactly one of seconds, at and cron says when")),
    }
}

/// A time with an offset is an instant; one without is on the household's clock.
fn parse_at(text: &str) -> Option<When> {
    let text = text.trim();
    if let Ok(instant) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(When::At(Timestamp::from_millis(instant.timestamp_millis())));
    }
    ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .map(When::AtLocal)
}

fn listing(timers: &[Timer]) -> String {
    if timers.is_empty() {
        return "No timers are set.".to_owned();
    }
    timers.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn line(timer: &Timer) -> String {
    let label = if timer.label.is_empty() { String::new() } else { format!("\"{}\" ", timer.label) };
    let cron = timer.cron.as_ref().map_or(String::new(), |cron| format!(", repeats {cron}"));
    format!("{label}(id: {}) due {}{cron}", timer.id, timer.due)
}

fn spec(operation: Operation) -> Spec {
    let label = json!({"type": "string", "description": "What people call it."});
    let seconds = json!({"type": "number", "minimum": 1, "maximum": SECONDS_MAX, "description": "Seconds from now."});
    let at = json!({"type": "string", "description": "Local time such as 2026-08-18T07:00, or with an offset."});
    let cron = json!({"type": "string", "description": "Five cron fields, to repeat."});
    let (name, tier, effect, description, properties, required) = match operation {
        Operation::Set => (
            "set_timer",
            Tier::Write,
            Effect::Once,
            "Set a timer, alarm or reminder that tells the person when its time has come. Give seconds or at.",
            json!({"label": label, "seconds": seconds, "at": at}),
            json!([]),
        ),
        Operation::List => (
            "list_timers",
            Tier::Read,
            Effect::Repeatable,
            "List timers, reminders and scheduled jobs.",
            json!({}),
            json!([]),
        ),
        Operation::Cancel => (
            "cancel_timer",
            Tier::Write,
            Effect::Repeatable,
            "Cancel a timer, reminder or job.",
            json!({"which": {"type": "string", "minLength": 1, "description": "Its id or label."}}),
            json!(["which"]),
        ),
        Operation::Schedule => (
            "schedule_job",
            Tier::Write,
            Effect::Once,
            "Hand a message to the assistant at a later time or repeatedly. Give seconds, at or cron.",
            json!({
                "label": label, "seconds": seconds, "at": at, "cron": cron,
                "message": {"type": "string", "minLength": 1, "description": "What the assistant is told then."},
            }),
            json!(["message"]),
        ),
    };
    let parameters = json!({"type": "object", "properties": properties, "required": required});
    Spec { name, tier, effect, audience: Audience::Household, description, parameters }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::call::Call;
    use crate::tool::{Registry, testing};

    /// Answers with what it was asked.
    struct Echo;

    fn timer(label: &str, due: String, cron: Option<String>) -> Timer {
        Timer { id: "j1".into(), label: label.to_owned(), due, cron }
    }

    impl Timers for Echo {
        fn set<'a>(&'a self, _: &'a ToolContext, new: NewTimer) -> BoxFuture<'a, Result<Timer, PortError>> {
            let cron = if let When::Cron(cron) = &new.when { Some(cron.clone()) } else { None };
            let timer = timer(&new.label, format!("{:?} {:?}", new.when, new.purpose), cron);
            Box::pin(async move { Ok(timer) })
        }

        fn list<'a>(&'a self, _: &'a ToolContext) -> BoxFuture<'a, Result<Vec<Timer>, PortError>> {
            Box::pin(async { Ok(vec![timer("tea", "soon".to_owned(), None), timer("", "later".to_owned(), None)]) })
        }

        fn cancel<'a>(&'a self, _: &'a ToolContext, which: &'a str) -> BoxFuture<'a, Result<Timer, PortError>> {
            Box::pin(async move {
                if which == "tea" {
                    Ok(timer("tea", "soon".to_owned(), None))
                } else {
                    Err(PortError::NotFound { name: which.to_owned() })
                }
            })
        }
    }

    async fn said(tool: &str, arguments: Value) -> String {
        let port: Arc<dyn Timers> = Arc::new(Echo);
        let registry = Registry::new(tools(&port)).expect("unique");
        let call = Call { id: "1".to_owned(), tool: tool.to_owned(), arguments };
        registry.run(&testing::context(), &call).await.text
    }

    #[tokio::test]
    async fn what_was_asked_reaches_the_port() {
        for (tool, arguments, text) in [
            ("set_timer", json!({"seconds": 300, "label": "tea"}), "Set: \"tea\" (id: j1) due In(300s) Ring"),
            ("set_timer", json!({"at": "2026-08-18T07:00"}), "Set: (id: j1) due AtLocal(2026-08-18T07:00:00) Ring"),
            (
                "set_timer",
                json!({"at": "2026-08-18T07:00:00+02:00"}),
                "Set: (id: j1) due At(2026-08-18T05:00:00.000Z) Ring",
            ),
            (
                "schedule_job",
                json!({"cron": "0 7 * * *", "message": "weather"}),
                "Set: (id: j1) due Cron(\"0 7 * * *\") Say(\"weather\"), repeats 0 7 * * *",
            ),
            ("set_timer", json!({}), "Error: exactly one of seconds, at and cron says when"),
            (
                "set_timer",
                json!({"seconds": 1, "at": "2026-08-18T07:00"}),
                "Error: exactly one of seconds, at and cron says when",
            ),
            ("set_timer", json!({"at": "tomorrow"}), "Error: at must be a time such as 2026-08-18T07:00"),
            ("set_timer", json!({"seconds": -1}), "Error: seconds must be at least 1"),
            ("list_timers", json!({}), "\"tea\" (id: j1) due soon\n(id: j1) due later"),
            ("cancel_timer", json!({"which": "tea"}), "Cancelled: \"tea\" (id: j1) due soon"),
            ("cancel_timer", json!({"which": "egg"}), "Error: there is nothing named egg"),
        ] {
            assert_eq!(said(tool, arguments).await, text);
        }
    }

    proptest! {
        #[test]
        fn any_text_for_a_time_is_read_or_refused(text in ".*", odd in "[0-9T: +-]{0,30}") {
            let _ = parse_at(&text);
            let _ = parse_at(&odd);
        }
    }
}
