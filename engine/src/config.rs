//! What a person may set, checked once.
//!
//! [`RawConfig`] is what `halo.toml` says; [`Config::try_from`] checks all of it and lists every problem, each with its
//! dotted field. Everything has a safe default, so an empty file is a valid configuration.

mod cloudwatch;
mod context;
mod detector;
mod kafka;
mod kubernetes;
mod limits;
mod models;
mod notify;
mod receivers;
mod scrape;
mod signals;

pub use cloudwatch::RawCloudwatch;
pub use context::{OneOrMany, RawCalendar, RawEvidence, RawEvidenceTable, RawSeries, RawTime, RawWindow};
pub use kafka::RawKafka;
pub use kubernetes::RawKubernetes;
pub use limits::{LimitConfig, RawLimits};
pub use models::RawModels;
pub use notify::{RawChannel, RawEscalation, RawNotify, RawOverride, RawRoute, RawSchedule, RawTeam};
pub use receivers::{RawSecret, RawStatsd, RawWebhooks, SecretPlace, WebhookSecrets};
pub use scrape::{RawBasic, RawScrape};
pub(crate) use scrape::{is_address, is_label};
pub use signals::{GrpcListen, RawLogs, RawOtlp, RawTraces, SignalConfig};

use crate::context::ContextConfig;
use crate::detect::DetectConfig;
use crate::error::Error;
use crate::ingest::changes::kubernetes::client::KubernetesConfig;
use crate::ingest::cloudwatch::poll::CloudwatchConfig;
use crate::ingest::kafka::KafkaConfig;
use crate::ingest::scrape::ScrapeConfig;
use crate::ingest::statsd::StatsdConfig;
use crate::learn::Weekly;
use crate::notify::NotifyConfig;
use crate::pipeline::BrainConfig;
use serde::Deserialize;
use std::path::PathBuf;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Database, log and history live here.
    pub data_dir: PathBuf,
    /// Shard threads; each owns a part of the series.
    pub shards: usize,
    pub detect: DetectConfig,
    pub brain: BrainConfig,
    /// Maintenance, expected events, holidays, settings of single series.
    pub context: ContextConfig,
    /// A recording to replay beside the live sources.
    pub replay: Option<ReplayConfig>,
    /// Watch this host; milliseconds between two looks. `None`: off.
    pub host_interval_ms: Option<u64>,
    /// Base URL that playbook webhooks are sent to. `None`: proposals are shown, but cannot be approved.
    pub webhook_base: Option<String>,
    /// Memory for the verdicts shown in drill-downs, all series together.
    pub verdict_bytes: usize,
    /// Samples that may wait between log and shards before senders are told to slow down.
    pub queue_samples: usize,
    /// Most series of all sources together.
    pub max_series: usize,
    /// What protects the engine from its senders.
    pub limits: LimitConfig,
    /// How long raw samples are kept.
    pub retention_ms: i64,
    /// What is taken in and kept of logs and spans, and the limit of a request.
    pub signals: SignalConfig,
    /// Where OTLP over gRPC is listened for.
    pub otlp_grpc: GrpcListen,
    /// When models are trained on the history kept; `None`: only on command.
    pub train_weekly: Option<Weekly>,
    /// Gradient steps of such a training at most.
    pub training_steps: usize,
    /// Where the secrets of signed webhooks are.
    pub webhooks: WebhookSecrets<SecretPlace>,
    /// Listen for StatsD. `None`: off.
    pub statsd: Option<StatsdConfig>,
    /// Topics of Kafka to read.
    pub kafka: Vec<KafkaConfig>,
    /// Regions of CloudWatch to ask.
    pub cloudwatch: Vec<CloudwatchConfig>,
    /// A cluster whose rollouts are changes. `None`: off.
    pub kubernetes: Option<KubernetesConfig>,
    /// Whose `/metrics` are asked for.
    pub scrape: Vec<ScrapeConfig>,
    /// Whom to tell of incidents.
    pub notify: NotifyConfig,
}

/// How to replay a recording.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// Folder of the recording; `None`: the bundled one.
    pub path: Option<PathBuf>,
    /// Recorded seconds per second.
    pub speed: f64,
    /// The same while an urgent incident (P1 or P2) of the recording is open: slow enough for a person to look and decide.
    pub incident_speed: f64,
}

impl ReplayConfig {
    /// Replays `path` (`None`: the bundled recording) at `speed`, and at a twentieth of it during incidents.
    pub fn new(path: Option<PathBuf>, speed: f64) -> Self {
        Self {
            path,
            speed,
            incident_speed: speed / 20.0,
        }
    }

