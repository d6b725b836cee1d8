//! `[logs]`, `[traces]`, `[otlp]`
//!
//! ```toml
//! [logs]
//! keep_hours = 24       # 0: lines are counted, and not kept
//! max_mb = 256          # the oldest go first
//! max_line_kb = 64      # of a longer line the beginning is kept
//!
//! [[logs.file]]
//! name = "checkout"
//! paths = ["/var/log/checkout/*.log"]
//! service = "checkout"     # of lines that do not say; without it the name of the file
//! read_from = "end"        # of a file that is there already, or "beginning"
//!
//! [traces]
//! keep_hours = 24
//! max_mb = 256
//! success_share = 0.1   # of the traces; spans that failed are all kept
//!
//! [otlp]
//! grpc_listen = "127.0.0.1:4317"   # or "off"
//! ```

use super::check;
use crate::ingest::log_files::LogFilesConfig;
use crate::ingest::signal::SignalLimits;
use crate::store::signals::{Keep, Retention};
use core::net::{Ipv4Addr, SocketAddr};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What is taken in and kept of logs and spans.
#[derive(Clone, Debug, PartialEq)]
pub struct SignalConfig {
    pub retention: Retention,
    pub limits: SignalLimits,
    /// Largest request after decompression.
    pub max_request_bytes: usize,
    /// Files to follow.
    pub files: Vec<LogFilesConfig>,
}

impl Default for SignalConfig {
    fn default() -> Self {
        let keep = Keep {
            age_ms: 24 * HOUR_MS,
            bytes: 256 << 20,
        };
        Self {
            retention: Retention {
                logs: keep,
                spans: keep,
            },
            limits: SignalLimits::default(),
            max_request_bytes: 64 << 20,
            files: Vec::new(),
        }
    }
}

/// Where OTLP over gRPC is listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcListen {
    Off,
    /// There, unless another program has the address: nobody asked for it.
    IfFree(SocketAddr),
    At(SocketAddr),
}

impl Default for GrpcListen {
    /// OTLP's own port, on loopback.
    fn default() -> Self {
        Self::IfFree((Ipv4Addr::LOCALHOST, 4317).into())
    }
}

impl GrpcListen {
    /// Reads `off` or an address.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let address = text.parse::<SocketAddr>();
        address
            .map(Self::At)
            .map_err(|_| format!("must be an address such as \"127.0.0.1:4317\", or \"off\", got {text:?}"))
    }
}

/// `[logs]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogs {
    /// 0: nothing is kept.
    pub keep_hours: Option<u32>,
    pub max_mb: Option<u32>,
    pub max_line_kb: Option<u32>,
    pub file: Vec<RawLogFile>,
}

/// `[[logs.file]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLogFile {
    pub name: String,
    /// `*` in the last part of a name.
    pub paths: Vec<PathBuf>,
    pub service: Option<String>,
    /// `end` (the default) or `beginning`.
    pub read_from: Option<String>,
}

/// `[traces]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTraces {
    /// 0: nothing is kept.
    pub keep_hours: Option<u32>,
    pub max_mb: Option<u32>,
    pub success_share: Option<f64>,
}

/// `[otlp]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOtlp {
    /// An address, or `off`; without it 127.0.0.1:4317, if that is free.
    pub grpc_listen: Option<String>,
}

const HOUR_MS: i64 = 3600 * 1000;

/// A year of lines is an archive, which this is not.
const MAX_HOURS: u32 = 366 * 24;

pub(super) fn signals(
    logs: &RawLogs,
    traces: &RawTraces,
    max_request_mb: Option<u32>,
    problems: &mut Vec<String>,
) -> SignalConfig {
    let mut config = SignalConfig::default();
    keep(
        "logs",
        logs.keep_hours,
        logs.max_mb,
        &mut config.retention.logs,
        problems,
    );
    keep(
        "traces",
        traces.keep_hours,
        traces.max_mb,
        &mut config.retention.spans,
        problems,
    );
    if let Some(kb) = logs.max_line_kb {
        check(problems, (1..=1024).contains(&kb), || {
            format!("logs.max_line_kb: must be 1 to 1024, got {kb}")
        });
        config.limits.max_line_bytes = kb as usize * 1024;
    }
    config.files = log_files(&logs.file, problems);
    if let Some(share) = traces.success_share {
        check(problems, (0.0..=1.0).contains(&share), || {
            format!("traces.success_share: must be 0 to 1, got {share}")
        });
        config.limits.success_share = share;
    }
    if let Some(mb) = max_request_mb {
        check(problems, (1..=512).contains(&mb), || {
            format!("limits.max_request_mb: must be 1 to 512, got {mb}")
        });
        config.max_request_bytes = mb as usize * 1024 * 1024;
    }
    config
}

