//! The layers: a naming convention on a chunk's source, with a life span each. KafClaw's six (specification §8.1), and documents,
//! which KafClaw has no layer for: a house can add files to its memory, and wants them counted and reset apart.

use std::time::Duration;

const DAY_SECONDS: u64 = 24 * 3600;

/// One layer, as the dashboard shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layer {
    pub name: &'static str,
    /// How the sources of its chunks begin.
    pub source_prefix: &'static str,
    pub description: &'static str,
    /// Zero for ever.
    pub ttl_days: u64,
    pub color: &'static str,
}

impl Layer {
    /// How long a chunk lives; none for ever.
    pub fn age_max(&self) -> Option<Duration> {
        (self.ttl_days > 0).then(|| Duration::from_secs(self.ttl_days * DAY_SECONDS))
    }
}

const fn layer(
    name: &'static str,
    source_prefix: &'static str,
    ttl_days: u64,
    color: &'static str,
    description: &'static str,
) -> Layer {
    Layer { name, source_prefix, description, ttl_days, color }
}

/// In the order of the API (specification §3.8); the seventh is ours, behind those that clients of KafClaw know.
pub const LAYERS: [Layer; 7] = [
    layer("soul", "soul:", 0, "#a855f7", "Identity and personality files loaded at startup"),
    layer("conversation", "conversation:", 30, "#58a6ff", "Auto-indexed Q&A pairs from your conversations"),
    layer("tool", "tool:", 14, "#fb923c", "Tool execution outputs and results"),
    layer("group", "group:", 60, "#22c55e", "Shared knowledge from group collaboration"),
    layer("er1", "er1:", 0, "#fbbf24", "Personal memories synced from ER1"),
    layer("observation", "observation:", 0, "#67e8f9", "Compressed observations from conversation analysis"),
    layer(DOCUMENT_LAYER, "document:", 0, "#f472b6", "Texts of documents that were added"),
];

/// The layer a source belongs to; none for what people told the house themselves (`user`), which is permanent.
pub fn layer_of(source: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| source.starts_with(layer.source_prefix))
}

/// Name of the layer of what people told the house themselves, and of all that no other layer claims.
pub const USER_LAYER: &str = "user";
/// Name of the layer of files that people gave to the house.
pub const DOCUMENT_LAYER: &str = "document";

/// As [`layer_of`], by name. Part of the stored format: chunks and the blocks of their vectors carry it.
pub fn layer_name(source: &str) -> &'static str {
    layer_of(source).map_or(USER_LAYER, |layer| layer.name)
}
