//! `POST /api/deploys`: a version went live, or something else was changed (`kind`). What a release pipeline calls, so it may leave the time out and gets told
//! which field is wrong.

use super::App;
use super::reply::{Failure, parse_json};
use crate::auth::require;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::{Extension, Json};
use serde::Deserialize;
use wire::Timestamp;
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Reply};
use wire::status::{Identity, Role};
use wire::topology::{ChangeKind, Deploy};

/// Longest entity or version.
const MAX_NAME_BYTES: usize = 1024;
const MAX_NOTE_BYTES: usize = 16 << 10;
const MAX_TAGS: usize = 64;
const MAX_TAG_BYTES: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Announcement {
    entity: String,
    version: String,
    #[serde(default)]
    at: Option<At>,
    #[serde(default)]
    note: String,
    #[serde(default)]
    kind: ChangeKind,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum At {
    Millis(i64),
    Text(String),
}

pub(super) async fn record(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Reply>), Failure> {
    require(&identity, Role::Operator, "recording a deploy")?;
    let announcement: Announcement = parse_json(&headers, &body)?;
    let deploy = checked(announcement, app.backend.now())?;
    let reply = app.handle(identity).command(Command::RecordDeploy { deploy }).await?;
    Ok((StatusCode::ACCEPTED, Json(reply)))
}

fn checked(announcement: Announcement, now: Timestamp) -> Result<Deploy, ApiError> {
    let Announcement {
        entity,
        version,
        at,
        note,
        kind,
        tags,
    } = announcement;
    let invalid = |message: String| Err(ApiError::new(ErrorKind::Invalid, message));
    for (field, value) in [("entity", &entity), ("version", &version)] {
        if value.trim().is_empty() {
            return invalid(format!("{field}: must not be empty"));
        }
        if value.len() > MAX_NAME_BYTES {
            return invalid(format!(
                "{field}: {} bytes, at most {MAX_NAME_BYTES} are taken",
                value.len()
            ));
        }
    }
    if kind == ChangeKind::Other {
        return invalid("kind: must be deploy, rollback, removal, config, flag, scale or annotation".to_owned());
    }
    if tags.len() > MAX_TAGS || tags.iter().any(|tag| tag.is_empty() || tag.len() > MAX_TAG_BYTES) {
        return invalid(format!(
            "tags: at most {MAX_TAGS} of 1 to {MAX_TAG_BYTES} bytes are taken"
        ));
    }
    if note.len() > MAX_NOTE_BYTES {
        return invalid(format!(
            "note: {} bytes, at most {MAX_NOTE_BYTES} are taken",
            note.len()
        ));
    }
    let at = match at {
        None => now,
        Some(At::Millis(millis)) => Timestamp(millis),
        Some(At::Text(text)) => match text.parse::<jiff::Timestamp>() {
            Ok(instant) => Timestamp(instant.as_millisecond()),
            Err(error) => {
                return invalid(format!(
                    "at: {text:?} is neither RFC 3339 nor epoch milliseconds: {error}"
                ));
            }
        },
    };
    Ok(Deploy {
        note,
        kind,
        tags,
        ..Deploy::new(at, entity, version)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<i64, &str>) {
        let outcome = match serde_json::from_str::<Announcement>(json) {
            Ok(announcement) => checked(announcement, Timestamp(77)).map_err(|e| e.message),
            Err(error) => Err(error.to_string()),
        };
        match (outcome, expected) {
            (Ok(deploy), Ok(at)) => assert_eq!(deploy.at, Timestamp(at), "{json}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{json}: {message}"),
            (outcome, expected) => panic!("{json}: {outcome:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn the_time_may_be_missing_milliseconds_or_rfc_3339() {
        check(r#"{"entity":"cart","version":"v2"}"#, Ok(77));
        check(
            r#"{"entity":"cart","version":"v2","at":1700000000000}"#,
            Ok(1_700_000_000_000),
        );
        check(
            r#"{"entity":"cart","version":"v2","at":"2023-11-14T22:13:20Z"}"#,
            Ok(1_700_000_000_000),
        );
        check(
            r#"{"entity":"cart","version":"v2","at":"2023-11-14T23:13:20+01:00"}"#,
            Ok(1_700_000_000_000),
        );
    }

    #[test]
    fn the_message_names_the_field() {
        check(r#"{"entity":" ","version":"v2"}"#, Err("entity: must not be empty"));
        check(r#"{"entity":"cart","version":""}"#, Err("version: must not be empty"));
        check(
            r#"{"entity":"cart","version":"v2","at":"yesterday"}"#,
            Err("at: \"yesterday\""),
        );
        check(r#"{"entity":"cart"}"#, Err("missing field `version`"));
        check(
            r#"{"entity":"cart","version":"v2","when":1}"#,
            Err("unknown field `when`"),
        );
        check(r#"{"entity":"cart","version":"v2","kind":"config"}"#, Ok(77));
        check(
            r#"{"entity":"cart","version":"v2","kind":"coffee"}"#,
            Err("kind: must be deploy, rollback"),
        );
        check(
            r#"{"entity":"cart","version":"v2","tags":[""]}"#,
            Err("tags: at most 64"),
        );
        check(
            &format!(r#"{{"entity":"{}","version":"v"}}"#, "x".repeat(2000)),
            Err("entity: 2000 bytes"),
        );
    }
}
