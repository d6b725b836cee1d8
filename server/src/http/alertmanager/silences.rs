//! `/api/v2/silences`: what `amtool silence` asks for and sets.

use super::{Refusal, another_question, filter, invalid, time};
use crate::auth::require;
use crate::http::App;
use crate::http::reply::parse_json;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use serde::Deserialize;
use serde_json::{Value, json};
use wire::Timestamp;
use wire::alert::{Matcher, Pairs, Silence, SilenceState};
use wire::command::Command;
use wire::query::{ApiError, ErrorKind, Query, Reply};
use wire::status::{Identity, Role};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Posted {
    #[serde(default)]
    id: String,
    matchers: Vec<PostedMatcher>,
    starts_at: String,
    ends_at: String,
    created_by: String,
    comment: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostedMatcher {
    name: String,
    value: String,
    is_regex: bool,
    #[serde(default)]
    is_equal: Option<bool>,
}

pub(super) async fn set(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Refusal> {
    require(&identity, Role::Operator, "silencing alerts")?;
    let posted: Posted = parse_json(&headers, &body)?;
    let matchers = posted.matchers.into_iter().map(|matcher| Matcher {
        name: matcher.name,
        value: matcher.value,
        is_regex: matcher.is_regex,
        is_equal: matcher.is_equal.unwrap_or(true),
    });
    let silence = Silence {
        id: posted.id,
        matchers: matchers.collect(),
        starts_at: instant("startsAt", &posted.starts_at)?,
        ends_at: instant("endsAt", &posted.ends_at)?,
        updated_at: Timestamp::default(),
        created_by: posted.created_by,
        comment: posted.comment,
        state: SilenceState::default(),
    };
    match app.handle(identity).command(Command::SetSilence { silence }).await? {
        Reply::Silence(silence) => Ok(Json(json!({ "silenceID": silence.id }))),
        _ => Err(another_question()),
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Parameters(parameters): Parameters<Vec<(String, String)>>,
) -> Result<Json<Value>, Refusal> {
    let matchers = filter(&parameters)?;
    let mut silences = all(&app, identity).await?;
    // As Alertmanager: a filter looks at what a silence says of each label, as text.
    silences.retain(|silence| {
        let said = silence
            .matchers
            .iter()
            .map(|matcher| (matcher.name.clone(), matcher.value.clone()));
        matchers.hold(&said.collect::<Pairs>())
    });
    Ok(Json(silences.iter().map(shape).collect()))
}

pub(super) async fn one(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let silences = all(&app, identity).await?;
    let found = silences.iter().find(|silence| silence.id == id);
    let missing = || ApiError::new(ErrorKind::NotFound, format!("silence {id:.64} not found"));
    Ok(Json(shape(found.ok_or_else(missing)?)))
}

pub(super) async fn expire(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    Path(id): Path<String>,
) -> Result<(), Refusal> {
    require(&identity, Role::Operator, "ending a silence")?;
    app.handle(identity).command(Command::ExpireSilence { id }).await?;
    Ok(())
}

async fn all(app: &App, identity: Identity) -> Result<Vec<Silence>, Refusal> {
    match app.handle(identity).query(Query::Silences).await? {
        Reply::Silences(silences) => Ok(silences),
        _ => Err(another_question()),
    }
}

fn instant(field: &str, text: &str) -> Result<Timestamp, Refusal> {
    let parsed = text.parse::<jiff::Timestamp>();
    let instant = parsed.map_err(|_| invalid(format!("{field}: {text:.64?} is no RFC 3339 time")))?;
    Ok(Timestamp(instant.as_millisecond()))
}

fn shape(silence: &Silence) -> Value {
    let matchers = silence.matchers.iter().map(|matcher| {
        json!({
            "name": matcher.name,
            "value": matcher.value,
            "isRegex": matcher.is_regex,
            "isEqual": matcher.is_equal,
        })
    });
    let state = match silence.state {
        SilenceState::Pending => "pending",
        SilenceState::Active => "active",
        SilenceState::Expired => "expired",
    };
    json!({
        "id": silence.id,
        "status": { "state": state },
        "updatedAt": time(silence.updated_at),
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": time(silence.ends_at),
        "matchers": matchers.collect::<Value>(),
        "startsAt": time(silence.starts_at),
    })
}
