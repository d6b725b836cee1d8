//! The stages after detection for one time domain: correlate, then predict.
//!
//! A lane is everything that shares one clock: the wall clock's sources are one lane, each recording is another, since
//! a fault recorded in 2023 has nothing to do with a host that is slow now.

use crate::correlate::{CorrelateConfig, Correlator, IncidentChange, IncidentIds, Observation};
use crate::features::Outlook;
use crate::predict::{Limit, PredictConfig, PredictionChange, PredictionIds, Predictor};
use crate::series::SeriesInfo;
use wire::topology::{Deploy, Edge};
use wire::{EntityId, Timestamp};

/// Settings of the stages after detection.
#[derive(Clone, Debug, Default)]
pub struct BrainConfig {
    pub correlate: CorrelateConfig,
    pub predict: PredictConfig,
}

/// Counters that several lanes share, so that no id is given twice.
#[derive(Clone, Debug, Default)]
pub struct Ids {
    pub incidents: IncidentIds,
    pub predictions: PredictionIds,
}

/// What one step changed.
#[derive(Clone, Debug, Default)]
pub struct BrainOutput {
    pub incidents: Vec<IncidentChange>,
    pub predictions: Vec<PredictionChange>,
}

/// Correlator and predictor of one lane.
#[derive(Debug)]
pub struct Brain {
    pub correlator: Correlator,
    pub predictor: Predictor,
}

impl Brain {
    /// An empty brain.
    pub fn new(config: BrainConfig, ids: &Ids) -> Self {
        Self {
            correlator: Correlator::with_ids(config.correlate, ids.incidents.clone()),
            predictor: Predictor::with_ids(config.predict, ids.predictions.clone()),
        }
    }

    /// A dependency became known.
    pub fn declare_edge(&mut self, edge: Edge) {
        self.correlator.declare_edge(edge);
    }

    /// Others run on or in an entity.
    pub fn mark_place(&mut self, entity: &EntityId) {
        self.correlator.mark_place(entity);
    }

    /// An entity has metrics of its own.
    pub fn reports(&mut self, entity: &EntityId) {
        self.correlator.reports(entity);
    }

    /// A version went live.
    pub fn record_deploy(&mut self, deploy: Deploy) {
        self.correlator.record_deploy(deploy);
    }

    /// Takes what the detectors saw since the last call, in order of time, and moves the lane's clock to `now`.
    pub fn step(&mut self, now: Timestamp, observations: &[Observation], out: &mut BrainOutput) {
        for observation in observations {
            self.correlator.observe(observation);
        }
        out.incidents.extend(self.correlator.advance(now));
        out.predictions.extend(self.predictor.advance(now));
    }

    /// Looks ahead on one series.
    pub fn look_ahead(
        &mut self,
        now: Timestamp,
        info: &SeriesInfo,
        outlook: &Outlook,
        limit: Limit,
        out: &mut BrainOutput,
    ) {
        out.predictions
            .extend(self.predictor.observe(info, outlook, limit, now));
    }
}
