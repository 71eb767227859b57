//! What each action becomes on the wire, and what of it is refused.

use super::*;

const LAMP: &str = "light.0x00158d_light";
const BULB: &str = "light.DVES_2_LI_1";
const STRIP: &str = "light.ESPlightstrip";

/// An entity, what it is told, and the messages that come of it.
type Case<'a> = ((&'a str, Action), &'a [(&'a str, &'a str)]);

fn turn(id: &str, on: bool) -> (&str, Action) {
    (id, if on { Action::TurnOn } else { Action::TurnOff })
}

#[test]
fn every_kind_is_told_in_its_own_words() {
    let registry = furnished();
    let red = Rgb { r: 255, g: 0, b: 0 };
    let mode = |mode: &str| Action::SetMode { mode: mode.to_owned() };
    let pick = |option: &str| Action::Select { option: option.to_owned() };
    let cases: Vec<Case> = vec![
        (turn(LAMP, false), &[("zigbee2mqtt/kitchen_lamp/set", r#"{"state":"OFF"}"#)]),
        (
            (LAMP, Action::SetColorTemperature { kelvin: 2703 }),
            &[("zigbee2mqtt/kitchen_lamp/set", r#"{"state":"ON","color_temp":370}"#)],
        ),
        ((LAMP, mode("Blink")), &[("zigbee2mqtt/kitchen_lamp/set", r#"{"state":"ON","effect":"blink"}"#)]),
        (
            (STRIP, Action::SetColor { color: red }),
            &[("desk/light/strip/command", r#"{"state":"ON","color":{"r":255,"g":0,"b":0}}"#)],
        ),
        (turn(BULB, true), &[("cmnd/bulb/Dimmer", "100")]),
        (turn(BULB, false), &[("cmnd/bulb/POWER", "OFF")]),
        ((BULB, Action::SetBrightness { percent: 40.0 }), &[("cmnd/bulb/Dimmer", "40")]),
        ((BULB, Action::SetBrightness { percent: 0.0 }), &[("cmnd/bulb/POWER", "OFF")]),
        ((BULB, Action::SetColor { color: red }), &[("cmnd/bulb/Color2", "255,0,0"), ("cmnd/bulb/POWER", "ON")]),
        ((BULB, Action::SetColorTemperature { kelvin: 4000 }), &[("cmnd/bulb/CT", "250"), ("cmnd/bulb/POWER", "ON")]),
        (turn("light.ring", true), &[("ring/set", "on,,--")]),
        (("light.ring", Action::SetColor { color: red }), &[("ring/set", "on,,255-0-0")]),
        (turn("light.ring", false), &[("ring/set", "off")]),
        (turn("switch.DVES_1_RL_1", false), &[("cmnd/plug/POWER", "OFF")]),
        (("cover.garage_door", Action::Open), &[("garage/cover/door/command", "OPEN")]),
        (("cover.garage_door", Action::SetPosition { percent: 30.0 }), &[("garage/cover/door/position/command", "30")]),
        (("cover.mix_blind", Action::SetPosition { percent: 100.0 }), &[("mix/blind/position/set", "0")]),
        (("cover.mix_blind", Action::Stop), &[("mix/blind/set", "STOP")]),
        (("valve.mix_valve", Action::Open), &[("mix/valve/set", "100")]),
        (("climate.trv", Action::SetTemperature { degrees: 21.5 }), &[("trv/set/target", "21.5")]),
        (("climate.trv", Action::SetTemperature { degrees: 99.0 }), &[("trv/set/target", "30")]),
        (turn("climate.trv", false), &[("trv/set/mode", "off")]),
        (
            ("climate.0x0b_climate", Action::SetTemperature { degrees: 1.0 }),
            &[("zigbee2mqtt/trv/set/occupied_heating_setpoint", "5")],
        ),
        (("climate.0x0b_climate", mode("boost")), &[("zigbee2mqtt/trv/set/preset", "boost")]),
        (turn("climate.0x0b_climate", true), &[("zigbee2mqtt/trv/set/system_mode", "auto")]),
        (turn("fan.fan1_blade", true), &[("fan1/set", "ON")]),
        (("fan.fan1_blade", Action::SetSpeed { percent: 50.0 }), &[("fan1/speed/set", "2")]),
        (("fan.fan1_blade", Action::SetSpeed { percent: 0.0 }), &[("fan1/set", "OFF")]),
        (("fan.mix_fan", mode("Turbo")), &[("mix/fan/preset/set", "turbo")]),
        (("lock.0x0a_lock", Action::Unlock), &[("zigbee2mqtt/front_door/set", "UNLOCK")]),
        (turn("siren.mix_siren", true), &[("mix/siren/set", r#"{"state":"ON"}"#)]),
        (("humidifier.mix_dry", Action::SetPosition { percent: 95.0 }), &[("mix/dry/goal/set", "80")]),
        (("humidifier.mix_dry", mode("boost")), &[("mix/dry/mode/set", "boost")]),
        (("button.mix_ring", Action::Press), &[("mix/ring", "ding")]),
        (turn("scene.mix_movie", true), &[("mix/scene", "movie")]),
        (("number.mix_delay", Action::SetNumber { value: 70.0 }), &[("mix/delay/set", "60")]),
        (("select.mix_tone", pick("low tone")), &[("mix/tone/set", "Low_tone")]),
        (("text.mix_sign", pick("hello")), &[("mix/sign/set", "hello")]),
    ];
    for ((id, action), expected) in cases {
        let shown = format!("{id} {action:?}");
        let expected: Vec<_> =
            expected.iter().map(|(topic, payload)| ((*topic).to_owned(), (*payload).to_owned())).collect();
        assert_eq!(commands(&registry, id, action), expected, "{shown}");
    }
}

#[test]
fn what_a_thing_cannot_do_is_refused_by_name() {
    let registry = furnished();
    for (id, action, why) in [
        ("switch.DVES_1_RL_1", Action::SetBrightness { percent: 3.0 }, "set brightness"),
        ("sensor.0x00158e_temperature", Action::TurnOn, "turn on"),
        ("lock.0x0a_lock", Action::Open, "open"),
        ("climate.trv", Action::SetMode { mode: "dry".to_owned() }, "dry; it knows off, heat, auto"),
        ("text.mix_sign", Action::Select { option: "far too long".to_owned() }, "so long a text"),
    ] {
        let entity = registry.entity(&EntityId::from(id)).expect(id);
        assert_eq!(encode(entity, &State::default(), &action).map(|_| ()), Err(why.to_owned()), "{id}");
    }
}

#[test]
fn every_kind_is_read_in_its_own_words() {
    let mut registry = furnished();
    for (topic, payload) in [
        ("zigbee2mqtt/front_door", r#"{"state": "LOCK"}"#),
        (
            "zigbee2mqtt/trv",
            r#"{"local_temperature": 19, "occupied_heating_setpoint": 21, "system_mode": "heat", "preset": "eco"}"#,
        ),
        ("tele/bulb/STATE", r#"{"POWER": "ON", "Dimmer": 40, "Color": "255,0,0,0,0", "CT": 250}"#),
        (
            "desk/light/strip/state",
            r#"{"state": "ON", "color_mode": "rgb", "brightness": 255, "color": {"r": 0, "g": 255, "b": 0}}"#,
        ),
        ("ring/state", "on,51,1-2-3"),
        ("mix/valve", r#"{"position": 25, "state": "opening"}"#),
        ("mix/siren", r#"{"state": "ON"}"#),
        ("mix/dry/goal", "55"),
        ("mix/dry/mode", "quiet"),
        ("mix/blind/position", "255"),
        ("mix/delay", "15"),
    ] {
        assert!(registry.message(topic, payload.as_bytes(), NOW).is_visible, "{topic}");
    }
    let household = registry.household();
    let state = |id: &str| find(&household, id).state.clone();
    assert_eq!(state("lock.0x0a_lock").value.as_deref(), Some("locked"));
    let trv = state("climate.0x0b_climate");
    assert_eq!(
        (trv.value.as_deref(), trv.mode.as_deref(), trv.target_temperature),
        (Some("heat"), Some("heat"), Some(21.0))
    );
    let bulb = state(BULB);
    assert_eq!((bulb.value.as_deref(), bulb.brightness_percent), (Some("on"), Some(40.0)));
    assert_eq!((bulb.color, bulb.color_temperature_k), (Some(Rgb { r: 255, g: 0, b: 0 }), Some(4000)));
    assert_eq!(state(STRIP).color, Some(Rgb { r: 0, g: 255, b: 0 }));
    let ring = state("light.ring");
    assert_eq!(
        (ring.value.as_deref(), ring.brightness_percent, ring.color),
        (Some("on"), Some(20.0), Some(Rgb { r: 1, g: 2, b: 3 }))
    );
    let valve = state("valve.mix_valve");
    assert_eq!((valve.value.as_deref(), valve.position_percent), (Some("opening"), Some(25.0)));
    assert_eq!(state("siren.mix_siren").value.as_deref(), Some("on"));
    assert_eq!(
        (state("humidifier.mix_dry").position_percent, state("humidifier.mix_dry").mode.as_deref()),
        (Some(55.0), Some("quiet"))
    );
    let blind = state("cover.mix_blind");
    assert_eq!((blind.value.as_deref(), blind.position_percent), (Some("closed"), Some(0.0)));
    assert_eq!(state("number.mix_delay").value.as_deref(), Some("15"));
    assert!(household.entity(&EntityId::from("sensor.mix_old")).is_none(), "a removed component is none");
    assert_eq!(find(&household, "valve.mix_valve").name, "Mix Valve");
}

#[test]
fn availability_follows_its_mode_and_its_own_words() {
    let mut registry = furnished();
    let lock = EntityId::from("lock.0x0a_lock");
    let siren = EntityId::from("siren.mix_siren");
    assert!(!registry.is_offline(&lock), "nothing was said yet");
    registry.message("zigbee2mqtt/bridge/state", br#"{"state":"online"}"#, NOW);
    registry.message("zigbee2mqtt/front_door/availability", br#"{"state":"offline"}"#, NOW);
    assert!(registry.is_offline(&lock), "all of them must be there");
    registry.message("zigbee2mqtt/front_door/availability", br#"{"state":"online"}"#, NOW);
    assert!(!registry.is_offline(&lock));
    registry.message("mix/status", br#"{"s": "down"}"#, NOW);
    assert!(registry.is_offline(&siren));
    registry.message("mix/status", br#"{"s": "up"}"#, NOW);
    assert!(!registry.is_offline(&siren));
}

/// What a device reports after a step is taken for the step that was wished for.
#[test]
fn a_fan_with_four_steps_confirms_a_third() {
    let mut registry = furnished();
    let id = EntityId::from("fan.fan1_blade");
    let command = encode(registry.entity(&id).expect("known"), &State::default(), &Action::SetSpeed { percent: 33.0 })
        .expect("can");
    assert_eq!(command.publications[0].payload, "1");
    registry.message("fan1/speed", b"1", NOW);
    assert!(is_granted(&command.wanted, &registry.state(&id)));
}
