//! Language files: people add sentences and languages, and a mistake is named with its file and place.

use super::*;
use crate::base::error::chain;

fn loaded(files: &[(&str, &str)], languages: &[&str]) -> Result<Matcher, IntentError> {
    let dir = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("a file");
    }
    let languages = languages.iter().map(|&code| code.to_owned()).collect();
    Matcher::load(&Config { languages, extra_dir: Some(dir.path().to_owned()), ..Config::default() })
}

fn problem(text: &str) -> String {
    chain(&loaded(&[("mine.toml", text)], &["en"]).err().expect("a mistake"))
}

#[test]
fn a_file_adds_sentences_and_words_to_a_language() {
    let text = "language = 'en'\n[intents]\nturn_on = ['fire up {target}']\n[colors]\n'my blue' = '#0102ff'\n";
    let matcher = loaded(&[("mine.toml", text), ("notes.md", "not ours")], &["en"]).expect("a good file");
    assert_eq!(short(&heard(&matcher, &house(), "fire up the coffee machine", "en")), "turn_on: coffee_machine");
    let found = short(&heard(&matcher, &house(), "make the sofa lamp my blue", "en"));
    assert_eq!(found, "set_color {r:1,g:2,b:255}: sofa_lamp");
}

#[test]
fn mistakes_name_their_file_and_their_place() {
    for (text, parts) in [
        ("language = 'en'\n[intents]\nturn_on = ['a {thing}']", &["mine.toml", "intents.turn_on[0]", "{thing}"][..]),
        ("language = 'en'\n[intents]\ntime = ['x', '[y]']", &["mine.toml", "intents.time[1]", "can be empty"][..]),
        ("language = 'en'\n[intents]\ndance = ['dance']", &["mine.toml", "dance", "line 3"][..]),
        ("language = 'en'\n[colors]\nmud = '#12'", &["mine.toml", "colors.mud", "#rrggbb"][..]),
        ("language = 'en'\n[classes]\nrobot = {one = ['robot']}", &["mine.toml", "classes.robot", "known are"][..]),
        ("[intents]\ntime = ['x']", &["mine.toml", "language"][..]),
        ("language = 'en'\nlanguage", &["mine.toml", "line 2"][..]),
    ] {
        let problem = problem(text);
        assert!(parts.iter().all(|part| problem.contains(part)), "{text}\n{problem}");
    }
}

#[test]
fn a_language_without_its_replies_or_without_a_file_is_refused() {
    let incomplete = loaded(&[("fr.toml", "language = 'fr'\n[intents]\ntime = ['quelle heure']")], &["fr"]);
    assert!(chain(&incomplete.err().expect("no replies")).contains("replies."));
    let unknown = loaded(&[], &["en", "xx"]).err().expect("unknown");
    assert_eq!(chain(&unknown), "could not find the language xx: known are de");
    assert!(matches!(loaded(&[], &[]), Err(IntentError::NoLanguage)));
}

#[test]
fn our_own_files_hold_what_is_asked_of_other_peoples() {
    for (name, text) in [("en.toml", include_str!("../data/en.toml")), ("de.toml", include_str!("../data/de.toml"))] {
        let file = crate::intent::language::LanguageFile::parse(name, text).expect("a language");
        file.check(name).expect("no mistakes");
    }
}

#[test]
fn switched_off_it_understands_nothing() {
    let matcher = Matcher::load(&Config { enabled: false, ..Config::default() }).expect("built-in sentences");
    assert_eq!(short(&heard(&matcher, &house(), "what time is it", "en")), "nothing");
}
