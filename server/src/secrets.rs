//! Secrets of senders: read once at the start, compared in constant time, never shown.

use anyhow::{Result, anyhow};
use engine::config::{SecretPlace, WebhookSecrets};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::ConstantTimeEq as _;

/// A secret. It has no way out but the two questions below.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// Whether `given` is the secret. The time it takes depends on neither.
    pub fn is(&self, given: &[u8]) -> bool {
        // Hashes, since a comparison of slices ends early where the lengths differ.
        Sha256::digest(&self.0).ct_eq(&Sha256::digest(given)).into()
    }

    /// Whether `hex` is the HMAC-SHA256 of `body` under the secret.
    pub fn signed(&self, body: &[u8], hex: &str) -> bool {
        let Some(given) = from_hex(hex) else { return false };
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(body);
        mac.verify_slice(&given).is_ok()
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        })
        .collect()
}

/// Reads the secrets from where configuration says they are.
///
/// # Errors
/// If a file cannot be read, a variable is not set, or there is nothing in it. The message names the place, never the content.
pub fn read(places: &WebhookSecrets<SecretPlace>) -> Result<WebhookSecrets<Secret>> {
    let one = |name: &str, place: &Option<SecretPlace>| -> Result<Option<Secret>> {
        let secret = place.as_ref().map(engine::ingest::secret::read).transpose();
        let secret = secret.map_err(|problem| anyhow!("webhooks.{name}: {problem}"))?;
        Ok(secret.map(Secret::new))
    };
    Ok(WebhookSecrets {
        github: one("github", &places.github)?,
        gitlab: one("gitlab", &places.gitlab)?,
        grafana: one("grafana", &places.grafana)?,
        pagerduty: one("pagerduty", &places.pagerduty)?,
        firehose: one("firehose", &places.firehose)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example in GitHub's documents ("Validating webhook deliveries", "Testing the webhook payload validation").
    #[test]
    fn the_signature_is_the_one_that_github_documents() {
        let secret = Secret::new("It's a Secret to Everybody");
        let signature = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(secret.signed(b"Hello, World!", signature));
        assert!(secret.signed(b"Hello, World!", &signature.to_uppercase()));
        assert!(!secret.signed(b"Hello, World", signature));
        for bad in ["", "7", "zz", &signature[..62], &format!("{signature}00")] {
            assert!(!secret.signed(b"Hello, World!", bad), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_compared_and_not_shown() {
        let secret = Secret::new("abc");
        assert!(secret.is(b"abc") && !secret.is(b"abcd") && !secret.is(b""));
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn a_file_that_holds_none_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("github");
        let places = WebhookSecrets {
            github: Some(SecretPlace::File(path.clone())),
            ..WebhookSecrets::default()
        };
        assert!(read(&places).unwrap_err().to_string().contains("github"));
        std::fs::write(&path, "\n").unwrap();
        assert!(read(&places).unwrap_err().to_string().contains("is empty"));
        std::fs::write(&path, "abc\n").unwrap();
        assert!(read(&places).unwrap().github.unwrap().is(b"abc"));
    }
}
