//! A real `halo serve` on a free loopback port, and what a test asks of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use prost::Message;
use reqwest::{Client, StatusCode};
use wire::query::{Query, Reply};
use wire::series::{SeriesDetail, SeriesSummary};

use crate::process::{self, Process};

/// The server under test.
#[derive(Debug)]
pub struct Halo {
    /// Its process, for killing it.
    pub process: Process,
    /// `host:port` it listens on.
    pub address: String,
    client: Client,
}

impl Halo {
    /// Starts `halo serve` over `data_dir` and waits until it is ready.
    ///
    /// # Errors
    /// When the program is missing, or is not ready within a minute.
    pub async fn serve(data_dir: &Path, logs: &Path) -> Result<Self> {
        // OTLP's own port may be somebody else's on this machine.
        Self::serve_with(&["--otlp-grpc", "off"], data_dir, logs).await
    }

    /// The same with a configuration file.
    ///
    /// # Errors
    /// As [`Halo::serve`].
    pub async fn serve_configured(data_dir: &Path, logs: &Path, config: &Path) -> Result<Self> {
        let config = config.to_str().context("the path of a configuration file is no text")?;
        Self::serve_with(&["--otlp-grpc", "off", "--config", config], data_dir, logs).await
    }

    /// The same with these arguments besides.
    ///
    /// # Errors
    /// As [`Halo::serve`].
    pub async fn serve_with(arguments: &[&str], data_dir: &Path, logs: &Path) -> Result<Self> {
        let mut halo = Self::spawn(arguments, data_dir, logs)?;
        if let Err(error) = halo.wait_until_ready().await {
            bail!("{error:#}\n{}", halo.process.tail());
        }
        Ok(halo)
    }

    /// The same without waiting.
    ///
    /// # Errors
    /// When the program is missing.
    pub fn spawn(arguments: &[&str], data_dir: &Path, logs: &Path) -> Result<Self> {
        let program = process::program("HALO_BIN")?;
        Self::run(Command::new(program), arguments, data_dir, logs)
    }

    /// The same by a command that ends with the program, such as one that starts it under another.
    ///
    /// # Errors
    /// When the command cannot be started.
    pub fn run(mut command: Command, arguments: &[&str], data_dir: &Path, logs: &Path) -> Result<Self> {
        let address = process::free_address()?;
        command
            .arg("serve")
            .args(["--listen", &address])
            .args(arguments)
            .arg("--data-dir")
            .arg(data_dir);
        let process = Process::start("halo", &mut command, logs)?;
        let client = Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Self {
            process,
            address,
            client,
        })
    }

    /// Waits until it answers questions.
    ///
    /// # Errors
    /// When it does not within a minute.
    pub async fn wait_until_ready(&mut self) -> Result<()> {
        let url = self.url("/-/ready");
        let client = self.client.clone();
        let ready = process::wait_for("halo is ready", Duration::from_secs(60), || {
            let request = client.get(&url).send();
            async move { Ok((request.await?.status() == StatusCode::OK).then_some(())) }
        });
        ready.await
    }

    /// The address of `path` on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks a question over HTTP.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn query(&self, query: &Query) -> Result<Reply> {
        let response = self.client.post(self.url("/api/query")).json(query).send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{query:?} answered {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{query:?} answered {text:.200}"))
    }

    /// Its own metrics.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let response = self.client.get(self.url("/metrics")).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// Every series whose name holds the words of `search`.
    ///
    /// # Errors
    /// As [`Halo::query`].
    pub async fn series_list(&self, search: &str) -> Result<Vec<SeriesSummary>> {
        let query = Query::SeriesList {
            search: search.to_owned(),
            entity: None,
            limit: Some(1000),
        };
        match self.query(&query).await? {
            Reply::SeriesList(list) => Ok(list),
            other => bail!("asked for a list of series, got {other:?}"),
        }
    }

    /// One series with every point that is kept.
    ///
    /// # Errors
    /// As [`Halo::query`].
    pub async fn series(&self, id: wire::SeriesId) -> Result<SeriesDetail> {
        let query = Query::Series {
            id,
            from: None,
            to: None,
            max_points: Some(100_000),
        };
        match self.query(&query).await? {
            Reply::Series(detail) => Ok(detail),
            other => bail!("asked for a series, got {other:?}"),
        }
    }

    /// Sends samples as Prometheus does (remote write 1.0: snappy over protobuf); the status and the text of the answer.
    ///
    /// # Errors
    /// When the connection breaks before an answer: then nothing was acknowledged.
    pub async fn write(&self, request: &WriteRequest) -> Result<(StatusCode, String)> {
        let body = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec())?;
        let request = self
            .client
            .post(self.url("/api/v1/write"))
            .header("content-encoding", "snappy")
            .header("content-type", "application/x-protobuf")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .body(body);
        let response = request.send().await?;
        Ok((response.status(), response.text().await?))
    }
}

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
pub struct WriteRequest {
    /// The series.
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    /// What is known of metrics.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata>,
}

/// `prometheus.MetricMetadata`, the part that says the type.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// 1 counter, 2 gauge, 3 histogram, 5 summary.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// The name of the metric, or of its family.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
}

/// One series and some of its samples.
#[derive(Clone, PartialEq, Message)]
pub struct TimeSeries {
    /// Sorted by name.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// In order of time.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
}

/// One label.
#[derive(Clone, PartialEq, Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// One sample.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Sample {
    /// The value.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// Milliseconds since the epoch.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

impl TimeSeries {
    /// A gauge of that name on one instance, with these (milliseconds, value) samples.
    pub fn gauge(name: &str, instance: &str, samples: &[(i64, f64)]) -> Self {
        let label = |name: &str, value: &str| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        Self {
            labels: vec![
                label("__name__", name),
                label("instance", instance),
                label("job", "check"),
            ],
            samples: samples
                .iter()
                .map(|&(timestamp, value)| Sample { value, timestamp })
                .collect(),
        }
    }
}
