//! What a provider tells about its limits in the headers of its answers (specification §10.2).

/// What is left, as far as the provider tells.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct RateLimits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_requests: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_tokens: Option<u64>,
}

impl RateLimits {
    /// `None` when the headers tell nothing.
    pub(super) fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let number = |names: [&str; 2]| names.iter().find_map(|name| header(name)?.trim().parse().ok());
        let limits = Self {
            remaining_tokens: number(["x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-remaining"]),
            remaining_requests: number(["x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"]),
            limit_tokens: number(["x-ratelimit-limit-tokens", "anthropic-ratelimit-tokens-limit"]),
        };
        (limits != Self::default()).then_some(limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_both_dialects_are_read_and_nonsense_is_not() {
        let read =
            |wanted: &'static str, value: &'static str| RateLimits::read(move |name| (name == wanted).then_some(value));
        assert_eq!(read("x-ratelimit-remaining-tokens", " 12 ").and_then(|limits| limits.remaining_tokens), Some(12));
        assert_eq!(
            read("anthropic-ratelimit-tokens-remaining", "7").and_then(|limits| limits.remaining_tokens),
            Some(7)
        );
        assert_eq!(read("x-ratelimit-remaining-tokens", "many"), None);
        assert_eq!(read("server", "1"), None);
    }
}
