//! The daily token quota: a comparison and its sentence (specification §6.5).

/// Nothing more today. `Display` is the reply the person reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "Daily token quota exceeded ({used}/{limit}). Please try again tomorrow or ask an admin to increase the limit."
)]
pub struct QuotaExceeded {
    pub used: u64,
    pub limit: u64,
}

/// Whether another model call may be made after `used` tokens today.
pub fn check_quota(limit: Option<u64>, used: u64) -> Result<(), QuotaExceeded> {
    match limit {
        Some(limit) if used >= limit => Err(QuotaExceeded { used, limit }),
        _ => Ok(()),
    }
}

/// Reads the setting `daily_token_limit`: zero, negative, unreadable and missing all mean no quota (specification §5.2).
pub fn parse_limit(setting: Option<&str>) -> Option<u64> {
    setting?.trim().parse().ok().filter(|limit| *limit > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_itself_is_already_too_much() {
        assert_eq!(check_quota(Some(100), 99), Ok(()));
        let error = check_quota(Some(100), 100).expect_err("at the limit");
        assert_eq!(
            error.to_string(),
            "Daily token quota exceeded (100/100). Please try again tomorrow or ask an admin to increase the limit."
        );
        assert_eq!(check_quota(None, u64::MAX), Ok(()));
    }

    #[test]
    fn a_limit_that_is_no_number_is_no_limit() {
        for (text, limit) in [
            (Some("500"), Some(500)),
            (Some(" 7 "), Some(7)),
            (Some("0"), None),
            (Some("-3"), None),
            (Some("many"), None),
            (None, None),
        ] {
            assert_eq!(parse_limit(text), limit, "{text:?}");
        }
    }
}
