//! Remote write: samples, native histograms and exemplars of one request, each accounted for apart, since a sender of version 2
//! compares what it is told was written with what it sent.

use super::Engine;
use super::inbox::{IngestReport, WriteError};
use crate::error::Result;
use crate::ingest::exemplar::Exemplar;
use crate::ingest::otlp::Metrics;
use crate::ingest::prometheus::{Decoded, Version, decode};
use crate::ingest::{RejectReason, Rejection};
use crate::pipeline::engine::task::Order;
use std::sync::PoisonError;
use wire::{SeriesId, Timestamp};

/// The source that these requests count for.
const SOURCE: &str = "remote_write";

/// What of a request is kept: durable, or there before, or known to be a gap. Exemplars are in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

/// What became of a request.
#[derive(Debug)]
pub struct WriteOutcome {
    /// True also of a request that ended with an error half-way.
    pub written: Written,
    /// [`WriteError::Decode`] if the bytes make no sense, [`WriteError::Engine`] if it must be sent again later.
    pub result: Result<IngestReport, WriteError>,
}

impl Engine {
    /// Takes one remote-write request. Returns once every accepted sample is durable. To send it again is safe whatever the
    /// outcome.
    pub async fn remote_write(&self, version: Version, body: &[u8]) -> WriteOutcome {
        let mut written = Written::default();
        let result = self.write_parts(SOURCE, version, body, &mut written).await;
        WriteOutcome { written, result }
    }

    /// The same of a source with this name.
    pub(super) async fn remote_write_as(
        &self,
        source: &str,
        version: Version,
        body: &[u8],
    ) -> Result<IngestReport, WriteError> {
        self.write_parts(source, version, body, &mut Written::default()).await
    }

    async fn write_parts(
        &self,
        source: &str,
        version: Version,
        body: &[u8],
        written: &mut Written,
    ) -> Result<IngestReport, WriteError> {
        let Decoded {
            samples,
            histograms,
            exemplars,
            told,
        } = decode(version, body, &self.config.limits.request, self.registry())?;
        let mut report = self
            .write_part(source, samples, |_, refused| {
                written.samples = told.samples.saturating_sub(refused)
            })
            .await?;
        if told.histograms > 0 || !histograms.batch.rejections.is_empty() {
            // The parts of a histogram are of one time, so they are taken or refused together.
            let more = self
                .write_part(source, histograms, |taken, refused| {
                    written.histograms = share(told.histograms, taken, refused);
                })
                .await?;
            report.accepted += more.accepted;
            report.rejections.extend(more.rejections);
        }
        let repeated = self.keep_exemplars(exemplars);
        written.exemplars = told.exemplars;
        if repeated > 0 {
            let rejection = Rejection {
                reason: RejectReason::Duplicate,
                samples: repeated,
                example: "an exemplar that is no newer than the last one of its series".to_owned(),
            };
            let order = Order::Refused {
                source: source.into(),
                rejections: vec![rejection],
            };
            // An error means that the engine is shutting down, and its counters with it.
            let _ = self.orders.send(order).await;
        }
        Ok(report)
    }

    /// Takes samples or histograms, and says how many samples of them were taken and how many the engine refused.
    async fn write_part(&self, source: &str, metrics: Metrics, mut told: impl FnMut(u64, u64)) -> Result<IngestReport> {
        let errors = |rejections: &[Rejection]| -> u64 {
            let errors = rejections.iter().filter(|rejection| rejection.reason.is_error());
            errors.map(|rejection| rejection.samples).sum()
        };
        let of_decoder = errors(&metrics.batch.rejections);
        let report = self.ingest_started(source, metrics).await?;
        told(report.accepted, errors(&report.rejections).saturating_sub(of_decoder));
        Ok(report)
    }

    /// Takes samples of which some say since when they count.
    pub(super) async fn ingest_started(&self, source: &str, metrics: Metrics) -> Result<IngestReport> {
        if metrics.started.is_empty() {
            return self.ingest(source, metrics.batch).await;
        }
        let streams = || self.intake.streams().lock().unwrap_or_else(PoisonError::into_inner);
        let (batch, plan) = streams().plan(metrics);
        let report = self.ingest(source, batch).await?;
        streams().commit(plan);
        Ok(report)
    }

    /// Keeps what is new; how many were not.
    pub(super) fn keep_exemplars(&self, exemplars: Vec<Exemplar>) -> u64 {
        if exemplars.is_empty() {
            return 0;
        }
        let mut kept = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = exemplars
            .into_iter()
            .map(|exemplar| kept.take(exemplar))
            .filter(|new| !new);
        repeated.count() as u64
    }

    /// The exemplars of a series between two times.
    pub fn exemplars(&self, series: SeriesId, from: Timestamp, to: Timestamp) -> Vec<Exemplar> {
        let kept = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        kept.of(series, from, to).cloned().collect()
    }
}

/// Of `whole` things that became samples, how many were taken, if so many samples were taken and refused.
fn share(whole: u64, taken: u64, refused: u64) -> u64 {
    if refused == 0 {
        return whole;
    }
    (u128::from(whole) * u128::from(taken) / u128::from(taken + refused)) as u64
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn histograms_are_counted_by_the_part_that_was_taken() {
        assert_eq!(
            [share(4, 40, 0), share(4, 0, 40), share(4, 30, 10), share(0, 0, 0)],
            [4, 0, 3, 0]
        );
    }
}
