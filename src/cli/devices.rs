//! `kafclaw devices ...`: the home's devices, by the names people gave them.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::client::{Client, part};
use crate::cli::show::{field, one_line, table};
use crate::cli::{Failure, Terminal};

mod action;

const AFTER_HELP: &str = "\
A device is meant by its name, one of its other names, or its id.

Examples:
  kafclaw devices list
  kafclaw devices broker
  kafclaw devices rename 0x00158d0001a2b3c4 'kitchen lamp'
  kafclaw devices room 'kitchen lamp' kitchen
  kafclaw devices set 'kitchen lamp' on
  kafclaw devices set 'kitchen lamp' brightness 40
  kafclaw devices set thermostat temperature 21.5";

#[derive(clap::Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    #[command(subcommand)]
    action: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show every device with its room and state.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show one device with everything it can do.
    Show {
        /// Its name or id.
        device: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give a device the name people call it.
    Rename {
        /// Its name or id.
        device: String,
        /// Its new name.
        name: String,
    },
    /// Say in which room a device is; the room is made when it is new.
    Room {
        /// Its name or id.
        device: String,
        /// The room's name; nothing takes the device out of its room.
        room: Option<String>,
    },
    /// Show how devices and programs connect to this machine's own broker.
    Broker {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Switch, dim, open, lock: change something of a device.
    #[command(after_help = action::HELP)]
    Set {
        /// Its name or id.
        device: String,
        /// What it shall do, such as `on`, `brightness 40` or `temperature 21.5`.
        #[arg(required = true, allow_negative_numbers = true)]
        action: Vec<String>,
        /// Only this entity of the device, by its name or id.
        #[arg(long)]
        entity: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    pub fn run(self, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        match self.action {
            Command::List { json } => {
                let devices = terminal.gateway()?.get("devices").map_err(Failure::Client)?;
                if json { terminal.print_json(&devices) } else { terminal.print(&listing(&devices)) }
            }
            Command::Broker { json } => {
                let broker = terminal.gateway()?.get("broker").map_err(Failure::Client)?;
                if json { terminal.print_json(&broker) } else { terminal.print(&accounts(&broker)) }
            }
            Command::Show { device, json } => {
                let (_, device) = find(&device, terminal)?;
                if json { terminal.print_json(&device) } else { terminal.print(&whole(&device)) }
            }
            Command::Rename { device, name } => change(&device, json!({ "name": name }), terminal),
            Command::Room { device, room } => change(&device, json!({ "room": room }), terminal),
            Command::Set { device, action, entity, json } => {
                let mut body = action::read(&action).map_err(Failure::usage)?;
                let (client, device) = find(&device, terminal)?;
                if let Some(entity) = entity {
                    let entities = device["entities"].as_array().map_or(&[][..], Vec::as_slice);
                    body["entity"] = choose(entities, &entity, "entity").map_err(Failure::Outcome)?["id"].clone();
                }
                let path = format!("{}/command", path(&device));
                let answer = client.post(&path, &body).map_err(Failure::Client)?;
                if json { terminal.print_json(&answer) } else { report(&device, &answer, terminal) }
            }
        }
    }
}

fn accounts(broker: &Value) -> String {
    let accounts = broker["accounts"].as_array().map_or(&[][..], Vec::as_slice);
    if accounts.is_empty() {
        return "This machine has no broker of its own; devices connect to the one of mqtt.url.".to_owned();
    }
    let rows: Vec<_> = accounts.iter().map(|account| ["user", "password"].map(|name| field(account, name))).collect();
    // Sentences are too long for a table.
    let purposes =
        accounts.iter().map(|account| format!("{}: {}\n", field(account, "user"), field(account, "purpose")));
    let purposes: String = purposes.collect();
    format!("On port {} of this machine:\n{}\n{purposes}", broker["port"], table(["user", "password"], &rows))
}

fn change(device: &str, body: Value, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let (client, device) = find(device, terminal)?;
    let now = client.post(&path(&device), &body).map_err(Failure::Client)?;
    let now = if now["name"].is_string() { now } else { client.get(&path(&device)).map_err(Failure::Client)? };
    let room = match field(&now, "room_name") {
        room if room.is_empty() => "in no room".to_owned(),
        room => format!("in {room}"),
    };
    terminal.print(&format!("{} is {}.", one_line(&field(&now, "name")), one_line(&room)))
}

fn find(wanted: &str, terminal: &mut Terminal<'_>) -> Result<(Client, Value), Failure> {
    let client = terminal.gateway()?;
    let devices = client.get("devices").map_err(Failure::Client)?;
    let devices = devices.as_array().map_or(&[][..], Vec::as_slice);
    let device = choose(devices, wanted, "device").map_err(Failure::Outcome)?.clone();
    Ok((client, device))
}

/// The one that is meant: by id, else by name, else by another name.
fn choose<'a>(all: &'a [Value], wanted: &str, noun: &str) -> Result<&'a Value, String> {
    let wanted_folded = wanted.trim().to_lowercase();
    let is = |name: &Value| name.as_str().is_some_and(|name| name.to_lowercase() == wanted_folded);
    let by_id: Vec<&Value> = all.iter().filter(|one| one["id"] == *wanted).collect();
    let by_name: Vec<&Value> = all.iter().filter(|one| is(&one["name"])).collect();
    let by_alias = all.iter().filter(|one| one["aliases"].as_array().is_some_and(|names| names.iter().any(is)));
    let by_alias: Vec<&Value> = by_alias.collect();
    let found = [by_id, by_name, by_alias].into_iter().find(|found| !found.is_empty()).unwrap_or_default();
    let names =
        |some: &[&Value], name: &str| some.iter().map(|one| one_line(&field(one, name))).collect::<Vec<_>>().join(", ");
    match found.as_slice() {
        [one] => Ok(one),
        [] if all.is_empty() => Err(format!("there is no {noun} yet")),
        [] => {
            Err(format!("there is no {noun} `{wanted}`; there are: {}", names(&all.iter().collect::<Vec<_>>(), "name")))
        }
        several => Err(format!("`{wanted}` means several; give one of these ids: {}", names(several, "id"))),
    }
}

