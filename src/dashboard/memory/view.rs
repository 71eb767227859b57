//! What the memory holds as JSON, in KafClaw's shape and order (specification §3.8). Its counts are right here.

use serde_json::{Value, json};

use super::Facts;
use crate::base::clock::Timestamp;
use crate::dashboard::view::{null_when_empty, shortened};
use crate::knowledge::{Counts, FactsHeard};
use crate::memory::{CHUNKS_MAX, LAYERS, Stats, layer_name};
use crate::recall::observe::{self, Observation};
use crate::recall::{Expertise, Found, Working};

/// Shown of the working memory, in bytes.
const PREVIEW_BYTES_MAX: usize = 500;

/// What was read for the status.
pub(super) struct Stored {
    pub stats: Stats,
    pub expertise: Vec<Expertise>,
    pub observations: Vec<Observation>,
    pub observer: observe::Facts,
    pub working: (u64, Option<Working>),
}

pub(super) fn status(facts: &Facts, stored: &Stored) -> Value {
    let count =
        |name: &str| stored.stats.layers.iter().find(|layer| layer.name == name).map_or(0, |layer| layer.chunk_count);
    let layers: Vec<Value> = LAYERS
        .iter()
        .map(|layer| {
            json!({
                "name": layer.name,
                "source_prefix": layer.source_prefix,
                "description": layer.description,
                "ttl_days": layer.ttl_days,
                "chunk_count": count(layer.name),
                "color": layer.color,
            })
        })
        .collect();
    let expertise = stored
        .expertise
        .iter()
        .map(|skill| json!({"skill": skill.skill, "score": skill.score, "trend": skill.trend, "uses": skill.uses}));
    let observations = stored.observations.iter().map(|observation| {
        json!({
            "id": format!("obs-{}", observation.id),
            "content": observation.content,
            "priority": observation.priority.as_str(),
            "date": date(observation.referenced_at),
        })
    });
    json!({
        "config": {
            "er1_sync_interval_sec": facts.er1_sync_interval.as_secs(),
            "er1_url": facts.er1_url,
            "max_chunks": CHUNKS_MAX,
            "observer_enabled": facts.observer_enabled,
            "observer_max_obs": facts.observer_max_obs,
            "observer_threshold": facts.observer_threshold,
        },
        "er1": {"connected": false, "last_sync": null, "synced_count": count("er1"), "url": facts.er1_url},
        "expertise": null_when_empty(expertise.collect()),
        "layers": layers,
        "observations": null_when_empty(observations.collect()),
        "observer": {
            "enabled": facts.observer_enabled,
            "last_observation": stored.observer.last_observation,
            "observation_count": stored.observer.observations,
            "queue_depth": stored.observer.queue_len,
        },
        "totals": totals(&stored.stats),
        "working_memory": {
            "entries": stored.working.0,
            "preview": stored.working.1.as_ref().map_or_else(String::new, |entry| shortened(&entry.content, PREVIEW_BYTES_MAX)),
        },
    })
}

fn totals(stats: &Stats) -> Value {
    let told = stats.total.saturating_sub(stats.layers.iter().map(|layer| layer.chunk_count).sum());
    let mut totals = json!({"max_chunks": CHUNKS_MAX});
    for (name, at) in [("newest", stats.newest), ("oldest", stats.oldest)] {
        if let Some(at) = at {
            totals[name] = json!(at);
        }
    }
    totals["total_chunks"] = json!(stats.total);
    totals["user_chunks"] = json!(told);
    totals["embedded_chunks"] = json!(stats.embedded);
    totals
}

/// What was read for the metrics.
pub(super) struct Figures {
    pub stats: Stats,
    /// How often a prompt had no room for what was remembered.
    pub overflow: u64,
    pub knowledge: Counts,
    pub heard: FactsHeard,
}

pub(super) fn metrics(figures: &Figures) -> Value {
    let Figures { stats, overflow, knowledge, heard } = figures;
    let FactsHeard { accepted, stale, conflict } = *heard;
    let decided = u64::from(knowledge.approved) + u64::from(knowledge.rejected) + u64::from(knowledge.expired);
    json!({
        "knowledge": {
            "decisions": {
                "approved": knowledge.approved,
                "expired": knowledge.expired,
                "rejected": knowledge.rejected,
            },
            "factsAccepted": accepted,
            "factsConflict": conflict,
            "factsLatest": knowledge.facts,
            "factsStale": stale,
        },
        "memory": {
            "chunksEmbedded": stats.embedded,
            "chunksTotal": stats.total,
            "overflowEvents": overflow,
            "overflowPer1000": 1000.0 * ratio(*overflow, stats.total),
        },
        "slo": {
            "conflictRate": ratio(conflict, accepted.saturating_add(stale).saturating_add(conflict)),
            "precisionProxy": ratio(knowledge.approved.into(), decided),
            "recallProxy": ratio(knowledge.facts.into(), knowledge.approved.into()),
        },
        "status": "ok",
    })
}

