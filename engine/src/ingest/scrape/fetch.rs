//! Asks a target for its metrics.

use super::exposition::{Exposition, Format, parse};
use super::{Credentials, ScrapeConfig, Target};
use crate::ingest::{reason, secret};
use futures::StreamExt as _;
use std::time::Duration;

/// What this reads, best first.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// Asks the targets of a job.
#[derive(Clone, Debug)]
pub struct Client(reqwest::Client);

impl Client {
    /// A client of a job.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(config: &ScrapeConfig) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_millis(config.timeout_ms))
            .redirect(reqwest::redirect::Policy::limited(5))
            .user_agent(concat!("halo/", env!("CARGO_PKG_VERSION")));
        client.build().map(Self).map_err(reason)
    }

    /// Asks a target; what it says, or why that is not known.
    ///
    /// # Errors
    /// One line for people, without secrets.
    pub async fn fetch(&self, config: &ScrapeConfig, target: &Target) -> Result<Exposition, String> {
        let seconds = (config.timeout_ms as f64 / 1000.0).to_string();
        let mut request = self
            .0
            .get(&target.url)
            .header("accept", ACCEPT)
            .header("x-prometheus-scrape-timeout-seconds", seconds);
        match &config.credentials {
            None => {}
            Some(Credentials::Bearer(place)) => request = request.bearer_auth(secret::read(place)?),
            Some(Credentials::Basic { username, password }) => {
                request = request.basic_auth(username, Some(secret::read(password)?));
            }
        }
        let answer = request.send().await.map_err(reason)?;
        if !answer.status().is_success() {
            return Err(format!("answered {}", answer.status()));
        }
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let format = Format::of(kind.unwrap_or_default());
        let mut body = Vec::new();
        let mut stream = answer.bytes_stream();
        while let Some(part) = stream.next().await {
            let part = part.map_err(reason)?;
            if body.len() + part.len() > config.max_body_bytes {
                return Err(format!(
                    "the answer is over {} MB: raise max_body_mb",
                    config.max_body_bytes >> 20
                ));
            }
            body.extend_from_slice(&part);
        }
        let text = std::str::from_utf8(&body).map_err(|_| "the answer is not UTF-8".to_owned())?;
        parse(text, format, config.max_samples).map_err(|error| error.to_string())
    }
}
