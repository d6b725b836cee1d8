//! What protects the engine and its data: limits that were reached, and whether what arrives can be kept.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// New series of one offender were refused: its labels make series without end, or a limit is too low.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explosion {
    pub source: String,
    /// The metric with the most series; empty where names themselves are many.
    pub metric: String,
    /// The label with the most values; `__name__` where names themselves are many.
    pub label: Option<String>,
    /// About so many values it has.
    pub values: u64,
    pub series: u64,
    pub limit: u64,
    /// Samples refused so far.
    pub refused: u64,
    pub since: Timestamp,
    pub last_at: Timestamp,
    /// It goes on: something was refused within the last minutes.
    pub active: bool,
    /// One sentence: what is refused, why, and what to do.
    pub text: String,
}

/// Since when nothing is acknowledged, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusing {
    pub since: Timestamp,
    pub problem: String,
}

/// Whether what arrives can be kept.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Storage {
    /// `None`: samples are acknowledged.
    pub refusing: Option<Refusing>,
    /// What was found damaged in the log at the start, one sentence each.
    pub damage: Vec<String>,
    /// What a crash cut off, one sentence each: nobody was told that it is kept.
    pub torn: Vec<String>,
    /// Log that a start would have to read.
    pub log_bytes: u64,
    /// Room on the disk of the data directory; `None` where the system does not tell.
    pub free_bytes: Option<u64>,
    /// Memory in use; `None` where the system does not tell.
    pub memory_bytes: Option<u64>,
    /// Above it no new series are taken; 0: no limit.
    pub memory_limit_bytes: u64,
}

/// Both.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Protection {
    /// The latest first.
    pub explosions: Vec<Explosion>,
    pub storage: Storage,
}
