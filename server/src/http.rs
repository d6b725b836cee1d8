//! HTTP: questions, orders, the stream, ingest, health, and the console.

mod accept;
mod alertmanager;
mod api;
mod arrive;
mod body;
pub mod console;
mod demo;
mod deploys;
mod health;
mod influx;
mod logs;
mod otlp;
mod prometheus;
mod receivers;
mod remote_write;
mod reply;
mod session;
mod watch;

use crate::auth::Auth;
use crate::backend::Backend;
use crate::secrets::Secret;
use crate::turns::Turns;
use arrive::Arrivals;
use axum::Router;
use axum::extract::Request;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, Version, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{any, get, post};
pub use demo::{BASE as DEMO_WEBHOOK_BASE, Receiver};
use engine::config::WebhookSecrets;
use engine::handle::Handle;
pub use remote_write::WriteLimits;
pub(crate) use remote_write::listed;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch as signal;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{DefaultPredicate, Predicate as _};
use wire::status::Identity;

/// Requests that end after the stop signal get this long; then connections are cut.
const DRAIN: Duration = Duration::from_secs(5);

/// Under this name requests are counted of which nothing was read, or not all: whose they were, the path alone would not say for sure.
const SOURCE: &str = "http";

/// What every route sees.
#[derive(Clone)]
pub(crate) struct App {
    backend: Arc<dyn Backend>,
    auth: Arc<Auth>,
    /// Turns true when the server stops; streams end then.
    stopping: signal::Receiver<bool>,
    /// Remote-write requests that may be decoded at the same time.
    writes: Turns,
    limits: WriteLimits,
    arrivals: Arc<Arrivals>,
    /// By which senders of webhooks are known.
    secrets: Arc<WebhookSecrets<Secret>>,
    /// Deliveries of Firehose that were taken.
    delivered: Arc<receivers::Delivered>,
}

impl App {
    fn handle(&self, identity: Identity) -> Arc<dyn Handle> {
        Arc::clone(&self.backend).handle(identity)
    }
}

/// How to serve.
#[derive(Debug)]
pub struct ServeConfig {
    pub auth: Auth,
    pub write_limits: WriteLimits,
    /// Answers the demo's remediation webhook. `None` outside `halo demo`.
    pub receiver: Option<Receiver>,
    /// By which senders of webhooks are known.
    pub secrets: WebhookSecrets<Secret>,
}

impl ServeConfig {
    /// The usual limits, no receiver.
    pub fn new(auth: Auth) -> Self {
        Self {
            auth,
            write_limits: WriteLimits::default(),
            receiver: None,
            secrets: WebhookSecrets::default(),
        }
    }
}

/// All routes over `backend`. Streams end when `stopping` turns true.
pub fn router(config: ServeConfig, backend: Arc<dyn Backend>, stopping: signal::Receiver<bool>) -> Router {
    let app = App {
        backend,
        auth: Arc::new(config.auth),
        stopping,
        writes: Turns::new(&config.write_limits),
        limits: config.write_limits,
        arrivals: Arc::new(Arrivals::new(config.write_limits.read_timeout)),
        secrets: Arc::new(config.secrets),
        delivered: Arc::default(),
    };
    let known = Router::new()
        .route("/api/query", post(api::query).fallback(reply::method_not_allowed))
        .route("/api/command", post(api::command).fallback(reply::method_not_allowed))
        .route("/api/watch", get(watch::watch).fallback(reply::method_not_allowed))
        .route(
            "/api/deploys",
            post(deploys::record).fallback(reply::method_not_allowed),
        )
        .route(
            "/api/v1/write",
            post(remote_write::write).fallback(reply::method_not_allowed),
        )
        .route(
            "/loki/api/v1/push",
            post(logs::loki).fallback(reply::method_not_allowed),
        )
        .route("/api/logs/json", post(logs::json).fallback(reply::method_not_allowed))
        .merge(receivers::known())
        .merge(alertmanager::routes())
        .merge(influx::routes())
        .merge(prometheus::routes())
        .route("/metrics", get(health::metrics).fallback(reply::method_not_allowed))
        .route_layer(middleware::from_fn_with_state(app.clone(), arrive::whole))
        .route_layer(middleware::from_fn_with_state(app.clone(), session::authenticate));
    let signed = receivers::signed().route_layer(middleware::from_fn_with_state(app.clone(), arrive::whole));
    let otlp = otlp::routes().route_layer(middleware::from_fn_with_state(app.clone(), arrive::whole_if_known));
    let open = Router::new()
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .route("/ping", get(influx::ping))
        .route("/login", get(session::sign_in_page).post(session::sign_in))
        .route("/logout", post(session::sign_out))
        .route("/api/{*rest}", any(reply::no_such_route))
        .fallback(console::serve);
    let mut router = known.merge(signed).merge(open).merge(otlp);
    if let Some(receiver) = config.receiver {
        router = router.merge(demo::routes(receiver));
    }
    router
        .layer(middleware::from_fn_with_state(app.clone(), session::same_site))
        .layer(middleware::from_fn(security_headers))
        .layer(CompressionLayer::new().compress_when(DefaultPredicate::new().and(may_be_compressed)))
        .with_state(app)
}

/// A bound listener that is not yet serving.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    config: ServeConfig,
}

impl Server {
    /// Binds `listen`; port 0 takes any free one.
    ///
    /// # Errors
    /// If the address cannot be bound, most often because another program has it.
    pub async fn bind(listen: SocketAddr, config: ServeConfig) -> std::io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(listen).await?,
            config,
        })
    }

    /// The address in use.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` completes, then ends streams, lets requests finish, and returns.
    ///
    /// # Errors
    /// If accepting connections fails for good.
    pub async fn run(
        self,
        backend: Arc<dyn Backend>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let (stopping, stopped) = signal::channel(false);
        let connections = self.config.write_limits.connections;
        let app = router(self.config, backend, stopped);
        let open = accept::serve(self.listener, app, connections, stop).await;
        stopping.send_replace(true);
        if tokio::time::timeout(DRAIN, open).await.is_err() {
            // They are cut when the program ends.
            tracing::warn!(
                "connections were still open {} s after the stop signal",
                DRAIN.as_secs()
            );
        }
        Ok(())
    }
}

/// Whether the reader of an answer knows what to do with a compressed one.
fn may_be_compressed(_: StatusCode, _: Version, _: &HeaderMap, answer: &Extensions) -> bool {
    answer.get::<receivers::AsIs>().is_none()
}

/// Headers that every answer carries.
async fn security_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert_with(|| console::policy().clone());
    response
}

#[cfg(test)]
mod tests;
