//! Orders about models, by people and by the calendar, and how they went.

use super::{Coordinator, Effect};
use crate::pipeline::message::{ModelsOrder, ModelsOutcome};
use crate::store::models::BUNDLED;
use wire::Timestamp;
use wire::query::{ApiError, ErrorKind};

/// Setting that keeps when training last began by the calendar.
pub(crate) const TRAINED_AT: &str = "models_trained_at";

impl Coordinator {
    /// Orders one change of the models; another must wait until it is through.
    pub(super) fn order_models(
        &mut self,
        who: &str,
        order: ModelsOrder,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<String, ApiError> {
        if self.models_busy {
            return Err(ApiError::new(
                ErrorKind::Conflict,
                "models are being trained or changed; the audit log says when that is done",
            ));
        }
        if order == ModelsOrder::Revert && self.model_version == BUNDLED {
            return Err(ApiError::new(
                ErrorKind::Invalid,
                "the bundled models are in use, there is nothing before them to go back to",
            ));
        }
        self.models_busy = true;
        let (action, text) = match order {
            ModelsOrder::Train => ("train_models", "training has begun"),
            ModelsOrder::Revert => ("revert_models", "going back to the version before"),
        };
        let version = self.model_version.clone();
        self.audit(now, who, action, &version, "", effects);
        effects.push(Effect::Models(order));
        Ok(format!("{text}; the audit log will say how it went"))
    }

    /// Trains if it is time.
    pub(super) fn train_by_calendar(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let Some(weekly) = self.train_weekly else { return };
        let due = self.trained_at.is_none_or(|last| weekly.is_due(last, now));
        if !due || self.models_busy {
            return;
        }
        // The first week has no history yet: the clock starts with the first look.
        let is_first = self.trained_at.is_none();
        self.trained_at = Some(now);
        effects.push(Effect::SaveSetting {
            key: TRAINED_AT,
            value: now.as_millis().to_string(),
        });
        if !is_first {
            // Nothing else is under way, so it cannot be refused.
            let _ = self.order_models("schedule", ModelsOrder::Train, now, effects);
        }
    }

    /// An order is through.
    pub(crate) fn models_done(&mut self, outcome: ModelsOutcome, now: Timestamp, effects: &mut Vec<Effect>) {
        self.models_busy = false;
        let version = self.model_version.clone();
        match outcome {
            ModelsOutcome::InUse {
                version,
                models,
                summary,
            } => {
                self.audit(now, "engine", "models_in_use", &version, &summary, effects);
                self.models = models.describe();
                self.model_version = version;
                effects.push(Effect::SetModels(models));
            }
            ModelsOutcome::Kept { summary } => {
                self.audit(now, "engine", "models_kept", &version, &summary, effects);
            }
            ModelsOutcome::Failed { message } => {
                tracing::warn!(%message, "the models stay as they are");
                self.audit(now, "engine", "models_failed", &version, &message, effects);
            }
        }
    }
}
