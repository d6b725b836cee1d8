//! Who may write at the same time.

use crate::backend::Backend;
use crate::http::WriteLimits;
use engine::ingest::{RejectReason, Rejection};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Gives turns in the order in which they are asked for. Who came when nobody waited would else be served before those who come
/// again and again.
#[derive(Clone, Debug)]
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    concurrent: usize,
    patience: Duration,
}

impl Turns {
    pub(crate) fn new(limits: &WriteLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.concurrent)),
            concurrent: limits.concurrent,
            patience: limits.patience,
        }
    }

    /// Waits for a turn, which lasts as long as what is returned. Who gets none is counted under `source`.
    ///
    /// # Errors
    /// What the sender is told if it does not come in time.
    pub(crate) async fn wait(&self, backend: &dyn Backend, source: &str) -> Result<OwnedSemaphorePermit, String> {
        let turn = self.place().await;
        if let Err(problem) = &turn {
            let rejections = vec![Rejection::one(RejectReason::Overloaded, problem.clone())];
            backend.refused(source, "requests", rejections).await;
        }
        turn
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, String> {
        let place = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.patience, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(format!(
                "{} writes are in progress, and none of them ended within {} s for this one: send again",
                self.concurrent,
                self.patience.as_secs()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn turns(patience: Duration) -> Turns {
        Turns::new(&WriteLimits {
            concurrent: 1,
            patience,
            ..WriteLimits::default()
        })
    }

    #[tokio::test]
    async fn who_came_first_is_served_first() {
        let turns = turns(Duration::from_secs(3600));
        let first = turns.place().await.unwrap();
        let mut second = Box::pin(turns.place());
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(turns.place());
        assert!((&mut third).now_or_never().is_none());
        drop(first);
        // There is a place, and it is not for somebody who has only just come.
        assert!((&mut third).now_or_never().is_none());
        let second = second.await.unwrap();
        drop(second);
        assert!(third.await.is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let turns = turns(Duration::ZERO);
        let _first = turns.place().await.unwrap();
        let problem = turns.place().await.unwrap_err();
        assert!(
            problem.contains("1 writes are in progress") && problem.contains("send again"),
            "{problem}"
        );
    }
}
