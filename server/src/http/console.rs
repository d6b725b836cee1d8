//! The console: files of `dist/`, compiled into the binary.

use super::{App, reply, session};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::sync::LazyLock;

const MISSING: &str = include_str!("console/missing.html");

/// First segments of the addresses that the console draws itself; they all get the page.
const PAGES: [&str; 8] = [
    "",
    "incidents",
    "topology",
    "series",
    "approvals",
    "notifications",
    "wall",
    "sources",
];

/// File name endings of the compressed copies beside a file, best first, with their encoding.
const ENCODINGS: [(&str, &str); 2] = [(".br", "br"), (".gz", "gzip")];

#[derive(RustEmbed)]
#[folder = "../dist"]
struct Dist;

/// Whether this binary holds the console.
///
/// # Errors
/// What to do when it does not.
pub fn built() -> Result<&'static str, &'static str> {
    let whole = ["index.html", "app_bg.wasm"]
        .iter()
        .all(|file| Dist::get(file).is_some());
    if whole {
        Ok("embedded")
    } else {
        Err("not in this binary: run `cargo xtask web`, then build again")
    }
}

/// What the console's pages may load: nothing from elsewhere, no script but ours.
pub(super) fn policy() -> &'static HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let page = Dist::get("index.html").map(|file| String::from_utf8_lossy(&file.data).into_owned());
        let hashes: String = inline_scripts(page.as_deref().unwrap_or_default())
            .map(|script| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(script))))
            .collect();
        let policy = format!(
            "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{hashes}; style-src 'self' 'unsafe-inline'; \
             img-src 'self' data: blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        );
        HeaderValue::try_from(policy).expect("built from ASCII only")
    });
    &POLICY
}

/// A file of the console, or its page for the addresses that it draws itself.
pub(super) async fn serve(State(app): State<App>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return reply::no_such_route(uri).await.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    if path != "index.html"
        && let Some(file) = Dist::get(path)
    {
        return send(path, file, &headers);
    }
    let first = path.split('/').next().unwrap_or_default();
    if path != "index.html" && !PAGES.contains(&first) {
        return reply::no_such_route(uri).await.into_response();
    }
    if path == "wall"
        && let Some(response) = session::display_link(&app, uri.query())
    {
        return response;
    }
    if !session::may_see(&app, &headers) {
        return Redirect::to("/login").into_response();
    }
    match Dist::get("index.html") {
        Some(file) => send("index.html", file, &headers),
        None => (StatusCode::SERVICE_UNAVAILABLE, Html(MISSING)).into_response(),
    }
}

fn send(path: &str, file: EmbeddedFile, headers: &HeaderMap) -> Response {
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let caching = if has_hash(path) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let fixed = [
        (header::ETAG, etag.clone()),
        (header::CACHE_CONTROL, caching.to_owned()),
    ];
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    // `W/`: a proxy that compressed the file on its way marks the tag as weak.
    if known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag) {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    let accepted = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let copy = ENCODINGS
        .iter()
        .filter(|(_, encoding)| accepts(accepted, encoding))
        .find_map(|(ending, encoding)| Some((Dist::get(&format!("{path}{ending}"))?, *encoding)));
    let (data, encoding) = copy.map_or((file.data, None), |(copy, encoding)| (copy.data, Some(encoding)));
    let body = match data {
        Cow::Borrowed(bytes) => Body::from(bytes),
        Cow::Owned(bytes) => Body::from(bytes),
    };
    let mut response = (
        fixed,
        [(header::CONTENT_TYPE, kind_of(path)), (header::VARY, "accept-encoding")],
        body,
    )
        .into_response();
    if let Some(encoding) = encoding {
        response
            .headers_mut()
            .insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

/// Whether an `Accept-Encoding` header takes `encoding`.
fn accepts(header: &str, encoding: &str) -> bool {
    header.split(',').any(|part| {
        let mut fields = part.split(';').map(str::trim);
        let refused = || {
            part.split_once("q=")
                .is_some_and(|(_, q)| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0))
        };
        fields.next().is_some_and(|name| name.eq_ignore_ascii_case(encoding)) && !refused()
    })
}

/// Whether the name carries a hash of the content, as in `app-3f9a2c71d0b4e856.js`.
fn has_hash(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(['-', '.', '_'])
        .any(|part| part.len() >= 12 && part.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn kind_of(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        "json" | "webmanifest" => "application/json",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// The text of each inline script of a page: those without `src`.
fn inline_scripts(page: &str) -> impl Iterator<Item = &str> {
    page.split("<script").skip(1).filter_map(|rest| {
        let (attributes, rest) = rest.split_once('>')?;
        let (body, _) = rest.split_once("</script>")?;
        (!attributes.contains("src=")).then_some(body)
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_scripts_are_found_and_others_are_not() {
        let page = "<script>a()</script><script src=\"x.js\"></script><script type=\"module\">\nb()\n</script>";
        assert_eq!(inline_scripts(page).collect::<Vec<_>>(), ["a()", "\nb()\n"]);
    }

    #[test]
    fn encodings_are_negotiated() {
        assert!(accepts("gzip, deflate, br", "br"));
        assert!(accepts("gzip;q=0.5", "gzip"));
        assert!(!accepts("gzip;q=0, br", "gzip"));
        assert!(!accepts("", "gzip"));
    }

    #[test]
    fn only_names_with_a_hash_are_kept_forever() {
        assert!(has_hash("assets/app-3f9a2c71d0b4e856.js"));
        assert!(!has_hash("app.js"));
        assert!(!has_hash("favicon.svg"));
    }
}
