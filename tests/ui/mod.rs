//! The web page in a real browser.

use std::fs;

use serde_json::json;

use crate::support::{Browser, Gateway, Lamp, Mosquitto, PATIENCE, Plan, eventually, free_port};

/// A person whom the page knows.
fn logged_in(gateway: &Gateway) -> Browser {
    let browser = Browser::start();
    browser.open(&format!("http://{}/", gateway.dashboard().address));
    browser.click("#login-other");
    browser.type_into("#login-token", gateway.token());
    browser.click("#login-button");
    browser.type_into("#user-name", "Anna");
    browser.click("#user-create");
    browser.wait_until_shown("#chat-input");
    browser
}

/// What `kafclaw setup-code` prints.
fn setup_code(plan: &Plan) -> String {
    let shown = plan.command(&["setup-code"]).output().expect("the program");
    String::from_utf8(shown.stdout).expect("text").trim().to_owned()
}

/// The form of the first visit, filled in and sent.
fn set_up(browser: &Browser, code: &str, password: &str, again: &str) {
    browser.type_into("#setup-code", code);
    browser.type_into("#setup-password", password);
    browser.type_into("#setup-again", again);
    browser.click("#login-button");
}

fn blank(browser: &Browser, id: &str) {
    browser.run("document.getElementById(arguments[0]).value = ''", &json!([id]));
}

#[test]
fn the_first_visitor_becomes_the_owner_with_the_code_and_comes_back_with_the_password() {
    let plan = Plan::new();
    let gateway = plan.start();
    let browser = Browser::start();
    let page = format!("http://{}/", gateway.dashboard().address);
    browser.open(&page);
    set_up(&browser, "aaaa-aaaa", "kurz", "kurz");
    browser.wait_for_text("#login-error", "at least 8");
    for id in ["setup-password", "setup-again"] {
        blank(&browser, id);
    }
    browser.type_into("#setup-password", "korrektes Pferd");
    browser.type_into("#setup-again", "korrektes Pfero");
    browser.click("#login-button");
    browser.wait_for_text("#login-error", "not the same");
    blank(&browser, "setup-again");
    browser.type_into("#setup-again", "korrektes Pferd");
    browser.click("#login-button");
    browser.wait_for_text("#login-error", "4 tries");
    blank(&browser, "setup-code");
    // As people type it.
    browser.type_into("#setup-code", &setup_code(&plan).to_lowercase().replace('-', " "));
    browser.click("#login-button");
    browser.wait_until_shown("#user-name");

    browser.click("#nav-status");
    // What a click on it brings, in the session of this page.
    let fetched = browser.run(
        "const request = new XMLHttpRequest();
         request.open('GET', document.getElementById('diagnostics').href, false);
         request.send();
         return [request.status, request.getResponseHeader('Content-Type')]",
        &json!([]),
    );
    assert_eq!(fetched, json!([200, "application/gzip"]));
    browser.click("#password summary");
    browser.type_into("#password-current", "korrektes Pferd");
    browser.type_into("#password-new", "ein anderes Pferd");
    browser.type_into("#password-again", "ein anderes Pferd");
    browser.click("#password-save");
    browser.wait_for_text("#toast", "is changed");
    browser.click("#logout");
    browser.type_into("#login-password", "korrektes Pferd");
    browser.click("#login-button");
    browser.wait_for_text("#login-error", "wrong");
    blank(&browser, "login-password");
    browser.type_into("#login-password", "ein anderes Pferd");
    browser.click("#login-button");
    browser.wait_until_shown("#logout");

    assert!(plan.command(&["password", "reset"]).output().expect("the program").status.success());
    browser.open(&page);
    browser.wait_until_shown("#setup-code");
}

#[test]
fn the_owner_has_the_house_forget_everything_and_meets_it_as_a_new_one() {
    // The page comes back by itself, so the house must be where it was.
    let plan = Plan::new().with("KAFCLAW_GATEWAY_DASHBOARD_PORT", &free_port().to_string());
    let gateway = plan.start();
    let browser = Browser::start();
    browser.open(&format!("http://{}/", gateway.dashboard().address));
    let first = setup_code(&plan);
    set_up(&browser, &first, "korrektes Pferd", "korrektes Pferd");
    browser.wait_until_shown("#user-name");
    browser.click("#nav-status");
    browser.click("#reset summary");
    browser.type_into("#reset-words", "forget everything");
    browser.type_into("#reset-password", "falsches Pferd");
    browser.click("#reset-go");
    browser.wait_for_text("#toast", "wrong");
    blank(&browser, "reset-password");
    browser.type_into("#reset-password", "korrektes Pferd");
    browser.click("#reset-go");
    browser.wait_until_shown("#setup-code");
    assert!(setup_code(&plan) != first);
}

