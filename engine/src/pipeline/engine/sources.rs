//! Sources that the engine itself reads: this host, a recording, StatsD, and `/metrics` of others; Kafka, CloudWatch and Kubernetes
//! have files of their own.

use super::Engine;
use crate::config::ReplayConfig;
use crate::error::Result;
use crate::ingest::host::HostSource;
use crate::ingest::recording::Recording;
use crate::ingest::statsd::{Aggregator, Arrived, Listener, StatsdConfig};
use crate::ingest::{IngestBatch, RejectReason};
use crate::pipeline::coordinator::REPLAY_SOURCE;
use crate::pipeline::engine::task::Order;
use crate::pipeline::message::{Past, ShardMessage};
use crate::series::Sample;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use wire::Timestamp;
use wire::status::Replay;

const HOST_SOURCE: &str = "host";
const STATSD_SOURCE: &str = "statsd";

/// Intervals of StatsD that wait for an engine that is too busy, at most.
const STATSD_WAITING: usize = 30;

/// How often the replay's clock moves and its speed is looked at.
const REPLAY_BEAT: Duration = Duration::from_millis(250);

/// Starts the configured sources.
pub(super) fn start(engine: &Arc<Engine>, tasks: &mut JoinSet<()>, stopped: &watch::Receiver<bool>) -> Result<()> {
    if let Some(interval_ms) = engine.config.host_interval_ms {
        tasks.spawn(stoppable(
            watch_host(Arc::clone(engine), Duration::from_millis(interval_ms)),
            stopped.clone(),
        ));
    }
    if let Some(config) = &engine.config.statsd {
        tasks.spawn(listen_statsd(Arc::clone(engine), config.clone(), stopped.clone()));
    }
    for config in &engine.config.cloudwatch {
        tasks.spawn(stoppable(
            super::cloudwatch::run(Arc::clone(engine), config.clone()),
            stopped.clone(),
        ));
    }
    if let Some(config) = &engine.config.kubernetes {
        tasks.spawn(stoppable(
            super::rollouts::run(Arc::clone(engine), config.clone()),
            stopped.clone(),
        ));
    }
    super::kafka::start(engine, tasks, stopped)?;
    for config in &engine.config.scrape {
        tasks.spawn(super::scrape::run(Arc::clone(engine), config.clone(), stopped.clone()));
    }
    if let Some(replay) = &engine.config.replay {
        let recording = match &replay.path {
            Some(path) => Recording::open(path)?,
            None => Recording::bundled()?,
        };
        tasks.spawn(stoppable(
            play(Arc::clone(engine), recording, replay.clone()),
            stopped.clone(),
        ));
    }
    Ok(())
}

async fn stoppable(source: impl Future<Output = ()>, mut stopped: watch::Receiver<bool>) {
    tokio::select! {
        () = source => {}
        // Sources keep nothing that must be saved: they can be dropped at any point.
        _ = stopped.changed() => {}
    }
}

async fn watch_host(engine: Arc<Engine>, interval: Duration) {
    let mut source = HostSource::new();
    let name: Arc<str> = HOST_SOURCE.into();
    let order = Order::Source {
        name,
        kind: "this host",
        note: source.host().to_owned(),
    };
    if engine.orders.send(order).await.is_err() {
        return;
    }
    let mut ticker = tokio::time::interval(interval);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticker.tick().await;
        // Reading /proc takes milliseconds: not on a thread that others wait for.
        let now = engine.clock.now();
        let (back, batch) = match tokio::task::spawn_blocking(move || {
            let batch = source.collect(now);
            (source, batch)
        })
        .await
        {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "this host can no longer be watched");
                return;
            }
        };
        source = back;
        if let Err(error) = engine.ingest(HOST_SOURCE, batch).await {
            tracing::warn!(%error, "samples of this host were lost");
        }
    }
}

/// Listens for StatsD until the engine stops, and hands on what came in each interval. An interval that the engine could not take is
/// tried again with the next one.
async fn listen_statsd(engine: Arc<Engine>, config: StatsdConfig, mut stopped: watch::Receiver<bool>) {
    let mut listener = match Listener::bind(&config).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "StatsD is off");
            return;
        }
    };
    let (udp, tcp) = listener.addresses();
    let note = [udp.map(|udp| format!("UDP {udp}")), tcp.map(|tcp| format!("TCP {tcp}"))];
    let note = note.into_iter().flatten().collect::<Vec<_>>().join(", ");
    tracing::info!("StatsD is taken at {note}");
    let order = Order::Source {
        name: STATSD_SOURCE.into(),
        kind: "statsd",
        note,
    };
    if engine.orders.send(order).await.is_err() {
        return;
    }
    let mut aggregator = Aggregator::new(&config);
    let mut waiting: VecDeque<IngestBatch> = VecDeque::new();
    let mut ticker = tokio::time::interval(Duration::from_millis(config.flush_ms));
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let stopping = tokio::select! {
            arrived = listener.next() => {
                match arrived {
                    Arrived::Lines(lines) => aggregator.take(&lines, engine.clock.now()),
                    Arrived::TooLong => {
                        let example = || "a line over TCP of more than 16384 bytes".to_owned();
                        aggregator.refuse(RejectReason::OverLimit, 1, example);
                    }
                    Arrived::Refused => {
                        aggregator.refuse(RejectReason::OverLimit, 1, || "a connection beyond 256".to_owned());
                    }
                }
                continue;
            }
            _ = ticker.tick() => false,
            _ = stopped.changed() => true,
        };
        waiting.push_back(aggregator.flush(engine.clock.now(), &engine.registry));
        if waiting.len() > STATSD_WAITING
            && let Some(lost) = waiting.pop_front()
        {
            let samples = lost.samples.len() as u64;
            aggregator.refuse(RejectReason::OverLimit, samples, || {
                "the engine could not keep up".to_owned()
            });
        }
        while let Some(batch) = waiting.pop_front() {
            if batch.samples.is_empty() && batch.rejections.is_empty() && batch.stale.is_empty() {
                continue;
            }
            if let Err(error) = engine.ingest(STATSD_SOURCE, batch.clone()).await {
                tracing::warn!(%error, "samples of StatsD wait for the next interval");
                waiting.push_front(batch);
                break;
            }
        }
        if stopping {
            return;
        }
    }
}

