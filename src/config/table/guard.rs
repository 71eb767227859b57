//! Keys about what is read, hidden and paid on the way to a model.

use crate::config::key::{Key, Kind, TEXTS, flag, key, optional, text};

const ACTIONS: Kind = Kind::OneOf(&["warn", "block", "redact"]);
const PRICE: Kind = Kind::Number(0.0, 1_000_000.0);

pub const KEYS: &[Key] = &[
    flag("contentClassification.enabled", "false", "Whether messages are sorted by sensitivity and kind."),
    key("contentClassification.sensitivityLevels.*.patterns", TEXTS, "", "Patterns that mark this level."),
    key("contentClassification.sensitivityLevels.*.keywords", TEXTS, "", "Words that mark this level."),
    text("contentClassification.sensitivityLevels.*.routeTo", "", "Model for messages of this level."),
    key("contentClassification.taskTypeRoutes", Kind::Map(&Kind::Text), "", "Model per kind of task."),
    flag("promptGuard.enabled", "false", "Whether messages are checked before a model reads them."),
    key("promptGuard.mode", ACTIONS, "", "What happens to a message that is caught; blank means warn."),
    key("promptGuard.pii.detect", TEXTS, "", "Personal data to look for."),
    key("promptGuard.pii.action", ACTIONS, "", "What happens to personal data; blank follows the mode."),
    text("promptGuard.pii.customPatterns[].name", "", "Name of this pattern."),
    text("promptGuard.pii.customPatterns[].pattern", "", "Regular expression for personal data."),
    key("promptGuard.secrets.detect", TEXTS, "", "Secrets to look for."),
    key("promptGuard.secrets.action", ACTIONS, "", "What happens to secrets; blank follows the mode."),
    text("promptGuard.secrets.customPatterns[].name", "", "Name of this pattern."),
    text("promptGuard.secrets.customPatterns[].pattern", "", "Regular expression for secrets."),
    key("promptGuard.denyKeywords", TEXTS, "", "Words that always block a message."),
    text("promptGuard.customPatterns[].name", "", "Name of this pattern."),
    text("promptGuard.customPatterns[].pattern", "", "Regular expression to look for."),
    flag("outputSanitization.enabled", "false", "Whether answers are checked before people read them."),
    flag("outputSanitization.redactPII", "false", "Whether personal data is blacked out."),
    flag("outputSanitization.redactSecrets", "false", "Whether secrets are blacked out."),
    text("outputSanitization.customRedactPatterns[].name", "", "Name of this pattern."),
    text("outputSanitization.customRedactPatterns[].pattern", "", "Regular expression to black out."),
    key("outputSanitization.denyPatterns", TEXTS, "", "Regular expressions that replace the whole answer."),
    key(
        "outputSanitization.maxOutputLength",
        Kind::Whole(0, 100_000_000),
        "0",
        "Longest answer in characters; 0 means no limit.",
    ),
    flag("finops.enabled", "false", "Whether costs are counted."),
    key("finops.pricing.*.promptPer1kTokens", PRICE, "0", "Price of 1,000 tokens read."),
    key("finops.pricing.*.completionPer1kTokens", PRICE, "0", "Price of 1,000 tokens written."),
    optional("finops.dailyBudget", PRICE, "Most that a day may cost."),
    optional("finops.monthlyBudget", PRICE, "Most that a month may cost."),
];
