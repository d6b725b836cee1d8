//! Changes as other tools announce them: deploys, annotations, configuration, flags. One pure decoder for each format.
//!
//! Every decoder gives [`Deploy`]s with the sender's own name for the change, so that a message that is delivered twice is recorded
//! once; or says why a well-formed message is no change (a ping, a deployment that failed).

pub mod argocd;
pub mod cdevents;
pub mod github;
pub mod gitlab;
pub mod grafana;
pub mod kubernetes;
pub mod pagerduty;

use wire::Timestamp;
use wire::topology::{ChangeKind, Deploy};

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    Changes(Vec<Deploy>),
    /// Well formed, and no change.
    Ignored(String),
}

/// What a message says, or what is wrong with it and where.
pub type Outcome = Result<Decoded, String>;

const MAX_ENTITY_BYTES: usize = 1024;
const MAX_VERSION_BYTES: usize = 1000;
const MAX_NOTE_BYTES: usize = 16 << 10;
const MAX_TAGS: usize = 64;
const MAX_TAG_BYTES: usize = 256;

/// RFC 3339, also with an offset without its colon.
pub(super) fn time_of(text: &str) -> Option<Timestamp> {
    let instant = text.trim().parse::<jiff::Timestamp>().or_else(|_| {
        jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text.trim()).and_then(|broken| broken.to_timestamp())
    });
    Some(Timestamp(instant.ok()?.as_millisecond()))
}

/// The text, cut to so many bytes at the end of a character.
fn cut(text: &str, bytes: usize) -> String {
    let text = text.trim();
    if text.len() <= bytes {
        return text.to_owned();
    }
    let end = (0..=bytes)
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or_default();
    text[..end].to_owned()
}

/// A change within the limits. Descriptions are cut; a name that is too long is no name.
fn change(source: &str, at: Timestamp, entity: &str, version: &str) -> Result<Deploy, String> {
    let entity = entity.trim();
    if entity.is_empty() || entity.len() > MAX_ENTITY_BYTES {
        return Err(format!(
            "the name of the entity must have 1 to {MAX_ENTITY_BYTES} bytes"
        ));
    }
    let version = cut(version, MAX_VERSION_BYTES);
    if version.is_empty() {
        return Err("neither a version nor a text says what was changed".to_owned());
    }
    Ok(Deploy {
        source: source.to_owned(),
        ..Deploy::new(at, entity, version)
    })
}

/// Tags within the limits, empty ones left out.
fn tags(all: impl IntoIterator<Item = String>) -> Vec<String> {
    let all = all.into_iter().map(|tag| cut(&tag, MAX_TAG_BYTES));
    all.filter(|tag| !tag.is_empty()).take(MAX_TAGS).collect()
}

/// What kind of change a word is for.
fn kind_of(word: &str) -> Option<ChangeKind> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "deploy" | "deployment" | "release" | "rollout" => ChangeKind::Deploy,
        "rollback" | "rolledback" => ChangeKind::Rollback,
        "config" | "configuration" | "config-change" => ChangeKind::Config,
        "flag" | "feature-flag" | "feature_flag" => ChangeKind::Flag,
        "scale" | "scaling" | "autoscaling" => ChangeKind::Scale,
        _ => return None,
    })
}

/// `main@0123abc`: a name for a revision, and the start of its hash.
fn revision(name: &str, hash: &str) -> String {
    let short: String = hash.chars().take(7).collect();
    match (name.trim(), short.is_empty()) {
        ("", _) => short,
        (name, true) => name.to_owned(),
        (name, false) if name == hash || name == short => short,
        (name, false) => format!("{name}@{short}"),
    }
}

#[cfg(test)]
mod tests;
