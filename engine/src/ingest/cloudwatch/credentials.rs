//! The keys with which AWS is asked: from the environment, or a profile of the file that all of its tools share.

use super::poll::CredentialsPlace;
use aws_credential_types::Credentials;
use std::path::PathBuf;

/// Reads the keys anew, since a file with keys that expire is written again and again.
///
/// # Errors
/// Where they were looked for. No key is ever part of a message.
pub(crate) fn read(place: &CredentialsPlace) -> Result<Credentials, String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (file, profile) = match place {
        CredentialsPlace::Usual => {
            if let (Some(id), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
                return Ok(Credentials::new(
                    id,
                    secret,
                    variable("AWS_SESSION_TOKEN"),
                    None,
                    "environment",
                ));
            }
            (None, variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned()))
        }
        CredentialsPlace::Profile { file, profile } => (file.clone(), profile.clone()),
    };
    let usual = || {
        let named = variable("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        named.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")))
    };
    let Some(path) = file.or_else(usual) else {
        return Err("no keys for AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or credentials_file".to_owned());
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("no keys for AWS in the environment, and {}: {error}", path.display()))?;
    of_profile(&text, &profile).ok_or_else(|| format!("no keys of the profile {profile:?} in {}", path.display()))
}

/// The keys of a profile in the text of a shared credentials file.
fn of_profile(text: &str, profile: &str) -> Option<Credentials> {
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut is_here = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            is_here = name.trim() == profile;
        } else if let (true, Some((key, value))) = (is_here, line.split_once('=')) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    Some(Credentials::new(id?, secret?, token, None, "file"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_found_among_others() {
        let text = "# comment\n[default]\naws_access_key_id = A\naws_secret_access_key=b=c\nregion = x\n\
                    [ops]\naws_access_key_id=D\naws_secret_access_key = e\naws_session_token = f\n[half]\naws_access_key_id=G\n";
        let keys = |profile| {
            let found = of_profile(text, profile)?;
            let token = found.session_token().map(str::to_owned);
            Some((
                found.access_key_id().to_owned(),
                found.secret_access_key().to_owned(),
                token,
            ))
        };
        assert_eq!(keys("default"), Some(("A".into(), "b=c".into(), None)));
        assert_eq!(keys("ops"), Some(("D".into(), "e".into(), Some("f".into()))));
        assert_eq!((keys("half"), keys("none")), (None, None));
    }

    #[test]
    fn what_is_missing_is_named() {
        let place = |file: &str| CredentialsPlace::Profile {
            file: Some(file.into()),
            profile: "ops".into(),
        };
        assert!(read(&place("/no/such/file")).unwrap_err().contains("/no/such/file"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        std::fs::write(&path, "[ops]\naws_access_key_id=key-that-is-secret\n").unwrap();
        let error = read(&place(path.to_str().unwrap())).unwrap_err();
        assert!(
            error.contains("the profile \"ops\"") && !error.contains("key-that-is-secret"),
            "{error}"
        );
    }
}
