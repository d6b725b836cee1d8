//! Prometheus' query API, so that Grafana can use Halo as a data source of that kind.
//!
//! Answers and errors have Prometheus' envelope: `{"status": "success", "data": ..}`, or `errorType` and `error`. What is not
//! supported is 422 with a sentence that names it.

use super::App;
use axum::body::Bytes;
use axum::extract::{Path, Query as Parameters, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use engine::pipeline::{Question, Told};
use engine::promql::{Answer, LabelSet, Query, QueryError, Selector, Steps};
use engine::series::Metadata;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wire::Timestamp;

/// How long a question may take if it does not say, and at most.
const PATIENCE: Duration = Duration::from_secs(30);
const MAX_PATIENCE: Duration = Duration::from_secs(120);

/// The version of Prometheus' interface that this follows. Clients choose by it what they may ask.
const API_VERSION: &str = "2.53.0";

/// Routes for whoever has a token, or sits at this machine.
pub(super) fn routes() -> Router<App> {
    let other = super::reply::method_not_allowed;
    Router::new()
        .route("/api/v1/query", get(query).post(query).fallback(other))
        .route(
            "/api/v1/query_range",
            get(query_range).post(query_range).fallback(other),
        )
        .route(
            "/api/v1/query_exemplars",
            get(exemplars).post(exemplars).fallback(other),
        )
        .route("/api/v1/labels", get(labels).post(labels).fallback(other))
        .route("/api/v1/label/{name}/values", get(values).fallback(other))
        .route("/api/v1/series", get(series).post(series).fallback(other))
        .route("/api/v1/metadata", get(metadata).fallback(other))
        .route("/api/v1/status/buildinfo", get(build).fallback(other))
}

/// What a request says, in its address and, as a form, in its body.
struct Asked(Vec<(String, String)>);

type Failed = (StatusCode, &'static str, String);

impl Asked {
    fn new(mut parameters: Vec<(String, String)>, headers: &HeaderMap, body: &Bytes) -> Result<Self, Failed> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            let text = std::str::from_utf8(body).map_err(|_| bad("the form is not UTF-8"))?;
            let address = format!("/?{text}")
                .parse::<Uri>()
                .map_err(|_| bad("the form cannot be read"))?;
            let form = Parameters::<Vec<(String, String)>>::try_from_uri(&address)
                .map_err(|_| bad("the form cannot be read"))?;
            parameters.extend(form.0);
        }
        Ok(Self(parameters))
    }

    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(n, value)| n == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    fn query(&self) -> Result<Query, Failed> {
        let text = self.get("query").unwrap_or_default();
        Query::parse(text).map_err(|error| failed(&error, "query"))
    }

    fn time(&self, name: &str) -> Result<Option<Timestamp>, Failed> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = match text.parse::<f64>() {
            Ok(secs) if secs.is_finite() && secs.abs() < 9e12 => Some(Timestamp((secs * 1000.0).round() as i64)),
            Ok(_) => None,
            Err(_) => text
                .parse::<jiff::Timestamp>()
                .ok()
                .map(|at| Timestamp(at.as_millisecond())),
        };
        found.map(Some).ok_or_else(|| {
            bad(&format!(
                "invalid parameter {name:?}: cannot parse {text:.100?} to a valid timestamp"
            ))
        })
    }

    fn needed_time(&self, name: &str) -> Result<Timestamp, Failed> {
        let missing = || {
            bad(&format!(
                "invalid parameter {name:?}: cannot parse \"\" to a valid timestamp"
            ))
        };
        self.time(name)?.ok_or_else(missing)
    }

    /// A duration in milliseconds: seconds, or with units.
    fn duration(&self, name: &str) -> Result<Option<i64>, Failed> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let millis = match text.parse::<f64>() {
            Ok(secs) => Some(secs * 1000.0).filter(|millis| millis.abs() < 9e15),
            Err(_) => duration_ms(text),
        };
        let invalid = || {
            bad(&format!(
                "invalid parameter {name:?}: cannot parse {text:.100?} to a valid duration"
            ))
        };
        millis.map(|millis| Some(millis as i64)).ok_or_else(invalid)
    }

    fn patience(&self) -> Result<Duration, Failed> {
        let asked = self.duration("timeout")?.filter(|millis| *millis > 0);
        let asked = asked.map_or(PATIENCE, |millis| Duration::from_millis(millis.unsigned_abs()));
        Ok(asked.min(MAX_PATIENCE))
    }

    fn selectors(&self) -> Result<Vec<Selector>, Failed> {
        let parse = |text| Selector::parse(text, Timestamp(0), Timestamp(0));
        let selectors = self.all("match[]").map(parse).collect::<Result<_, _>>();
        selectors.map_err(|error| failed(&error, "match[]"))
    }

    /// As many as are asked for.
    fn limited<T>(&self, mut all: Vec<T>) -> Vec<T> {
        if let Some(limit) = self
            .get("limit")
            .and_then(|limit| limit.parse::<usize>().ok())
            .filter(|limit| *limit > 0)
        {
            all.truncate(limit);
        }
        all
    }
}

