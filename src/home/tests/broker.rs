//! The home with a real broker and lamps that speak for themselves.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::link::mqtt::testing::{Broker, PATIENCE, connected, until};
use crate::link::mqtt::{Qos, Retain};

const LAMP: &str = "light.0x00158d_light";

async fn open(broker: &Broker, db: &Db) -> (Home, MqttHandle, Shutdown) {
    let config = Config { confirm_wait: Duration::from_secs(5), ..config() };
    let (handle, mut routes, shutdown) = broker.client("hub", vec![config.route()]).await;
    let route = routes.pop().expect("a route");
    let home = Home::start(db.clone(), Clock::System, Some((handle.clone(), route)), config, shutdown.clone()).await;
    (home.expect("a home"), handle, shutdown)
}

fn database() -> Db {
    Db::memory_for_tests(&[crate::timeline::MIGRATIONS, MIGRATIONS])
}

async fn say(handle: &MqttHandle, topic: &str, payload: &str) {
    handle.publish(topic, payload.to_owned(), Qos::AtLeastOnce, Retain::Yes).await.expect("published");
}

async fn known(home: &Home, id: &str) {
    until(id, || home.household().entity(&EntityId::from(id)).is_some()).await;
}

fn state(home: &Home, id: &str) -> Option<String> {
    home.household().entity(&EntityId::from(id)).and_then(|(_, entity)| entity.state.value.clone())
}