fn log_files(raw: &[RawLogFile], problems: &mut Vec<String>) -> Vec<LogFilesConfig> {
    let mut names = BTreeSet::new();
    let sections = raw.iter().enumerate().map(|(index, raw)| {
        let place = match raw.name.as_str() {
            "" => format!("logs.file[{index}]"),
            name => format!("logs.file {name:?}"),
        };
        check(problems, !raw.name.is_empty(), || format!("{place}.name: needs a name"));
        check(problems, names.insert(raw.name.clone()), || {
            format!("{place}.name: two sections have this name")
        });
        check(problems, !raw.paths.is_empty(), || {
            format!("{place}.paths: needs at least one, such as \"/var/log/app/*.log\"")
        });
        for path in &raw.paths {
            let folder = path.parent().map(|folder| folder.to_string_lossy().into_owned());
            let is_meant = path.is_absolute() && !folder.is_some_and(|folder| folder.contains('*'));
            check(problems, is_meant, || {
                format!(
                    "{place}.paths: must begin with / and have * in the last part only, got {}",
                    path.display()
                )
            });
        }
        let from = raw.read_from.as_deref().unwrap_or("end");
        check(problems, matches!(from, "end" | "beginning"), || {
            format!("{place}.read_from: must be end or beginning, got {from:?}")
        });
        LogFilesConfig {
            name: raw.name.clone(),
            paths: raw.paths.clone(),
            service: raw.service.clone().filter(|service| !service.is_empty()),
            from_beginning: from == "beginning",
        }
    });
    sections.collect()
}

pub(super) fn grpc(raw: &RawOtlp, problems: &mut Vec<String>) -> GrpcListen {
    match raw.grpc_listen.as_deref().map(GrpcListen::parse) {
        None => GrpcListen::default(),
        Some(Ok(listen)) => listen,
        Some(Err(problem)) => {
            problems.push(format!("otlp.grpc_listen: {problem}"));
            GrpcListen::Off
        }
    }
}

fn keep(section: &str, hours: Option<u32>, max_mb: Option<u32>, keep: &mut Keep, problems: &mut Vec<String>) {
    if let Some(hours) = hours {
        check(problems, hours <= MAX_HOURS, || {
            format!("{section}.keep_hours: must be at most {MAX_HOURS}, got {hours}")
        });
        keep.age_ms = i64::from(hours) * HOUR_MS;
    }
    if let Some(mb) = max_mb {
        check(problems, mb > 0, || {
            format!("{section}.max_mb: must be above 0; {section}.keep_hours = 0 keeps nothing")
        });
        keep.bytes = u64::from(mb) << 20;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RawConfig};
    use crate::error::Error;

    fn config(text: &str) -> Result<Config, Error> {
        RawConfig::parse(text).and_then(Config::try_from)
    }

    #[test]
    fn what_is_said_is_done() {
        let empty = config("").unwrap();
        assert_eq!(
            (empty.signals, empty.otlp_grpc),
            (SignalConfig::default(), GrpcListen::default())
        );
        let said = config(
            "[logs]\nkeep_hours = 2\nmax_mb = 7\nmax_line_kb = 1\n\
             [[logs.file]]\nname = \"app\"\npaths = [\"/var/log/app/*.log\"]\nread_from = \"beginning\"\n[traces]\nkeep_hours = 0\nsuccess_share = 1.0\n\
             [otlp]\ngrpc_listen = \"[::1]:4000\"\n[limits]\nmax_request_mb = 1\n",
        )
        .unwrap();
        assert_eq!(
            said.signals.retention.logs,
            Keep {
                age_ms: 2 * HOUR_MS,
                bytes: 7 << 20
            }
        );
        assert_eq!(said.signals.retention.spans.age_ms, 0);
        let expected = LogFilesConfig {
            name: "app".to_owned(),
            paths: vec!["/var/log/app/*.log".into()],
            service: None,
            from_beginning: true,
        };
        assert_eq!(said.signals.files, [expected]);
        assert_eq!(
            (said.signals.limits.max_line_bytes, said.signals.max_request_bytes),
            (1024, 1 << 20)
        );
        assert!(said.signals.limits.success_share >= 1.0);
        assert_eq!(said.otlp_grpc, GrpcListen::At("[::1]:4000".parse().unwrap()));
        assert_eq!(
            config("[otlp]\ngrpc_listen = \"off\"\n").unwrap().otlp_grpc,
            GrpcListen::Off
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        let text = "[logs]\nkeep_hours = 100000\nmax_mb = 0\nmax_line_kb = 0\n\
                    [[logs.file]]\nread_from = \"top\"\n[[logs.file]]\nname = \"a\"\npaths = [\"a/*/b.log\"]\n\
                    [[logs.file]]\nname = \"a\"\npaths = [\"/b.log\"]\n[traces]\nmax_mb = 0\nsuccess_share = 1.5\n\
                    [otlp]\ngrpc_listen = \"4317\"\n[limits]\nmax_request_mb = 0\n";
        let Err(Error::Config(problems)) = config(text) else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems.iter().filter_map(|p| p.split(':').next()).collect();
        let expected = [
            "logs.keep_hours",
            "logs.max_mb",
            "traces.max_mb",
            "logs.max_line_kb",
            "logs.file[0].name",
            "logs.file[0].paths",
            "logs.file[0].read_from",
            "logs.file \"a\".paths",
            "logs.file \"a\".name",
            "traces.success_share",
            "limits.max_request_mb",
            "otlp.grpc_listen",
        ];
        assert_eq!(fields, expected);
    }
}
