//! `[models]`
//!
//! ```toml
//! [models]
//! train = "weekly"      # on the history of this data directory; "off": only on command
//! weekday = "sunday"
//! hour = 3              # UTC
//! ```

use super::check;
use crate::learn::Weekly;
use jiff::civil::Weekday;
use serde::Deserialize;

/// `[models]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawModels {
    /// `weekly`, the default, or `off`.
    pub train: Option<String>,
    /// `monday` to `sunday`; default `sunday`.
    pub weekday: Option<String>,
    /// 0 to 23, UTC; default 3.
    pub hour: Option<u8>,
}

/// When to train; `None`: only on command.
pub(super) fn schedule(raw: &RawModels, problems: &mut Vec<String>) -> Option<Weekly> {
    let mut weekly = Weekly::default();
    if let Some(hour) = raw.hour {
        check(problems, hour <= 23, || {
            format!("models.hour: must be 0 to 23, got {hour}")
        });
        weekly.hour = hour;
    }
    if let Some(name) = &raw.weekday {
        match weekday(name) {
            Some(weekday) => weekly.weekday = weekday,
            None => problems.push(format!("models.weekday: must be monday to sunday, got {name:?}")),
        }
    }
    match raw.train.as_deref() {
        None | Some("weekly") => Some(weekly),
        Some("off") => None,
        Some(other) => {
            problems.push(format!("models.train: must be \"weekly\" or \"off\", got {other:?}"));
            None
        }
    }
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name.to_lowercase().as_str() {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, RawConfig};
    use crate::error::Error;
    use crate::learn::Weekly;
    use jiff::civil::Weekday;

    fn config(text: &str) -> Result<Option<Weekly>, Error> {
        RawConfig::parse(text)
            .and_then(Config::try_from)
            .map(|config| config.train_weekly)
    }

    #[test]
    fn models_are_trained_weekly_unless_they_are_not() {
        assert_eq!(config("").unwrap(), Some(Weekly::default()));
        assert_eq!(config("[models]\ntrain = \"off\"\n").unwrap(), None);
        let weekly = Weekly {
            weekday: Weekday::Wednesday,
            hour: 22,
        };
        assert_eq!(
            config("[models]\nweekday = \"Wednesday\"\nhour = 22\n").unwrap(),
            Some(weekly)
        );
    }

    #[test]
    fn what_cannot_be_is_named() {
        let Err(Error::Config(problems)) = config("[models]\ntrain = \"daily\"\nweekday = \"caturday\"\nhour = 24\n")
        else {
            panic!("must not be accepted")
        };
        let fields: Vec<_> = problems.iter().filter_map(|p| p.split(':').next()).collect();
        assert_eq!(fields, ["models.hour", "models.weekday", "models.train"]);
    }
}
