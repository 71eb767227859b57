//! What was found: rows with a verdict, totals by layer, and the JSON that KafClaw's kshark writes.

use serde_json::{Map, Value, json};

use crate::base::clock::Timestamp;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Layer {
    Network,
    Tcp,
    Tls,
    Kafka,
    Http,
    Diagnostics,
}

impl Layer {
    pub const ALL: [Self; 6] = [Self::Network, Self::Tcp, Self::Tls, Self::Kafka, Self::Http, Self::Diagnostics];

    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "L3-Network",
            Self::Tcp => "L4-TCP",
            Self::Tls => "L5-6-TLS",
            Self::Kafka => "L7-Kafka",
            Self::Http => "L7-HTTP",
            Self::Diagnostics => "Diag",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Ok,
    Warn,
    Fail,
    Skip,
}

impl Status {
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Fail => "FAIL",
            Self::Skip => "SKIP",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    pub component: String,
    pub target: String,
    pub layer: Layer,
    pub status: Status,
    pub detail: String,
    pub hint: Option<String>,
}

impl Row {
    pub fn new(component: &str, target: &str, layer: Layer, status: Status, detail: &str) -> Self {
        let (component, target, detail) = (component.to_owned(), target.to_owned(), detail.to_owned());
        Self { component, target, layer, status, detail, hint: None }
    }

    pub fn hint(self, hint: &str) -> Self {
        Self { hint: Some(hint.to_owned()), ..self }
    }
}

/// How many rows of a layer came out how.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Totals {
    pub ok: usize,
    pub warn: usize,
    pub fail: usize,
    pub skip: usize,
}

#[derive(Clone, Debug)]
pub struct Report {
    pub rows: Vec<Row>,
    started: Timestamp,
    finished: Timestamp,
    echo: Vec<(String, String)>,
}

impl Report {
    pub fn new(now: Timestamp, echo: &[(String, String)]) -> Self {
        Self { rows: Vec::new(), started: now, finished: now, echo: echo.to_vec() }
    }

    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub fn finish(&mut self, now: Timestamp) {
        self.finished = now;
    }

    pub fn has_failed(&self) -> bool {
        self.rows.iter().any(|row| row.status == Status::Fail)
    }

    /// Layers that have rows, from the bottom up.
    pub fn totals(&self) -> Vec<(Layer, Totals)> {
        let of = |layer: Layer| {
            let count = |status| self.rows.iter().filter(|row| row.layer == layer && row.status == status).count();
            let (ok, warn) = (count(Status::Ok), count(Status::Warn));
            (layer, Totals { ok, warn, fail: count(Status::Fail), skip: count(Status::Skip) })
        };
        Layer::ALL.into_iter().map(of).filter(|(_, totals)| *totals != Totals::default()).collect()
    }

    pub fn to_json(&self) -> Value {
        let row = |row: &Row| {
            let mut value = json!({
                "component": row.component,
                "target": row.target,
                "layer": row.layer.name(),
                "status": row.status.name(),
                "detail": row.detail,
            });
            if let Some(hint) = &row.hint {
                value["hint"] = json!(hint);
            }
            value
        };
        let totals = |(layer, totals): (Layer, Totals)| {
            let Totals { ok, warn, fail, skip } = totals;
            (layer.name().to_owned(), json!({"ok": ok, "warn": warn, "fail": fail, "skip": skip}))
        };
        let echo: Map<String, Value> =
            self.echo.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
        json!({
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "summary": self.totals().into_iter().map(totals).collect::<Map<_, _>>(),
            "started_at": self.started.to_rfc3339(),
            "finished_at": self.finished.to_rfc3339(),
            "config_echo": echo,
        })
    }
}