    /// The same at one speed throughout: for tests, which decide in no time.
    #[must_use]
    pub fn at_one_speed(mut self) -> Self {
        self.incident_speed = self.speed;
        self
    }
}

impl Config {
    /// Safe defaults with a data directory.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            shards: std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 16),
            detect: DetectConfig::default(),
            brain: BrainConfig::default(),
            context: ContextConfig::default(),
            replay: None,
            host_interval_ms: None,
            webhook_base: None,
            verdict_bytes: 32 << 20,
            queue_samples: 4 << 20,
            max_series: 1_000_000,
            limits: LimitConfig::default(),
            retention_ms: 31 * 24 * 3600 * 1000,
            signals: SignalConfig::default(),
            otlp_grpc: GrpcListen::Off,
            train_weekly: Some(Weekly::default()),
            training_steps: 200,
            webhooks: WebhookSecrets::default(),
            statsd: None,
            kafka: Vec::new(),
            cloudwatch: Vec::new(),
            kubernetes: None,
            scrape: Vec::new(),
            notify: NotifyConfig::default(),
        }
    }
}

/// `halo.toml`, field by field. Unknown fields are errors: a typo must not become a silent default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    pub data_dir: Option<PathBuf>,
    pub shards: Option<usize>,
    pub detect: RawDetect,
    pub host: RawHost,
    pub replay: Option<RawReplay>,
    pub act: RawAct,
    pub limits: RawLimits,
    pub maintenance: Vec<RawWindow>,
    pub expected: Vec<RawWindow>,
    pub series: Vec<RawSeries>,
    pub calendar: RawCalendar,
    pub models: RawModels,
    pub logs: RawLogs,
    pub traces: RawTraces,
    pub otlp: RawOtlp,
    pub webhooks: RawWebhooks,
    pub statsd: Option<RawStatsd>,
    pub kafka: Vec<RawKafka>,
    pub cloudwatch: Vec<RawCloudwatch>,
    pub kubernetes: Option<RawKubernetes>,
    pub scrape: Vec<RawScrape>,
    pub notify: RawNotify,
}

/// `[detect]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDetect {
    /// False alerts per series and day to aim for; default 0.01.
    pub false_alerts_per_series_per_day: Option<f64>,
    pub fast: RawFast,
}

/// `[detect.fast]`: provisional signals within one sample.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFast {
    /// Whether metrics about errors use it; default true.
    pub enabled: Option<bool>,
    /// So many times the baseline; default 3.
    pub factor: Option<f64>,
    /// Meant over so many seconds; default 30.
    pub window_secs: Option<u32>,
    /// Within so many seconds the ensemble confirms, or the signal is dropped; default 60.
    pub confirm_secs: Option<u32>,
    /// Fewer events in the window prove nothing; default 5.
    pub min_events: Option<f64>,
}

/// `[host]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawHost {
    /// Watch the machine Halo runs on; default true.
    pub enabled: Option<bool>,
    pub interval_secs: Option<u64>,
}

/// `[replay]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawReplay {
    pub path: PathBuf,
    /// Recorded seconds per second; default 300. A twentieth of it while an urgent incident of the recording is open.
    pub speed: Option<f64>,
}

/// `[act]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawAct {
    /// Base URL that playbook webhooks are sent to.
    pub webhook_base: Option<String>,
}

impl RawConfig {
    /// Reads TOML.
    ///
    /// # Errors
    /// [`Error::Config`] with line and column of the first problem.
    pub fn parse(text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|e| Error::Config(vec![e.to_string().trim_end().replace('\n', " ")]))
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Error;

