//! Asks CloudWatch: signed requests, tried again with growing pauses where AWS says that they come too fast.

use super::credentials;
use super::poll::{CloudwatchConfig, Metrics, Question, next_token};
use super::sign::{Service, signature};
use crate::clock::Clock;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// A question is asked so often before it is given up until the next period.
const TRIES: u32 = 6;

/// The pause after the first try; doubled after each.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Largest answer. One with 100,800 values, the most that CloudWatch gives, has 4 MB.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// Pages of one answer at most: a server that always names another must not keep this busy for ever.
const MAX_PAGES: usize = 1000;

const TYPE: &str = "application/x-amz-json-1.0";

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("{0}")]
    Credentials(String),
    #[error("{operation} was refused with {status} {kind}: {message}")]
    Refused {
        operation: &'static str,
        status: u16,
        kind: String,
        message: String,
    },
    #[error("{operation} has no answer: {problem}")]
    NoAnswer { operation: &'static str, problem: String },
    #[error("{0}")]
    Malformed(String),
}

impl AskError {
    /// Whether the same may be answered in a moment.
    fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Refused { status, kind, .. } => {
                *status >= 500 || *status == 429 || ["Throttl", "LimitExceeded"].iter().any(|word| kind.contains(word))
            }
            Self::Credentials(_) | Self::Malformed(_) => false,
        }
    }
}

/// A region's API.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    config: CloudwatchConfig,
    endpoint: String,
    clock: Arc<dyn Clock>,
    first_pause: Duration,
}

/// What AWS says of a request that it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "__type")]
    kind: String,
    #[serde(alias = "Message")]
    message: String,
}

impl Client {
    /// A client for the region of `config`.
    ///
    /// # Errors
    /// If the system has no TLS.
    pub fn new(config: &CloudwatchConfig, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .connect_timeout(Duration::from_secs(10))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        let usual = || monitoring(&config.region).endpoint();
        Ok(Self {
            http,
            endpoint: config.endpoint.clone().unwrap_or_else(usual),
            config: config.clone(),
            clock,
            first_pause: FIRST_PAUSE,
        })
    }

    /// Every metric of the namespaces, all pages.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn metrics(&self) -> Result<Metrics, AskError> {
        let mut metrics = Metrics::default();
        for namespace in &self.config.namespaces {
            let mut token = None;
            for _ in 0..MAX_PAGES {
                let body = self.config.list(namespace, token.as_deref());
                let page = self.ask("ListMetrics", &body).await?;
                token = metrics.add(&page, &self.config).map_err(AskError::Malformed)?;
                if token.is_none() {
                    break;
                }
            }
        }
        Ok(metrics)
    }

    /// All pages of the answer to a question.
    ///
    /// # Errors
    /// [`AskError`]
    pub async fn data(&self, question: &Question<'_>) -> Result<Vec<Vec<u8>>, AskError> {
        let (mut pages, mut token) = (Vec::new(), None);
        while pages.len() < MAX_PAGES {
            let page = self.ask("GetMetricData", &question.body(token.as_deref())).await?;
            token = next_token(&page);
            pages.push(page);
            if token.is_none() {
                break;
            }
        }
        Ok(pages)
    }

    async fn ask(&self, operation: &'static str, body: &Value) -> Result<Vec<u8>, AskError> {
        let body = body.to_string();
        let mut pause = self.first_pause;
        for _ in 1..TRIES {
            match self.ask_once(operation, &body).await {
                Err(error) if error.may_pass() => tracing::debug!(%error, "AWS is asked again"),
                answer => return answer,
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        self.ask_once(operation, &body).await
    }

    async fn ask_once(&self, operation: &'static str, body: &str) -> Result<Vec<u8>, AskError> {
        let no_answer = |error: reqwest::Error| AskError::NoAnswer {
            operation,
            problem: causes(&error),
        };
        let target = format!("GraniteServiceVersion20100801.{operation}");
        let keys = credentials::read(&self.config.credentials).map_err(AskError::Credentials)?;
        let service = monitoring(&self.config.region);
        let headers = [("content-type", TYPE), ("x-amz-target", target.as_str())];
        let signature = signature(service, &self.endpoint, &headers, body, keys, self.clock.now())
            .map_err(AskError::Credentials)?;
        let mut request = self
            .http
            .post(&self.endpoint)
            .header("content-type", TYPE)
            .header("x-amz-target", target);
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let mut response = request.body(body.to_owned()).send().await.map_err(no_answer)?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(part) = response.chunk().await.map_err(no_answer)? {
            answer.extend_from_slice(&part);
            if answer.len() > MAX_ANSWER_BYTES {
                return Err(AskError::Malformed(format!(
                    "{operation} was answered with more than {MAX_ANSWER_BYTES} bytes"
                )));
            }
        }
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Problem = serde_json::from_slice(&answer).unwrap_or_default();
        Err(AskError::Refused {
            operation,
            status: status.as_u16(),
            kind: problem.kind.rsplit('#').next().unwrap_or_default().to_owned(),
            message: problem.message,
        })
    }
}

fn monitoring(region: &str) -> Service<'_> {
    Service {
        name: "monitoring",
        region,
    }
}

/// An error with what caused it: the outermost says only that the request failed.
fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests;
