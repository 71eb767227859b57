//! A path into the configuration as people type it: `channels.slack.accounts[0].id`.

use serde_json::Value;

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Name(String),
    Index(usize),
}

/// Steps of a dotted path; `None` when it is none. A blank path is the whole configuration.
pub fn parse(path: &str) -> Option<Vec<Step>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, mut rest) = part.split_at(part.find('[').unwrap_or(part.len()));
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Name(name.to_owned()));
        while let Some(inside) = rest.strip_prefix('[') {
            let (index, after) = inside.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = after;
        }
        if !rest.is_empty() {
            return None;
        }
    }
    Some(steps)
}

/// The value at the end of the steps.
pub fn walk<'a>(root: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(root, |value, step| match step {
        Step::Name(name) => value.as_object()?.get(name),
        Step::Index(index) => value.as_array()?.get(*index),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        let name = |text: &str| Step::Name(text.to_owned());
        assert_eq!(parse("a.b[2].c"), Some(vec![name("a"), name("b"), Step::Index(2), name("c")]));
        assert_eq!(parse(""), Some(vec![]));
        for path in [".", "a.", "a[", "a[x]", "a[1]b", "[0]", "a[-1]"] {
            assert_eq!(parse(path), None, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = parse(&text);
        }
    }
}
