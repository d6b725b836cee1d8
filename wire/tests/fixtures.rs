//! What version 1 put on the wire, kept: engines and consoles of this version must read it and say the same again.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;
use wire::command::Command;
use wire::query::{ApiError, Query, Reply};
use wire::stream::Event;

fn read(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/v1/{name}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The fixture is a `T`, and a `T` says all that the fixture says.
#[track_caller]
fn check<T: Serialize + DeserializeOwned>(value: Value) {
    let read: T = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    let written = serde_json::to_value(&read).expect("wire types have a JSON form");
    contains(&written, &value, "$");
}

/// Every field of `old` is in `new` with the same value. `new` may have more: a later version adds fields.
#[track_caller]
fn contains(new: &Value, old: &Value, at: &str) {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            for (name, value) in old {
                let at = format!("{at}.{name}");
                contains(new.get(name).unwrap_or_else(|| panic!("{at} is gone")), value, &at);
            }
        }
        (Value::Array(new), Value::Array(old)) => {
            assert_eq!(new.len(), old.len(), "{at}");
            for (index, (new, old)) in new.iter().zip(old).enumerate() {
                contains(new, old, &format!("{at}[{index}]"));
            }
        }
        (Value::Number(new), Value::Number(old)) => {
            // Single precision goes through text and back.
            let (new, old) = (new.as_f64().expect("finite"), old.as_f64().expect("finite"));
            assert!((new - old).abs() <= 1e-6 * old.abs(), "{at}: {new} was {old}");
        }
        _ => assert_eq!(new, old, "{at}"),
    }
}

#[test]
fn queries_and_commands_of_version_1_are_understood() {
    for query in read("queries").as_array().expect("a list") {
        check::<Query>(query.clone());
    }
    for command in read("commands").as_array().expect("a list") {
        check::<Command>(command.clone());
    }
}

#[test]
fn answers_and_events_of_version_1_are_understood() {
    for name in [
        "snapshot",
        "incident",
        "series_list",
        "series",
        "audit",
        "logs",
        "spans",
        "notifications",
        "channels",
        "preview",
        "edges",
        "done",
    ] {
        check::<Reply>(read(&format!("reply-{name}")));
    }
    for name in ["snapshot", "delta"] {
        check::<Event>(read(&format!("event-{name}")));
    }
    check::<ApiError>(read("error"));
}