/// `1h30m`, as Prometheus writes durations.
fn duration_ms(text: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        ("ms", 1.0),
        ("s", 1e3),
        ("m", 6e4),
        ("h", 3.6e6),
        ("d", 8.64e7),
        ("w", 6.048e8),
        ("y", 3.1536e10),
    ];
    let (mut rest, mut total) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: f64 = rest[..digits].parse().ok()?;
        let end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        let (_, unit) = UNITS.iter().find(|(unit, _)| *unit == &rest[digits..end])?;
        total += number * unit;
        rest = &rest[end..];
    }
    (!text.is_empty()).then_some(total)
}

fn bad(message: &str) -> Failed {
    (StatusCode::BAD_REQUEST, "bad_data", message.to_owned())
}

fn failed(error: &QueryError, parameter: &str) -> Failed {
    match error {
        QueryError::BadData(message) => bad(&format!("invalid parameter {parameter:?}: {message}")),
        QueryError::Execution(message) => (StatusCode::UNPROCESSABLE_ENTITY, "execution", message.clone()),
        QueryError::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout", error.to_string()),
    }
}

fn respond(result: Result<Value, Failed>) -> Response {
    match result {
        Ok(data) => Json(json!({ "status": "success", "data": data })).into_response(),
        Err((status, kind, message)) => {
            let body = json!({ "status": "error", "errorType": kind, "error": message });
            let mut response = (status, Json(body)).into_response();
            if status == StatusCode::SERVICE_UNAVAILABLE {
                response
                    .headers_mut()
                    .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
    }
}

type Said = Parameters<Vec<(String, String)>>;

/// An answer that is being worked on.
type Answered<'a> = futures::future::BoxFuture<'a, Result<Value, Failed>>;

async fn query(State(app): State<App>, Parameters(said): Said, headers: HeaderMap, body: Bytes) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &body)?;
        let at = asked.time("time")?.unwrap_or_else(|| app.backend.now());
        let question = Question::Instant {
            query: asked.query()?,
            at,
        };
        Ok(match ask(&app, question, &asked).await? {
            Told::Answer(found) => data(found, at),
            _ => Value::Null,
        })
    });
    respond(answer.await)
}

async fn query_range(State(app): State<App>, Parameters(said): Said, headers: HeaderMap, body: Bytes) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &body)?;
        let (start, end) = (asked.needed_time("start")?, asked.needed_time("end")?);
        let step_ms = asked.duration("step")?.unwrap_or(0);
        let steps = Steps::range(start, end, step_ms).map_err(|error| match error {
            QueryError::BadData(message) => bad(&message),
            error => failed(&error, "step"),
        })?;
        let question = Question::Range {
            query: asked.query()?,
            steps,
        };
        Ok(match ask(&app, question, &asked).await? {
            Told::Answer(found) => data(found, end),
            _ => Value::Null,
        })
    });
    respond(answer.await)
}

async fn exemplars(State(app): State<App>, Parameters(said): Said, headers: HeaderMap, body: Bytes) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &body)?;
        let question = Question::Exemplars {
            query: asked.query()?,
            from: asked.needed_time("start")?,
            to: asked.needed_time("end")?,
        };
        Ok(match ask(&app, question, &asked).await? {
            Told::Exemplars(found) => {
                let one = |exemplar: &engine::ingest::exemplar::Exemplar| {
                    let labels: BTreeMap<_, _> = exemplar.labels.iter().cloned().collect();
                    json!({ "labels": labels, "value": number(exemplar.value), "timestamp": seconds(exemplar.at.0) })
                };
                let of_series = found.iter().map(|(labels, exemplars)| {
                    json!({ "seriesLabels": object(labels), "exemplars": exemplars.iter().map(one).collect::<Vec<_>>() })
                });
                of_series.collect()
            }
            _ => Value::Null,
        })
    });
    respond(answer.await)
}

