//! Home Assistant's abbreviated keys (its MQTT discovery documentation), those that the components here use.

use serde_json::{Map, Value};

/// Short and long form of keys of an entity.
#[rustfmt::skip]
pub(super) const ENTITY: &[(&str, &str)] = &[
    ("act_t", "action_topic"), ("act_tpl", "action_template"), ("av_tones", "available_tones"), ("avty", "availability"),
    ("avty_mode", "availability_mode"), ("avty_t", "availability_topic"), ("avty_tpl", "availability_template"),
    ("b_tpl", "blue_template"), ("bri_cmd_t", "brightness_command_topic"), ("bri_cmd_tpl", "brightness_command_template"),
    ("bri_scl", "brightness_scale"), ("bri_stat_t", "brightness_state_topic"), ("bri_tpl", "brightness_template"),
    ("bri_val_tpl", "brightness_value_template"), ("clr_temp_cmd_t", "color_temp_command_topic"),
    ("clr_temp_cmd_tpl", "color_temp_command_template"), ("clr_temp_k", "color_temp_kelvin"),
    ("clr_temp_stat_t", "color_temp_state_topic"), ("clr_temp_tpl", "color_temp_template"),
    ("clr_temp_val_tpl", "color_temp_value_template"), ("clrm", "color_mode"), ("clrm_stat_t", "color_mode_state_topic"),
    ("clrm_val_tpl", "color_mode_value_template"), ("cmd_off_tpl", "command_off_template"), ("cmd_on_tpl", "command_on_template"),
    ("cmd_t", "command_topic"), ("cmd_tpl", "command_template"), ("cmps", "components"), ("curr_hum_t", "current_humidity_topic"),
    ("curr_hum_tpl", "current_humidity_template"), ("curr_temp_t", "current_temperature_topic"),
    ("curr_temp_tpl", "current_temperature_template"), ("def_ent_id", "default_entity_id"), ("dev", "device"),
    ("dev_cla", "device_class"), ("e", "encoding"), ("en", "enabled_by_default"), ("ent_cat", "entity_category"),
    ("exp_aft", "expire_after"), ("fan_mode_cmd_t", "fan_mode_command_topic"), ("fan_mode_cmd_tpl", "fan_mode_command_template"),
    ("fan_mode_stat_t", "fan_mode_state_topic"), ("fan_mode_stat_tpl", "fan_mode_state_template"),
    ("fx_cmd_t", "effect_command_topic"), ("fx_cmd_tpl", "effect_command_template"), ("fx_list", "effect_list"),
    ("fx_stat_t", "effect_state_topic"), ("fx_tpl", "effect_template"), ("fx_val_tpl", "effect_value_template"),
    ("g_tpl", "green_template"), ("hs_cmd_t", "hs_command_topic"), ("hs_cmd_tpl", "hs_command_template"),
    ("hs_stat_t", "hs_state_topic"), ("hs_val_tpl", "hs_value_template"), ("hum_cmd_t", "target_humidity_command_topic"),
    ("hum_cmd_tpl", "target_humidity_command_template"), ("hum_stat_t", "target_humidity_state_topic"),
    ("hum_state_tpl", "target_humidity_state_template"), ("hum_stat_tpl", "target_humidity_state_template"), ("ic", "icon"),
    ("json_attr_t", "json_attributes_topic"), ("json_attr_tpl", "json_attributes_template"), ("max_hum", "max_humidity"),
    ("max_k", "max_kelvin"), ("max_mirs", "max_mireds"), ("min_hum", "min_humidity"), ("min_k", "min_kelvin"),
    ("min_mirs", "min_mireds"), ("mode_cmd_t", "mode_command_topic"), ("mode_cmd_tpl", "mode_command_template"),
    ("mode_stat_t", "mode_state_topic"), ("mode_stat_tpl", "mode_state_template"), ("o", "origin"), ("obj_id", "object_id"),
    ("off_dly", "off_delay"), ("on_cmd_type", "on_command_type"), ("ops", "options"), ("opt", "optimistic"), ("p", "platform"),
    ("pct_cmd_t", "percentage_command_topic"), ("pct_cmd_tpl", "percentage_command_template"),
    ("pct_stat_t", "percentage_state_topic"), ("pct_val_tpl", "percentage_value_template"), ("pl_avail", "payload_available"),
    ("pl_cls", "payload_close"), ("pl_lock", "payload_lock"), ("pl_not_avail", "payload_not_available"),
    ("pl_off", "payload_off"), ("pl_on", "payload_on"), ("pl_open", "payload_open"), ("pl_prs", "payload_press"),
    ("pl_stop", "payload_stop"), ("pl_unlk", "payload_unlock"), ("pos", "reports_position"), ("pos_clsd", "position_closed"),
    ("pos_open", "position_open"), ("pos_t", "position_topic"), ("pos_tpl", "position_template"),
    ("pow_cmd_t", "power_command_topic"), ("pow_cmd_tpl", "power_command_template"), ("pow_stat_t", "power_state_topic"),
    ("pow_stat_tpl", "power_state_template"), ("pr_mode_cmd_t", "preset_mode_command_topic"),
    ("pr_mode_cmd_tpl", "preset_mode_command_template"), ("pr_mode_stat_t", "preset_mode_state_topic"),
    ("pr_mode_val_tpl", "preset_mode_value_template"), ("pr_modes", "preset_modes"), ("r_tpl", "red_template"), ("ret", "retain"),
    ("rgb_cmd_t", "rgb_command_topic"), ("rgb_cmd_tpl", "rgb_command_template"), ("rgb_stat_t", "rgb_state_topic"),
    ("rgb_val_tpl", "rgb_value_template"), ("set_pos_t", "set_position_topic"), ("set_pos_tpl", "set_position_template"),
    ("spd_rng_max", "speed_range_max"), ("spd_rng_min", "speed_range_min"), ("stat_cla", "state_class"),
    ("stat_closed", "state_closed"), ("stat_closing", "state_closing"), ("stat_clsd", "state_closed"),
    ("stat_jam", "state_jammed"), ("stat_locked", "state_locked"), ("stat_locking", "state_locking"), ("stat_off", "state_off"),
    ("stat_on", "state_on"), ("stat_open", "state_open"), ("stat_opening", "state_opening"), ("stat_stopped", "state_stopped"),
    ("stat_t", "state_topic"), ("stat_tpl", "state_template"), ("stat_unlocked", "state_unlocked"),
    ("stat_unlocking", "state_unlocking"), ("stat_val_tpl", "state_value_template"), ("sup_clrm", "supported_color_modes"),
    ("t", "topic"), ("temp_cmd_t", "temperature_command_topic"), ("temp_cmd_tpl", "temperature_command_template"),
    ("temp_stat_t", "temperature_state_topic"), ("temp_stat_tpl", "temperature_state_template"), ("uniq_id", "unique_id"),
    ("unit_of_meas", "unit_of_measurement"), ("val_tpl", "value_template"), ("xy_cmd_t", "xy_command_topic"),
    ("xy_cmd_tpl", "xy_command_template"), ("xy_stat_t", "xy_state_topic"), ("xy_val_tpl", "xy_value_template"),
];

