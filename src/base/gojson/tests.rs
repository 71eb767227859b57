//! What Go wrote is read and written back the same; what nobody could mean is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::*;
use crate::base::clock::Timestamp;

#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
#[serde(default)]
struct Inner {
    name: String,
}

#[derive(Serialize, Deserialize, Default, PartialEq, Debug)]
#[serde(default)]
struct Outer {
    task_id: String,
    depth: i64,
    #[serde(rename = "isOpen")]
    is_open: bool,
    tags: Option<Vec<String>>,
    inner: Inner,
    more: Option<Inner>,
    list: Vec<Inner>,
    at: GoTime,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, Value>,
}

fn read(text: &str) -> serde_json::Result<Outer> {
    from_slice(text.as_bytes())
}

#[test]
fn null_and_nothing_are_the_zero_value() {
    let nulls = r#"{"task_id":null,"depth":null,"isOpen":null,"tags":null,"inner":null,"more":null,"list":null,"at":null,"metadata":null}"#;
    assert_eq!(read(nulls).expect("nulls"), Outer::default());
    assert_eq!(read("{}").expect("nothing"), Outer::default());
    let within = read(r#"{"tags":["a",null],"list":[null,{"name":null}]}"#).expect("nulls in lists");
    assert_eq!(within.tags, Some(vec!["a".to_owned(), String::new()]));
    assert_eq!(within.list.len(), 2);
}

#[test]
fn keys_match_in_any_case_except_inside_free_maps() {
    let read = read(r#"{"TASK_ID":"t","ISOPEN":true,"Inner":{"NAME":"n"},"metadata":{"Key":{"NAME":1}},"x":[[]]}"#)
        .expect("a message");
    assert_eq!((read.task_id.as_str(), read.is_open, read.inner.name.as_str()), ("t", true, "n"));
    assert_eq!(read.metadata["Key"], json!({"NAME": 1}));
}

#[test]
fn what_has_two_meanings_or_the_wrong_kind_is_refused() {
    for text in [
        r#"{"task_id":"a","task_id":"b"}"#,
        r#"{"task_id":"a","Task_Id":"b"}"#,
        r#"{"depth":1.5}"#,
        r#"{"depth":"1"}"#,
        r#"{"depth":99999999999999999999}"#,
        r#"{"task_id":5}"#,
        r#"{"at":""}"#,
        r#"{"at":"yesterday"}"#,
        r#"{"inner":[]}"#,
        r#"{} {}"#,
        r#"{"#,
        "",
    ] {
        assert!(read(text).is_err(), "{text}");
    }
}

#[test]
fn text_is_escaped_as_go_escapes_it() {
    let text = "<a href='x'>&\u{2028}\u{2029}\"\\\n\r\t\u{8}\u{c}\u{1}\u{7f}ü";
    let expected = "\"\\u003ca href='x'\\u003e\\u0026\\u2028\\u2029\\\"\\\\\\n\\r\\t\\b\\f\\u0001\u{7f}ü\"";
    assert_eq!(to_string(text), expected);
}

#[test]
fn floats_have_gos_form() {
    for (number, expected) in [
        (1.0, "1"),
        (0.5, "0.5"),
        (-2.25, "-2.25"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (0.0, "0"),
    ] {
        assert_eq!(to_string(&number), expected);
    }
}

#[test]
fn times_keep_their_nanoseconds_and_their_zone() {
    for text in [
        "2026-11-21T00:09:21.281761142Z",
        "2026-11-21T00:09:21Z",
        "2026-11-21T00:09:21.62064127Z",
        "2026-11-21T00:09:21.5+01:00",
        "2026-11-21T00:09:21.000000001-03:30",
        "0001-01-01T00:00:00Z",
    ] {
        assert_eq!(GoTime::parse(text).expect(text).to_text(), text);
    }
    assert!(GoTime::default().is_zero());
    assert_eq!(GoTime::default().to_text(), "0001-01-01T00:00:00Z");
    let ours = Timestamp::from_millis(1_795_219_761_120);
    assert_eq!(GoTime::from(ours).to_text(), "2026-11-21T00:09:21.12Z");
    assert_eq!(GoTime::seconds_text(ours), "2026-11-21T00:09:21Z");
    assert_eq!(GoTime::from(ours).to_timestamp(), ours);
    assert_eq!(GoTime::from(Timestamp::from_millis(i64::MAX)).to_text(), "9999-12-31T23:59:59.999Z");
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters() {
    let mut bytes = br#"{"task_id":"a?"}"#.to_vec();
    bytes[13] = 0xff;
    assert_eq!(from_slice::<Outer>(&bytes).expect("a message").task_id, "a\u{fffd}");
}

proptest! {
    #[test]
    fn reading_any_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = from_slice::<Outer>(&bytes);
        let _ = from_slice::<Value>(&bytes);
    }

    #[test]
    fn what_is_written_reads_back(
        task_id in ".*", depth in any::<i64>(), tags in proptest::option::of(proptest::collection::vec(".*", 0..4)),
        millis in -60_000_000_000_000_i64..250_000_000_000_000,
    ) {
        let outer = Outer { task_id, depth, tags, at: Timestamp::from_millis(millis).into(), ..Outer::default() };
        let bytes = to_vec(&outer);
        prop_assert_eq!(&from_slice::<Outer>(&bytes).expect("our own"), &outer);
        let tree: Value = serde_json::from_slice(&bytes).expect("JSON");
        prop_assert_eq!(to_vec(&tree), bytes);
        prop_assert_eq!(from_value::<Outer>(tree).expect("our own"), outer);
    }
}
