//! Colors from one space to another, as devices report and want them.

use crate::domain::household::Rgb;

pub(super) const MIREDS_PER_KELVIN: f64 = 1_000_000.0;

/// CIE 1931 xy of an sRGB color, by the matrix of the Wide RGB D65 space that Philips publishes for its lamps.
pub(super) fn xy(color: Rgb) -> (f64, f64) {
    let linear = |channel: u8| {
        let level = f64::from(channel) / 255.0;
        if level > 0.04045 { ((level + 0.055) / 1.055).powf(2.4) } else { level / 12.92 }
    };
    let (r, g, b) = (linear(color.r), linear(color.g), linear(color.b));
    let x = r * 0.664_511 + g * 0.154_324 + b * 0.162_028;
    let y = r * 0.283_881 + g * 0.668_433 + b * 0.047_685;
    let z = r * 0.000_088 + g * 0.072_310 + b * 0.986_039;
    let sum = x + y + z;
    if sum == 0.0 { (0.3127, 0.329) } else { (round4(x / sum), round4(y / sum)) }
}

/// The way back, at full brightness.
pub(super) fn of_xy(x: f64, y: f64) -> Option<Rgb> {
    if !(0.0..=1.0).contains(&x) || !(0.01..=1.0).contains(&y) {
        return None;
    }
    let (big_x, big_z) = (x / y, (1.0 - x - y) / y);
    let linear = [
        big_x * 1.656_492 - 0.354_851 - big_z * 0.255_038,
        -big_x * 0.707_196 + 1.655_397 + big_z * 0.036_152,
        big_x * 0.051_713 - 0.121_364 + big_z * 1.011_530,
    ];
    let high = linear.iter().copied().fold(f64::MIN, f64::max);
    if high <= 0.0 {
        return None;
    }
    let [r, g, b] = linear.map(|level| {
        let level = (level / high).max(0.0);
        let level = if level > 0.003_130_8 { 1.055 * level.powf(1.0 / 2.4) - 0.055 } else { level * 12.92 };
        (level * 255.0).round().clamp(0.0, 255.0) as u8
    });
    Some(Rgb { r, g, b })
}

/// Hue in degrees and saturation in percent.
pub(super) fn hs(color: Rgb) -> (f64, f64) {
    let (r, g, b) = (f64::from(color.r), f64::from(color.g), f64::from(color.b));
    let (high, low) = (r.max(g).max(b), r.min(g).min(b));
    let span = high - low;
    if span == 0.0 {
        return (0.0, 0.0);
    }
    let hue = if high == r {
        ((g - b) / span).rem_euclid(6.0)
    } else if high == g {
        (b - r) / span + 2.0
    } else {
        (r - g) / span + 4.0
    };
    ((hue * 60.0).round(), (span / high * 100.0).round())
}

/// The way back, at full brightness.
pub(super) fn of_hs(hue: f64, saturation: f64) -> Option<Rgb> {
    if !hue.is_finite() || !(0.0..=100.0).contains(&saturation) {
        return None;
    }
    let channel = |offset: f64| {
        let place = (offset + hue / 60.0).rem_euclid(6.0);
        let share = 1.0 - saturation / 100.0 * place.min(4.0 - place).clamp(0.0, 1.0);
        (share * 255.0).round() as u8
    };
    Some(Rgb { r: channel(5.0), g: channel(3.0), b: channel(1.0) })
}

pub(super) fn kelvin_of_mireds(mireds: f64) -> Option<u32> {
    (mireds >= 1.0).then(|| (MIREDS_PER_KELVIN / mireds).round() as u32)
}

fn round4(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A saturated color comes back nearly the same from either space.
        #[test]
        fn colors_survive_both_ways(hue in 0..360_u32) {
            let color = of_hs(f64::from(hue), 100.0).expect("a color");
            let (h, s) = hs(color);
            prop_assert!((h - f64::from(hue)).abs() <= 1.0 || (h - f64::from(hue)).abs() >= 359.0);
            prop_assert_eq!(s, 100.0);
            let (x, y) = xy(color);
            let back = of_xy(x, y).expect("a color");
            for (a, b) in [(color.r, back.r), (color.g, back.g), (color.b, back.b)] {
                prop_assert!(a.abs_diff(b) <= 6, "{:?} {:?}", color, back);
            }
        }

        #[test]
        fn no_numbers_panic(a in any::<f64>(), b in any::<f64>()) {
            let _ = (of_xy(a, b), of_hs(a, b), kelvin_of_mireds(a));
        }
    }
}