/// The same for the device.
#[rustfmt::skip]
pub(super) const DEVICE: &[(&str, &str)] = &[
    ("cns", "connections"), ("cu", "configuration_url"), ("hw", "hw_version"), ("ids", "identifiers"), ("mdl", "model"),
    ("mdl_id", "model_id"), ("mf", "manufacturer"), ("sa", "suggested_area"), ("sn", "serial_number"), ("sw", "sw_version"),
];

/// Long keys everywhere, and `~` filled in.
pub(super) fn expanded(object: Map<String, Value>) -> Map<String, Value> {
    let base = object.get("~").and_then(Value::as_str).map(str::to_owned);
    let mut long = renamed(object, ENTITY);
    for (key, value) in &mut long {
        match (key.as_str(), &mut *value) {
            ("device", Value::Object(device)) => *device = renamed(std::mem::take(device), DEVICE),
            ("availability", Value::Array(list)) => {
                for entry in list.iter_mut() {
                    if let Value::Object(entry) = entry {
                        *entry = filled(renamed(std::mem::take(entry), ENTITY), base.as_deref());
                    }
                }
            }
            ("availability", Value::Object(entry)) => {
                *entry = filled(renamed(std::mem::take(entry), ENTITY), base.as_deref());
            }
            ("components", Value::Object(components)) => {
                for component in components.values_mut() {
                    if let Value::Object(component) = component {
                        let own_base = component.contains_key("~");
                        let inner = expanded(std::mem::take(component));
                        *component = if own_base { inner } else { filled(inner, base.as_deref()) };
                    }
                }
            }
            _ => {}
        }
    }
    filled(long, base.as_deref())
}

