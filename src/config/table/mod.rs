//! The table of every configuration key, and the tree that it spells.

mod agent;
mod channel;
mod guard;
mod home;
mod mind;
mod node;
mod peer;

use std::sync::LazyLock;

use crate::config::key::Key;

const PARTS: &[&[Key]] = &[
    node::KEYS,
    agent::KEYS,
    mind::KEYS,
    home::KEYS,
    channel::SINGLE,
    channel::ACCOUNTS,
    peer::KEYS,
    peer::KNOWLEDGE,
    guard::KEYS,
];

/// Every key, in the order in which the configuration is shown.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    PARTS.iter().copied().flatten()
}

/// The key of a concrete path such as `channels.slack.accounts[0].id`.
pub fn find(path: &str) -> Option<&'static Key> {
    let mut branch = tree();
    for step in path.split('.') {
        let (name, has_index) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
        branch = match branch {
            Branch::Object(children) => &children.iter().find(|(known, _)| *known == name)?.1,
            Branch::Map(fixed, inner) => {
                fixed.iter().find(|(known, _)| *known == name).map_or(&**inner, |known| &known.1)
            }
            Branch::List(_) | Branch::Leaf(_) => return None,
        };
        if let (true, Branch::List(item)) = (has_index, branch) {
            branch = item;
        }
    }
    match branch {
        Branch::Leaf(key) => Some(key),
        _ => None,
    }
}

/// The keys as the tree they form.
#[derive(Debug)]
pub enum Branch {
    Object(Children),
    /// Any names beside some known ones; the box is the shape of the others.
    Map(Children, Box<Branch>),
    /// A list of objects of one shape.
    List(Box<Branch>),
    Leaf(&'static Key),
}

pub type Children = Vec<(&'static str, Branch)>;

pub fn tree() -> &'static Branch {
    static TREE: LazyLock<Branch> = LazyLock::new(|| {
        let rows: Vec<(&'static str, &'static Key)> = keys().map(|key| (key.path, key)).collect();
        grow(&rows)
    });
    &TREE
}

/// Groups rows by their first step and grows a branch for each group.
fn grow(rows: &[(&'static str, &'static Key)]) -> Branch {
    if let [("", key)] = rows {
        return Branch::Leaf(key);
    }
    let mut groups: Vec<(&'static str, Vec<(&'static str, &'static Key)>)> = Vec::new();
    for (path, key) in rows {
        let (step, rest) = path.split_once('.').unwrap_or((path, ""));
        match groups.iter_mut().find(|(name, _)| *name == step) {
            Some((_, group)) => group.push((rest, key)),
            None => groups.push((step, vec![(rest, key)])),
        }
    }
    let mut children = Children::new();
    let mut any = None;
    for (step, group) in groups {
        let branch = grow(&group);
        if step == "*" {
            any = Some(branch);
        } else if let Some(name) = step.strip_suffix("[]") {
            children.push((name, Branch::List(Box::new(branch))));
        } else {
            children.push((step, branch));
        }
    }
    match any {
        Some(inner) => Branch::Map(children, Box::new(inner)),
        None => Branch::Object(children),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn every_key_is_found_by_its_path_and_is_listed_once() {
        let mut seen = BTreeMap::new();
        for key in keys() {
            assert!(seen.insert(key.path, ()).is_none(), "{} is listed twice", key.path);
            let concrete = key.path.replace('*', "anything").replace("[]", "[0]");
            assert_eq!(find(&concrete).map(|found| found.path), Some(key.path), "{concrete}");
        }
        assert!(find("gateway").is_none() && find("gateway.nothing").is_none() && find("").is_none());
    }

    #[test]
    fn no_two_keys_share_a_variable() {
        let mut owners: BTreeMap<String, &str> = BTreeMap::new();
        for key in keys() {
            for name in key.variables() {
                if let Some(other) = owners.insert(name.clone(), key.path) {
                    panic!("{name} belongs to {other} and to {}", key.path);
                }
            }
        }
    }

    #[test]
    fn every_key_has_a_sentence() {
        for key in keys() {
            assert!(key.about.ends_with('.') && key.about.len() > 8, "{}: {:?}", key.path, key.about);
        }
    }
}
