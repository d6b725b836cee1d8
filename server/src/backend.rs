//! What the routes need of an engine beyond [`Handle`]: a narrow door, so that each status of the ingest protocol can be
//! provoked without an engine.

use async_trait::async_trait;
use engine::handle::Handle;
use engine::ingest::Rejection;
use std::sync::Arc;
use wire::Timestamp;
use wire::status::Identity;

/// An engine as the HTTP routes see it.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// The engine in the eyes of `identity`; every order given through it is recorded under that name.
    fn handle(&self, identity: Identity) -> Arc<dyn Handle>;

    /// Takes one remote-write request (snappy block of protobuf v1). Returns once every accepted sample is durable.
    ///
    /// # Errors
    /// [`WriteError`]; nothing of the request was taken.
    async fn remote_write(&self, body: &[u8]) -> Result<WriteReport, WriteError>;

    /// The present instant on the engine's wall clock.
    fn now(&self) -> Timestamp;

    /// The engine's own metrics in the Prometheus text format.
    fn metrics_text(&self) -> String;
}

/// What became of the samples of a request that could be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteReport {
    pub accepted: u64,
    pub rejections: Vec<Rejection>,
}

/// Why nothing of a request was taken. Messages go to the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Not snappy, or not protobuf. Sending it again cannot help.
    #[error("{0}")]
    Malformed(String),
    /// Over a size limit, once decompressed.
    #[error("{0}")]
    TooLarge(String),
    /// Overloaded or shutting down: send it again later.
    #[error("{0}")]
    Unavailable(String),
    /// Our fault; the sender should try again.
    #[error("{0}")]
    Internal(String),
}
