//! Sends what was rendered: HTTP by `reqwest`, mail by `lettre`. Each try has its time limit; whether another makes sense is told.

mod mail;

use super::render::{Aws, HttpRequest, Outgoing, render};
use super::{NotifyConfig, Parcel, Sent, template};
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::ingest::cloudwatch::credentials;
use crate::ingest::cloudwatch::sign::{Service, signature};
use crate::ingest::{reason, secret};
use std::sync::Arc;
use std::time::Duration;

/// The longest a try may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Bytes of an answer that are read; what matters stands at its beginning.
const MAX_ANSWER: usize = 4096;

/// Bytes of an answer that are shown.
const SHOWN: usize = 200;

/// Sends messages.
#[derive(Clone, Debug)]
pub struct Sender {
    client: reqwest::Client,
    config: Arc<NotifyConfig>,
    clock: Arc<dyn Clock>,
}

impl Sender {
    /// A sender for the channels of a configuration.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the TLS library cannot be started.
    pub fn new(config: Arc<NotifyConfig>, clock: Arc<dyn Clock>) -> Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(10))
            .user_agent(concat!("halo/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::Unavailable(format!("notifications cannot be sent: {e}")))?;
        Ok(Self { client, config, clock })
    }

    /// Tries to deliver a parcel once. No secret is part of what it says.
    pub async fn send(&self, parcel: &Parcel) -> Sent {
        let Some(channel) = self.config.channel(&parcel.delivery.channel) else {
            return Sent::Refused("the configuration has no channel of this name any more".to_owned());
        };
        // A secret that cannot be read may be there in a moment: a person is told where it is missing meanwhile.
        match render(&self.config, channel, parcel, &secret::read) {
            Err(problem) => again(problem),
            Ok(Outgoing::Http(request)) => self.post(request).await,
            Ok(Outgoing::Mail(mail)) => mail::send(mail, self.clock.now(), mail::Limits::default()).await,
        }
    }

    async fn post(&self, request: HttpRequest) -> Sent {
        let mut post = self.client.post(&request.url);
        if let Some(aws) = &request.aws {
            match self.sign(aws, &request) {
                Err(problem) => return again(problem),
                Ok(headers) => {
                    for (name, value) in headers {
                        post = post.header(name, value);
                    }
                }
            }
        }
        for (name, value) in request.headers {
            post = post.header(name, value);
        }
        let mut answer = match post.body(request.body).send().await {
            Ok(answer) => answer,
            Err(error) => return again(reason(error)),
        };
        let status = answer.status();
        let after_ms = answer
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.parse::<i64>().ok())
            .map(|secs| secs.saturating_mul(1000));
        let mut body = Vec::new();
        while let Ok(Some(part)) = answer.chunk().await {
            body.extend_from_slice(&part);
            if body.len() >= MAX_ANSWER {
                break;
            }
        }
        let body = String::from_utf8_lossy(&body);
        let said = template::cut(body.split_whitespace().collect::<Vec<_>>().join(" ").as_str(), SHOWN);
        let text = if said.is_empty() {
            status.to_string()
        } else {
            format!("{status}: {said}")
        };
        let is_understood = request.expect.is_none_or(|expected| body.trim() == expected);
        match status.as_u16() {
            200..300 if is_understood => Sent::Delivered(text),
            200..300 => Sent::Refused(format!("{text}: not what this service answers")),
            408 | 425 | 429 | 500.. => Sent::Again {
                problem: text,
                after_ms,
            },
            _ => Sent::Refused(text),
        }
    }

    fn sign(&self, aws: &Aws, request: &HttpRequest) -> Result<Vec<(String, String)>, String> {
        let keys = credentials::read(&aws.credentials)?;
        let service = Service {
            name: aws.service,
            region: &aws.region,
        };
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        signature(service, &request.url, &headers, &request.body, keys, self.clock.now())
    }
}

fn again(problem: String) -> Sent {
    Sent::Again {
        problem,
        after_ms: None,
    }
}

#[cfg(test)]
mod tests;
