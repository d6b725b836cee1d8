//! Bodies of requests within a limit, which holds after decompression as well.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;
use std::io::Read as _;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is over {0} bytes after decompression; send less at once, or raise limits.max_request_mb")]
    TooLarge(usize),
    #[error("content encoding {0:?} is not taken; send gzip or none")]
    Encoding(String),
    #[error("the body is not gzip: {0}")]
    BadGzip(String),
}

/// Reads a body of at most `limit` bytes. `plain` are encodings that the reader of the body itself undoes.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize, plain: &[&str]) -> Result<Bytes, BodyError> {
    let encoding = match headers.get(header::CONTENT_ENCODING) {
        None => String::new(),
        Some(value) => value.to_str().unwrap_or("?").trim().to_ascii_lowercase(),
    };
    let is_gzip = encoding == "gzip";
    if !is_gzip && !["", "identity"].contains(&encoding.as_str()) && !plain.contains(&encoding.as_str()) {
        return Err(BodyError::Encoding(encoding));
    }
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(BodyError::TooLarge(limit));
    }
    // The only other cause of an error here is a sender that hung up, which reads no answer.
    let body = axum::body::to_bytes(body, limit)
        .await
        .map_err(|_| BodyError::TooLarge(limit))?;
    if is_gzip { gunzip(&body, limit) } else { Ok(body) }
}

fn gunzip(body: &[u8], limit: usize) -> Result<Bytes, BodyError> {
    let mut plain = Vec::new();
    let mut reader = MultiGzDecoder::new(body).take(limit as u64 + 1);
    reader
        .read_to_end(&mut plain)
        .map_err(|error| BodyError::BadGzip(error.to_string()))?;
    if plain.len() > limit {
        return Err(BodyError::TooLarge(limit));
    }
    Ok(plain.into())
}

/// The essence of the content type, in lower case: what stands before the first `;`.
pub(super) fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = text.unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}