async fn series(State(app): State<App>, Parameters(said): Said, headers: HeaderMap, body: Bytes) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &body)?;
        if asked.all("match[]").next().is_none() {
            return Err(bad("no match[] parameter provided"));
        }
        let found = matching(&app, &asked).await?;
        Ok(asked.limited(found).iter().map(object).collect())
    });
    respond(answer.await)
}

async fn labels(State(app): State<App>, Parameters(said): Said, headers: HeaderMap, body: Bytes) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &body)?;
        let found = matching(&app, &asked).await?;
        let names: BTreeSet<&str> = found
            .iter()
            .flat_map(|labels| labels.iter().map(|(name, _)| name))
            .collect();
        Ok(json!(asked.limited(names.into_iter().collect())))
    });
    respond(answer.await)
}

async fn values(
    State(app): State<App>,
    Path(name): Path<String>,
    Parameters(said): Said,
    headers: HeaderMap,
) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &Bytes::new())?;
        let found = matching(&app, &asked).await?;
        let values = found
            .iter()
            .map(|labels| labels.get(&name))
            .filter(|value| !value.is_empty());
        let values: BTreeSet<&str> = values.collect();
        Ok(json!(asked.limited(values.into_iter().collect())))
    });
    respond(answer.await)
}

async fn metadata(State(app): State<App>, Parameters(said): Said, headers: HeaderMap) -> Response {
    let answer: Answered<'_> = Box::pin(async {
        let asked = Asked::new(said, &headers, &Bytes::new())?;
        let Told::Metadata(types) = ask(&app, Question::Metadata, &asked).await? else {
            return Ok(Value::Null);
        };
        let wanted = asked.get("metric").map(str::to_owned);
        let is_wanted = |(name, _): &(String, Metadata)| wanted.as_ref().is_none_or(|wanted| wanted == name);
        let types = asked.limited(types.into_iter().filter(is_wanted).collect());
        let one = |(name, of): (String, Metadata)| {
            (
                name,
                json!([{ "type": of.kind.word(), "help": of.help, "unit": of.unit }]),
            )
        };
        Ok(types.into_iter().map(one).collect::<serde_json::Map<_, _>>().into())
    });
    respond(answer.await)
}

async fn build() -> Response {
    respond(Ok(json!({
        "version": API_VERSION,
        "revision": concat!("halo-", env!("CARGO_PKG_VERSION")),
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
    })))
}

async fn matching(app: &App, asked: &Asked) -> Result<Vec<LabelSet>, Failed> {
    match ask(app, Question::Series(asked.selectors()?), asked).await? {
        Told::Series(found) => Ok(found),
        _ => Ok(Vec::new()),
    }
}

async fn ask(app: &App, question: Question, asked: &Asked) -> Result<Told, Failed> {
    let told = app.backend.ask(question, asked.patience()?).await;
    told.map_err(|error| failed(&error, "query"))
}

/// An answer as Prometheus writes it.
fn data(answer: Answer, at: Timestamp) -> Value {
    let point = |at: i64, value: f64| json!([seconds(at), number(value)]);
    match answer {
        Answer::Scalar(value) => json!({ "resultType": "scalar", "result": point(at.0, value) }),
        Answer::Text(text) => json!({ "resultType": "string", "result": [seconds(at.0), text] }),
        Answer::Vector(vector) => {
            let one =
                |(labels, value): &(LabelSet, f64)| json!({ "metric": object(labels), "value": point(at.0, *value) });
            json!({ "resultType": "vector", "result": vector.iter().map(one).collect::<Vec<_>>() })
        }
        Answer::Matrix(matrix) => {
            let one = |(labels, points): &(LabelSet, Vec<(i64, f64)>)| {
                let values: Vec<_> = points.iter().map(|(at, value)| point(*at, *value)).collect();
                json!({ "metric": object(labels), "values": values })
            };
            json!({ "resultType": "matrix", "result": matrix.iter().map(one).collect::<Vec<_>>() })
        }
    }
}

fn object(labels: &LabelSet) -> Value {
    let pairs = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(pairs.collect())
}

/// Milliseconds as Prometheus writes times: whole seconds without a point.
fn seconds(millis: i64) -> Value {
    if millis % 1000 == 0 {
        Value::from(millis / 1000)
    } else {
        Value::from(millis as f64 / 1000.0)
    }
}

fn number(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests;
