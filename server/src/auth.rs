//! Who a request is, and whether this address may be listened on at all.
//!
//! A loopback address without tokens serves the person at this machine: the identity `local`, an operator. Everything else
//! needs a token: a bearer header, or the cookie that the sign-in page and the wall's link set.

pub mod tokens;

use axum::http::{HeaderMap, Uri, header};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokens::TokenFile;
use wire::query::{ApiError, ErrorKind};
use wire::status::{Identity, Role};

/// Name of the cookie that carries a token.
pub const COOKIE: &str = "halo_token";

/// Why a listen address is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    #[error(
        "{0} can be reached from other machines and this version has no TLS of its own: \
         put a TLS proxy before a loopback address, or accept plain HTTP with --insecure-listen"
    )]
    Plain(SocketAddr),
    #[error(
        "{0} can be reached from other machines and there are no tokens: make one with `halo token create --name NAME --role admin`"
    )]
    NoTokens(SocketAddr),
}

/// Decides who a request is.
#[derive(Clone, Debug)]
pub struct Auth {
    tokens: Arc<TokenFile>,
    loopback: bool,
    local: Identity,
}

impl Auth {
    /// Checks that `listen` may be served.
    ///
    /// # Errors
    /// [`ListenError`] when the address is not loopback and tokens or the explicit consent to plain HTTP are missing.
    pub fn new(listen: SocketAddr, insecure_listen: bool, tokens: TokenFile) -> Result<Self, ListenError> {
        let loopback = is_loopback(listen.ip());
        if !loopback && !insecure_listen {
            return Err(ListenError::Plain(listen));
        }
        if !loopback && tokens.is_empty() {
            return Err(ListenError::NoTokens(listen));
        }
        Ok(Self {
            tokens: Arc::new(tokens),
            loopback,
            local: local_identity(),
        })
    }

    /// Who sent these headers.
    ///
    /// # Errors
    /// A message for the sender: no token, or one that is not known (any more).
    pub fn identify(&self, headers: &HeaderMap) -> Result<Identity, Denied> {
        match token_of(headers) {
            Some(token) => self.identify_token(token),
            None if self.loopback && self.tokens.is_empty() => Ok(self.local.clone()),
            None => Err(Denied("no token: send `Authorization: Bearer TOKEN`, or sign in")),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// If it is nobody's.
    pub fn identify_token(&self, token: &str) -> Result<Identity, Denied> {
        self.tokens
            .find(token)
            .ok_or(Denied("this token is not known, or was revoked"))
    }

    /// Refuses what a browser sends on behalf of another site: a foreign `Origin`, and, where the address is loopback, a
    /// `Host` that is a name of somebody else's (DNS rebinding).
    ///
    /// # Errors
    /// A message for the sender.
    pub fn check_site(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let host = headers
            .get(header::HOST)
            .and_then(|h| h.to_str().ok())
            .unwrap_or_default();
        if self.loopback && !is_local_name(host) {
            return Err(Denied(
                "the Host header names another machine; open Halo as http://127.0.0.1 or http://localhost",
            ));
        }
        let Some(origin) = headers.get(header::ORIGIN) else {
            return Ok(());
        };
        let origin = origin.to_str().ok().and_then(|o| o.parse::<Uri>().ok());
        if origin
            .as_ref()
            .and_then(Uri::authority)
            .is_some_and(|a| a.as_str().eq_ignore_ascii_case(host))
        {
            Ok(())
        } else {
            Err(Denied("the request comes from another site's page"))
        }
    }
}

/// A request that is refused before it is looked at; the reason is for its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub &'static str);

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::new(ErrorKind::Forbidden, denied.0)
    }
}

/// Whether `identity` may do what needs `role`.
///
/// # Errors
/// [`ErrorKind::Forbidden`], naming both roles.
pub fn require(identity: &Identity, role: Role, what: &str) -> Result<(), ApiError> {
    if identity.role >= role {
        return Ok(());
    }
    let message = format!(
        "{} is {}; {what} needs {}",
        identity.name,
        role_name(identity.role),
        role_name(role)
    );
    Err(ApiError::new(ErrorKind::Forbidden, message))
}

