//! The link against a real broker: restarts on both sides, floods, slow consumers, TLS.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::testing::{Broker, PATIENCE, connected, free_port, state, stopped, until};
use super::*;

fn everything(filter: &str) -> RouteConfig {
    RouteConfig { reliability: Reliability::Everything, filters: vec![filter.to_owned()] }
}

fn present(filter: &str) -> RouteConfig {
    RouteConfig { reliability: Reliability::Present, filters: vec![filter.to_owned()] }
}

async fn next(route: &mut Route) -> Incoming {
    tokio::time::timeout(PATIENCE, route.incoming.recv()).await.expect("a message in time").expect("a running link")
}

async fn say(handle: &MqttHandle, topic: &str, payload: &str) {
    handle.publish(topic, payload.to_owned(), Qos::AtLeastOnce, Retain::No).await.expect("published");
}

fn text(incoming: &Incoming) -> String {
    String::from_utf8(incoming.message.payload.to_vec()).expect("text")
}

/// A word said and heard shows that the broker knows the subscriptions. Returns when the last one was heard, so that none comes
/// between the words of the test.
async fn subscribed(speaker: &MqttHandle, route: &mut Route, handle: &MqttHandle, topic: &str) {
    let mut said = 0;
    let mut heard = loop {
        said += 1;
        say(speaker, topic, &format!("are you there, number {said}")).await;
        if let Ok(Some(heard)) = tokio::time::timeout(Duration::from_millis(200), route.incoming.recv()).await {
            break heard;
        }
    };
    let last = format!("are you there, number {said}");
    loop {
        let word = text(&heard);
        heard.ack.into_iter().for_each(|token| handle.ack(token).expect("acknowledged"));
        if word == last {
            return;
        }
        heard = next(route).await;
    }
}

#[tokio::test]
async fn a_message_is_delivered_again_until_it_is_acknowledged_whoever_restarts() {
    let mut broker = Broker::start().await;
    let (speaker, _, _) = broker.client("speaker", Vec::new()).await;
    let (hub, mut routes, shutdown) = broker.client("hub", vec![everything("in/+")]).await;
    subscribed(&speaker, &mut routes[0], &hub, "in/probe").await;
    shutdown.trigger();
    stopped(&hub).await;

    say(&speaker, "in/a", "said while away").await;
    let (hub, mut routes, shutdown) = broker.client("hub", vec![everything("in/+")]).await;
    assert_eq!(text(&next(&mut routes[0]).await), "said while away");
    shutdown.trigger();
    stopped(&hub).await;

    let (hub, mut routes, _shutdown) = broker.client("hub", vec![everything("in/+")]).await;
    let again = next(&mut routes[0]).await;
    assert_eq!((text(&again).as_str(), again.message.is_repeated), ("said while away", true));
    broker.stop().await;
    state(&hub, "cut off", |state| matches!(state, LinkState::Connecting { error: Some(_), .. })).await;
    assert_eq!(hub.ack(again.ack.expect("a token")), Err(MqttError::Superseded));
    let offline = hub.publish("out/a", "x", Qos::AtLeastOnce, Retain::No).await;
    assert_eq!(offline, Err(MqttError::NotConnected));

    broker.go_on().await;
    connected(&hub).await;
    let third = next(&mut routes[0]).await;
    assert_eq!(text(&third), "said while away");
    hub.ack(third.ack.expect("a token")).expect("acknowledged");
    connected(&speaker).await;
    say(&speaker, "in/b", "and now this").await;
    assert_eq!(text(&next(&mut routes[0]).await), "and now this");
}

#[tokio::test]
async fn retained_state_comes_again_with_each_connection() {
    let mut broker = Broker::start().await;
    let (hub, mut routes, _shutdown) = broker.client("hub", vec![present("lamp/#")]).await;
    hub.publish("lamp/1", "on", Qos::AtLeastOnce, Retain::Yes).await.expect("published");
    assert_eq!(text(&next(&mut routes[0]).await), "on");
    broker.stop().await;
    state(&hub, "cut off", |state| matches!(state, LinkState::Connecting { .. })).await;
    broker.go_on().await;
    let again = next(&mut routes[0]).await;
    assert_eq!((text(&again).as_str(), again.message.is_retained), ("on", true));
}

#[tokio::test]
async fn a_consumer_that_does_not_read_loses_nothing_and_holds_up_nobody() {
    // The broker sends as much as it can, so that more arrives than the route and the ledger hold.
    let broker = Broker::start_with("max_inflight_messages 0").await;
    let (speaker, _, _) = broker.client("speaker", Vec::new()).await;
    let (hub, mut routes, _shutdown) = broker.client("hub", vec![everything("in/+"), present("lamp/+")]).await;
    let mut lamps = routes.pop().expect("the second route");
    let mut talk = routes.pop().expect("the first route");
    subscribed(&speaker, &mut talk, &hub, "in/probe").await;
    const COUNT: usize = route::ROUTE_QUEUE_LEN * 3;
    let sayings = (0..COUNT).map(|number| {
        let speaker = speaker.clone();
        async move { say(&speaker, "in/a", &number.to_string()).await }
    });
    futures_util::future::join_all(sayings).await;
    // The first route is full; the second one still hears, and publishing still works.
    hub.publish("lamp/1", "on", Qos::AtLeastOnce, Retain::No).await.expect("published");
    assert_eq!(text(&next(&mut lamps).await), "on");
    let mut heard = BTreeSet::new();
    while heard.len() < COUNT {
        let incoming = next(&mut talk).await;
        heard.extend(text(&incoming).parse::<usize>());
        // A token of the connection before is void; the message comes again.
        let _ = incoming.ack.map(|token| hub.ack(token));
    }
}

