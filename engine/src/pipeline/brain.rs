//! The stages after detection for one time domain: correlate, then predict.
//!
//! A lane is everything that shares one clock: the wall clock's sources are one lane, each recording is another, since
//! a fault recorded in 2023 has nothing to do with a host that is slow now.

use crate::correlate::{CorrelateConfig, Correlator, IncidentChange, Observation};
use crate::features::Outlook;
use crate::predict::{Limit, PredictConfig, PredictionChange, Predictor};
use crate::series::SeriesInfo;
use wire::Timestamp;
use wire::topology::{Deploy, Edge};

/// Settings of the stages after detection.
#[derive(Clone, Debug, Default)]
pub struct BrainConfig {
    pub correlate: CorrelateConfig,
    pub predict: PredictConfig,
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
    pub fn new(config: BrainConfig) -> Self {
        Self { correlator: Correlator::new(config.correlate), predictor: Predictor::new(config.predict) }
    }

    /// A dependency became known.
    pub fn declare_edge(&mut self, edge: Edge) {
        self.correlator.declare_edge(edge);
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
    }

    /// Looks ahead on one series.
    pub fn look_ahead(&mut self, now: Timestamp, info: &SeriesInfo, outlook: &Outlook, limit: Limit, out: &mut BrainOutput) {
        out.predictions.extend(self.predictor.observe(info, outlook, limit, now));
    }
}
