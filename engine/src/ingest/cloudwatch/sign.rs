//! Signs requests to AWS (Signature Version 4).

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use std::time::{Duration, SystemTime};
use wire::Timestamp;

/// Which service of which region is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service<'a> {
    pub(crate) name: &'a str,
    pub(crate) region: &'a str,
}

impl Service<'_> {
    /// Where it answers.
    pub(crate) fn endpoint(self) -> String {
        let suffix = if self.region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://{}.{}.amazonaws.com{suffix}", self.name, self.region)
    }
}

/// The headers that make a POST a signed one.
pub(crate) fn signature(
    service: Service<'_>,
    endpoint: &str,
    headers: &[(&str, &str)],
    body: &str,
    keys: Credentials,
    now: Timestamp,
) -> Result<Vec<(String, String)>, String> {
    let identity = keys.into();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or_default());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(service.region)
        .name(service.name)
        .time(at)
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| error.to_string())?;
    let body = SignableBody::Bytes(body.as_bytes());
    let request = SignableRequest::new("POST", endpoint, headers.iter().copied(), body);
    let signed = request.and_then(|request| sign(request, &params.into()));
    let (instructions, _) = signed.map_err(|error| error.to_string())?.into_parts();
    let headers = instructions.headers();
    Ok(headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}
