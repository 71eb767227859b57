//! `device_control` and `device_state`: the home's devices for models, over the port [`Devices`].

mod command;
mod find;
mod state;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use crate::domain::call::{Effect, Outcome, Tier};
use crate::domain::household::CommandResult;
use crate::tool::port::Devices;
use crate::tool::{Audience, Spec, Tool, ToolContext, text};

/// The two device tools.
pub fn tools(port: &Arc<dyn Devices>) -> Vec<Arc<dyn Tool>> {
    vec![
        Arc::new(DeviceControl { spec: control_spec(), port: port.clone() }),
        Arc::new(DeviceState { spec: state_spec(), port: port.clone() }),
    ]
}

struct DeviceControl {
    spec: Spec,
    port: Arc<dyn Devices>,
}

impl Tool for DeviceControl {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, ctx: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            match self.control(ctx, arguments).await {
                Ok(outcome) => outcome,
                Err(error) => Outcome::failed(format!("Error: {error}")),
            }
        })
    }
}

impl DeviceControl {
    async fn control(&self, ctx: &ToolContext, arguments: &Value) -> Result<Outcome, String> {
        let action = command::parse(arguments)?;
        let household = self.port.household();
        let found = find::entities(&household, text(arguments, "entity"))?;
        let commands = found.iter().map(|entity| (entity.id.clone(), action.clone())).collect();
        let results = self.port.command(ctx, commands).await;
        let mut lines = Vec::with_capacity(results.len());
        let mut worked = !results.is_empty();
        for (id, result) in &results {
            let name = household.entity(id).map_or(id.as_str(), |(_, entity)| &entity.name);
            lines.push(format!("{name}: {}", sentence(result)));
            worked &= matches!(result, CommandResult::Confirmed | CommandResult::NotConfirmed);
        }
        let text = lines.join("\n");
        Ok(if worked { Outcome::done(text) } else { Outcome::failed(text) })
    }
}

fn sentence(result: &CommandResult) -> String {
    match result {
        CommandResult::Confirmed => "done, and the device has confirmed it.".to_owned(),
        CommandResult::NotConfirmed => "sent, but the device has not confirmed it.".to_owned(),
        CommandResult::Unavailable => "the device cannot be reached.".to_owned(),
        CommandResult::NotSupported { what } => format!("the device cannot do that ({what})."),
        CommandResult::NotConnected => "not sent, because the home's broker is not connected.".to_owned(),
    }
}

struct DeviceState {
    spec: Spec,
    port: Arc<dyn Devices>,
}

impl Tool for DeviceState {
    fn spec(&self) -> &Spec {
        &self.spec
    }

    fn run<'a>(&'a self, _: &'a ToolContext, arguments: &'a Value) -> BoxFuture<'a, Outcome> {
        let household = self.port.household();
        let wanted = text(arguments, "entity");
        let outcome = if wanted.is_empty() {
            Outcome::done(state::listing(&household))
        } else {
            match find::entities_or_room(&household, wanted) {
                Ok(found) => Outcome::done(state::lines(&household, &found)),
                Err(error) => Outcome::failed(format!("Error: {error}")),
            }
        };
        Box::pin(async move { outcome })
    }
}

fn control_spec() -> Spec {
    let percent = json!({"type": "number", "minimum": -100, "maximum": 100,
        "description": "For set_brightness, change_brightness (added), set_position (0 closed), set_speed."});
    Spec {
        name: "device_control",
        tier: Tier::Write,
        effect: Effect::Once,
        audience: Audience::Group,
        description: "Switch or set one device of the home, or a named group. For several devices, call it once for each.",
        parameters: json!({
            "type": "object",
            "properties": {
                "entity": {"type": "string", "minLength": 1, "description": "Name or id of a device, or of a group."},
                "action": {"type": "string", "enum": command::ACTIONS},
                "percent": percent,
                "degrees": {"type": "number", "description": "For set_temperature and change_temperature (added)."},
                "kelvin": {"type": "integer", "minimum": 1000, "maximum": 20_000, "description": "For set_color_temperature."},
                "color": {"type": "string", "description": "For set_color, as #rrggbb."},
                "mode": {"type": "string", "description": "For set_mode."},
                "option": {"type": "string", "description": "For select."},
                "value": {"type": "number", "description": "For set_number."},
            },
            "required": ["entity", "action"],
        }),
    }
}

fn state_spec() -> Spec {
    Spec {
        name: "device_state",
        tier: Tier::Read,
        effect: Effect::Repeatable,
        audience: Audience::Group,
        description: "Say what state the home's devices are in.",
        parameters: json!({
            "type": "object",
            "properties": {
                "entity": {"type": "string", "description": "Name or id of a device, group or room. Default: the whole home."},
            },
            "required": [],
        }),
    }
}

#[cfg(test)]
mod tests;