/// The role as it is written in tokens and messages.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// The person at this machine.
pub fn local_identity() -> Identity {
    let name = ["USER", "LOGNAME", "USERNAME"]
        .iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .find(|name| !name.is_empty())
        .map_or_else(|| "local".to_owned(), |user| format!("local:{user}"));
    Identity {
        name,
        role: Role::Operator,
    }
}

fn token_of(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            // InfluxDB's clients say `Token`.
            let known = ["bearer", "token"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
            known.then(|| token.trim())
        });
    bearer.or_else(|| cookie(headers, COOKIE))
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|pair| {
            pair.trim()
                .split_once('=')
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
        })
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// Whether a `Host` header names this machine's loopback.
fn is_local_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _port)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn auth(dir: &tempfile::TempDir, roles: &[Role]) -> (Auth, Vec<String>) {
        let file = TokenFile::open(dir.path()).unwrap();
        let tokens = roles
            .iter()
            .map(|&role| file.create(role_name(role), role, wire::Timestamp(0)).unwrap())
            .collect();
        (Auth::new(([127, 0, 0, 1], 0).into(), false, file).unwrap(), tokens)
    }

    #[test]
    fn the_person_at_the_machine_is_an_operator_until_there_are_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let (open, _) = auth(&dir, &[]);
        assert_eq!(open.identify(&HeaderMap::new()).unwrap().role, Role::Operator);
        let (closed, tokens) = auth(&dir, &[Role::Viewer]);
        assert!(closed.identify(&HeaderMap::new()).is_err());
        let bearer = headers(&[(header::AUTHORIZATION, &format!("Bearer {}", tokens[0]))]);
        assert_eq!(
            closed.identify(&bearer).unwrap(),
            Identity {
                name: "viewer".into(),
                role: Role::Viewer
            }
        );
        let cookie = headers(&[(header::COOKIE, &format!("a=b; {COOKIE}={}", tokens[0]))]);
        assert_eq!(closed.identify(&cookie).unwrap().role, Role::Viewer);
        assert!(
            closed
                .identify(&headers(&[(header::AUTHORIZATION, "Bearer halo_00")]))
                .is_err()
        );
    }

    #[test]
    fn other_addresses_need_consent_and_tokens() {
        let everywhere: SocketAddr = ([0, 0, 0, 0], 7700).into();
        let dir = tempfile::tempdir().unwrap();
        let file = || TokenFile::open(dir.path()).unwrap();
        assert_eq!(
            Auth::new(everywhere, false, file()).unwrap_err(),
            ListenError::Plain(everywhere)
        );
        assert_eq!(
            Auth::new(everywhere, true, file()).unwrap_err(),
            ListenError::NoTokens(everywhere)
        );
        file().create("ops", Role::Admin, wire::Timestamp(0)).unwrap();
        assert!(Auth::new(everywhere, true, file()).is_ok());
    }

    #[test]
    fn foreign_pages_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (auth, _) = auth(&dir, &[]);
        let check = |host: &str, origin: Option<&str>, fine: bool| {
            let mut all = headers(&[(header::HOST, host)]);
            if let Some(origin) = origin {
                all.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            assert_eq!(auth.check_site(&all).is_ok(), fine, "host {host} origin {origin:?}");
        };
        check("127.0.0.1:7700", None, true);
        check("localhost:7700", Some("http://localhost:7700"), true);
        check("[::1]:7700", Some("http://[::1]:7700"), true);
        check("127.0.0.1:7700", Some("http://localhost:7700"), false);
        check("127.0.0.1:7700", Some("https://evil.example"), false);
        check("127.0.0.1:7700", Some("null"), false);
        check("evil.example:7700", None, false);
        check("127.0.0.1.evil.example", None, false);
        check("", None, false);
    }
}
