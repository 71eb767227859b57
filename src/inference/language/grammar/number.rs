//! Numbers within bounds, digit by digit: a digit is refused when no number within the bounds begins so.

use serde_json::{Map, Value};

/// Digits before the point, and after it.
const DIGITS_MAX: usize = 15;
const EXPONENT_DIGITS_MAX: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NumberRule {
    is_integer: bool,
    least: f64,
    most: f64,
    /// Whether the bounds themselves are out.
    excludes_least: bool,
    excludes_most: bool,
}

impl NumberRule {
    pub(super) fn any() -> Self {
        Self {
            is_integer: false,
            least: f64::NEG_INFINITY,
            most: f64::INFINITY,
            excludes_least: false,
            excludes_most: false,
        }
    }

    /// Nothing when no number can follow it.
    pub(super) fn read(rules: &Map<String, Value>, is_integer: bool) -> Option<Self> {
        let number = |key: &str| rules.get(key).and_then(Value::as_f64);
        let mut rule = Self { is_integer, ..Self::any() };
        if let Some(least) = number("minimum") {
            rule.least = least;
        }
        if let Some(most) = number("maximum") {
            rule.most = most;
        }
        if let Some(least) = number("exclusiveMinimum").filter(|least| *least >= rule.least) {
            (rule.least, rule.excludes_least) = (least, true);
        }
        if let Some(most) = number("exclusiveMaximum").filter(|most| *most <= rule.most) {
            (rule.most, rule.excludes_most) = (most, true);
        }
        if is_integer {
            rule.close();
        }
        let is_empty =
            rule.least > rule.most || (rule.least == rule.most && (rule.excludes_least || rule.excludes_most));
        (!is_empty).then_some(rule)
    }

    /// Bounds of whole numbers that are whole and included.
    fn close(&mut self) {
        let (least, most) = (self.least.ceil(), self.most.floor());
        self.least = if self.excludes_least && least == self.least { least + 1.0 } else { least };
        self.most = if self.excludes_most && most == self.most { most - 1.0 } else { most };
        (self.excludes_least, self.excludes_most) = (false, false);
    }

    pub(super) fn is_free(&self) -> bool {
        self.least == f64::NEG_INFINITY && self.most == f64::INFINITY
    }

    /// Whether the text is a number, and within the bounds.
    pub(super) fn is_whole(&self, text: &[u8]) -> bool {
        let Some(parts) = Parts::of(text) else { return false };
        let is_complete =
            parts.whole > 0 && parts.fraction != Some(0) && parts.exponent.is_none_or(|(_, digits)| digits > 0);
        if !is_complete {
            return false;
        }
        let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        value.is_some_and(|value| value.is_finite() && self.holds(value))
    }

    fn holds(&self, value: f64) -> bool {
        let above = if self.excludes_least { value > self.least } else { value >= self.least };
        let below = if self.excludes_most { value < self.most } else { value <= self.most };
        above && below
    }

    /// Whether some number within the bounds begins like this.
    pub(super) fn may_begin(&self, text: &[u8]) -> bool {
        let Some(parts) = Parts::of(text) else { return false };
        let goes_on = parts.fraction.is_some() || parts.exponent.is_some();
        // JSON's minus zero is a fraction to whoever reads it: integers have one zero.
        if self.is_integer && (goes_on || text.starts_with(b"-0")) {
            return false;
        }
        if self.is_free() {
            return true;
        }
        // A power of ten would undo what the digits before it say.
        if parts.exponent.is_some() {
            return false;
        }
        if parts.whole == 0 {
            return !parts.is_negative || self.least < 0.0;
        }
        let digits = if parts.is_negative { &text[1..] } else { text };
        let Some(value) = std::str::from_utf8(digits).ok().and_then(|text| text.trim_end_matches('.').parse().ok())
        else {
            return false;
        };
        self.reaches(value, &parts)
    }

    /// Whether a number that begins with these digits lies within the bounds.
    fn reaches(&self, value: f64, parts: &Parts) -> bool {
        let meets = |low: f64, high: f64| {
            let (low, high) = if parts.is_negative { (-high, -low) } else { (low, high) };
            let above = if self.excludes_least { high > self.least } else { high >= self.least };
            let below = if self.excludes_most { low < self.most } else { low <= self.most };
            above && below
        };
        // What further digits can add, at most.
        let rest = |places: usize| 10_f64.powi(-(places as i32)) - 10_f64.powi(-(DIGITS_MAX as i32));
        if let Some(places) = parts.fraction {
            return meets(value, value + rest(places).max(0.0));
        }
        let more = if value == 0.0 { 0 } else { DIGITS_MAX - parts.whole };
        (0..=more).any(|more| {
            let scale = 10_f64.powi(more as i32);
            let high = (value + 1.0) * scale - 1.0;
            meets(value * scale, if self.is_integer { high } else { high + rest(0) })
        })
    }
}

/// How many digits are where.
struct Parts {
    is_negative: bool,
    whole: usize,
    /// After the point, if there is one.
    fraction: Option<usize>,
    /// Whether it has a sign, and its digits.
    exponent: Option<(bool, usize)>,
}

impl Parts {
    /// Nothing when no JSON number begins so.
    fn of(text: &[u8]) -> Option<Self> {
        let mut parts = Self { is_negative: false, whole: 0, fraction: None, exponent: None };
        let mut leads_with_zero = false;
        for (at, byte) in text.iter().enumerate() {
            match (byte, &mut parts) {
                (b'-', Self { is_negative, .. }) if at == 0 => *is_negative = true,
                (b'0'..=b'9', Self { exponent: Some((_, digits)), .. }) if *digits < EXPONENT_DIGITS_MAX => {
                    *digits += 1
                }
                (b'+' | b'-', Self { exponent: Some((signed @ false, 0)), .. }) => *signed = true,
                (b'0'..=b'9', Self { exponent: None, fraction: Some(digits), .. }) if *digits < DIGITS_MAX => {
                    *digits += 1;
                }
                (b'0'..=b'9', Self { exponent: None, fraction: None, whole, .. })
                    if *whole < DIGITS_MAX && !leads_with_zero =>
                {
                    leads_with_zero = *whole == 0 && *byte == b'0';
                    *whole += 1;
                }
                (b'.', Self { exponent: None, fraction: fraction @ None, whole: 1.., .. }) => *fraction = Some(0),
                (b'e' | b'E', Self { exponent: exponent @ None, fraction, whole: 1.., .. }) if *fraction != Some(0) => {
                    *exponent = Some((false, 0));
                }
                _ => return None,
            }
        }
        Some(parts)
    }
}
