//! The one public error type of this crate.

use std::path::PathBuf;

/// What went wrong. Messages say what, where, and what to do; paths and addresses come last.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration cannot be used; every problem is listed.
    #[error("configuration: {}", .0.join("; "))]
    Config(Vec<String>),
    /// A file that must be readable or writable is not.
    #[error("{what}: {source}: {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The database refused.
    #[error("store: {0}")]
    Store(#[from] sqlx::Error),
    /// The database cannot be brought to this version's schema.
    #[error("store migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// Data that should be ours is damaged.
    #[error("corrupt data in {place}: {message}")]
    Corrupt { place: String, message: String },
    /// A model file does not match its manifest, or cannot be used.
    #[error("model {name}: {message}")]
    Model { name: String, message: String },
    /// A policy does not compile.
    #[error("policy: {0}")]
    Policy(String),
    /// A playbook cannot be used.
    #[error("playbook {file}: {message}")]
    Playbook { file: String, message: String },
    /// Input that a person gave; `place` is file, line and column.
    #[error("{place}: {message}")]
    Input { place: String, message: String },
    /// The engine is shutting down or overloaded: try again.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Store(_))
    }

    /// An IO error with the place it happened.
    pub fn io(what: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io {
            what,
            path: path.into(),
            source,
        }
    }
}
