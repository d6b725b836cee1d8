//! Raw samples of a Prometheus, Thanos, Mimir or VictoriaMetrics, by the query API that all of them have.
//!
//! `selector[6h]` at an instant answers with the samples themselves, span by span. A span that is too much for the other side is
//! halved; what may pass is tried again; not more requests a second than was said.

use anyhow::{Context as _, Result, bail, ensure};
use engine::promql::{QueryError, Selector};
use engine::series::{Labels, Metadata, MetricType};
use futures::StreamExt as _;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;
use wire::Timestamp;

/// A larger answer is asked for in parts.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// Tries of a request, and the pause before the second; doubled each time.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(500);

/// No answer within this time counts as a failure that may pass.
const PATIENCE: Duration = Duration::from_secs(120);

/// Samples of each series.
pub(crate) type Past = Vec<(Labels, Vec<(Timestamp, f64)>)>;

/// Whoever has the history.
#[derive(Debug)]
pub(crate) struct Origin {
    client: reqwest::Client,
    base: String,
    token: Option<String>,
    /// Between two requests.
    pause: Duration,
}

/// What became of a request.
#[derive(Debug)]
enum Failure {
    /// Ask for less at once.
    TooMuch(String),
    /// Ask again later.
    Passing(String, Option<Duration>),
    Final(String),
}

