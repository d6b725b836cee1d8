//! What the log holds.

use crate::series::{Sample, SeriesInfo};
use wire::{SeriesId, Timestamp};

/// Samples of one request, with the series it named for the first time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    pub source: String,
    pub new_series: Vec<SeriesInfo>,
    pub samples: Vec<Sample>,
}

/// One record. The first byte of the payload is its kind; kinds are never reused.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Batch(Batch),
}

const BATCH: u8 = 1;

/// Series id, timestamp, value.
const SAMPLE_BYTES: usize = 24;

impl Record {
    /// Appends the payload to `out`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Batch(batch) => {
                out.push(BATCH);
                put_bytes(out, batch.source.as_bytes());
                put_json(out, &batch.new_series);
                out.reserve(batch.samples.len() * SAMPLE_BYTES);
                for sample in &batch.samples {
                    out.extend_from_slice(&sample.series.0.to_le_bytes());
                    out.extend_from_slice(&sample.at.as_millis().to_le_bytes());
                    out.extend_from_slice(&sample.value.to_bits().to_le_bytes());
                }
            }
        }
    }

    /// Whether a payload may begin like this; nearly everything else does not.
    pub(super) fn may_begin(payload: &[u8]) -> bool {
        const LONGEST_SOURCE: u32 = 1024;
        match payload {
            [BATCH, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]) <= LONGEST_SOURCE,
            _ => false,
        }
    }

    /// Reads a payload.
    pub(super) fn decode(payload: &[u8]) -> Result<Self, String> {
        let (kind, mut rest) = payload.split_first().ok_or("empty record")?;
        match *kind {
            BATCH => {
                let source = String::from_utf8(take_bytes(&mut rest)?.to_vec()).map_err(|_| "source is not text")?;
                let new_series = take_json(&mut rest)?;
                if rest.len() % SAMPLE_BYTES != 0 {
                    return Err("samples are cut off".to_owned());
                }
                let samples = rest
                    .chunks_exact(SAMPLE_BYTES)
                    .map(|bytes| Sample {
                        series: SeriesId(u64::from_le_bytes(word(bytes, 0))),
                        at: Timestamp(i64::from_le_bytes(word(bytes, 8))),
                        value: f64::from_bits(u64::from_le_bytes(word(bytes, 16))),
                    })
                    .collect();
                Ok(Self::Batch(Batch {
                    source,
                    new_series,
                    samples,
                }))
            }
            kind => Err(format!("record of kind {kind}, written by a newer version")),
        }
    }
}

fn word(bytes: &[u8], at: usize) -> [u8; 8] {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    word
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(
        &u32::try_from(bytes.len())
            .expect("a request is limited far below 4 GiB")
            .to_le_bytes(),
    );
    out.extend_from_slice(bytes);
}

fn put_json(out: &mut Vec<u8>, value: &impl serde::Serialize) {
    put_bytes(out, &serde_json::to_vec(value).expect("plain data always serializes"));
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let (length, after) = rest.split_first_chunk::<4>().ok_or("field is cut off")?;
    let length = u32::from_le_bytes(*length) as usize;
    let (bytes, after) = after.split_at_checked(length).ok_or("field is cut off")?;
    *rest = after;
    Ok(bytes)
}

fn take_json<T: serde::de::DeserializeOwned>(rest: &mut &[u8]) -> Result<T, String> {
    serde_json::from_slice(take_bytes(rest)?).map_err(|e| e.to_string())
}