/// Replays a recording: its past is learnt at once, the rest row by row at `speed` times its own pace.
async fn play(engine: Arc<Engine>, recording: Recording, config: ReplayConfig) {
    let player = Player {
        engine,
        recording,
        config,
    };
    if let Err(error) = player.run().await {
        tracing::error!(%error, "the recording stopped");
    }
}

struct Player {
    engine: Arc<Engine>,
    recording: Recording,
    config: ReplayConfig,
}

impl Player {
    async fn run(self) -> Result<()> {
        let order = Order::Source {
            name: REPLAY_SOURCE.into(),
            kind: "recording",
            note: format!("{}: {}", self.recording.name, self.recording.attribution),
        };
        self.tell(order).await?;
        for edge in &self.recording.edges {
            self.tell(Order::ReplayEdge(edge.clone())).await?;
        }
        let first_live = self.recording.first_live_row();
        self.learn(first_live).await?;
        let frame = &self.recording.frame;
        let mut deploys = self.recording.deploys.iter().peekable();
        for row in first_live..frame.times.len() {
            let at = frame.times[row];
            while let Some(deploy) = deploys.next_if(|d| d.at <= at) {
                self.engine.tell_deploy(deploy).await?;
                self.tell(Order::ReplayDeploy(deploy.clone())).await?;
            }
            self.engine.ingest(REPLAY_SOURCE, self.batch(row)).await?;
            self.tell(Order::ReplayAt(self.state(at, "live"))).await?;
            if let Some(next) = frame.times.get(row + 1) {
                self.wait(at, *next).await?;
            }
        }
        if let Some(last) = frame.times.last() {
            self.tell(Order::ReplayAt(self.state(*last, "finished"))).await?;
        }
        Ok(())
    }

    /// Lets the recorded time from `at` to `next` pass, faster or slower as incidents open and resolve.
    async fn wait(&self, at: Timestamp, next: Timestamp) -> Result<()> {
        let gap_ms = next.millis_since(at) as f64;
        let mut passed_ms = 0.0;
        while passed_ms < gap_ms {
            let speed = self.speed();
            let pause_secs = ((gap_ms - passed_ms) / 1000.0 / speed).min(REPLAY_BEAT.as_secs_f64());
            tokio::time::sleep(Duration::try_from_secs_f64(pause_secs).unwrap_or_default()).await;
            passed_ms += (pause_secs * 1000.0 * speed).max(1.0);
            let clock = at + (passed_ms.min(gap_ms - 1.0) as i64);
            self.tell(Order::ReplayAt(self.state(clock, "live"))).await?;
        }
        Ok(())
    }

    /// Recorded seconds per second, now.
    fn speed(&self) -> f64 {
        if self.engine.live.has_urgent_incident(REPLAY_SOURCE) {
            self.config.incident_speed
        } else {
            self.config.speed
        }
    }

    /// Everything before `first_live` goes to the detectors as history.
    async fn learn(&self, first_live: usize) -> Result<()> {
        let frame = &self.recording.frame;
        if let Some(at) = frame.times.get(first_live.saturating_sub(1)) {
            self.tell(Order::ReplayAt(self.state(*at, "history"))).await?;
        }
        self.engine
            .ingest(
                REPLAY_SOURCE,
                IngestBatch {
                    new_series: frame.series.clone(),
                    ..IngestBatch::default()
                },
            )
            .await?;
        for (index, info) in frame.series.iter().enumerate() {
            let learn = frame.samples(index, 0..first_live);
            if learn.is_empty() {
                continue;
            }
            let past = Past {
                keep: learn.clone(),
                learn,
                ..Past::default()
            };
            self.engine
                .to_shard(
                    self.engine.shard_of(info.id),
                    ShardMessage::Bootstrap { series: info.id, past },
                )
                .await?;
        }
        Ok(())
    }

    fn batch(&self, row: usize) -> IngestBatch {
        let frame = &self.recording.frame;
        let at = frame.times[row];
        let samples = frame
            .series
            .iter()
            .zip(&frame.columns)
            .filter(|(_, column)| !column[row].is_nan())
            .map(|(info, column)| Sample {
                series: info.id,
                at,
                value: column[row],
            })
            .collect();
        IngestBatch {
            samples,
            ..IngestBatch::default()
        }
    }

    fn state(&self, clock: Timestamp, phase: &str) -> Replay {
        let times = &self.recording.frame.times;
        Replay {
            name: self.recording.name.clone(),
            clock,
            starts: times.first().copied().unwrap_or_default(),
            ends: times.last().copied().unwrap_or_default(),
            speed: self.speed(),
            phase: phase.to_owned(),
        }
    }

    async fn tell(&self, order: Order) -> Result<()> {
        self.engine.orders.send(order).await.map_err(|_| super::gone())
    }
}
