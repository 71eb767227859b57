//! What a person types after `devices set <device>`, as the action the API takes.

use serde_json::Value;

use crate::domain::household::{Action, Rgb};

pub const HELP: &str = "\
What a device can be told, as far as it can do it:
  on, off, toggle                      open, close, stop, lock, unlock, press
  brightness <0-100>, <0-100>%         brightness +10, brightness -10
  color <#rrggbb>                      kelvin <2000-6500>
  temperature <degrees>                temperature +0.5
  position <0-100>                     speed <0-100>
  mode <name>, option <name>           number <value>";

/// Reads the words; the error says what would be understood.
pub fn read(words: &[String]) -> Result<Value, String> {
    let words: Vec<&str> = words.iter().flat_map(|word| word.split_whitespace()).collect();
    let action = action(&words)?;
    Ok(serde_json::to_value(action).expect("invariant: actions are JSON"))
}

fn action(words: &[&str]) -> Result<Action, String> {
    let unknown = || format!("`{}` is nothing a device can be told\n\n{HELP}", words.join(" "));
    let word = words.first().map(|word| word.to_lowercase()).unwrap_or_default();
    let rest = words.get(1..).unwrap_or_default().join(" ");
    if rest.is_empty() {
        return match word.as_str() {
            "on" => Ok(Action::TurnOn),
            "off" => Ok(Action::TurnOff),
            "toggle" => Ok(Action::Toggle),
            "open" => Ok(Action::Open),
            "close" => Ok(Action::Close),
            "stop" => Ok(Action::Stop),
            "lock" => Ok(Action::Lock),
            "unlock" => Ok(Action::Unlock),
            "press" => Ok(Action::Press),
            word if word.ends_with('%') => Ok(Action::SetBrightness { percent: percent(word)? }),
            _ => Err(unknown()),
        };
    }
    // A sign means "more" or "less" where that has a meaning.
    let is_change = rest.starts_with(['+', '-']);
    Ok(match word.as_str() {
        "brightness" if is_change => Action::ChangeBrightness { percent: number(&rest, -100.0, 100.0)? },
        "brightness" => Action::SetBrightness { percent: percent(&rest)? },
        "color" | "colour" => Action::SetColor { color: color(&rest)? },
        "kelvin" => Action::SetColorTemperature { kelvin: number(&rest, 1_000.0, 20_000.0)? as u32 },
        "temperature" if is_change => Action::ChangeTemperature { degrees: number(&rest, -100.0, 100.0)? },
        "temperature" => Action::SetTemperature { degrees: number(&rest, -100.0, 500.0)? },
        "position" => Action::SetPosition { percent: percent(&rest)? },
        "speed" => Action::SetSpeed { percent: percent(&rest)? },
        "number" => Action::SetNumber { value: number(&rest, f64::MIN, f64::MAX)? },
        "mode" => Action::SetMode { mode: rest },
        "option" => Action::Select { option: rest },
        _ => return Err(unknown()),
    })
}

fn percent(text: &str) -> Result<f64, String> {
    number(text, 0.0, 100.0)
}

fn number(text: &str, least: f64, most: f64) -> Result<f64, String> {
    let refused = || match most == f64::MAX {
        true => format!("`{text}` is not a number"),
        false => format!("`{text}` is not a number from {least} to {most}"),
    };
    let digits = text.trim_end_matches(['%', '°', ' ']);
    let number: f64 = digits.parse().map_err(|_| refused())?;
    if number.is_finite() && (least..=most).contains(&number) { Ok(number) } else { Err(refused()) }
}

fn color(text: &str) -> Result<Rgb, String> {
    let refused = || format!("`{text}` is not a color; write it as #rrggbb, such as #ff8800");
    let digits = text.trim_start_matches('#');
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(refused());
    }
    let part = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| refused());
    Ok(Rgb { r: part(0)?, g: part(2)?, b: part(4)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json(text: &str) -> Result<String, String> {
        read(&[text.to_owned()]).map(|value| value.to_string())
    }

    #[test]
    fn words_become_actions() {
        for (text, expected) in [
            ("on", r#"{"action":"turn_on"}"#),
            ("OFF", r#"{"action":"turn_off"}"#),
            ("40%", r#"{"action":"set_brightness","percent":40.0}"#),
            ("brightness 40", r#"{"action":"set_brightness","percent":40.0}"#),
            ("brightness -10", r#"{"action":"change_brightness","percent":-10.0}"#),
            ("temperature 21.5", r#"{"action":"set_temperature","degrees":21.5}"#),
            ("temperature +0.5°", r#"{"action":"change_temperature","degrees":0.5}"#),
            ("color #ff8800", r#"{"action":"set_color","color":{"r":255,"g":136,"b":0}}"#),
            ("kelvin 2700", r#"{"action":"set_color_temperature","kelvin":2700}"#),
            ("position 30 %", r#"{"action":"set_position","percent":30.0}"#),
            ("mode heat cool", r#"{"action":"set_mode","mode":"heat cool"}"#),
            ("unlock", r#"{"action":"unlock"}"#),
        ] {
            assert_eq!(json(text).as_deref(), Ok(expected), "{text}");
        }
        for text in
            ["", "sing", "on fire", "brightness", "brightness 101", "brightness NaN", "temperature inf", "color #ü00ü"]
        {
            assert!(json(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_words_are_read_or_refused(words in proptest::collection::vec(".{0,12}", 0..4)) {
            let _ = read(&words);
        }
    }
}
