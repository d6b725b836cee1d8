//! What the routes need of an engine: a narrow door, so that each status of the ingest protocol can be provoked without
//! one.

use async_trait::async_trait;
use engine::Error;
use engine::handle::Handle;
use engine::ingest::prometheus::Version;
use engine::ingest::registry::Registry;
use engine::ingest::{IngestBatch, Rejection};
use engine::pipeline::{Engine, IngestReport, Payload, Question, TakeError, Told, WriteOutcome};
use engine::promql::QueryError;
use std::sync::Arc;
use std::time::Duration;
use wire::Timestamp;
use wire::status::Identity;

/// An engine as the HTTP routes see it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The engine in the eyes of `identity`; every order given through it is recorded under that name.
    fn handle(self: Arc<Self>, identity: Identity) -> Arc<dyn Handle>;

    /// Takes one remote-write request (snappy block of protobuf). Returns once every accepted sample is durable.
    async fn remote_write(&self, version: Version, body: &[u8]) -> WriteOutcome;

    /// Takes one request of another protocol. Returns once everything of it that was accepted is kept.
    ///
    /// # Errors
    /// [`TakeError`]; nothing of the request was taken.
    async fn take(&self, payload: Payload, body: &[u8]) -> Result<IngestReport, TakeError>;

    /// Largest such request after decompression.
    fn max_request_bytes(&self) -> usize;

    /// Takes decoded samples of a source. Returns once every accepted sample is durable.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if nothing was taken and the same must be sent again.
    async fn ingest(&self, source: &str, batch: IngestBatch) -> Result<IngestReport, Error>;

    /// Answers a question in PromQL within `patience`.
    ///
    /// # Errors
    /// [`QueryError`].
    async fn ask(&self, question: Question, patience: Duration) -> Result<Told, QueryError>;

    /// Every series that is known, for decoders.
    fn registry(&self) -> &Registry;

    /// Counts what a receiver of changes or alerts refused.
    async fn refused(&self, source: &str, kind: &'static str, rejections: Vec<Rejection>);

    /// The present instant on the engine's wall clock.
    fn now(&self) -> Timestamp;

    /// The engine's own metrics in the Prometheus text format.
    fn metrics_text(&self) -> String;
}

#[async_trait]
impl Backend for Engine {
    fn handle(self: Arc<Self>, identity: Identity) -> Arc<dyn Handle> {
        Self::handle(&self, identity)
    }

    async fn remote_write(&self, version: Version, body: &[u8]) -> WriteOutcome {
        Self::remote_write(self, version, body).await
    }

    async fn take(&self, payload: Payload, body: &[u8]) -> Result<IngestReport, TakeError> {
        Self::take(self, payload, body).await
    }

    fn max_request_bytes(&self) -> usize {
        Self::max_request_bytes(self)
    }

    async fn ingest(&self, source: &str, batch: IngestBatch) -> Result<IngestReport, Error> {
        Self::ingest(self, source, batch).await
    }

    async fn ask(&self, question: Question, patience: Duration) -> Result<Told, QueryError> {
        Self::ask(self, question, patience).await
    }

    fn registry(&self) -> &Registry {
        Self::registry(self)
    }

    async fn refused(&self, source: &str, kind: &'static str, rejections: Vec<Rejection>) {
        Self::refused(self, source, kind, rejections).await;
    }

    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn metrics_text(&self) -> String {
        Self::metrics_text(self)
    }
}
