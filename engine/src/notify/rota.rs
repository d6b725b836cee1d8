//! Who is on call: a rotation among channels in local time.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Unit, Zoned};
use wire::Timestamp;

/// Takes turns; each lasts so many days from a local time of day on, also over the change of the clocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Rota {
    pub name: String,
    pub zone: TimeZone,
    /// When the first turn began, local time.
    pub start: DateTime,
    /// Days of a turn, at least 1.
    pub days: i64,
    /// In their order, at least one.
    pub channels: Vec<String>,
    /// Spans in which somebody else has it; the last that fits counts.
    pub overrides: Vec<Override>,
}

/// Somebody stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    pub from: Timestamp,
    pub until: Timestamp,
    pub channel: String,
}

impl Rota {
    /// Whose turn it is, and until when as far as that ends. Before the first turn it is the first one's.
    pub fn on_call(&self, now: Timestamp) -> (&str, Option<Timestamp>) {
        if let Some(stand_in) = self.overrides.iter().rev().find(|o| o.from <= now && now < o.until) {
            return (&stand_in.channel, Some(stand_in.until));
        }
        let turn = self.turn(now).unwrap_or_default();
        let index = usize::try_from(turn.max(0)).unwrap_or_default() % self.channels.len();
        let next = self.starts(turn.max(0) + 1);
        // Somebody who stands in ends a turn, too.
        let stood_in = self.overrides.iter().map(|o| o.from).filter(|from| *from > now).min();
        let until = match (next, stood_in) {
            (Some(next), Some(other)) => Some(next.min(other)),
            (next, other) => next.or(other),
        };
        (
            &self.channels[index],
            until.filter(|_| self.channels.len() > 1 || stood_in.is_some()),
        )
    }

    /// How many turns have ended by `now`; below 0 before the first.
    fn turn(&self, now: Timestamp) -> Option<i64> {
        let now: Zoned = jiff::Timestamp::from_millisecond(now.as_millis())
            .ok()?
            .to_zoned(self.zone.clone());
        // Civil days: a day in which the clocks change is one like any other.
        let days = now.datetime().since((Unit::Day, self.start)).ok()?;
        let whole = i64::from(days.get_days());
        // A part of a day before the start is still before it.
        let before = now.datetime() < self.start;
        Some(if before { -1 } else { whole.div_euclid(self.days) })
    }

    /// When a turn begins.
    fn starts(&self, turn: i64) -> Option<Timestamp> {
        let days = jiff::Span::new().try_days(turn.checked_mul(self.days)?).ok()?;
        let local = self.start.checked_add(days).ok()?;
        let zoned = local.to_zoned(self.zone.clone()).ok()?;
        Some(Timestamp(zoned.timestamp().as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn rota() -> Rota {
        Rota {
            name: "primary".to_owned(),
            zone: jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap(),
            start: "2026-03-16T09:00".parse().unwrap(),
            days: 7,
            channels: vec!["ann".to_owned(), "ben".to_owned(), "cam".to_owned()],
            overrides: vec![Override {
                from: at("2026-04-01T00:00:00Z"),
                until: at("2026-04-02T00:00:00Z"),
                channel: "dan".to_owned(),
            }],
        }
    }

    #[track_caller]
    fn check(now: &str, who: &str, until: &str) {
        assert_eq!(rota().on_call(at(now)), (who, Some(at(until))), "{now}");
    }

    #[test]
    fn turns_change_at_the_same_local_time_in_winter_and_summer() {
        check("2026-03-01T00:00:00Z", "ann", "2026-03-23T08:00:00Z");
        check("2026-03-16T08:00:00Z", "ann", "2026-03-23T08:00:00Z");
        check("2026-03-23T07:59:59Z", "ann", "2026-03-23T08:00:00Z");
        check("2026-03-23T08:00:00Z", "ben", "2026-03-30T07:00:00Z");
        // The clocks went forward on the 29th.
        check("2026-03-30T06:59:59Z", "ben", "2026-03-30T07:00:00Z");
        check("2026-03-30T07:00:00Z", "cam", "2026-04-01T00:00:00Z");
        check("2026-04-02T00:00:00Z", "cam", "2026-04-06T07:00:00Z");
        check("2026-04-06T07:00:00Z", "ann", "2026-04-13T07:00:00Z");
    }

    #[test]
    fn who_stands_in_has_it_for_the_while() {
        check("2026-04-01T00:00:00Z", "dan", "2026-04-02T00:00:00Z");
        check("2026-04-01T23:59:59Z", "dan", "2026-04-02T00:00:00Z");
    }

    #[test]
    fn one_alone_has_it_without_end() {
        let alone = Rota {
            channels: vec!["ann".to_owned()],
            overrides: Vec::new(),
            ..rota()
        };
        assert_eq!(alone.on_call(at("2026-05-01T00:00:00Z")), ("ann", None));
    }
}
