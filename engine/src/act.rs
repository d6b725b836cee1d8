//! Doing it, once a person has approved exactly this plan.
//!
//! [`execute`] takes an [`Approved`](crate::decide::Approved) by value: without one there is nothing to call, and with one
//! there is one call. The kill switch is read again before every step and every retry.

mod webhook;

use crate::decide::Approved;
use crate::error::{Error, Result};
use std::time::Duration;

/// The longest a step may take, all tries together.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// What can carry out a step.
#[derive(Clone, Debug)]
pub struct Executors {
    client: reqwest::Client,
    /// `None`: webhooks have nowhere to go.
    webhook_base: Option<String>,
}

/// What became of an approved plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Every step was carried out. Whether it helped is verified on the metrics.
    pub done: bool,
    /// One sentence.
    pub text: String,
}

impl Outcome {
    /// Nothing was done.
    pub fn refused(text: String) -> Self {
        Self { done: false, text }
    }
}

impl Executors {
    /// Executors that send webhooks below `webhook_base`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the TLS library cannot be started.
    pub fn new(webhook_base: Option<String>) -> Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::Unavailable(format!("webhooks cannot be sent: {e}")))?;
        Ok(Self { client, webhook_base })
    }
}

/// Carries out the steps of an approved plan in order; the first failure ends it. `killed` is the kill switch.
pub async fn execute(approved: Approved, executors: &Executors, killed: &(dyn Fn() -> bool + Send + Sync)) -> Outcome {
    if executors.webhook_base.is_none() {
        return Outcome::refused("nothing was sent: set act.webhook_base to say where webhooks go".to_owned());
    }
    let mut said = Vec::new();
    for (index, step) in approved.steps().iter().enumerate() {
        // A step sent twice, here or after a restart, has the same key: a receiver that honors it acts once.
        let key = format!("{}-{}-{index}", approved.proposal_id(), &approved.plan_hash()[..16]);
        let sent = webhook::send(&executors.client, &step.dry_run, &key, killed);
        match tokio::time::timeout(STEP_TIMEOUT, sent).await {
            Ok(Ok(text)) => said.push(text),
            Ok(Err(text)) => {
                return Outcome {
                    done: false,
                    text: format!("step {}: {text}", index + 1),
                };
            }
            Err(_) => {
                return Outcome {
                    done: false,
                    text: format!(
                        "step {}: no answer within {} s; it may have been carried out",
                        index + 1,
                        STEP_TIMEOUT.as_secs()
                    ),
                };
            }
        }
    }
    Outcome {
        done: true,
        text: said.join("; "),
    }
}