#[test]
fn a_person_logs_in_talks_and_switches_a_lamp() {
    let broker = Mosquitto::start();
    let lamp = Lamp::in_kitchen(&broker);
    let gateway = Plan::new().with_broker(&broker).start();
    lamp.wait_until_known(gateway.dashboard());
    let browser = Browser::start();
    browser.open(&format!("http://{}/", gateway.dashboard().address));

    browser.click("#login-other");
    browser.type_into("#login-token", "not the token");
    browser.click("#login-button");
    browser.wait_for_text("#login-error", "token");
    blank(&browser, "login-token");
    browser.type_into("#login-token", gateway.token());
    browser.click("#login-button");
    browser.type_into("#user-name", "Anna");
    browser.click("#user-create");

    browser.type_into("#chat-input", "turn on the kitchen lamp");
    browser.click("#chat-send");
    browser.wait_for_text(".message[data-from=house][data-state=done] .message-text", "itchen lamp");
    eventually("the lamp is on", PATIENCE, || lamp.commands() == [json!({"state": "ON"})]);
    browser.wait_until_shown(".message[data-from=house] [data-route=intent]");

    browser.click("#nav-devices");
    browser.wait_for_text("#devices-list", "itchen lamp");
    browser.wait_until_shown("[id^=entity-light][data-value=on]");
    browser.click("[id^=toggle-light]");
    eventually("the lamp is off", PATIENCE, || lamp.commands().len() == 2);
    browser.wait_until_shown("[id^=entity-light][data-value=off]");

    browser.click("#nav-activity");
    browser.wait_for_text("#activity-list", "itchen lamp");
    // A status of 401 or 404 that the page expects is logged by the browser all the same.
    let errors: Vec<String> = browser.errors();
    let surprising: Vec<&String> = errors.iter().filter(|error| !error.contains("Failed to load resource")).collect();
    assert!(surprising.is_empty(), "{surprising:?}");

    browser.click("#nav-status");
    browser.click("#logout");
    browser.wait_until_shown("#setup-code");
}

#[test]
fn an_empty_home_teaches_how_devices_find_the_broker_that_there_is() {
    let plan = Plan::new();
    let gateway = plan.start();
    let browser = logged_in(&gateway);
    browser.click("#nav-devices");
    browser.wait_for_text("#devices-empty", "Set the broker");
    // Drawn before the page knows: what it learns changes what stands there.
    fs::write(plan.home().join("broker"), "devices:geheim7\n").expect("a file");
    browser.click("#nav-activity");
    browser.click("#nav-devices");
    browser.wait_for_text("#devices-empty", "the broker of this machine");
    browser.click("#broker summary");
    browser.wait_for_text("#broker-accounts", "geheim7");
}

#[test]
fn a_person_tells_the_house_something_finds_it_in_other_words_and_has_it_forgotten() {
    let plan = Plan::new();
    let gateway = plan.start();
    let browser = logged_in(&gateway);
    browser.click("#nav-memory");
    browser.wait_for_text("#memory-empty", "Nothing yet");
    browser.type_into("#memory-note", "The spare key hangs behind the boiler");
    browser.click("#memory-remember");
    browser.wait_for_text("#memory-results", "behind the boiler");

    let manual = plan.home().join("kettle.md");
    fs::write(&manual, "# Descaling\n\nPour vinegar and water into the kettle, boil it and wait an hour.\n")
        .expect("a file");
    browser.choose_file("#memory-file", &manual);
    browser.wait_for_text("#memory-documents", "1 piece");
    eventually("both have a vector", PATIENCE, || {
        let metrics = gateway.dashboard().get("/api/v1/memory/metrics").json();
        metrics["memory"]["chunksEmbedded"].as_u64() >= Some(2)
    });

    browser.type_into("#memory-query", "how to get in if I am locked out");
    browser.click("#memory-go");
    browser.wait_for_text("#memory-results-title", "fit");
    browser.wait_for_text("#memory-results .memory:first-child", "boiler");
    browser.run("document.getElementById('memory-query').value = ''", &json!([]));
    browser.type_into("#memory-query", "removing limestone");
    browser.click("#memory-go");
    browser.wait_for_text("#memory-results .memory:first-child", "vinegar");

    browser.run("document.getElementById('memory-query').value = ''", &json!([]));
    browser.click("#memory-go");
    browser.wait_for_text("#memory-results-title", "Newest");
    let card = "[id^=memory-forget-][aria-label*=boiler]";
    browser.click(card);
    browser.accept();
    eventually("it is forgotten", PATIENCE, || !browser.text("#memory-results").contains("boiler"));
    let found = gateway.dashboard().get("/api/v1/memory/search?q=boiler").json();
    assert!(!found.to_string().contains("behind the boiler"), "{found}");
}

#[test]
fn a_person_speaks_and_the_page_shows_what_the_house_heard() {
    let gateway = Plan::new().with_small_models().start();
    let browser = logged_in(&gateway);
    browser.click("#chat-mic");
    browser.wait_until_shown("#chat-mic[data-state=recording]");
    let pieces = "return performance.getEntriesByType('resource').filter(e => /voice.live.[0-9a-f]+$/.test(e.name) && e.responseStatus === 200).length";
    eventually("sound goes to the house meanwhile", PATIENCE, || {
        browser.run(pieces, &json!([])).as_u64().is_some_and(|pieces| pieces > 2)
    });
    browser.click("#chat-mic");
    browser.wait_until_shown("#chat-mic[data-state=idle]");
    let heard = "return performance.getEntriesByType('resource').filter(e => e.name.endsWith('/end')).map(e => e.responseStatus)";
    eventually("the house has listened", PATIENCE, || browser.run(heard, &json!([])) == json!([200]));
    // A network of a few thousand random weights says something random about a beep, and at some lengths of it nothing.
    let shown = "const told = document.getElementById('toast');
        return document.getElementById('chat-input').value || (told.dataset.mood === 'bad' ? told.textContent : '')";
    eventually("the words stand where they can be sent, or it is told that there were none", PATIENCE, || {
        browser.run(shown, &json!([])).as_str().is_some_and(|text| !text.is_empty())
    });
}