fn path(device: &Value) -> String {
    format!("devices/{}", part(&field(device, "id")))
}

/// Says for each entity how it went. What was not confirmed is a failure: a script must be able to tell.
fn report(device: &Value, answer: &Value, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for result in answer["results"].as_array().into_iter().flatten() {
        let id = &result["entity"];
        let entity = device["entities"].as_array().into_iter().flatten().find(|entity| entity["id"] == *id);
        let name = one_line(&entity.map_or_else(|| field(result, "entity"), |entity| field(entity, "name")));
        let what = match field(result, "status").as_str() {
            "confirmed" => {
                terminal.print(&format!("{name}: done"))?;
                continue;
            }
            "not_confirmed" => "sent, but the device did not confirm it".to_owned(),
            "unavailable" => "the device is not reachable".to_owned(),
            "not_supported" => format!("it cannot do that ({})", one_line(&field(result, "what"))),
            "not_connected" => "there is no connection to the MQTT broker; nothing was sent".to_owned(),
            other => one_line(other),
        };
        failed.push(format!("{name}: {what}"));
    }
    if failed.is_empty() { Ok(()) } else { Err(Failure::Outcome(failed.join("; "))) }
}

/// The state of an entity in a word or two.
fn state(entity: &Value) -> String {
    let state = &entity["state"];
    let mut parts = Vec::new();
    parts.extend(state["value"].as_str().map(|value| format!("{value}{}", unit(entity))));
    parts.extend(state["mode"].as_str().map(str::to_owned));
    for (name, unit) in [
        ("brightness_percent", " %"),
        ("position_percent", " %"),
        ("current_temperature", "°"),
        ("target_temperature", "° wanted"),
    ] {
        parts.extend(state[name].as_f64().map(|number| format!("{}{unit}", (number * 10.0).round() / 10.0)));
    }
    parts.join(" ")
}