/// `part` of `whole`; of nothing, as if it were one.
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

pub(super) fn found(hit: &Found) -> Value {
    json!({
        "id": hit.id,
        "content": hit.content,
        "source": hit.source,
        "layer": layer_name(&hit.source),
        "score": hit.score,
        "relevance": hit.relevance,
        "created_at": hit.created_at,
    })
}

fn date(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memory::LayerCount;
    use crate::recall::observe::Priority;

    const NOW: Timestamp = Timestamp::from_millis(1_787_063_412_123);

    fn keys(value: &Value) -> Vec<&str> {
        value.as_object().expect("an object").keys().map(String::as_str).collect()
    }

    #[test]
    fn the_status_has_kafclaws_shape() {
        let layers = LAYERS.iter().map(|layer| LayerCount { name: layer.name, chunk_count: 2 }).collect();
        let stats = Stats { total: 20, embedded: 5, oldest: Some(NOW), newest: Some(NOW), layers };
        let stored = Stored {
            stats,
            expertise: vec![],
            observations: vec![Observation {
                id: 7,
                content: "x".to_owned(),
                priority: Priority::High,
                referenced_at: NOW,
            }],
            observer: observe::Facts::default(),
            working: (1, Some(Working { resource: "a".to_owned(), thread: String::new(), content: "y".repeat(501) })),
        };
        let facts = Facts { er1_sync_interval: Duration::from_secs(300), observer_threshold: 50, ..Facts::default() };
        let status = status(&facts, &stored);
        assert_eq!(
            keys(&status),
            ["config", "er1", "expertise", "layers", "observations", "observer", "totals", "working_memory"]
        );
        assert_eq!(
            keys(&status["config"]),
            [
                "er1_sync_interval_sec",
                "er1_url",
                "max_chunks",
                "observer_enabled",
                "observer_max_obs",
                "observer_threshold"
            ]
        );
        assert_eq!(
            keys(&status["layers"][0]),
            ["name", "source_prefix", "description", "ttl_days", "chunk_count", "color"]
        );
        assert_eq!(status["layers"][1]["chunk_count"], 2);
        assert_eq!(
            status["observations"][0],
            json!({"id": "obs-7", "content": "x", "priority": "high", "date": "2026-08-18"})
        );
        assert_eq!(keys(&status["totals"])[..4], ["max_chunks", "newest", "oldest", "total_chunks"]);
        assert_eq!(status["working_memory"]["preview"].as_str().map(str::len), Some(503));
        assert_eq!(status["expertise"], Value::Null);
    }

    #[test]
    fn the_metrics_have_kafclaws_shape_and_its_formulas() {
        let stats = Stats { total: 200, embedded: 5, oldest: None, newest: None, layers: vec![] };
        let knowledge = Counts { approved: 3, expired: 1, rejected: 2, facts: 6, ..Counts::default() };
        let heard = FactsHeard { accepted: 6, stale: 3, conflict: 1 };
        let metrics = metrics(&Figures { stats, overflow: 3, knowledge, heard });
        assert_eq!(keys(&metrics), ["knowledge", "memory", "slo", "status"]);
        assert_eq!(metrics["memory"]["overflowPer1000"], 15.0);
        assert_eq!(metrics["knowledge"]["decisions"], json!({"approved": 3, "expired": 1, "rejected": 2}));
        assert_eq!(metrics["slo"], json!({"conflictRate": 0.1, "precisionProxy": 0.5, "recallProxy": 2.0}));
    }

    #[test]
    fn a_house_that_shares_nothing_has_zeros_and_no_division_by_them() {
        let stats = Stats { total: 0, embedded: 0, oldest: None, newest: None, layers: vec![] };
        let heard = FactsHeard::default();
        let metrics = metrics(&Figures { stats, overflow: 0, knowledge: Counts::default(), heard });
        assert_eq!(metrics["slo"], json!({"conflictRate": 0.0, "precisionProxy": 0.0, "recallProxy": 0.0}));
    }
}
