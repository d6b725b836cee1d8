//! One way to talk to an engine, wherever it runs: in this process, behind HTTP, behind the desktop's IPC.
//!
//! One conformance suite (`tests/it/handle.rs`) runs against every implementation.

use async_trait::async_trait;
use futures::stream::BoxStream;
use wire::command::Command;
use wire::query::{ApiError, Query, Reply};
use wire::stream::Event;

/// An engine as one identity sees it.
#[async_trait]
pub trait Handle: Send + Sync {
    /// Asks; changes nothing.
    async fn query(&self, query: Query) -> Result<Reply, ApiError>;

    /// Orders; audited under this handle's identity.
    async fn command(&self, command: Command) -> Result<Reply, ApiError>;

    /// A full snapshot first, then numbered deltas. A reader that is too slow loses deltas, is told how many, and gets a
    /// new snapshot.
    async fn watch(&self) -> Result<BoxStream<'static, Event>, ApiError>;
}