#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    error: String,
    data: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Matrix {
    result: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    metric: BTreeMap<String, String>,
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Described {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    help: String,
    #[serde(default)]
    unit: String,
}

impl Origin {
    /// Asks `base`, below which `/api/v1/query` is, at most `rate` times a second.
    pub(crate) fn new(base: &str, token: Option<String>, rate: f64) -> Result<Self> {
        ensure!(
            base.starts_with("http://") || base.starts_with("https://"),
            "--from: must start with http:// or https://, got {base:?}"
        );
        ensure!(rate.is_finite() && rate > 0.0, "--rate: must be above 0, got {rate}");
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            .user_agent(concat!("halo/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            token,
            pause: Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::from_secs(60)),
        })
    }

    /// What the other side has declared of its metrics. Not all of them know this: then nothing.
    pub(crate) async fn types(&self) -> BTreeMap<String, Metadata> {
        let Ok(data) = self.ask("metadata", &[]).await else {
            return BTreeMap::new();
        };
        let described: BTreeMap<String, Vec<Described>> = serde_json::from_value(data).unwrap_or_default();
        let one = |(name, described): (String, Vec<Described>)| {
            let described = described.first()?;
            let kind = MetricType::of_word(&described.kind)?;
            Some((name, Metadata::new(kind, &described.help, &described.unit)))
        };
        described.into_iter().filter_map(one).collect()
    }

    /// The samples after `from` up to and including `to`. `None`: it is too much for the other side; ask for less.
    ///
    /// # Errors
    /// If asking again would not help.
    pub(crate) async fn samples(&self, selector: &str, from: Timestamp, to: Timestamp) -> Result<Option<Past>> {
        let query = format!("{selector}[{}ms]", to.millis_since(from));
        let time = format!("{:.3}", to.as_secs_f64());
        let parameters = [("query", query.as_str()), ("time", time.as_str())];
        let data = match self.ask("query", &parameters).await {
            Ok(data) => data,
            Err(Failure::TooMuch(reason)) => {
                tracing::debug!(%reason, "less is asked for at once");
                return Ok(None);
            }
            Err(Failure::Passing(reason, _) | Failure::Final(reason)) => bail!("{reason}: {}", self.base),
        };
        let matrix: Matrix = serde_json::from_value(data).context("the answer holds no samples")?;
        let one = |row: Row| {
            let values = row.values.into_iter().filter_map(|(secs, value)| {
                let at = Timestamp((secs * 1000.0).round() as i64);
                // Older versions count the beginning as well.
                (at > from).then(|| Some((at, value.parse().ok()?))).flatten()
            });
            (Labels::new(row.metric.into_iter().collect()), values.collect())
        };
        Ok(Some(matrix.result.into_iter().map(one).collect()))
    }

    /// Asks until there is an answer, or none to be had.
    async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<serde_json::Value, Failure> {
        let mut pause = PAUSE;
        let mut tries = 1;
        loop {
            tokio::time::sleep(self.pause).await;
            match self.ask_once(path, parameters).await {
                Err(Failure::Passing(reason, after)) if tries < TRIES => {
                    tracing::warn!(%reason, "it is tried again");
                    tokio::time::sleep(after.unwrap_or(pause).min(Duration::from_secs(60))).await;
                    pause *= 2;
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    async fn ask_once(&self, path: &str, parameters: &[(&str, &str)]) -> Result<serde_json::Value, Failure> {
        let address = format!("{}/api/v1/{path}", self.base);
        let mut request = match parameters {
            [] => self.client.get(address),
            // A form, since selectors may be long.
            parameters => self.client.post(address).form(parameters),
        };
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let passing = |error: reqwest::Error| Failure::Passing(error.to_string(), None);
        let answer = request.send().await.map_err(passing)?;
        let status = answer.status();
        let after = answer
            .headers()
            .get("retry-after")
            .and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        let mut body = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(part) = stream.next().await {
            let part = part.map_err(passing)?;
            if body.len() + part.len() > MAX_ANSWER_BYTES {
                return Err(Failure::TooMuch(format!("an answer of over {MAX_ANSWER_BYTES} bytes")));
            }
            body.extend_from_slice(&part);
        }
        judge(status.as_u16(), after, &body)
    }
}

/// What an answer means.
fn judge(status: u16, after: Option<Duration>, body: &[u8]) -> Result<serde_json::Value, Failure> {
    let envelope: Option<Envelope> = serde_json::from_slice(body).ok();
    let told = || match &envelope {
        Some(envelope) if !envelope.error.is_empty() => envelope.error.clone(),
        _ => String::from_utf8_lossy(body).chars().take(200).collect(),
    };
    match status {
        200 => match envelope {
            Some(Envelope {
                status,
                data: Some(data),
                ..
            }) if status == "success" => Ok(data),
            _ => Err(Failure::Final(format!("no answer of a query API: {:.200}", told()))),
        },
        429 => Err(Failure::Passing(format!("answered 429: {}", told()), after)),
        // Prometheus says 422, Mimir 422 or 413, VictoriaMetrics 422 or 400, of too many samples or series.
        400 | 413 | 422 if is_too_much(&told()) || status == 413 => Err(Failure::TooMuch(told())),
        503 if is_too_much(&told()) => Err(Failure::TooMuch(told())),
        500.. => Err(Failure::Passing(format!("answered {status}: {}", told()), after)),
        _ => Err(Failure::Final(format!("answered {status}: {}", told()))),
    }
}

fn is_too_much(message: &str) -> bool {
    let message = message.to_lowercase();
    let words = [
        "too many",
        "exceed",
        "limit",
        "maxsamples",
        "timed out",
        "timeout",
        "too large",
    ];
    words.iter().any(|word| message.contains(word))
}

/// A selector that the other side is going to be asked for, checked before anything is asked.
pub(crate) fn check_selector(text: &str) -> Result<()> {
    match Selector::parse(text, Timestamp(0), Timestamp(0)) {
        Ok(_) => Ok(()),
        Err(QueryError::BadData(problem) | QueryError::Execution(problem)) => bail!("--match: {problem}"),
        Err(error) => bail!("--match: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let kind = |status, body: &str| match judge(status, None, body.as_bytes()) {
            Ok(_) => "data",
            Err(Failure::TooMuch(_)) => "too much",
            Err(Failure::Passing(..)) => "passing",
            Err(Failure::Final(_)) => "final",
        };
        let error =
            |message: &str| format!("{{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"{message}\"}}");
        assert_eq!(kind(200, "{\"status\":\"success\",\"data\":{\"result\":[]}}"), "data");
        assert_eq!(kind(200, "<html>"), "final");
        let prometheus = "query processing would load too many samples into memory in query execution";
        assert_eq!(kind(422, &error(prometheus)), "too much");
        let mimir = "the query exceeded the maximum number of chunks (err-mimir-max-chunks-per-query)";
        assert_eq!(kind(422, &error(mimir)), "too much");
        assert_eq!(
            kind(503, &error("query timed out in expression evaluation")),
            "too much"
        );
        assert_eq!(kind(503, "upstream connect error"), "passing");
        assert_eq!(kind(429, ""), "passing");
        assert_eq!(kind(401, "no"), "final");
        assert_eq!(kind(400, &error("parse error")), "final");
    }

    #[test]
    fn a_selector_is_checked_before_it_is_sent() {
        assert!(check_selector("{job=\"node\"}").is_ok());
        for bad in ["rate(x[5m])", "x[5m]", "{job=", "x offset 5m"] {
            assert!(
                check_selector(bad).unwrap_err().to_string().starts_with("--match"),
                "{bad}"
            );
        }
        assert!(Origin::new("prometheus:9090", None, 1.0).is_err());
        assert!(Origin::new("http://prometheus:9090/", None, 0.0).is_err());
    }
}
