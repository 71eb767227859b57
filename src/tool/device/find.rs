//! From the name that a model gives to entities of the household. Exact names only: guessing is for the intents, and a lock is
//! not to be opened by a guess.

use crate::domain::household::{Entity, Household};

/// Names offered when one was not understood.
const SUGGESTIONS_MAX: usize = 8;

/// The entities named `wanted`: by id, by name or alias, or as a group or room. Several of one name are all meant only if they
/// are a group or a room; otherwise the error lists them.
pub(super) fn entities<'a>(household: &'a Household, wanted: &str) -> Result<Vec<&'a Entity>, String> {
    let wanted_folded = folded(wanted);
    let is_wanted = |name: &str| folded(name) == wanted_folded;
    if let Some((_, entity)) = household.entities().find(|(_, entity)| entity.id.as_str() == wanted.trim()) {
        return Ok(vec![entity]);
    }
    let named: Vec<_> = household
        .entities()
        .filter(|(device, entity)| {
            // A device's own name stands for its entity only where it has just one.
            let is_device = device.entities.len() == 1
                && (is_wanted(&device.name) || device.aliases.iter().any(|alias| is_wanted(alias)));
            is_device || is_wanted(&entity.name)
        })
        .map(|(_, entity)| entity)
        .collect();
    match named.as_slice() {
        [] => {}
        [_] => return Ok(named),
        several => {
            let ids: Vec<_> = several.iter().map(|entity| entity.id.as_str()).collect();
            return Err(format!("\"{wanted}\" is several devices; use one of their ids: {}", ids.join(", ")));
        }
    }
    let group =
        household.groups.iter().find(|group| is_wanted(&group.name) || group.aliases.iter().any(|a| is_wanted(a)));
    let Some(group) = group else { return Err(unknown(household, wanted, &wanted_folded)) };
    let members: Vec<_> =
        group.entities.iter().filter_map(|id| household.entity(id)).map(|(_, entity)| entity).collect();
    if members.is_empty() { Err(format!("the group \"{wanted}\" has no devices")) } else { Ok(members) }
}

/// As [`entities`], where a room's name stands for everything in it.
pub(super) fn entities_or_room<'a>(household: &'a Household, wanted: &str) -> Result<Vec<&'a Entity>, String> {
    let wanted_folded = folded(wanted);
    let is_wanted = |name: &String| folded(name) == wanted_folded;
    entities(household, wanted).or_else(|error| {
        let room = household.rooms.iter().find(|room| is_wanted(&room.name) || room.aliases.iter().any(is_wanted));
        let room = room.ok_or(error)?;
        let inside = household.entities().filter(|(device, _)| device.room.as_ref() == Some(&room.id));
        Ok(inside.map(|(_, entity)| entity).collect())
    })
}

/// Names that share a word with what was asked come first.
fn unknown(household: &Household, wanted: &str, wanted_folded: &str) -> String {
    let shares_a_word = |name: &str| {
        let name = folded(name);
        wanted_folded.split(' ').any(|word| word.len() > 2 && name.contains(word))
    };
    let mut names: Vec<_> = household.entities().map(|(_, entity)| entity.name.as_str()).collect();
    names.sort_by_key(|name| !shares_a_word(name));
    names.truncate(SUGGESTIONS_MAX);
    if names.is_empty() {
        return format!("there is no device named \"{wanted}\"; the home has no devices yet");
    }
    format!("there is no device named \"{wanted}\"; there are, among others: {}", names.join(", "))
}

fn folded(name: &str) -> String {
    name.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
