//! The forecast that the metric page draws: fitted to the stored past of the one series that is looked at, when it is.

use super::{Engine, gone};
use crate::error::Result;
use crate::features::rates;
use crate::pipeline::message::{About, ShardMessage};
use crate::predict::limits::capacity;
use crate::predict::{ForecastConfig, Forecaster};
use crate::series::SeriesKind;
use tokio::sync::oneshot;
use wire::series::ForecastPoint;
use wire::{SeriesId, Timestamp};

/// How much of the past is looked at: a week, so that its season is in it, but no more samples than fit in about a millisecond.
const PAST_MS: i64 = 7 * 86_400_000;
const PAST_SAMPLES: i64 = 10_080;
/// Fewer samples teach no more than the baseline knows already.
const LEAST_SAMPLES: usize = 32;
/// Share of the values to come that the fan holds.
const LEVEL: f64 = 0.9;

impl Engine {
    /// A better fan than the one in `about`, with as many steps. `None` where that is empty, or the past too short.
    pub(super) async fn fan(&self, id: SeriesId, about: &About) -> Result<Option<Vec<ForecastPoint>>> {
        let info = &about.summary.info;
        let (steps, step_ms) = (about.forecast.len(), info.step_ms);
        if steps == 0 || step_ms <= 0 {
            return Ok(None);
        }
        let to = about.summary.last_at;
        let from = Timestamp(to.0.saturating_sub(PAST_MS.min(PAST_SAMPLES.saturating_mul(step_ms))));
        let (reply, answer) = oneshot::channel();
        self.to_shard(self.shard_of(id), ShardMessage::Slice { id, from, to, reply })
            .await?;
        let Some(slice) = answer.await.map_err(|_| gone())? else {
            return Ok(None);
        };
        let mut rows = self.raw(id, from, to, slice?.samples).await?;
        if info.kind == SeriesKind::Counter {
            rows = rates(&rows, step_ms).unwrap_or_default();
        }
        let Some(last) = rows.last().map(|row| row.1).filter(|_| rows.len() >= LEAST_SAMPLES) else {
            return Ok(None);
        };
        let horizon_ms = step_ms.saturating_mul(i64::try_from(steps).unwrap_or(i64::MAX));
        let config = ForecastConfig {
            offset_ms: about.offset_ms,
            ..ForecastConfig::new(step_ms, horizon_ms, LEVEL)
        };
        let config = config.bounded(&rows, capacity(info, last));
        Ok(Forecaster::fit(&rows, &config, &[]).map(|forecaster| forecaster.fan(steps)))
    }
}
