//! When models are trained again: once a week, at an hour of a day. UTC, so that no week has that hour twice or never.

use jiff::civil::Weekday;
use wire::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;
/// The epoch was a Thursday.
const EPOCH: i8 = 3;

/// One instant of every week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekly {
    pub weekday: Weekday,
    /// 0..=23.
    pub hour: u8,
}

impl Default for Weekly {
    /// When most people sleep and least is deployed.
    fn default() -> Self {
        Self {
            weekday: Weekday::Sunday,
            hour: 3,
        }
    }
}

impl Weekly {
    /// Whether the instant has come since `last`: missed while nothing ran, it is made up for once.
    pub fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        self.newest(now) > last
    }

    /// The newest such instant at or before `now`.
    fn newest(&self, now: Timestamp) -> Timestamp {
        let days = (self.weekday.to_monday_zero_offset() - EPOCH).rem_euclid(7);
        let offset = i64::from(days) * DAY_MS + i64::from(self.hour) * HOUR_MS;
        Timestamp((now.as_millis() - offset).div_euclid(WEEK_MS) * WEEK_MS + offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[track_caller]
    fn check(weekday: Weekday, hour: u8, now: &str, newest: &str) {
        assert_eq!(
            Weekly { weekday, hour }.newest(at(now)),
            at(newest),
            "{weekday:?} {hour} {now}"
        );
    }

    #[test]
    fn the_newest_instant_is_the_calendars() {
        // 15 November 2026 is a Sunday.
        check(Weekday::Sunday, 3, "2026-11-15T03:00:00Z", "2026-11-15T03:00:00Z");
        check(Weekday::Sunday, 3, "2026-11-15T02:59:59Z", "2026-11-08T03:00:00Z");
        check(Weekday::Sunday, 3, "2026-11-21T23:59:59Z", "2026-11-15T03:00:00Z");
        check(Weekday::Thursday, 0, "2026-11-21T12:00:00Z", "2026-11-19T00:00:00Z");
        check(Weekday::Monday, 23, "2026-03-02T22:00:00Z", "2026-02-23T23:00:00Z");
        check(Weekday::Saturday, 12, "1969-12-31T00:00:00Z", "1969-12-27T12:00:00Z");
    }

    #[test]
    fn it_is_due_once_however_often_it_is_asked() {
        let weekly = Weekly::default();
        let mut last = at("2026-11-14T00:00:00Z");
        let mut times = 0;
        for quarter in 0..(21 * 96) {
            let now = at("2026-11-14T00:00:00Z") + quarter * HOUR_MS / 4;
            if weekly.is_due(last, now) {
                times += 1;
                last = now;
            }
        }
        assert_eq!(times, 3);
        assert!(
            weekly.is_due(at("2026-01-01T00:00:00Z"), at("2026-11-14T00:00:00Z")),
            "missed is made up for"
        );
    }
}
