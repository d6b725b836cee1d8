//! Silences: who may be set, how they change, when they are in force. A silence that would cover other alerts than before becomes a
//! new one, so that the record of what was quiet when stays true.

use super::matcher::Matchers;
use wire::Timestamp;
use wire::alert::{Silence, SilenceState};

/// Longest comment or name.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Matchers of one silence at most.
const MAX_MATCHERS: usize = 64;

/// Why a silence is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SilenceError {
    #[error("silence {0} not found: it was never set, or it expired long ago")]
    Unknown(String),
    #[error("silence {0} has expired already")]
    Expired(String),
    #[error("silence: {0}")]
    Invalid(String),
    #[error("there are {0} silences already, which is the limit: expire some")]
    TooMany(usize),
}

/// How it stands at `now`.
pub(super) fn state(silence: &Silence, now: Timestamp) -> SilenceState {
    if now < silence.starts_at {
        SilenceState::Pending
    } else if now < silence.ends_at {
        SilenceState::Active
    } else {
        SilenceState::Expired
    }
}

/// Checks what a person wants silenced.
pub(super) fn checked(silence: &Silence, now: Timestamp) -> Result<Matchers, SilenceError> {
    let invalid = |message: &str| Err(SilenceError::Invalid(message.to_owned()));
    if silence.matchers.is_empty() {
        return invalid("at least one matcher is required");
    }
    if silence.matchers.len() > MAX_MATCHERS {
        return invalid("more than 64 matchers");
    }
    if silence.matchers.iter().any(|matcher| matcher.name.is_empty()) {
        return invalid("a matcher names no label");
    }
    if silence.ends_at <= silence.starts_at {
        return invalid("the end must be after the start");
    }
    if silence.ends_at <= now {
        return invalid("the end is in the past");
    }
    let texts = [&silence.comment, &silence.created_by];
    if texts.iter().any(|text| text.len() > MAX_TEXT_BYTES) {
        return invalid("comment and author may have 16384 bytes each");
    }
    let matchers = Matchers::new(&silence.matchers).map_err(SilenceError::Invalid)?;
    if matchers.hold_of_nothing() {
        return invalid("at least one matcher must not match the empty value, or it would silence everything");
    }
    Ok(matchers)
}

/// Whether `new` may take the place of `old`: it covers the same alerts, and what was quiet stays so on record.
pub(super) fn may_replace(old: &Silence, new: &Silence, now: Timestamp) -> bool {
    if old.matchers != new.matchers {
        return false;
    }
    match state(old, now) {
        SilenceState::Active => new.starts_at == old.starts_at,
        SilenceState::Pending => new.starts_at >= now,
        SilenceState::Expired => false,
    }
}