fn renamed(object: Map<String, Value>, table: &[(&str, &str)]) -> Map<String, Value> {
    let long = |key: String| table.iter().find(|(short, _)| *short == key).map_or(key, |(_, long)| (*long).to_owned());
    object.into_iter().map(|(key, value)| (long(key), value)).collect()
}

/// Replaces `~` at the beginning or the end of topics.
fn filled(mut object: Map<String, Value>, base: Option<&str>) -> Map<String, Value> {
    let Some(base) = base else { return object };
    for (key, value) in &mut object {
        if !key.ends_with("topic") {
            continue;
        }
        if let Value::String(topic) = value {
            if let Some(rest) = topic.strip_prefix('~') {
                *topic = format!("{base}{rest}");
            } else if let Some(rest) = topic.strip_suffix('~') {
                *topic = format!("{rest}{base}");
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn no_short_key_means_two_things() {
        for table in [ENTITY, DEVICE] {
            let shorts: std::collections::BTreeSet<_> = table.iter().map(|(short, _)| short).collect();
            assert_eq!(shorts.len(), table.len(), "each once");
            for (short, _) in table {
                assert!(!table.iter().any(|(_, long)| long == short), "{short} is also a long key");
            }
        }
    }

    fn document(words: &[(usize, String)], device: &[(usize, String)], is_long: bool) -> Map<String, Value> {
        let name = |(short, long): &(&str, &str)| if is_long { (*long).to_owned() } else { (*short).to_owned() };
        let fill = |table: &[(&str, &str)], chosen: &[(usize, String)]| -> Map<String, Value> {
            chosen.iter().map(|(index, word)| (name(&table[index % table.len()]), json!(word))).collect()
        };
        let mut document = fill(ENTITY, words);
        document.insert(if is_long { "device" } else { "dev" }.to_owned(), Value::Object(fill(DEVICE, device)));
        document
    }

    proptest! {
        /// A document in short keys is the same document in long ones, and long ones stay what they are.
        #[test]
        fn abbreviated_documents_mean_what_full_ones_mean(
            words in proptest::collection::btree_map(0..ENTITY.len(), "[a-z/~]{0,6}", 0..12),
            device in proptest::collection::btree_map(0..DEVICE.len(), "[a-z]{0,6}", 0..4),
        ) {
            // Two short keys of one long key would overwrite each other.
            let mut seen = std::collections::BTreeSet::new();
            let words: Vec<_> = words.into_iter().filter(|(index, _)| seen.insert(ENTITY[*index].1)).collect();
            let device: Vec<_> = device.into_iter().collect();
            let short = expanded(document(&words, &device, false));
            let long = expanded(document(&words, &device, true));
            prop_assert_eq!(&short, &long);
            prop_assert_eq!(&expanded(long.clone()), &long);
        }

        #[test]
        fn the_base_topic_is_filled_in_at_either_end(base in "[a-z]{1,5}", rest in "[a-z/]{0,6}") {
            let filled = expanded(Map::from_iter([
                ("~".to_owned(), json!(base)),
                ("stat_t".to_owned(), json!(format!("~{rest}"))),
                ("cmd_t".to_owned(), json!(format!("{rest}~"))),
            ]));
            prop_assert_eq!(&filled["state_topic"], &json!(format!("{base}{rest}")));
            prop_assert_eq!(&filled["command_topic"], &json!(format!("{rest}{base}")));
        }
    }
}
