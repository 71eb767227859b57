//! When a command counts as confirmed, step by step and without waiting.

use tokio::time::Instant;

use super::super::confirm::{Before, Confirmations, Sent};
use super::super::wanted::Wanted;
use super::*;

const LAMP: &str = "light.0x00158d_light";
const WAIT: Duration = Duration::from_secs(2);

/// What happens after a command, and after how many milliseconds.
enum Then {
    Says(&'static str),
    Leaves,
    Nothing,
}

fn lamp_says(registry: &mut Registry, word: &str) {
    registry.message("zigbee2mqtt/kitchen_lamp", json!({ "state": word }).to_string().as_bytes(), NOW);
}

/// The answer to a command, and after how many milliseconds it came.
fn answer(before: Option<&str>, action: &Action, story: &[(u64, Then)]) -> Option<(u64, CommandResult)> {
    let mut registry = furnished();
    before.into_iter().for_each(|word| lamp_says(&mut registry, word));
    let id = EntityId::from(LAMP);
    let wanted = encode(registry.entity(&id).expect("known"), &registry.state(&id), action).expect("can").wanted;
    let sent = Sent { before: Before::of(&registry, &id, &wanted), wanted };
    let mut confirmations = Confirmations::new(WAIT);
    let (reply, _answer) = oneshot::channel();
    let start = Instant::now();
    confirmations.begin(&registry, vec![(id, Ok(sent))], reply, start);
    for (after_ms, then) in story {
        match then {
            Then::Says(word) => lamp_says(&mut registry, word),
            Then::Leaves => drop(registry.message("zigbee2mqtt/bridge/state", br#"{"state":"offline"}"#, NOW)),
            Then::Nothing => {}
        }
        let now = start + Duration::from_millis(*after_ms);
        if let Some((_, mut results)) = confirmations.settle(&registry, now).pop() {
            return results.pop().map(|(_, result)| (*after_ms, result));
        }
        assert!(confirmations.next_deadline().is_some_and(|deadline| deadline > now), "no deadline lies in the past");
    }
    None
}

#[test]
fn what_the_device_says_after_the_command_decides() {
    let red = Action::SetColor { color: Rgb { r: 255, g: 0, b: 0 } };
    let (confirmed, silent) = (CommandResult::Confirmed, CommandResult::NotConfirmed);
    let unavailable = CommandResult::Unavailable;
    use Then::{Leaves, Nothing, Says};
    for (what, before, action, story, expected) in [
        ("it obeys", Some("OFF"), &Action::TurnOn, vec![(5, Says("ON"))], Some((5, confirmed.clone()))),
        (
            "an older state comes first",
            Some("OFF"),
            &Action::TurnOn,
            vec![(2, Says("OFF")), (9, Says("ON"))],
            Some((9, confirmed.clone())),
        ),
        (
            "it says nothing",
            Some("OFF"),
            &Action::TurnOn,
            vec![(1999, Nothing), (2000, Nothing)],
            Some((2000, silent.clone())),
        ),
        ("it was so and repeats it", Some("ON"), &Action::TurnOn, vec![(3, Says("ON"))], Some((3, confirmed.clone()))),
        (
            "it was so and is silent",
            Some("ON"),
            &Action::TurnOn,
            vec![(3, Nothing), (250, Nothing)],
            Some((250, confirmed.clone())),
        ),
        (
            "it was so and is not any more",
            Some("ON"),
            &Action::TurnOn,
            vec![(3, Says("OFF")), (250, Nothing), (2000, Nothing)],
            Some((2000, silent.clone())),
        ),
        (
            "nobody ever heard of it",
            None,
            &Action::TurnOn,
            vec![(250, Nothing), (2000, Nothing)],
            Some((2000, silent.clone())),
        ),
        (
            "on says nothing about a color",
            Some("ON"),
            &red,
            vec![(250, Nothing), (2000, Nothing)],
            Some((2000, silent)),
        ),
        ("the color is answered", Some("ON"), &red, vec![(4, Says("ON"))], Some((4, confirmed))),
        ("it goes away", Some("OFF"), &Action::TurnOn, vec![(7, Leaves)], Some((7, unavailable))),
        ("there is time left", Some("OFF"), &Action::TurnOn, vec![(7, Nothing)], None),
    ] {
        assert_eq!(answer(before, action, &story), expected, "{what}");
    }
}

#[test]
fn a_batch_is_answered_when_its_last_entity_is_settled_and_in_its_order() {
    let mut registry = furnished();
    let (lamp, plug) = (EntityId::from(LAMP), EntityId::from("switch.DVES_1_RL_1"));
    let on = |registry: &Registry, id: &EntityId| {
        let wanted = Wanted::Value(&["on"]);
        Ok(Sent { before: Before::of(registry, id, &wanted), wanted })
    };
    let mut confirmations = Confirmations::new(WAIT);
    let (reply, _answer) = oneshot::channel();
    let start = Instant::now();
    let results = vec![
        (plug.clone(), on(&registry, &plug)),
        (EntityId::from("x"), Err(CommandResult::NotConnected)),
        (lamp.clone(), on(&registry, &lamp)),
    ];
    confirmations.begin(&registry, results, reply, start);
    lamp_says(&mut registry, "ON");
    assert!(confirmations.settle(&registry, start).is_empty());
    registry.message("tele/plug/STATE", br#"{"POWER":"ON"}"#, NOW);
    let (_, results) = confirmations.settle(&registry, start).pop().expect("an answer");
    let confirmed = CommandResult::Confirmed;
    assert_eq!(
        results,
        [(plug, confirmed.clone()), (EntityId::from("x"), CommandResult::NotConnected), (lamp, confirmed)]
    );
    assert_eq!(confirmations.next_deadline(), None);
}