#[tokio::test]
async fn a_flood_of_retained_messages_and_filters_leaves_room_for_the_rest() {
    let broker = Broker::start().await;
    let (speaker, _, _) = broker.client("speaker", Vec::new()).await;
    const COUNT: usize = 3_000;
    for numbers in (0..COUNT).collect::<Vec<_>>().chunks(50) {
        let sayings = numbers.iter().map(|number| {
            let (speaker, topic) = (speaker.clone(), format!("device/{number}"));
            async move { speaker.publish(&topic, "state", Qos::AtLeastOnce, Retain::Yes).await.expect("published") }
        });
        futures_util::future::join_all(sayings).await;
    }
    let (hub, mut routes, _shutdown) = broker.client("hub", vec![present("nothing/yet"), everything("in/+")]).await;
    let mut talk = routes.pop().expect("the second route");
    let mut devices = routes.pop().expect("the first route");
    for number in 0..COUNT {
        devices.subscriptions.add([format!("device/{number}")]).expect("a filter");
    }
    let reader = tokio::spawn(async move {
        let mut seen = BTreeSet::new();
        while seen.len() < COUNT {
            seen.insert(next(&mut devices).await.message.topic);
            tokio::task::yield_now().await;
        }
    });
    for number in 0..50 {
        say(&hub, "in/self", &number.to_string()).await;
        let heard = next(&mut talk).await;
        assert_eq!(text(&heard), number.to_string());
        hub.ack(heard.ack.expect("a token")).expect("acknowledged");
    }
    reader.await.expect("every retained message");
    let connection = match *hub.link_state().borrow() {
        LinkState::Connected { connection, .. } => connection,
        _ => 0,
    };
    assert_eq!(connection, 1, "nothing broke the connection");
}

#[tokio::test]
async fn the_last_will_is_heard_when_the_link_stops() {
    let broker = Broker::start().await;
    let (watcher, mut routes, _watching) = broker.client("watcher", vec![everything("hub/status")]).await;
    subscribed(&watcher, &mut routes[0], &watcher, "hub/status").await;
    let mut config = broker.config("hub");
    config.last_will = Some(Will { topic: "hub/status".to_owned(), payload: "offline".to_owned() });
    let shutdown = Shutdown::default();
    let (hub, _routes) = start(config, Vec::new(), shutdown.clone()).expect("a link");
    connected(&hub).await;
    shutdown.trigger();
    loop {
        let heard = next(&mut routes[0]).await;
        let said = text(&heard);
        heard.ack.into_iter().for_each(|token| watcher.ack(token).expect("acknowledged"));
        if said == "offline" {
            break;
        }
    }
}

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
}

#[tokio::test]
async fn tls_is_spoken_with_a_broker_whose_authority_is_trusted_and_with_no_other() {
    let port = free_port();
    let lines = format!(
        "listener {port} 127.0.0.1\ncertfile {}\nkeyfile {}",
        fixture("broker.pem").display(),
        fixture("broker.key").display()
    );
    let mut broker = Broker::start_with(&lines).await;
    let address = Address::parse(&format!("mqtts://localhost:{port}")).expect("an address");
    let mut config = Config::new(address, "hub", broker.directory.path());
    config.ca_file = Some(fixture("ca.pem"));
    let shutdown = Shutdown::default();
    let (hub, mut routes) = start(config.clone(), vec![everything("in/+")], shutdown.clone()).expect("a link");
    connected(&hub).await;
    say(&hub, "in/a", "over TLS").await;
    let heard = next(&mut routes[0]).await;
    assert_eq!(text(&heard), "over TLS");
    hub.ack(heard.ack.expect("a token")).expect("acknowledged");
    broker.stop().await;
    state(&hub, "cut off", |state| matches!(state, LinkState::Connecting { .. })).await;
    broker.go_on().await;
    connected(&hub).await;
    shutdown.trigger();
    stopped(&hub).await;

    // A certificate that nothing signed but another authority.
    config.ca_file = Some(fixture("other.pem"));
    let (hub, _routes) = start(config, Vec::new(), Shutdown::default()).expect("a link");
    let says_why = |state: &LinkState| match state {
        LinkState::Connecting { error: Some(error), .. } => error.contains("certificate"),
        _ => false,
    };
    state(&hub, "refusing the certificate", says_why).await;
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let broker = Broker::start_with("per_listener_settings false\nallow_anonymous false").await;
    let (hub, _routes) = start(broker.config("hub"), Vec::new(), Shutdown::default()).expect("a link");
    let says_why = |state: &LinkState| match state {
        LinkState::Connecting { error: Some(error), .. } => error.to_lowercase().contains("refused"),
        _ => false,
    };
    state(&hub, "refused", says_why).await;
    until("it is not connected", || !hub.is_connected()).await;
}

#[tokio::test]
async fn a_directory_too_deep_for_a_socket_costs_only_speed() {
    let broker = Broker::start().await;
    let mut config = broker.config("hub");
    config.run_dir = broker.directory.path().join("d".repeat(120));
    std::fs::create_dir(&config.run_dir).expect("a directory");
    let (hub, _routes) = start(config, Vec::new(), Shutdown::default()).expect("a link");
    connected(&hub).await;
    say(&hub, "out/a", "hello").await;
}
