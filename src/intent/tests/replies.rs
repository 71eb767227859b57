//! What is answered, word by word.

use super::*;
use crate::base::id::EntityId;
use crate::domain::household::CommandResult;

/// The answer to a command or a question, with every command ending in `result`.
fn answer(text: &str, language: &str, result: &CommandResult) -> String {
    let (matcher, mut home) = (matcher(), house());
    for device in &mut home.devices {
        for entity in &mut device.entities {
            match entity.id.as_str() {
                "kitchen_lamp" => entity.state.value = Some("on".to_owned()),
                "garage_door" => entity.state.value = Some("open".to_owned()),
                "blinds" => entity.state.value = Some("closed".to_owned()),
                "front_door" => entity.state.value = Some("locked".to_owned()),
                "bedroom_temp" => entity.state.value = Some("21.5".to_owned()),
                "back_door_battery" => entity.state.value = Some("12".to_owned()),
                _ => {}
            }
        }
    }
    let Recognition::Intent(intent) = heard(&matcher, &home, text, language) else {
        return "not understood".to_owned();
    };
    let say = matcher.say(Some(&intent.language));
    let name = |id: &EntityId| home.entity(id).map_or(String::new(), |(_, entity)| entity.name.clone());
    let results = |order: &Order| order.targets.iter().map(|id| (name(id), result.clone())).collect::<Vec<_>>();
    match &intent.kind {
        IntentKind::Command(order) => say.command(&order.what, &order.action, &results(order)),
        IntentKind::Several { orders } => {
            say.commands(&orders.iter().map(|order| (order.clone(), results(order))).collect::<Vec<_>>())
        }
        IntentKind::Query { targets, about, what } => say.answer(&home, targets, *about, what),
        IntentKind::SetTimer { duration, label } => say.timer_set(*duration, label.as_deref()),
        IntentKind::SetAlarm { when } => say.alarm_set(when, now()),
        IntentKind::SetReminder { when, text } => say.reminder_set(when, text, now()),
        IntentKind::Remember { text } => say.remembered(text),
        IntentKind::NotFound { what } => say.not_found(what),
        IntentKind::Time => say.time(now()),
        IntentKind::Date => say.date(now()),
        other => format!("{other:?}"),
    }
}

fn check(language: &str, result: &CommandResult, table: &[(&str, &str)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter_map(|(text, expected)| {
            let said = answer(text, language, result);
            (said != *expected).then(|| format!("{text}\n  {said}\n  expected {expected}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn english_answers_are_whole_sentences() {
    check(
        "en",
        &CommandResult::Confirmed,
        &[
            ("turn on the kitchen lamp", "The kitchen lamp is on."),
            ("kitchen lamp off", "The kitchen lamp is off."),
            ("turn off all lights downstairs", "All lights downstairs are off."),
            ("turn off everything in the kitchen", "Everything in the kitchen is off."),
            ("dim the sofa lamp to 30%", "The sofa lamp is at 30 %."),
            ("make the sofa lamp red", "The sofa lamp is red."),
            ("set the thermostat to 21.5 degrees", "The thermostat is set to 21.5 °."),
            ("open the bedroom blinds", "The bedroom blinds are opening."),
            ("lock the front door", "The front door is locked."),
            ("turn on Łódź 🦄", "Łódź 🦄 is on."),
            (
                "turn on the kitchen lamp and turn off the coffee machine",
                "The kitchen lamp is on. The coffee machine is off.",
            ),
            ("is the garage door open?", "Yes, the garage door is open."),
            ("is the kitchen lamp off", "No, the kitchen lamp is on."),
            ("which lights are on", "The kitchen lamp is on."),
            ("is the front door locked", "Yes, the front door is locked."),
            ("what is the temperature in the bedroom", "It is 21.5 °C in the bedroom."),
            ("which batteries are low", "The battery is low here: back door battery."),
            ("set a timer for 10 minutes", "Timer set: 10 minutes."),
            ("wake me at 7", "Alarm set: tomorrow at 7:00."),
            (
                "remind me every monday at 7 to put the bins out",
                "I will remind you every Monday at 7:00: put the bins out.",
            ),
            ("what time is it", "It is 14:30."),
            ("what day is it", "Today is Tuesday, August 18, 2026."),
            ("turn on the lamp in the attic", "I know nothing called “the lamp in the attic” here."),
        ],
    );
}

#[test]
fn german_answers_are_whole_sentences() {
    check(
        "de",
        &CommandResult::Confirmed,
        &[
            ("schalte die Küchenlampe ein", "Die Küchenlampe ist an."),
            ("mach das Licht in der Küche an", "Das Licht in der Küche ist an."),
            ("mach alle Lichter unten aus", "Alle Lichter unten sind aus."),
            ("mach den Lüfter an", "Der Lüfter ist an."),
            ("dimme die Küchenlampe auf 30 Prozent", "Die Küchenlampe ist auf 30 %."),
            ("mach die Küchenlampe rot", "Die Küchenlampe ist rot."),
            ("öffne das Garagentor", "Das Garagentor öffnet sich."),
            ("ist das Garagentor offen", "Ja, das Garagentor ist offen."),
            ("welche Lichter sind an", "Kitchen lamp ist an."),
            ("wie warm ist es im Schlafzimmer", "Es sind 21.5 °C im Schlafzimmer."),
            ("stell einen Timer auf 10 Minuten", "Timer gestellt: 10 Minuten."),
            ("weck mich um 7 Uhr", "Wecker gestellt: morgen um 7:00 Uhr."),
            ("wie spät ist es", "Es ist 14:30 Uhr."),
            ("welcher Tag ist heute", "Heute ist Dienstag, der 18. August 2026."),
        ],
    );
}

#[test]
fn what_did_not_work_is_said() {
    let english = |result: &CommandResult, expected: &str| {
        assert_eq!(answer("turn on the kitchen lamp", "en", result), expected);
    };
    english(&CommandResult::NotConfirmed, "I sent it, but the kitchen lamp has not confirmed it.");
    english(&CommandResult::Unavailable, "The kitchen lamp is not reachable.");
    english(&CommandResult::NotSupported { what: "turn_on".to_owned() }, "The kitchen lamp can't do that.");
    english(&CommandResult::NotConnected, "I can't reach the devices right now, so nothing was sent.");
    let twice = answer("turn on the kitchen lamp and close the blinds", "en", &CommandResult::NotConnected);
    assert_eq!(twice, "I can't reach the devices right now, so nothing was sent.");
}
