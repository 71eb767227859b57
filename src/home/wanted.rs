//! The state that would show that a wish was granted.

use crate::domain::household::{EntityKind, State};
use crate::home::binding::{Binding, Field, Schema, schema};
use crate::home::discovery::AnnouncedEntity;

/// How a command's success would be seen.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Wanted {
    Value(&'static [&'static str]),
    Brightness(f64),
    Color,
    ColorTemperature(u32),
    Position(f64),
    Target(f64),
    Mode(String),
    Text(String),
    /// There is no state to show it: taken by the broker is all there is.
    Nothing,
}

/// Whether `state` shows what was wanted.
pub(super) fn is_granted(wanted: &Wanted, state: &State) -> bool {
    let near =
        |value: Option<f64>, goal: f64, tolerance: f64| value.is_some_and(|value| (value - goal).abs() <= tolerance);
    match wanted {
        Wanted::Value(words) => state.value.as_deref().is_some_and(|value| words.contains(&value)),
        Wanted::Brightness(percent) => {
            near(state.brightness_percent, *percent, 3.0) && state.value.as_deref() != Some("off")
        }
        Wanted::ColorTemperature(kelvin) => {
            near(state.color_temperature_k.map(f64::from), f64::from(*kelvin), f64::from(*kelvin) * 0.05)
        }
        // Devices report colors in spaces of their own; that it is on is what can be checked.
        Wanted::Color => state.value.as_deref() == Some("on"),
        Wanted::Position(percent) => {
            near(state.position_percent, *percent, 5.0) || matches!(state.value.as_deref(), Some("opening" | "closing"))
        }
        Wanted::Target(degrees) => near(state.target_temperature, *degrees, 0.6),
        Wanted::Mode(mode) => state.mode.as_deref() == Some(mode) || state.value.as_deref() == Some(mode),
        Wanted::Text(text) => {
            let same_number = |value: &str| value.parse::<f64>().ok().zip(text.parse::<f64>().ok());
            state.value.as_deref().is_some_and(|value| {
                value == text || same_number(value).is_some_and(|(value, goal)| (value - goal).abs() < 0.01)
            })
        }
        Wanted::Nothing => true,
    }
}

/// Whether any of the entity's topics could ever show what is wanted.
pub(super) fn is_shown(entity: &AnnouncedEntity, wanted: &Wanted, bindings: &[Binding]) -> bool {
    let has = |fields: &[Field]| bindings.iter().any(|binding| fields.contains(&binding.field));
    if schema(entity) == Schema::JsonLight {
        return has(&[Field::State]);
    }
    match wanted {
        Wanted::Value(_) => has(&[Field::State, Field::Position, Field::Mode, Field::Power]),
        Wanted::Text(_) | Wanted::Color => has(&[Field::State]),
        Wanted::Brightness(_) => has(&[Field::Brightness]),
        Wanted::ColorTemperature(_) => has(&[Field::ColorTemperature]),
        Wanted::Position(_) => {
            has(&[Field::Position, Field::Percentage, Field::TargetHumidity])
                || (has(&[Field::State]) && entity.kind != EntityKind::Fan)
        }
        Wanted::Target(_) => has(&[Field::TargetTemperature]),
        Wanted::Mode(_) => has(&[Field::Mode, Field::Preset]),
        Wanted::Nothing => false,
    }
}

/// What an entity that reports nothing is taken to be after the broker took the command, as Home Assistant does.
pub(super) fn assume(wanted: &Wanted, state: &mut State) {
    match wanted {
        Wanted::Value(words) => state.value = words.first().map(|word| (*word).to_owned()),
        Wanted::Brightness(percent) => {
            state.value = Some("on".to_owned());
            state.brightness_percent = Some(*percent);
        }
        Wanted::Color => state.value = Some("on".to_owned()),
        Wanted::ColorTemperature(kelvin) => {
            state.value = Some("on".to_owned());
            state.color_temperature_k = Some(*kelvin);
        }
        Wanted::Position(percent) => state.position_percent = Some(*percent),
        Wanted::Target(degrees) => state.target_temperature = Some(*degrees),
        Wanted::Mode(mode) => state.mode = Some(mode.clone()),
        Wanted::Text(text) => state.value = Some(text.clone()),
        Wanted::Nothing => {}
    }
}
