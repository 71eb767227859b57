//! From a call's arguments to an [`Action`].

use serde_json::Value;

use crate::domain::household::{Action, Rgb};
use crate::tool::{number, text};

/// The names of [`Action`]'s variants, as they are written in JSON.
pub(super) const ACTIONS: &[&str] = &[
    "turn_on",
    "turn_off",
    "toggle",
    "set_brightness",
    "change_brightness",
    "set_color",
    "set_color_temperature",
    "set_temperature",
    "change_temperature",
    "open",
    "close",
    "stop",
    "set_position",
    "lock",
    "unlock",
    "set_mode",
    "set_speed",
    "set_number",
    "select",
    "press",
];

/// Reads the action and the argument that it needs; the error says which one is missing.
pub(super) fn parse(arguments: &Value) -> Result<Action, String> {
    let action = text(arguments, "action");
    let amount = |name: &str| number(arguments, name).ok_or_else(|| format!("{action} needs {name}"));
    let share = |name: &str| match amount(name)? {
        percent if percent < 0.0 => Err(format!("{name} must be at least 0 for {action}")),
        percent => Ok(percent),
    };
    let word = |name: &str| match text(arguments, name) {
        "" => Err(format!("{action} needs {name}")),
        word => Ok(word.to_owned()),
    };
    Ok(match action {
        "turn_on" => Action::TurnOn,
        "turn_off" => Action::TurnOff,
        "toggle" => Action::Toggle,
        "set_brightness" => Action::SetBrightness { percent: share("percent")? },
        "change_brightness" => Action::ChangeBrightness { percent: amount("percent")? },
        "set_color" => Action::SetColor { color: color(&word("color")?)? },
        "set_color_temperature" => Action::SetColorTemperature { kelvin: amount("kelvin")? as u32 },
        "set_temperature" => Action::SetTemperature { degrees: amount("degrees")? },
        "change_temperature" => Action::ChangeTemperature { degrees: amount("degrees")? },
        "open" => Action::Open,
        "close" => Action::Close,
        "stop" => Action::Stop,
        "set_position" => Action::SetPosition { percent: share("percent")? },
        "lock" => Action::Lock,
        "unlock" => Action::Unlock,
        "set_mode" => Action::SetMode { mode: word("mode")? },
        "set_speed" => Action::SetSpeed { percent: share("percent")? },
        "set_number" => Action::SetNumber { value: amount("value")? },
        "select" => Action::Select { option: word("option")? },
        "press" => Action::Press,
        _ => return Err(format!("there is no action {action}")),
    })
}

fn color(text: &str) -> Result<Rgb, String> {
    let digits = text.trim().trim_start_matches('#');
    let is_hex = digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u32::from_str_radix(digits, 16) {
        Ok(number) if is_hex => {
            let [_, r, g, b] = number.to_be_bytes();
            Ok(Rgb { r, g, b })
        }
        _ => Err("color must look like #ff8800".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_action_of_the_list_is_read_with_what_it_needs() {
        let full = json!({"percent": 40, "degrees": 21.5, "kelvin": 2700, "color": "#ff8800", "mode": "eco", "option": "a", "value": 3});
        for action in ACTIONS {
            let mut arguments = full.clone();
            arguments["action"] = json!(action);
            let parsed = parse(&arguments).expect(action);
            assert_eq!(serde_json::to_value(parsed).expect("serializable")["action"], json!(action));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (arguments, error) in [
            (json!({"action": "set_brightness"}), "set_brightness needs percent"),
            (json!({"action": "set_position", "percent": -5}), "percent must be at least 0 for set_position"),
            (json!({"action": "set_color", "color": "red"}), "color must look like #ff8800"),
            (json!({"action": "select"}), "select needs option"),
            (json!({"action": "explode"}), "there is no action explode"),
        ] {
            assert_eq!(parse(&arguments), Err(error.to_owned()));
        }
    }

    proptest! {
        #[test]
        fn any_text_for_a_color_is_read_or_refused(text in ".*", r: u8, g: u8, b: u8) {
            let _ = color(&text);
            prop_assert_eq!(color(&format!("#{r:02x}{g:02X}{b:02x}")), Ok(Rgb { r, g, b }));
        }
    }
}
