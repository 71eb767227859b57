//! Conversations of more than one sentence: a question back and its answer, "it", and the room a person is in.

use super::*;
use crate::base::id::{EntityId, RoomId};

/// Stored and loaded again, as between two turns.
fn stored(question: &Question) -> Question {
    serde_json::from_value(serde_json::to_value(question).expect("JSON")).expect("a question")
}

fn asked(text: &str, language: &str) -> Question {
    match heard(&matcher(), &house(), text, language) {
        Recognition::Ask(question) => stored(&question),
        other => panic!("{text} was not asked back: {}", short(&other)),
    }
}

fn check_answers(question: &Question, answers: &[(&str, &str)]) {
    let (matcher, home) = (matcher(), house());
    let vocabulary = matcher.vocabulary(&home);
    for (answer, meaning) in answers {
        let found = matcher.recognize(&vocabulary, answer, Some(question), &Context::at(now()));
        assert_eq!(short(&found), *meaning, "{answer}");
    }
}

#[test]
fn a_question_back_is_answered_by_name_number_all_or_never_mind() {
    let question = asked("turn on the bedroom lamp", "en");
    assert_eq!(question.text, "Which one: desk or reading?");
    check_answers(
        &question,
        &[
            ("the desk one", "turn_on: desk_lamp"),
            ("Desk", "turn_on: desk_lamp"),
            ("DESK LAMP!", "turn_on: desk_lamp"),
            ("reading lamp please", "turn_on: reading_lamp"),
            ("the first one", "turn_on: desk_lamp"),
            ("second", "turn_on: reading_lamp"),
            ("the last", "turn_on: reading_lamp"),
            ("both", "turn_on: desk_lamp reading_lamp"),
            ("all of them", "turn_on: desk_lamp reading_lamp"),
            ("desk and reading", "turn_on: desk_lamp reading_lamp"),
            ("never mind", "never_mind"),
            ("none", "never_mind"),
        ],
    );
}

#[test]
fn a_german_question_back_is_answered_in_german() {
    let question = asked("mach die Lampe im Schlafzimmer an", "de");
    assert_eq!(question.text, "Welche meinst du: Desk oder Reading?");
    check_answers(
        &question,
        &[
            ("die Desk", "turn_on: desk_lamp"),
            ("die erste", "turn_on: desk_lamp"),
            ("die zweite bitte", "turn_on: reading_lamp"),
            ("beide", "turn_on: desk_lamp reading_lamp"),
            ("schon gut", "never_mind"),
        ],
    );
}

#[test]
fn another_sentence_leaves_the_question_behind() {
    check_answers(
        &asked("turn on the bedroom lamp", "en"),
        &[
            ("what time is it", "time"),
            ("turn off the coffee machine", "turn_off: coffee_machine"),
            ("turn off the sofa lamp", "turn_off: sofa_lamp"),
            ("what is the capital of France", "nothing"),
            ("", "nothing"),
        ],
    );
}

#[test]
fn a_lamp_anywhere_is_asked_for_by_its_name() {
    let question = asked("dim the lamp to 10%", "en");
    assert_eq!(question.choices.len(), 4);
    check_answers(
        &question,
        &[("sofa", "set_brightness 10.0: sofa_lamp"), ("kitchen", "set_brightness 10.0: kitchen_lamp")],
    );
}

#[test]
fn an_answer_that_fits_several_asks_again_among_those() {
    let question = asked("turn on the lamp", "en");
    let (matcher, home) = (matcher(), house());
    let vocabulary = matcher.vocabulary(&home);
    let again = matcher.recognize(&vocabulary, "the bedroom one", Some(&question), &Context::at(now()));
    assert_eq!(short(&again), "ask desk, reading");
}

#[test]
fn of_two_hundred_lamps_a_few_are_read_out_and_the_question_stays_small() {
    let matcher = matcher();
    let Recognition::Ask(question) = heard(&matcher, &house::large(200), "turn on the lamp", "en") else {
        panic!("not asked back")
    };
    assert!(question.choices.len() <= 40 && question.text.len() < 200, "{}", question.text);
}

#[test]
fn it_means_what_the_last_command_was_about() {
    let (matcher, home) = (matcher(), house());
    let vocabulary = matcher.vocabulary(&home);
    let recent = vec![EntityId::from("sofa_lamp")];
    let context = Context { recent, ..Context::at(now()) };
    for (text, meaning) in [
        ("turn it off", "turn_off: sofa_lamp"),
        ("make it blue", "set_color {r:0,g:0,b:255}: sofa_lamp"),
        ("set it to 40 percent", "set_brightness 40.0: sofa_lamp"),
        ("is it on?", "is on? sofa_lamp"),
        ("mach sie aus", "turn_off: sofa_lamp"),
    ] {
        assert_eq!(short(&matcher.recognize(&vocabulary, text, None, &context)), meaning, "{text}");
    }
    let nothing_before = matcher.recognize(&vocabulary, "turn it off", None, &Context::at(now()));
    assert_eq!(short(&nothing_before), "nothing");
}

#[test]
fn the_room_a_person_is_in_decides_first() {
    let (matcher, home) = (matcher(), house());
    let vocabulary = matcher.vocabulary(&home);
    let context = Context { room: Some(RoomId::from("kitchen")), ..Context::at(now()) };
    for (text, meaning) in [
        ("turn on the light", "turn_on: kitchen_lamp"),
        ("lights off", "turn_off: kitchen_lamp"),
        ("turn off everything in here", "turn_off: coffee_machine kitchen_lamp"),
        ("turn off the sofa lamp", "turn_off: sofa_lamp"),
        ("turn off all lights", "turn_off: desk_lamp kitchen_lamp reading_lamp sofa_lamp"),
    ] {
        assert_eq!(short(&matcher.recognize(&vocabulary, text, None, &context)), meaning, "{text}");
    }
}
