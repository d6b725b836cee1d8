//! Calendar files (.ics) of the configuration.

use crate::context::ContextConfig;
use crate::context::calendar::parse_ics;
use crate::error::{Error, Result};

/// Reads the calendar files that `config` names into it.
///
/// # Errors
/// [`Error::Io`] if a file cannot be read, [`Error::Input`] with file and line for bad content.
pub fn load(config: &mut ContextConfig) -> Result<()> {
    for path in std::mem::take(&mut config.calendars) {
        let text =
            std::fs::read_to_string(&path).map_err(|error| Error::io("the calendar cannot be read", &path, error))?;
        let events = parse_ics(&text, &config.calendar_zone).map_err(|(line, message)| Error::Input {
            place: format!("{}:{line}", path.display()),
            message,
        })?;
        config.add_holidays(events);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_becomes_holidays_or_an_error_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("de.ics");
        let mut config = ContextConfig {
            calendars: vec![path.clone()],
            ..ContextConfig::default()
        };
        assert!(load(&mut config.clone()).unwrap_err().to_string().contains("de.ics"));
        std::fs::write(
            &path,
            "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART;VALUE=DATE:20261225\nEND:VEVENT\nEND:VCALENDAR\n",
        )
        .unwrap();
        let mut bad = config.clone();
        load(&mut config).unwrap();
        assert_eq!((config.holidays.len(), config.windows.len()), (1, 1));
        std::fs::write(&path, "BEGIN:VCALENDAR\nBEGIN:VEVENT\nDTSTART:never\nEND:VEVENT\n").unwrap();
        let error = load(&mut bad).unwrap_err().to_string();
        assert!(error.contains("de.ics:3") && error.contains("never"), "{error}");
    }
}
