//! Who a request is, before any route sees it; and the sign-in page for a browser that has no token yet.

use super::App;
use super::reply::Failure;
use crate::auth::COOKIE;
use axum::Form;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use wire::query::{ApiError, ErrorKind};
use wire::status::Role;

const SIGN_IN: &str = include_str!("session/sign-in.html");

/// Refuses what other sites' pages send.
pub(super) async fn same_site(State(app): State<App>, request: Request, next: Next) -> Response {
    match app.auth.check_site(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(denied) => Failure::from(ApiError::from(denied)).into_response(),
    }
}

/// Adds the sender's identity to the request, or answers 401.
pub(super) async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match app.auth.identify(request.headers()) {
        Ok(identity) => {
            request.extensions_mut().insert(identity);
            next.run(request).await
        }
        Err(denied) => Failure::new(StatusCode::UNAUTHORIZED, denied.into()).into_response(),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Credentials {
    token: String,
}

pub(super) async fn sign_in_page() -> Html<&'static str> {
    Html(SIGN_IN)
}

pub(super) async fn sign_in(State(app): State<App>, Form(form): Form<Credentials>) -> Response {
    let token = form.token.trim();
    match app.auth.identify_token(token) {
        Ok(_) => with_cookie(Redirect::to("/"), token),
        Err(denied) => {
            let page = SIGN_IN.replace("<!--message-->", &format!("<p role=\"alert\">{denied}</p>"));
            (StatusCode::UNAUTHORIZED, Html(page)).into_response()
        }
    }
}

pub(super) async fn sign_out() -> Response {
    with_cookie(Redirect::to("/login"), "; Max-Age=0")
}

/// `/wall?token=...`: what a display with no keyboard opens. Only a viewer's token may stand in an address: addresses end
/// up in histories and logs. The token moves to a cookie and out of the address.
///
/// # Errors
/// The answer for a token that is unknown or may do too much.
pub(super) fn display_link(app: &App, query: Option<&str>) -> Option<Response> {
    let token = query?.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    Some(match app.auth.identify_token(token) {
        Ok(identity) if identity.role == Role::Viewer => with_cookie(Redirect::to("/wall"), token),
        Ok(_) => {
            let message =
                "only a viewer's token may stand in an address; make one with `halo token create --role viewer`";
            Failure::from(ApiError::new(ErrorKind::Forbidden, message)).into_response()
        }
        Err(denied) => Failure::new(StatusCode::UNAUTHORIZED, denied.into()).into_response(),
    })
}

/// Whether a page may be shown to the sender of these headers.
pub(super) fn may_see(app: &App, headers: &HeaderMap) -> bool {
    app.auth.identify(headers).is_ok()
}

fn with_cookie(redirect: Redirect, token: &str) -> Response {
    let mut response = redirect.into_response();
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict");
    // A token that was found holds nothing that a header may not.
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
