//! What a measurement says: a line of JSON with value, goal, reference and ratio.

use std::time::{Duration, Instant};

use serde_json::json;

/// Durations of one thing done many times.
pub struct Times(Vec<Duration>);

impl Times {
    pub fn of(count: usize, mut act: impl FnMut(usize)) -> Self {
        Self::told(count, |number| {
            let started = Instant::now();
            act(number);
            started.elapsed()
        })
    }

    /// Where `act` says itself how long the part of it took that counts.
    pub fn told(count: usize, act: impl FnMut(usize) -> Duration) -> Self {
        let mut times: Vec<Duration> = (0..count).map(act).collect();
        times.sort_unstable();
        Self(times)
    }

    pub fn percentile_ms(&self, percent: usize) -> f64 {
        let index = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[index].as_secs_f64() * 1_000.0
    }
}

#[derive(Clone, Copy)]
pub enum Goal {
    AtMost(f64),
    AtLeast(f64),
    None,
}

pub struct Figure {
    name: String,
    value: f64,
    goal: Goal,
    reference: Option<(String, f64)>,
}

impl Figure {
    pub fn new(name: &str, value: f64, goal: Goal) -> Self {
        Self { name: name.to_owned(), value, goal, reference: None }
    }

    pub fn against(self, (name, value): (&str, f64)) -> Self {
        Self { reference: Some((name.to_owned(), value)), ..self }
    }

    pub fn print(self) {
        let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
        let mut line = json!({"figure": self.name, "value": round(self.value)});
        match self.goal {
            Goal::AtMost(goal) => {
                line["at_most"] = json!(round(goal));
                line["met"] = json!(self.value <= goal);
            }
            Goal::AtLeast(goal) => {
                line["at_least"] = json!(round(goal));
                line["met"] = json!(self.value >= goal);
            }
            Goal::None => {}
        }
        if let Some((name, value)) = self.reference {
            line["reference"] = json!({"figure": name, "value": round(value)});
            line["ratio"] = json!(round(self.value / value));
        }
        println!("{line}");
    }
}

/// Memory of a process that is its own, shared pages by their share.
pub fn pss_mib(process: u32) -> f64 {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = std::fs::read_to_string(path).expect("memory of a process");
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).expect("a Pss line");
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kib / 1024.0
}
