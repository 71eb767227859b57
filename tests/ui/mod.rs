//! The web page in a real browser.

use serde_json::json;

use crate::support::{Browser, Lamp, Mosquitto, PATIENCE, Plan, eventually};

#[test]
fn a_person_logs_in_talks_and_switches_a_lamp() {
    let broker = Mosquitto::start();
    let lamp = Lamp::in_kitchen(&broker);
    let gateway = Plan::new().with_broker(&broker).start();
    lamp.wait_until_known(gateway.dashboard());
    let browser = Browser::start();
    browser.open(&format!("http://{}/", gateway.dashboard().address));

    browser.type_into("#login-token", "not the token");
    browser.click("#login-button");
    browser.wait_for_text("#login-error", "token");
    browser.run("document.getElementById('login-token').value = ''", &json!([]));
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
    browser.wait_until_shown("#login-token");
}
