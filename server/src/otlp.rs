//! OTLP's answers, which HTTP and gRPC share: what became of a request, and why one was not taken.

pub mod grpc;

use crate::http::listed;
use engine::Error;
use engine::ingest::RejectReason;
use engine::ingest::loki::LokiError;
use engine::ingest::otlp::Encoding;
use engine::pipeline::{IngestReport, Payload, TakeError};
use prost::Message;
use serde_json::{Value, json};

/// Seconds after which a sender that was told to come later may.
pub(crate) const RETRY_SECONDS: i64 = 1;

/// The three kinds of telemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    Logs,
    Traces,
}

impl Signal {
    pub(crate) const fn payload(self, encoding: Encoding) -> Payload {
        match self {
            Self::Metrics => Payload::OtlpMetrics(encoding),
            Self::Logs => Payload::OtlpLogs(encoding),
            Self::Traces => Payload::OtlpSpans(encoding),
        }
    }

    /// What of it is refused, as JSON has it.
    const fn rejected_key(self) -> &'static str {
        match self {
            Self::Metrics => "rejectedDataPoints",
            Self::Logs => "rejectedLogRecords",
            Self::Traces => "rejectedSpans",
        }
    }

    pub(crate) const fn records(self) -> &'static str {
        match self {
            Self::Metrics => "samples",
            Self::Logs => "log records",
            Self::Traces => "spans",
        }
    }
}

/// `Export…ServiceResponse` of any signal: their numbers are the same.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub(crate) partial_success: Option<PartialSuccess>,
}

/// A part was not taken, and must not be sent again; or, with nothing refused, a warning.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub(crate) rejected: i64,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<Any>,
}

/// `google.protobuf.Any`
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) value: Vec<u8>,
}

/// `google.rpc.RetryInfo` with its `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

impl ExportResponse {
    pub(crate) fn new(signal: Signal, report: &IngestReport) -> Self {
        Self {
            partial_success: problems(report, signal.records())
                .map(|(rejected, message)| PartialSuccess { rejected, message }),
        }
    }

    pub(crate) fn json(&self, signal: Signal) -> Value {
        match &self.partial_success {
            None => json!({}),
            Some(partial) => json!({"partialSuccess": {
                signal.rejected_key(): partial.rejected.to_string(), "errorMessage": partial.message
            }}),
        }
    }
}

impl Status {
    pub(crate) fn json(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }

    /// With the wish that it is sent again.
    pub(crate) fn with_retry(mut self) -> Self {
        let info = RetryInfo {
            delay: Some(Delay { seconds: RETRY_SECONDS }),
        };
        self.details.push(Any {
            type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(),
            value: info.encode_to_vec(),
        });
        self
    }
}

/// Why a request was not taken, on the scale that gRPC and `google.rpc.Status` share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: tonic::Code,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: tonic::Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    pub(crate) fn status(&self) -> Status {
        Status {
            code: self.code as i32,
            message: self.message.clone(),
            details: Vec::new(),
        }
    }
}

impl From<TakeError> for Refusal {
    fn from(error: TakeError) -> Self {
        let code = match &error {
            TakeError::Loki(LokiError::TooLarge { .. }) => tonic::Code::ResourceExhausted,
            TakeError::Engine(Error::Unavailable(_)) => tonic::Code::Unavailable,
            TakeError::Engine(_) => tonic::Code::Internal,
            _ => tonic::Code::InvalidArgument,
        };
        Self::new(code, error.to_string())
    }
}

/// How many of a request's records a sender must hear were refused, and why; without such, a warning of what was cut.
pub(crate) fn problems(report: &IngestReport, records: &str) -> Option<(i64, String)> {
    let refused: Vec<_> = report.rejections.iter().filter(|r| r.reason.is_error()).collect();
    let count: u64 = refused.iter().map(|r| r.samples).sum();
    let mut message = format!("{count} of {} {records} refused", count + report.accepted);
    let cut = report.rejections.iter().find(|r| r.reason == RejectReason::Truncated);
    let shown = match (refused.as_slice(), cut) {
        ([], None) => return None,
        ([], Some(cut)) => {
            message = format!("{} of {} {records} cut", cut.samples, report.accepted);
            vec![cut]
        }
        (refused, _) => refused.to_vec(),
    };
    let message = format!("{message}: {}", listed(shown));
    Some((i64::try_from(count).unwrap_or(i64::MAX), message))
}