    fn try_from(raw: RawConfig) -> Result<Self, Error> {
        let mut problems = Vec::new();
        let mut config = Self::new(raw.data_dir.unwrap_or_else(|| PathBuf::from("halo-data")));
        if let Some(shards) = raw.shards {
            check(&mut problems, (1..=256).contains(&shards), || {
                format!("shards: must be 1 to 256, got {shards}")
            });
            config.shards = shards;
        }
        if let Some(rate) = raw.detect.false_alerts_per_series_per_day {
            check(&mut problems, rate > 0.0 && rate <= 100.0, || {
                format!("detect.false_alerts_per_series_per_day: must be above 0 and at most 100, got {rate}")
            });
            config.detect.false_alerts_per_series_per_day = rate;
        }
        config.detect.fast = detector::fast(&raw.detect.fast, &mut problems);
        if raw.host.enabled.unwrap_or(true) {
            let secs = raw.host.interval_secs.unwrap_or(5);
            check(&mut problems, (1..=3600).contains(&secs), || {
                format!("host.interval_secs: must be 1 to 3600, got {secs}")
            });
            config.host_interval_ms = Some(secs.saturating_mul(1000));
        }
        if let Some(replay) = raw.replay {
            let speed = replay.speed.unwrap_or(300.0);
            check(&mut problems, speed.is_finite() && speed > 0.0, || {
                format!("replay.speed: must be above 0, got {speed}")
            });
            config.replay = Some(ReplayConfig::new(Some(replay.path), speed));
        }
        if let Some(base) = raw.act.webhook_base {
            check(&mut problems, is_http(&base), || {
                format!("act.webhook_base: must start with http:// or https://, got {base:?}")
            });
            let authority = base.split("://").nth(1).and_then(|rest| rest.split('/').next());
            check(&mut problems, authority.is_none_or(|a| !a.contains('@')), || {
                "act.webhook_base: must hold no user name or password, as every dry run shows it".to_owned()
            });
            config.webhook_base = Some(base);
        }
        config.signals = signals::signals(&raw.logs, &raw.traces, raw.limits.max_request_mb, &mut problems);
        limits::limits(&raw.limits, &mut config, &mut problems);
        config.otlp_grpc = signals::grpc(&raw.otlp, &mut problems);
        config.webhooks = receivers::webhooks(raw.webhooks, &mut problems);
        config.statsd = raw.statsd.and_then(|raw| receivers::statsd(raw, &mut problems));
        config.kafka = kafka::kafka(raw.kafka, &mut problems);
        config.cloudwatch = cloudwatch::cloudwatch(raw.cloudwatch, &mut problems);
        config.kubernetes = raw.kubernetes.map(|raw| kubernetes::kubernetes(raw, &mut problems));
        config.scrape = scrape::scrape(raw.scrape, &mut problems);
        config.notify = notify::notify(raw.notify, &mut problems);
        config.train_weekly = models::schedule(&raw.models, &mut problems);
        config.context = context::context(raw.maintenance, raw.expected, raw.series, raw.calendar, &mut problems);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Error::Config(problems))
        }
    }
}

fn check(problems: &mut Vec<String>, ok: bool, message: impl FnOnce() -> String) {
    if !ok {
        problems.push(message());
    }
}

/// Whether an address is one that can be asked.
fn is_http(address: &str) -> bool {
    address.starts_with("http://") || address.starts_with("https://")
}

/// Reads the tables `[[table]]` by `one`, each a source with a name of its own.
fn tables<R, C>(
    table: &str,
    all: Vec<R>,
    one: impl Fn(R, &mut Vec<String>) -> C,
    name: impl Fn(&C) -> &str,
    problems: &mut Vec<String>,
) -> Vec<C> {
    let mut configs: Vec<C> = Vec::new();
    for (index, raw) in all.into_iter().enumerate() {
        let mut found = Vec::new();
        let config = one(raw, &mut found);
        let own = name(&config);
        check(&mut found, configs.iter().all(|other| name(other) != own), || {
            format!("name: {own:?} is another source already; give each [[{table}]] its own")
        });
        problems.extend(found.into_iter().map(|problem| format!("{table}[{index}].{problem}")));
        configs.push(config);
    }
    configs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_a_configuration() {
        let config = Config::try_from(RawConfig::parse("").unwrap()).unwrap();
        assert!(config.shards >= 1 && config.host_interval_ms == Some(5000) && config.replay.is_none());
    }

    #[test]
    fn every_problem_is_listed() {
        let raw = RawConfig::parse(
            "shards = 0\n[detect]\nfalse_alerts_per_series_per_day = -1.0\n[act]\nwebhook_base = \"ftp://x\"\n[limits]\nmax_series = 0\n",
        )
        .unwrap();
        let Err(Error::Config(problems)) = Config::try_from(raw) else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems
            .iter()
            .map(|p| p.split(':').next().unwrap_or_default())
            .collect();
        assert_eq!(
            fields,
            [
                "shards",
                "detect.false_alerts_per_series_per_day",
                "act.webhook_base",
                "limits.max_series"
            ]
        );
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let raw = RawConfig::parse("[act]\nwebhook_base = \"https://ops:s3cret@hooks.example\"\n").unwrap();
        let Err(Error::Config(problems)) = Config::try_from(raw) else {
            panic!("must not be accepted")
        };
        assert!(
            problems[0].contains("act.webhook_base") && !problems[0].contains("s3cret"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_typo_is_an_error() {
        let error = RawConfig::parse("shard = 2\n").unwrap_err().to_string();
        assert!(error.contains("shard") && error.contains("line 1"), "{error}");
    }
}
