//! OTLP over gRPC, on a listener of its own: three services with one call each.
//!
//! Messages pass as bytes: the engine reads them in place, so there is nothing to generate. Overload is `UNAVAILABLE` with
//! `RetryInfo`, a message over the limit `RESOURCE_EXHAUSTED` without, which tells senders not to repeat it.

use super::{ExportResponse, Refusal, Signal};
use crate::auth::{Auth, require};
use crate::backend::Backend;
use crate::http::WriteLimits;
use crate::turns::Turns;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use engine::ingest::otlp::Encoding;
use prost::Message as _;
use prost::bytes::{Buf, BufMut as _};
use std::future::{Future, IntoFuture as _};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Status};
use wire::status::Role;

/// Under this name calls are counted of which nothing was read.
const SOURCE: &str = "grpc";

/// Calls that end after the stop signal get this long; then connections are cut.
const DRAIN: Duration = Duration::from_secs(5);

#[derive(Clone)]
struct Services {
    backend: Arc<dyn Backend>,
    auth: Arc<Auth>,
    /// Calls that may be read and decoded at the same time.
    calls: Turns,
}

/// Serves on `listener` until `stop` completes, then lets calls finish, and returns.
///
/// # Errors
/// If accepting connections fails for good.
pub async fn serve(
    listener: TcpListener,
    auth: Auth,
    backend: Arc<dyn Backend>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let app = router(auth, backend, WriteLimits::default());
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        stop.await;
        stopping.send_replace(true);
    });
    let mut serving = tokio::spawn(serving.into_future());
    tokio::select! {
        ended = &mut serving => return ended.map_err(std::io::Error::other)?,
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    // A client keeps its connection: it is cut when nothing is under way on it.
    match tokio::time::timeout(DRAIN, &mut serving).await {
        Ok(ended) => ended.map_err(std::io::Error::other)?,
        Err(_) => {
            serving.abort();
            Ok(())
        }
    }
}

/// All calls over `backend`.
fn router(auth: Auth, backend: Arc<dyn Backend>, limits: WriteLimits) -> Router {
    let services = Services {
        backend,
        auth: Arc::new(auth),
        calls: Turns::new(&limits),
    };
    let export = |signal| post(move |State(services): State<Services>, request| export(services, signal, request));
    let path = |package: &str, service: &str| format!("/opentelemetry.proto.collector.{package}.v1.{service}/Export");
    Router::new()
        .route(&path("metrics", "MetricsService"), export(Signal::Metrics))
        .route(&path("logs", "LogsService"), export(Signal::Logs))
        .route(&path("trace", "TraceService"), export(Signal::Traces))
        .fallback(|| async { into_response(Status::unimplemented("this listener takes OTLP alone")) })
        .with_state(services)
}

async fn export(services: Services, signal: Signal, request: Request) -> Response {
    if let Err(refusal) = admitted(&services.auth, request.headers()) {
        return into_response(refusal.into());
    }
    // Before the message is read: it is held whole.
    let _turn = match services.calls.wait(&*services.backend, SOURCE).await {
        Ok(turn) => turn,
        Err(problem) => return into_response(Refusal::new(Code::Unavailable, problem).into()),
    };
    let mut grpc = Grpc::new(AsBytes)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(services.backend.max_request_bytes());
    let backend = Arc::clone(&services.backend);
    let response = grpc.unary(Export { backend, signal }, request).await;
    let mut response = response.map(Body::new);
    // Where a message says that it is too large, tonic says that something is out of range, which is sent again.
    let headers = response.headers_mut();
    if headers.get(Status::GRPC_STATUS).is_some_and(|code| code == "11") {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(Code::ResourceExhausted as i32));
    }
    response
}

fn admitted(auth: &Auth, headers: &HeaderMap) -> Result<(), Refusal> {
    let identity = auth.identify(headers);
    let identity = identity.map_err(|denied| Refusal::new(Code::Unauthenticated, denied.0))?;
    require(&identity, Role::Operator, "sending telemetry").map_err(|e| Refusal::new(Code::PermissionDenied, e.message))
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        if refusal.code != Code::Unavailable {
            return Self::new(refusal.code, refusal.message);
        }
        let details = refusal.status().with_retry().encode_to_vec();
        Self::with_details(refusal.code, refusal.message, details.into())
    }
}

fn into_response(status: Status) -> Response {
    let response: axum::http::Response<tonic::body::Body> = status.into_http();
    response.map(Body::new).into_response()
}

/// The one call of a service.
struct Export {
    backend: Arc<dyn Backend>,
    signal: Signal,
}

impl UnaryService<Bytes> for Export {
    type Response = Bytes;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Bytes>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<Bytes>) -> Self::Future {
        let (backend, signal) = (Arc::clone(&self.backend), self.signal);
        Box::pin(async move {
            let body = request.into_inner();
            let report = backend.take(signal.payload(Encoding::Protobuf), &body).await;
            let report = report.map_err(|error| Status::from(Refusal::from(error)))?;
            let response = ExportResponse::new(signal, &report).encode_to_vec();
            Ok(tonic::Response::new(response.into()))
        })
    }
}

/// Messages as they are on the wire.
#[derive(Clone, Copy, Debug)]
struct AsBytes;

impl Codec for AsBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for AsBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}

#[cfg(test)]
mod tests;
