//! One server under load: what it took, and what it used for that.

use super::super::load::{Answers, Target, flood, hold};
use super::super::median;
use super::super::payload::{Stream, Write};
use super::super::process::{Usage, usage};
use super::RATE;
use engine::Result;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Cores below which a server rests, over [`LOOK`].
const AT_REST: f64 = 0.1;
const LOOK: Duration = Duration::from_millis(500);
/// Looks before a server that never rests is measured as it is.
const LOOKS: usize = 40;

/// A server that is measured.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) target: Target,
    pub(super) pid: u32,
    pub(super) idle_mb: f64,
    pub(super) most_mb: f64,
    pub(super) floods: Vec<Span>,
    pub(super) paced: Span,
}

/// What a server did from one moment to another.
#[derive(Clone, Debug, Default)]
pub(super) struct Span {
    pub(super) answers: Answers,
    pub(super) secs: f64,
    /// Processor time until the last answer, and until the server rested again.
    pub(super) cpu_secs: f64,
    pub(super) cpu_secs_to_rest: f64,
    pub(super) generator_cpu_secs: f64,
}

impl Span {
    pub(super) fn per_sec(&self) -> f64 {
        self.answers.samples as f64 / self.secs
    }

    pub(super) fn per_core(&self) -> f64 {
        self.answers.samples as f64 / self.cpu_secs_to_rest.max(1e-2)
    }

    pub(super) fn cores(&self) -> f64 {
        self.cpu_secs / self.secs
    }

    pub(super) fn generator_cores(&self) -> f64 {
        self.generator_cpu_secs / self.secs
    }
}

impl Side {
    /// A server that has taken nothing yet.
    pub(super) async fn new(client: &reqwest::Client, url: String, pid: u32) -> Result<Self> {
        let idle_mb = rest(pid).await?.resident_mb;
        Ok(Self {
            target: Target::new(client.clone(), url),
            pid,
            idle_mb,
            most_mb: idle_mb,
            floods: Vec::new(),
            paced: Span::default(),
        })
    }

    pub(super) async fn flood(&mut self, writes: &[Write]) -> Result<Span> {
        let (target, pid) = (self.target.clone(), self.pid);
        self.measure(async || flood(&target, writes).await, None, pid).await
    }

    /// Keeps to [`RATE`] for `span`.
    pub(super) async fn hold(&mut self, stream: Stream, span: Duration) -> Result<()> {
        let (target, pid) = (self.target.clone(), self.pid);
        let work = async || hold(&target, stream, RATE, span).await;
        self.paced = self.measure(work, Some(span), pid).await?;
        Ok(())
    }

    /// Does `work` and looks at the server before, meanwhile and after; `span` is how long it takes, where that is known.
    async fn measure(
        &mut self,
        work: impl AsyncFnOnce() -> Result<Answers>,
        span: Option<Duration>,
        pid: u32,
    ) -> Result<Span> {
        let most_mb = Arc::new(Mutex::new(self.most_mb));
        let watcher = tokio::spawn(watch(pid, Arc::clone(&most_mb)));
        let (before, own_before) = (usage(pid)?, usage(std::process::id())?);
        let begun = Instant::now();
        let answers = work().await;
        let took = begun.elapsed();
        let (after, own_after) = (usage(pid)?, usage(std::process::id())?);
        let answers = answers?;
        let rested = rest(pid).await?;
        watcher.abort();
        self.most_mb = *most_mb.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Span {
            answers,
            secs: span.unwrap_or(took).as_secs_f64(),
            cpu_secs: after.cpu_secs - before.cpu_secs,
            cpu_secs_to_rest: rested.cpu_secs - before.cpu_secs,
            generator_cpu_secs: own_after.cpu_secs - own_before.cpu_secs,
        })
    }

    pub(super) fn above_idle_mb(&self) -> f64 {
        self.most_mb - self.idle_mb
    }

    pub(super) fn median(&self, of: fn(&Span) -> f64) -> f64 {
        median(self.floods.iter().map(of).collect())
    }
}

/// Remembers the most memory that a process held; a process that is gone holds none.
async fn watch(pid: u32, most_mb: Arc<Mutex<f64>>) {
    loop {
        if let Ok(usage) = usage(pid) {
            let mut most = most_mb.lock().unwrap_or_else(PoisonError::into_inner);
            *most = most.max(usage.resident_mb);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until a process has hardly anything to do; what it has used by then.
async fn rest(pid: u32) -> Result<Usage> {
    let mut before = usage(pid)?;
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK).await;
        let after = usage(pid)?;
        let cores = (after.cpu_secs - before.cpu_secs) / LOOK.as_secs_f64();
        before = after;
        if cores <= AT_REST {
            break;
        }
    }
    Ok(before)
}
