//! Finds the known name that somebody probably meant.

/// Names longer than this are not compared; nobody mistypes them.
const NAME_CHARS_MAX: usize = 64;

/// The closest of `known`, if it is close enough to be a slip of the hand. Case does not count.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = name.to_lowercase().chars().take(NAME_CHARS_MAX + 1).collect();
    if wanted.len() > NAME_CHARS_MAX {
        return None;
    }
    let slips_max = (wanted.len() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(&wanted, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Letters to add, drop, change or swap with their neighbor (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, letter) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let change = above[column] + usize::from(letter != other);
            let mut best = change.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0 && column > 0 && *letter == right[column - 1] && left[row - 1] == *other;
            if swapped {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let known = ["port", "host", "dashboardPort", "authToken"];
        for (typed, meant) in [
            ("prot", Some("port")),
            ("Port", Some("port")),
            ("dashbordPort", Some("dashboardPort")),
            ("authtoken", Some("authToken")),
            ("color", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_name_is_nearest_to_itself(name in ".{1,20}") {
            proptest::prop_assert_eq!(nearest(&name, [name.as_str()]), Some(name.as_str()));
        }
    }
}
