//! Asks the API of Kubernetes: lists in pages, and watches line by line.

use super::{Event, Kind, Workload, event};
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Where the API is, and how to prove who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesConfig {
    /// `https://10.0.0.1:443`
    pub api: String,
    /// Read anew for each request: the cluster replaces it every hour.
    pub token_file: Option<PathBuf>,
    /// Who signed the API's certificate; `None`: an authority that everybody trusts.
    pub ca_file: Option<PathBuf>,
    /// Empty: all.
    pub namespaces: Vec<String>,
}

/// Objects of one page of a list.
const PAGE: u32 = 500;

/// The API ends a watch after so long; the next goes on from where it was.
const WATCH_SECS: u32 = 290;

/// An object of Kubernetes has 1.5 MB at most; an event holds one.
const MAX_LINE_BYTES: usize = 8 << 20;
const MAX_PAGE_BYTES: usize = 512 << 20;

/// Why the API did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The place to go on from is too old.
    #[error("the place to go on from is too old")]
    Expired,
    #[error("{0}")]
    Failed(String),
}

fn failed(what: &str, error: &dyn std::error::Error) -> ApiError {
    let mut text = format!("{what}: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    ApiError::Failed(text)
}

/// The API.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    config: KubernetesConfig,
}

impl Client {
    /// A client for the API that `config` names.
    ///
    /// # Errors
    /// If the authority's certificate cannot be read.
    pub fn new(config: &KubernetesConfig) -> Result<Self, ApiError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            // A watch is silent for a minute at most: then a bookmark comes.
            .read_timeout(Duration::from_secs(u64::from(WATCH_SECS) + 30))
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.ca_file {
            let text = std::fs::read(path)
                .map_err(|error| ApiError::Failed(format!("ca_file cannot be read: {error}: {}", path.display())))?;
            let all = reqwest::Certificate::from_pem_bundle(&text)
                .map_err(|error| failed("ca_file holds no certificate", &error))?;
            builder = all
                .into_iter()
                .fold(builder, reqwest::ClientBuilder::add_root_certificate);
        }
        Ok(Self {
            http: builder.build().map_err(|error| failed("no TLS", &error))?,
            config: config.clone(),
        })
    }

    /// All workloads of a kind in a namespace, or in all; and the place to watch from.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn list(&self, kind: Kind, namespace: Option<&str>) -> Result<(Vec<Workload>, String), ApiError> {
        let (mut all, mut token) = (Vec::new(), String::new());
        loop {
            let limit = PAGE.to_string();
            let mut query = vec![("limit", limit.as_str())];
            if !token.is_empty() {
                query.push(("continue", token.as_str()));
            }
            let mut response = self.get(kind, namespace, &query).await?;
            let mut body = Vec::new();
            while let Some(part) = response
                .chunk()
                .await
                .map_err(|error| failed("the list breaks off", &error))?
            {
                body.extend_from_slice(&part);
                if body.len() > MAX_PAGE_BYTES {
                    return Err(ApiError::Failed("a page of the list is too long".to_owned()));
                }
            }
            let page: Value = serde_json::from_slice(&body).map_err(|error| failed("the list is not JSON", &error))?;
            all.extend(
                page["items"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Workload::read),
            );
            let metadata = &page["metadata"];
            let next = metadata["continue"].as_str().unwrap_or_default();
            if next.is_empty() {
                return Ok((all, metadata["resourceVersion"].as_str().unwrap_or_default().to_owned()));
            }
            next.clone_into(&mut token);
        }
    }

    /// Watches from a place on.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn watch(&self, kind: Kind, namespace: Option<&str>, from: &str) -> Result<Watch, ApiError> {
        let timeout = WATCH_SECS.to_string();
        let query = [
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", from),
            ("timeoutSeconds", timeout.as_str()),
        ];
        Ok(Watch {
            response: self.get(kind, namespace, &query).await?,
            rest: Vec::new(),
        })
    }

    async fn get(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        query: &[(&str, &str)],
    ) -> Result<reqwest::Response, ApiError> {
        let place = namespace.map_or_else(String::new, |namespace| format!("namespaces/{namespace}/"));
        let url = format!("{}/apis/apps/v1/{place}{}", self.config.api, kind.plural());
        let mut request = self.http.get(url).query(query);
        if let Some(path) = &self.config.token_file {
            let token = std::fs::read_to_string(path)
                .map_err(|error| ApiError::Failed(format!("token_file cannot be read: {error}: {}", path.display())))?;
            request = request.bearer_auth(token.trim());
        }
        let response = request
            .send()
            .await
            .map_err(|error| failed("the API does not answer", &error))?;
        let status = response.status();
        if status.as_u16() == 410 {
            return Err(ApiError::Expired);
        }
        if status.is_success() {
            return Ok(response);
        }
        let what = format!("the API refuses to show {}: {status}", kind.plural());
        let advice = match status.as_u16() {
            401 => ": look at token_file",
            403 => ": the account needs list and watch on them",
            _ => "",
        };
        Err(ApiError::Failed(what + advice))
    }
}

/// A running watch.
#[derive(Debug)]
pub struct Watch {
    response: reqwest::Response,
    /// What came of a line that has not ended.
    rest: Vec<u8>,
}

impl Watch {
    /// The next event and the place after it; `None`: the API has ended the watch.
    ///
    /// # Errors
    /// [`ApiError::Failed`]
    pub async fn next(&mut self) -> Result<Option<(Event, Option<String>)>, ApiError> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return event(&line).map(Some).map_err(ApiError::Failed);
            }
            if self.rest.len() > MAX_LINE_BYTES {
                return Err(ApiError::Failed(format!(
                    "an event has more than {MAX_LINE_BYTES} bytes"
                )));
            }
            match self
                .response
                .chunk()
                .await
                .map_err(|error| failed("the watch breaks off", &error))?
            {
                Some(part) => self.rest.extend_from_slice(&part),
                None => return Ok(None),
            }
        }
    }
}