/// A lamp that does as it is told and says so; the count is of commands.
async fn lamp(broker: &Broker) -> (MqttHandle, Arc<AtomicUsize>, Shutdown) {
    let wanted = RouteConfig { reliability: Reliability::Everything, filters: vec!["zigbee2mqtt/+/set".to_owned()] };
    let (handle, mut routes, shutdown) = broker.client("lamp", vec![wanted]).await;
    let told = Arc::new(AtomicUsize::new(0));
    let (speaker, counter) = (handle.clone(), told.clone());
    tokio::spawn(async move {
        let mut route = routes.pop().expect("a route");
        while let Some(incoming) = route.incoming.recv().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = speaker
                .publish("zigbee2mqtt/kitchen_lamp", incoming.message.payload, Qos::AtMostOnce, Retain::No)
                .await;
            incoming.ack.into_iter().for_each(|token| drop(speaker.ack(token)));
        }
    });
    say(&handle, FIXTURES[0].0, FIXTURES[0].1).await;
    say(&handle, "zigbee2mqtt/bridge/state", r#"{"state":"online"}"#).await;
    (handle, told, shutdown)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lamp_is_switched_and_confirms_by_its_state() {
    let broker = Broker::start().await;
    let (home, _hub, _shutdown) = open(&broker, &database()).await;
    let (_lamp, told, _lamp_shutdown) = lamp(&broker).await;
    known(&home, LAMP).await;
    let id = EntityId::from(LAMP);
    // The subscription to its state has reached the broker when the first command is confirmed.
    for round in 0..20 {
        let action = if round % 2 == 0 { Action::TurnOn } else { Action::TurnOff };
        let results = home.command(vec![(id.clone(), action)]).await;
        assert_eq!(results, [(id.clone(), CommandResult::Confirmed)]);
        let expected = if round % 2 == 0 { "on" } else { "off" };
        assert_eq!(state(&home, LAMP).as_deref(), Some(expected), "whoever is answered finds the new state");
    }
    // Also what is already so is sent, and confirmed by what the lamp says, not by what it said.
    let results = home.command(vec![(id.clone(), Action::TurnOff)]).await;
    assert_eq!(results, [(id, CommandResult::Confirmed)]);
    assert_eq!(told.load(Ordering::SeqCst), 21);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_and_absence_are_told_apart() {
    let broker = Broker::start().await;
    let (handle, mut routes, shutdown) = broker.client("hub", vec![config().route()]).await;
    let route = routes.pop().expect("a route");
    let home = Home::start(database(), Clock::System, Some((handle, route)), config(), shutdown).await.expect("a home");
    let (speaker, _, _speaking) = broker.client("speaker", Vec::new()).await;
    for (topic, document) in &FIXTURES[..4] {
        say(&speaker, topic, document).await;
    }
    say(&speaker, "tele/plug/LWT", "Offline").await;
    let blind = json!({"uniq_id": "mute", "cmd_t": "mute/set", "name": "Mute"}).to_string();
    say(&speaker, "homeassistant/switch/mute/config", &blind).await;
    known(&home, "switch.mute").await;
    let plug = EntityId::from("switch.DVES_1_RL_1");
    until("the plug is away", || home.household().entity(&plug).is_some_and(|(_, plug)| !plug.available)).await;
    let ids =
        [LAMP, "switch.DVES_1_RL_1", "switch.mute", "sensor.0x00158e_temperature", "light.nowhere"].map(EntityId::from);
    let results = home.command(ids.iter().map(|id| (id.clone(), Action::TurnOn)).collect()).await;
    let results: Vec<_> = results.into_iter().map(|(_, result)| result).collect();
    assert_eq!(
        results,
        [
            CommandResult::NotConfirmed,
            CommandResult::Unavailable,
            CommandResult::NotConfirmed,
            CommandResult::NotSupported { what: "turn on".to_owned() },
            CommandResult::NotSupported { what: "it is gone".to_owned() },
        ]
    );
    assert_eq!(state(&home, "switch.mute").as_deref(), Some("on"), "what never reports is taken for what it was told");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_home_goes_on_after_the_broker_and_after_itself() {
    let mut broker = Broker::start().await;
    let db = database();
    let (home, hub, shutdown) = open(&broker, &db).await;
    let (lamp, _told, _lamp_shutdown) = lamp(&broker).await;
    known(&home, LAMP).await;
    let id = EntityId::from(LAMP);
    let switch = |action: Action| vec![(id.clone(), action)];
    assert_eq!(home.command(switch(Action::TurnOn)).await[0].1, CommandResult::Confirmed);

    broker.stop().await;
    until("the hub notices", || !hub.is_connected()).await;
    assert_eq!(home.command(switch(Action::TurnOff)).await[0].1, CommandResult::NotConnected);
    assert_eq!(state(&home, LAMP).as_deref(), Some("on"), "nothing was sent");
    broker.go_on().await;
    connected(&hub).await;
    connected(&lamp).await;
    // A command that meets the broker before the lamp's subscription does is simply repeated by the person.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while home.command(switch(Action::TurnOff)).await[0].1 != CommandResult::Confirmed {
        assert!(tokio::time::Instant::now() < deadline, "the lamp never answers again");
    }

    shutdown.trigger();
    tokio::time::timeout(PATIENCE, home.stopped()).await.expect("the home stops");
    let again = Home::start(db, Clock::System, None, config(), Shutdown::default()).await.expect("a home");
    assert_eq!(state(&again, LAMP).as_deref(), Some("off"), "the last state was stored");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_house_announced_at_once_is_known_and_stored() {
    let broker = Broker::start().await;
    let db = database();
    let (speaker, _, _speaking) = broker.client("speaker", Vec::new()).await;
    const COUNT: usize = 300;
    for number in 0..COUNT {
        let document = json!({"uniq_id": number.to_string(), "cmd_t": format!("d/{number}/set"), "stat_t": format!("d/{number}"),
            "name": format!("Plug {number}")});
        say(&speaker, &format!("homeassistant/switch/{number}/config"), &document.to_string()).await;
        say(&speaker, &format!("d/{number}"), "ON").await;
    }
    let (home, _hub, _shutdown) = open(&broker, &db).await;
    until("all are on", || {
        let household = home.household();
        household.devices.len() == COUNT
            && household.entities().all(|(_, entity)| entity.state.value.as_deref() == Some("on"))
    })
    .await;
    let stored: i64 = db
        .read(|conn| conn.query_row("SELECT count(*) FROM home_announcements", [], |row| row.get(0)))
        .await
        .expect("read");
    assert_eq!(stored, COUNT as i64);
    say(&speaker, "homeassistant/switch/7/config", "").await;
    until("one is gone", || home.household().devices.len() == COUNT - 1).await;
}
