//! Reads a secret from where configuration says it is.

use crate::config::SecretPlace;

/// The secret without the line break that an editor ends a file with. Read each time it is needed, so that it can be changed while
/// Halo runs.
///
/// # Errors
/// Where it is not, never what it is.
pub fn read(place: &SecretPlace) -> Result<String, String> {
    let text = match place {
        SecretPlace::File(path) => {
            std::fs::read_to_string(path).map_err(|error| format!("the secret in {}: {error}", path.display()))?
        }
        SecretPlace::Env(variable) => {
            std::env::var(variable).map_err(|_| format!("the environment variable {variable} holds no secret"))?
        }
    };
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("the secret in {} is empty", place.describe()));
    }
    Ok(secret.to_owned())
}
