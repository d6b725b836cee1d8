//! Requests of Amazon Data Firehose to an HTTP endpoint, which is how a metric stream comes: JSON around records in base64.
//!
//! Each record is in one of the formats of a metric stream, told apart by their first bytes. A record that makes no sense is refused
//! by itself.

use super::{Collector, json, stream};
use crate::ingest::IngestBatch;
use crate::ingest::registry::Registry;
use base64::Engine as _;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Records of one request at most, as Firehose has it.
const MAX_RECORDS: usize = 10_000;

/// Attributes that a stream adds at most, as Firehose has it.
const MAX_ATTRIBUTES: usize = 50;

/// Bytes of a request's name at most: it is sent back, and remembered.
const MAX_ID_BYTES: usize = 256;

/// A decoded request.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    pub batch: IngestBatch,
    /// Records of which at least a part made no sense.
    pub bad_records: u64,
}

/// Why nothing of a request can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FirehoseError {
    #[error("the body is no request of Firehose: {0}")]
    BadBody(String),
    #[error("the body is request {body:.100?}, the header X-Amz-Firehose-Request-Id says {header:.100?}")]
    OtherId { header: String, body: String },
    #[error("the name of a request must have 1 to {MAX_ID_BYTES} bytes")]
    BadId,
    #[error("{0} records are over the {MAX_RECORDS} of a request")]
    TooManyRecords(usize),
    #[error("the header X-Amz-Firehose-Common-Attributes is wrong: {0}")]
    BadAttributes(String),
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, rename = "requestId")]
    request_id: Cow<'a, str>,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Attributes {
    #[serde(rename = "commonAttributes")]
    common: BTreeMap<String, String>,
}

/// A request taken apart as far as its records.
#[derive(Debug)]
pub struct Request<'a> {
    body: Body<'a>,
}

impl std::fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} with {} records", self.request_id, self.records.len())
    }
}

/// Labels that the stream adds to every series, from the header `X-Amz-Firehose-Common-Attributes`.
///
/// # Errors
/// [`FirehoseError::BadAttributes`]
pub fn common_attributes(header: &str) -> Result<Vec<(String, String)>, FirehoseError> {
    let attributes: Attributes =
        serde_json::from_str(header).map_err(|error| FirehoseError::BadAttributes(error.to_string()))?;
    if attributes.common.len() > MAX_ATTRIBUTES {
        let problem = format!("{} attributes, at most {MAX_ATTRIBUTES}", attributes.common.len());
        return Err(FirehoseError::BadAttributes(problem));
    }
    Ok(attributes.common.into_iter().collect())
}

impl<'a> Request<'a> {
    /// Reads a body. `id` is what the header says; without it the body's own name counts.
    ///
    /// # Errors
    /// [`FirehoseError`]
    pub fn parse(body: &'a [u8], id: Option<&str>) -> Result<Self, FirehoseError> {
        let body: Body<'a> = serde_json::from_slice(body).map_err(|error| FirehoseError::BadBody(error.to_string()))?;
        if let Some(header) = id
            && header != body.request_id
        {
            return Err(FirehoseError::OtherId {
                header: header.to_owned(),
                body: body.request_id.into_owned(),
            });
        }
        if body.request_id.is_empty() || body.request_id.len() > MAX_ID_BYTES {
            return Err(FirehoseError::BadId);
        }
        if body.records.len() > MAX_RECORDS {
            return Err(FirehoseError::TooManyRecords(body.records.len()));
        }
        Ok(Self { body })
    }

    /// Its name: the same however often it is sent.
    pub fn id(&self) -> &str {
        &self.body.request_id
    }

    /// Number of records.
    pub fn records(&self) -> usize {
        self.body.records.len()
    }

    /// Decodes all records. `common` are labels of every series; those of a metric itself go before them.
    pub fn decode(&self, common: &[(String, String)], registry: &Registry) -> Delivery {
        registry.with_known(|known| {
            let mut to = Collector::new(known, common);
            let mut bad_records = 0;
            for record in &self.body.records {
                bad_records += u64::from(!take(record, &mut to));
            }
            Delivery {
                batch: to.finish(),
                bad_records,
            }
        })
    }
}

/// Decodes one record as it is before base64.
pub fn decode_record(data: &[u8], registry: &Registry) -> Delivery {
    registry.with_known(|known| {
        let mut to = Collector::new(known, &[]);
        let bad_records = u64::from(!record(data, &mut to));
        Delivery {
            batch: to.finish(),
            bad_records,
        }
    })
}

/// Whether all of the record made sense.
fn take(record: &Record<'_>, to: &mut Collector<'_>) -> bool {
    let data = match base64::engine::general_purpose::STANDARD.decode(record.data.as_bytes()) {
        Ok(data) => data,
        Err(error) => {
            to.malformed(&format!("a record is not base64: {error}"), record.data.as_bytes());
            return false;
        }
    };
    self::record(&data, to)
}

fn record(data: &[u8], to: &mut Collector<'_>) -> bool {
    if data.starts_with(&[0x1f, 0x8b]) {
        to.malformed("a record is gzip: lines of CloudWatch Logs are no metrics", &[]);
        return false;
    }
    // A request of OTLP begins with the tag 0x0a after its length, which may be the number of a brace.
    if let [b'{', second, ..] = data.trim_ascii_start()
        && *second != 0x0a
    {
        return json::take(data, to) == 0;
    }
    match stream::take(data, to) {
        Ok(()) => true,
        Err(problem) => {
            let problem = format!("a record is neither JSON nor OpenTelemetry 1.0 or 0.7: {problem}");
            to.malformed(&problem, &[]);
            false
        }
    }
}
