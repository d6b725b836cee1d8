//! Local time: the seasons of a series follow the clocks of the people who use it, summer time included.

use super::Baselines;
use jiff::tz::TimeZone;

/// An instant, and what the clocks of a series' zone show then, both in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) at: i64,
    /// The local time as if it were UTC.
    pub(crate) local: i64,
}

/// A zone with the offset that is in force, so that an ordinary look-up is one comparison.
#[derive(Clone, Debug)]
pub(crate) struct LocalClock {
    zone: TimeZone,
    offset_ms: i64,
    from: i64,
    until: i64,
}

impl LocalClock {
    pub(crate) fn new(zone: TimeZone) -> Self {
        Self {
            zone,
            offset_ms: 0,
            from: 0,
            until: 0,
        }
    }

    /// The moment of an instant. Remembers the offset until the clocks change.
    #[inline]
    pub(crate) fn moment(&mut self, at: i64) -> Moment {
        if at < self.from || at >= self.until {
            (self.offset_ms, self.from, self.until) = self.look_up(at);
        }
        Moment {
            at,
            local: at.saturating_add(self.offset_ms),
        }
    }

    /// The same for somebody who may not remember.
    pub(crate) fn moment_at(&self, at: i64) -> Moment {
        let offset_ms = if (self.from..self.until).contains(&at) {
            self.offset_ms
        } else {
            self.look_up(at).0
        };
        Moment {
            at,
            local: at.saturating_add(offset_ms),
        }
    }

    /// Offset at an instant, and from when until when it is in force. Beyond what a calendar can say it is 0.
    fn look_up(&self, at: i64) -> (i64, i64, i64) {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at) else {
            return (0, at, at);
        };
        let offset_ms = i64::from(self.zone.to_offset(instant).seconds()) * 1000;
        let until = self.zone.following(instant).next();
        // A change at this very instant has happened.
        let after = instant
            .checked_add(jiff::SignedDuration::from_millis(1))
            .unwrap_or(instant);
        let from = self.zone.preceding(after).next();
        (
            offset_ms,
            from.map_or(jiff::Timestamp::MIN.as_millisecond(), |change| {
                change.timestamp().as_millisecond()
            }),
            until.map_or(jiff::Timestamp::MAX.as_millisecond(), |change| {
                change.timestamp().as_millisecond()
            }),
        )
    }
}

impl Default for LocalClock {
    fn default() -> Self {
        Self::new(TimeZone::UTC)
    }
}

impl Baselines {
    /// Says in which zone the days and weeks of a series are days and weeks; UTC until then. For a series that has learnt
    /// nothing yet: what it has learnt would be read at other hours.
    pub fn set_zone(&mut self, slot: usize, zone: &TimeZone) {
        let known = self.clocks.iter().position(|clock| clock.zone == *zone);
        let index = known.unwrap_or_else(|| {
            self.clocks.push(LocalClock::new(zone.clone()));
            self.clocks.len() - 1
        });
        self.clock_of[slot] = u16::try_from(index).expect("there are fewer than 65,536 time zones");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn berlin() -> TimeZone {
        jiff::tz::TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap()
    }

    #[test]
    fn local_time_follows_summer_time() {
        let mut clock = LocalClock::new(berlin());
        // 2024-03-31T00:59:59Z and the second after it.
        let change = 1_711_846_800_000;
        assert_eq!(clock.moment(change - 1000).local, change - 1000 + 3_600_000);
        assert_eq!(clock.moment(change).local, change + 7_200_000);
        // Back again, and far beyond the calendar.
        assert_eq!(clock.moment(change - 1).local, change - 1 + 3_600_000);
        assert_eq!(clock.moment(i64::MAX).local, i64::MAX);
        assert_eq!(clock.moment(i64::MIN).local, i64::MIN);
    }

    proptest! {
        #[test]
        fn what_is_remembered_is_what_the_database_says(
            instants in prop::collection::vec(0..4_000_000_000_000_i64, 1..50), near in -3..3_i64,
        ) {
            let mut clock = LocalClock::new(berlin());
            // Autumn 2024, to the millisecond.
            for at in instants.into_iter().chain([1_729_990_800_000 + near]) {
                let instant = jiff::Timestamp::from_millisecond(at).unwrap();
                let local = at + i64::from(berlin().to_offset(instant).seconds()) * 1000;
                prop_assert_eq!(clock.moment(at).local, local);
                prop_assert_eq!(clock.moment_at(at).local, local);
            }
        }
    }
}
