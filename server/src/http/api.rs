//! `POST /api/query` and `POST /api/command`: JSON in, JSON out.

use super::App;
use super::reply::{Failure, parse_json};
use crate::auth::require;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::{Extension, Json};
use wire::command::Command;
use wire::query::{Query, Reply};
use wire::status::Identity;

pub(super) async fn query(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Reply>, Failure> {
    let query: Query = parse_json(&headers, &body)?;
    Ok(Json(app.handle(identity).query(query).await?))
}

pub(super) async fn command(
    State(app): State<App>,
    Extension(identity): Extension<Identity>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Reply>, Failure> {
    let command: Command = parse_json(&headers, &body)?;
    require(&identity, command.required_role(), "this command")?;
    Ok(Json(app.handle(identity).command(command).await?))
}