fn unit(entity: &Value) -> String {
    entity["unit"].as_str().map(|unit| format!(" {unit}")).unwrap_or_default()
}

fn listing(devices: &Value) -> String {
    let row = |device: &Value| {
        let entities = device["entities"].as_array().into_iter().flatten();
        let states: Vec<String> = entities.map(state).filter(|state| !state.is_empty()).collect();
        let state = if device["available"] == false { "not reachable".to_owned() } else { states.join(", ") };
        [field(device, "name"), field(device, "room_name"), state, field(device, "id")]
    };
    let mut rows: Vec<[String; 4]> = devices.as_array().into_iter().flatten().map(row).collect();
    rows.sort_by_key(|[name, room, _, _]| (room.is_empty(), room.to_lowercase(), name.to_lowercase()));
    match rows.is_empty() {
        true => "No device has announced itself yet. Is mqtt.url set, and does discovery reach the broker?".to_owned(),
        false => table(["DEVICE", "ROOM", "STATE", "ID"], &rows),
    }
}

fn whole(device: &Value) -> String {
    let mut text = String::new();
    let aliases: Vec<&str> = device["aliases"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, value) in [
        ("Device", field(device, "name")),
        ("Also called", aliases.join(", ")),
        ("Id", field(device, "id")),
        ("Room", field(device, "room_name")),
        ("Made by", format!("{} {}", field(device, "manufacturer"), field(device, "model")).trim().to_owned()),
        ("Reachable", if device["available"] == false { "no" } else { "yes" }.to_owned()),
    ] {
        if !value.is_empty() {
            text.push_str(&format!("{:<13}{}\n", format!("{name}:"), one_line(&value)));
        }
    }
    let row = |entity: &Value| [field(entity, "name"), field(entity, "kind"), state(entity), field(entity, "id")];
    let rows: Vec<[String; 4]> = device["entities"].as_array().into_iter().flatten().map(row).collect();
    text.push_str(&format!("\n{}", table(["ENTITY", "KIND", "STATE", "ID"], &rows)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn devices() -> Value {
        json!([
            {"id": "d1", "name": "Kitchen lamp", "aliases": ["Ofenlicht"], "room_name": "kitchen", "available": true, "entities": [
                {"id": "e1", "name": "Kitchen lamp", "kind": "light", "state": {"value": "on", "brightness_percent": 40.04}}]},
            {"id": "d2", "name": "Garage", "aliases": [], "room_name": null, "available": false, "entities": []},
            {"id": "d3", "name": "garage", "aliases": [], "room_name": "hall", "available": true, "entities": [
                {"id": "e3", "name": "Temperature", "kind": "sensor", "unit": "°C", "state": {"value": "21.5"}}]},
        ])
    }

    #[test]
    fn a_device_is_meant_by_id_name_or_other_name() {
        let all = devices();
        let all = all.as_array().expect("a list");
        let id = |wanted: &str| choose(all, wanted, "device").map(|device| field(device, "id"));
        assert_eq!(id("d2").as_deref(), Ok("d2"));
        assert_eq!(id(" KITCHEN lamp").as_deref(), Ok("d1"));
        assert_eq!(id("ofenlicht").as_deref(), Ok("d1"));
        assert_eq!(id("garage"), Err("`garage` means several; give one of these ids: d2, d3".to_owned()));
        assert!(id("sauna").expect_err("unknown").contains("there are: Kitchen lamp, Garage, garage"));
        assert_eq!(choose(&[], "x", "device"), Err("there is no device yet".to_owned()));
    }

    #[test]
    fn devices_are_listed_by_room_with_their_states() {
        assert_eq!(
            listing(&devices()),
            "DEVICE        ROOM     STATE          ID\n\
             garage        hall     21.5 °C        d3\n\
             Kitchen lamp  kitchen  on 40 %        d1\n\
             Garage                 not reachable  d2\n"
        );
        assert!(listing(&json!([])).starts_with("No device"));
        assert!(whole(&devices()[0]).contains("Also called: Ofenlicht\n"));
    }
}
