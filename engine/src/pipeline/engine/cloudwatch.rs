//! Sources that are asked: CloudWatch, one period after the other. A period that could not be had is asked for again with the next.

use super::Engine;
use crate::error::Error;
use crate::ingest::cloudwatch::api::{AskError, Client};
use crate::ingest::cloudwatch::poll::{CloudwatchConfig, Metrics, batch};
use crate::ingest::{RejectReason, Rejection};
use crate::pipeline::engine::task::Order;
use std::sync::Arc;
use std::time::Duration;
use wire::Timestamp;

/// How often it is looked whether a period is complete.
const BEAT: Duration = Duration::from_secs(5);

/// After so long the metrics are listed anew.
const LIST_MS: i64 = 15 * 60_000;

/// Asks one region for as long as the engine runs.
pub(super) async fn run(engine: Arc<Engine>, config: CloudwatchConfig) {
    let client = match Client::new(&config, Arc::clone(&engine.clock)) {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(source = %config.name, %error, "CloudWatch is not asked");
            return;
        }
    };
    let mut poll = Poll {
        engine,
        config,
        client,
        metrics: None,
        asked: None,
        told: String::new(),
    };
    let mut ticker = tokio::time::interval(BEAT);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticker.tick().await;
        poll.look().await;
    }
}

struct Poll {
    engine: Arc<Engine>,
    config: CloudwatchConfig,
    client: Client,
    /// What is asked for, and when that was listed.
    metrics: Option<(Timestamp, Metrics)>,
    /// Everything before it is here.
    asked: Option<Timestamp>,
    /// What people read of it.
    told: String,
}

/// Why a period is not here.
enum Failure {
    Asked(AskError),
    Taken(Error),
}

impl Poll {
    async fn look(&mut self) {
        let complete = self.config.complete(self.engine.clock.now());
        if self.asked.is_some_and(|asked| asked >= complete) {
            return;
        }
        let note = match self.ask(complete).await {
            Ok(metrics) => {
                self.asked = Some(complete);
                format!(
                    "{}: {metrics} metrics of {}",
                    self.config.region,
                    self.config.namespaces.join(", ")
                )
            }
            Err(failure) => {
                let problem = match failure {
                    Failure::Asked(error) => error.to_string(),
                    Failure::Taken(error) => error.to_string(),
                };
                if !self.told.ends_with(&problem) {
                    tracing::warn!(source = %self.config.name, "CloudWatch: {problem}");
                }
                format!("{}: {problem}", self.config.region)
            }
        };
        if note != self.told {
            self.told.clone_from(&note);
            let order = Order::Source {
                name: self.config.name.as_str().into(),
                kind: "cloudwatch",
                note,
            };
            // An error means that the engine is shutting down.
            let _ = self.engine.orders.send(order).await;
        }
    }

    /// Takes everything up to `complete`; how many metrics there are.
    async fn ask(&mut self, complete: Timestamp) -> Result<usize, Failure> {
        let now = self.engine.clock.now();
        let is_old = |at: &Timestamp| now.millis_since(*at) >= LIST_MS;
        if self
            .metrics
            .as_ref()
            .is_none_or(|(at, metrics)| is_old(at) || metrics.is_empty())
        {
            let metrics = self.client.metrics().await.map_err(Failure::Asked)?;
            self.refuse(metrics.refused).await;
            self.metrics = Some((now, metrics));
        }
        let Some((_, metrics)) = &self.metrics else {
            return Ok(0);
        };
        let begin = self.config.begin(self.asked, complete);
        for question in metrics.questions(&self.config, begin, complete) {
            let pages = self.client.data(&question).await.map_err(Failure::Asked)?;
            let pages: Vec<_> = pages.into_iter().map(|page| (&question, page)).collect();
            let batch = batch(&pages, &self.engine.registry).map_err(|p| Failure::Asked(AskError::Malformed(p)))?;
            // What was taken of a period that is asked for again is dropped by series and time.
            self.engine
                .ingest(&self.config.name, batch)
                .await
                .map_err(Failure::Taken)?;
        }
        Ok(metrics.len())
    }

    async fn refuse(&self, metrics: usize) {
        if metrics == 0 {
            return;
        }
        let max = self.config.max_metrics;
        let example = format!("metrics beyond {max}: filter by metrics or dimensions, or raise max_metrics");
        let rejection = Rejection {
            reason: RejectReason::TooManySeries,
            samples: metrics as u64,
            example,
        };
        let order = Order::Refused {
            source: self.config.name.as_str().into(),
            rejections: vec![rejection],
        };
        // An error means that the engine is shutting down.
        let _ = self.engine.orders.send(order).await;
    }
}
