//! Topics and filters: what is valid, and what matches what (MQTT 3.1.1 §4.7).

/// Longest topic or filter that is sent or subscribed, in bytes.
pub const TOPIC_BYTES_MAX: usize = 1024;

/// May be published to.
pub fn is_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= TOPIC_BYTES_MAX && !topic.contains(['+', '#', '\0'])
}

/// May be subscribed to.
pub fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > TOPIC_BYTES_MAX || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let is_last = levels.peek().is_none();
        let is_fine = match level {
            "+" => true,
            "#" => is_last,
            plain => !plain.contains(['+', '#']),
        };
        if !is_fine {
            return false;
        }
    }
    true
}

/// Whether a message on `topic` belongs to `filter`.
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for level in filter.split('/') {
        match (level, topic_levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (plain, Some(other)) if plain == other => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+/c", "a//c", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a/b", true),
            ("#", "$SYS/uptime", false),
            ("+/uptime", "$SYS/uptime", false),
            ("$SYS/#", "$SYS/uptime", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn misplaced_wildcards_are_refused() {
        assert!(is_filter("a/+/#"));
        for filter in ["", "a#", "a/#/b", "a+/b", "\0"] {
            assert!(!is_filter(filter), "{filter}");
        }
        assert!(!is_topic("a/+"));
        assert!(is_topic("zigbee2mqtt/kitchen lamp/set"));
    }

    proptest! {
        #[test]
        fn a_topic_matches_itself_and_its_parents_wildcard(topic in "[a-z]{1,4}(/[a-z ]{0,4}){0,4}") {
            prop_assert!(matches(&topic, &topic));
            let any_topic = format!("{topic}/#");
            prop_assert!(matches(&any_topic, &topic));
            prop_assert!(is_topic(&topic) && is_filter(&topic));
        }

        #[test]
        fn matching_never_panics(filter in ".{0,40}", topic in ".{0,40}") {
            let _ = (matches(&filter, &topic), is_filter(&filter), is_topic(&topic));
        }
    }
}
