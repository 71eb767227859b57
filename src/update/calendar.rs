//! When an automatic update may happen: in the house's maintenance window, and after the wave of this hub has come.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::base::clock::Timestamp;

const MINUTES_A_DAY: u16 = 24 * 60;

/// Minutes of the day between which the house may be without its assistant; may pass midnight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    from: u16,
    to: u16,
}

impl Window {
    /// `02:00-05:00`; a window without length is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, to) = text.split_once('-')?;
        let window = Self { from: minute(from)?, to: minute(to)? };
        (window.from != window.to).then_some(window)
    }

    /// `minute` counts from midnight.
    pub fn contains(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let is_number = |text: &str| (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(hour) || !is_number(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let all = hour * 60 + minute;
    (minute < 60 && all <= MINUTES_A_DAY).then_some(all % MINUTES_A_DAY)
}

/// Which of `waves` the hub `id` belongs to; the same at every start and on every machine.
pub fn wave_of(id: &str, waves: u32) -> u32 {
    let digest = Sha256::digest(format!("kafclaw update wave {id}").as_bytes());
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    number % waves.max(1)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    Now,
    /// The hubs of earlier waves try it first.
    WaveToCome,
    OutsideWindow,
}

/// Whether an update that was released at `released_at` may be installed `now`, which is `minute` of the house's day.
pub fn due(now: Timestamp, minute: u16, released_at: Timestamp, delay: Duration, window: Window) -> Due {
    // A clock that is behind the release knows nothing about how long ago it was.
    if now < released_at.plus(delay) {
        Due::WaveToCome
    } else if window.contains(minute) {
        Due::Now
    } else {
        Due::OutsideWindow
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn windows_may_pass_midnight() {
        let check = |text: &str, inside: &[u16], outside: &[u16]| {
            let window = Window::parse(text).expect(text);
            assert!(inside.iter().all(|minute| window.contains(*minute)), "{text}");
            assert!(!outside.iter().any(|minute| window.contains(*minute)), "{text}");
        };
        check("02:00-05:00", &[120, 299], &[119, 300, 0, 1439]);
        check("23:30-1:15", &[1410, 1439, 0, 74], &[75, 1409, 720]);
        check("00:00-23:59", &[0, 1438], &[1439]);
        for text in ["", "02:00", "2-5", "02:00-02:00", "25:00-26:00", "02:60-03:00", "-1:00-2:00", "+2:00-3:00"] {
            assert_eq!(Window::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_hub_waits_for_its_wave_and_its_window() {
        let window = Window::parse("02:00-05:00").expect("a window");
        let released = Timestamp::from_millis(1_000_000_000);
        let day = Duration::from_secs(24 * 3600);
        assert_eq!(due(released, 180, released, Duration::ZERO, window), Due::Now);
        assert_eq!(due(released.plus(day / 2), 180, released, day, window), Due::WaveToCome);
        assert_eq!(due(released.plus(day), 180, released, day, window), Due::Now);
        assert_eq!(due(released.plus(day), 720, released, day, window), Due::OutsideWindow);
        assert_eq!(due(released.minus(day), 180, released, Duration::ZERO, window), Due::WaveToCome);
    }

    #[test]
    fn waves_are_about_equally_large() {
        let mut sizes = [0; 4];
        for hub in 0..4_000 {
            sizes[wave_of(&format!("hub-{hub}"), 4) as usize] += 1;
        }
        assert!(sizes.iter().all(|size| (900..1100).contains(size)), "{sizes:?}");
        assert_eq!(wave_of("kitchen", 4), wave_of("kitchen", 4));
    }

    proptest! {
        #[test]
        fn any_text_is_a_window_or_none(text in "[0-9:+ -]{0,12}|\\PC{0,12}", id in ".{0,20}", waves in 0..9_u32, minute in 0..1440_u16) {
            if let Some(window) = Window::parse(&text) {
                let turned = Window { from: window.to, to: window.from };
                prop_assert_ne!(window.contains(minute), turned.contains(minute));
            }
            prop_assert!(wave_of(&id, waves) < waves.max(1));
        }
    }
}
