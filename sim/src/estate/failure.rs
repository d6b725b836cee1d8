//! How a part of an estate fails.

use super::Part;
use wire::{EntityId, Timestamp};

/// A failure with a known cause. Everything else that it moves is a consequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    pub kind: FailureKind,
    pub cause: EntityId,
    pub onset: Timestamp,
    pub duration_ms: i64,
}

/// The twelve kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// A service becomes slow.
    Slow,
    /// A share of a service's requests fails.
    Errors,
    /// A service's memory climbs until it fails.
    Leak,
    /// A service gets a multiple of its requests, and so does everything below it.
    Surge,
    /// A service is gone, and its metrics with it.
    Crash,
    /// A new version of a service fails and is slow.
    BadDeploy,
    /// All connections of a database are taken.
    PoolExhausted,
    /// The disk of a database fills, and then it cannot write.
    DiskFull,
    /// A host has no processor time left for what runs there.
    HostSaturated,
    /// A cache finds nothing: its database gets all reads.
    CacheLost,
    /// A queue moves nothing: it grows, and its workers have nothing to do.
    QueueStuck,
    /// A partner is slow and fails.
    PartnerDown,
}

impl FailureKind {
    pub const ALL: [Self; 12] = [
        Self::Slow,
        Self::Errors,
        Self::Leak,
        Self::Surge,
        Self::Crash,
        Self::BadDeploy,
        Self::PoolExhausted,
        Self::DiskFull,
        Self::HostSaturated,
        Self::CacheLost,
        Self::QueueStuck,
        Self::PartnerDown,
    ];

    /// What fails like this.
    pub const fn part(self) -> Part {
        match self {
            Self::Slow | Self::Errors | Self::Leak | Self::Surge | Self::Crash | Self::BadDeploy => Part::Service,
            Self::PoolExhausted | Self::DiskFull => Part::Database,
            Self::HostSaturated => Part::Host,
            Self::CacheLost => Part::Cache,
            Self::QueueStuck => Part::Queue,
            Self::PartnerDown => Part::Partner,
        }
    }
}

impl Failure {
    /// How far it has come at `at`, 0..1; `None` before and after it.
    pub(super) fn progress(&self, at: Timestamp) -> Option<f64> {
        let since = at.millis_since(self.onset);
        (0..self.duration_ms)
            .contains(&since)
            .then(|| since as f64 / self.duration_ms as f64)
    }
}

/// What failures do to a node at one instant.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strain {
    pub(super) slow: f64,
    pub(super) errors: f64,
    pub(super) surge: f64,
    /// Of what comes, how much goes on.
    pub(super) flow: f64,
    /// Percent on top.
    pub(super) cpu: f64,
    /// Of what was free of memory and disk, how much is taken.
    pub(super) memory: f64,
    pub(super) disk: f64,
    /// Percent at least.
    pub(super) connections: f64,
    pub(super) backlog_secs: f64,
    pub(super) gone: bool,
}

impl Default for Strain {
    fn default() -> Self {
        Self {
            slow: 1.0,
            errors: 0.0,
            surge: 1.0,
            flow: 1.0,
            cpu: 0.0,
            memory: 0.0,
            disk: 0.0,
            connections: 0.0,
            backlog_secs: 0.0,
            gone: false,
        }
    }
}

impl Strain {
    pub(super) fn take(&mut self, kind: FailureKind, progress: f64) {
        match kind {
            FailureKind::Slow => self.slow *= 5.0,
            FailureKind::Errors => self.errors = self.errors.max(0.25),
            FailureKind::Leak => {
                self.memory = self.memory.max((2.0 * progress).min(0.97));
                if progress > 0.45 {
                    self.slow *= 4.0;
                    self.errors = self.errors.max(0.1);
                }
            }
            FailureKind::Surge => self.surge *= 4.0,
            FailureKind::Crash | FailureKind::CacheLost => self.gone = true,
            FailureKind::BadDeploy => {
                self.slow *= 2.5;
                self.errors = self.errors.max(0.15);
            }
            FailureKind::PoolExhausted => {
                self.connections = 99.0;
                self.slow *= 12.0;
                self.errors = self.errors.max(0.2);
            }
            FailureKind::DiskFull => {
                self.disk = self.disk.max((4.0 * progress).min(0.995));
                if progress > 0.24 {
                    self.errors = self.errors.max(0.6);
                }
            }
            FailureKind::HostSaturated => {
                self.cpu = 70.0;
                self.slow *= 4.0;
            }
            FailureKind::QueueStuck => {
                self.flow = 0.03;
                self.slow *= 6.0;
                self.backlog_secs = self.backlog_secs.max(300.0 * progress);
            }
            FailureKind::PartnerDown => {
                self.slow *= 15.0;
                self.errors = self.errors.max(0.4);
            }
        }
    }
}
