//! Special days of the month: bills on the first, batch work on the last.
//!
//! A month has too few samples of each of its days for a full profile, and most of its days are like any other. What is kept
//! is what stands out: a day counted from the start or from the end of the month, its hours, and by how much they differ from
//! the day and week profiles. One month makes an entry, a second one that shows the same (with the entry its error is less
//! than half of what it is without) lets it speak, and a month that does not silences it. At most [`SPECIAL_DAYS`] entries,
//! 60 bytes, and 24 for the hours of today.

use super::season::HOUR_MS;

/// Entries of a series at most; each special day takes two until it is clear from which end it counts.
pub(crate) const SPECIAL_DAYS: usize = 12;
/// Deviations are kept in eighths of the profile's unit, which is about three standard deviations.
const EIGHTHS: f64 = 8.0;
/// Hourly deviation that makes a day special: one unit.
const SPECIAL: i8 = 8;
/// Months that must have shown an entry before it speaks.
const PROVEN: u8 = 2;
/// An entry is right where it leaves less than this part of the error.
const EARNED: f32 = 0.5;
const HOURS: i64 = 24;
/// An hour without samples.
const NONE: i8 = i8::MIN;

/// A day that differs; `day` 0: no entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Special {
    /// 1 is the first of the month, -1 the last.
    day: i8,
    from_hour: u8,
    until_hour: u8,
    eighths: i8,
    /// How many months have shown it.
    months: u8,
}

/// The special days of one series, and the hour that is being averaged.
#[derive(Clone, Debug)]
pub(crate) struct Month {
    specials: [Special; SPECIAL_DAYS],
    today: [i8; HOURS as usize],
    /// Local time at which the present hour began.
    begun: i64,
    /// Whether any entry speaks.
    speaks: bool,
}

impl Default for Month {
    fn default() -> Self {
        Self {
            specials: [Special::default(); SPECIAL_DAYS],
            today: [NONE; HOURS as usize],
            begun: i64::MIN,
            speaks: false,
        }
    }
}

impl Month {
    /// What is special about a local time, in units; nearly always 0.
    #[inline]
    pub(crate) fn at(&self, local: i64) -> f64 {
        if self.speaks { self.special_at(local) } else { 0.0 }
    }

    /// Whether the hour of `local` has not begun yet.
    #[inline]
    pub(crate) fn is_over(&self, local: i64) -> bool {
        !(0..HOUR_MS).contains(&local.wrapping_sub(self.begun))
    }

    /// Ends the present hour, whose samples deviated by `mean` units, if there were any, and begins that of `local`. `true`
    /// where that is of another day.
    pub(crate) fn begin_hour(&mut self, local: i64, mean: Option<f64>) -> bool {
        let hour = local.div_euclid(HOUR_MS);
        let before = self.begun.div_euclid(HOUR_MS);
        self.begun = hour.saturating_mul(HOUR_MS);
        if let Some(mean) = mean {
            let eighths = (mean * EIGHTHS).clamp(f64::from(NONE + 1), f64::from(i8::MAX));
            self.today[hour_of_day(before)] = eighths as i8;
        }
        let other_day = before.div_euclid(HOURS) != hour.div_euclid(HOURS);
        if other_day {
            if self.today.iter().any(|deviation| *deviation != NONE) {
                self.end_day(before.div_euclid(HOURS));
            }
            self.today = [NONE; HOURS as usize];
        }
        other_day
    }

    /// The same in units that are `1 / ratio` times as large.
    pub(crate) fn rescaled(&self, ratio: f64) -> Self {
        let scale = |eighths: i8| (f64::from(eighths) * ratio).clamp(f64::from(NONE + 1), f64::from(i8::MAX)) as i8;
        let mut scaled = self.clone();
        for special in &mut scaled.specials {
            special.eighths = scale(special.eighths);
        }
        for hour in scaled.today.iter_mut().filter(|hour| **hour != NONE) {
            *hour = scale(*hour);
        }
        scaled
    }

    fn special_at(&self, local: i64) -> f64 {
        let Some(days) = days_of_month(local.div_euclid(HOURS * HOUR_MS)) else {
            return 0.0;
        };
        let hour = hour_of_day(local.div_euclid(HOUR_MS)) as u8;
        let speaking = self.specials.iter().filter(|special| {
            days.contains(&special.day)
                && special.months >= PROVEN
                && (special.from_hour..special.until_hour).contains(&hour)
        });
        // What more months have shown is more certain.
        speaking
            .max_by_key(|special| special.months)
            .map_or(0.0, |special| f64::from(special.eighths) / EIGHTHS)
    }

    /// Holds the entries of a day to what it was like, and makes new ones where it was special.
    fn end_day(&mut self, day: i64) {
        let Some(days) = days_of_month(day) else { return };
        let found = Special::of(&self.today);
        for day in days {
            let entry = self.specials.iter().position(|special| special.day == day);
            match (entry, found) {
                (Some(entry), _) => self.specials[entry].judge(&self.today),
                (None, Some(found)) => self.insert(Special { day, ..found }),
                (None, None) => {}
            }
        }
        self.speaks = self
            .specials
            .iter()
            .any(|special| special.day != 0 && special.months >= PROVEN);
    }

    /// Where there is no room, the least of the entries that only one month has shown makes way for a greater one.
    fn insert(&mut self, new: Special) {
        let weight = |special: &Special| match (special.day, special.months) {
            (0, _) => 0,
            (_, ..PROVEN) => i32::from(special.eighths).abs(),
            _ => i32::MAX,
        };
        if let Some(least) = self.specials.iter_mut().min_by_key(|special| weight(special))
            && weight(least) < weight(&new)
        {
            *least = new;
        }
    }
}

impl Special {
    /// The hours around the greatest deviation of a day that deviate half as much or more, if it is great enough.
    fn of(today: &[i8; HOURS as usize]) -> Option<Self> {
        let known = |hour: &usize| today[*hour] != NONE;
        let peak = (0..today.len())
            .filter(known)
            .max_by_key(|hour| today[*hour].unsigned_abs())?;
        if today[peak].unsigned_abs() < SPECIAL.unsigned_abs() {
            return None;
        }
        let belongs = |hour: &usize| {
            let deviation = i32::from(today[*hour]);
            known(hour) && 2 * deviation * i32::from(today[peak].signum()) >= i32::from(today[peak]).abs()
        };
        let from = (0..=peak).rev().take_while(belongs).last().unwrap_or(peak);
        let until = (peak..today.len()).take_while(belongs).last().unwrap_or(peak) + 1;
        let sum: i32 = today[from..until].iter().map(|deviation| i32::from(*deviation)).sum();
        Some(Self {
            day: 0,
            from_hour: from as u8,
            until_hour: until as u8,
            eighths: (sum / (until - from) as i32) as i8,
            months: 1,
        })
    }

    /// Right again: proven a little more. Wrong: silent, or forgotten.
    fn judge(&mut self, today: &[i8; HOURS as usize]) {
        let hours = usize::from(self.from_hour)..usize::from(self.until_hour);
        let seen: Vec<f32> = today[hours.clone()]
            .iter()
            .filter(|deviation| **deviation != NONE)
            .map(|deviation| f32::from(*deviation))
            .collect();
        // A day without data says nothing.
        if 2 * seen.len() < hours.len() {
            return;
        }
        let (mut without, mut with) = (0.0_f32, 0.0_f32);
        for (hour, deviation) in today.iter().enumerate().filter(|(_, deviation)| **deviation != NONE) {
            let deviation = f32::from(*deviation);
            let expected = if hours.contains(&hour) {
                f32::from(self.eighths)
            } else {
                0.0
            };
            without += deviation.abs();
            with += (deviation - expected).abs();
        }
        if with < EARNED * without {
            let mean = seen.iter().sum::<f32>() / seen.len() as f32;
            self.eighths = (0.5 * (f32::from(self.eighths) + mean)) as i8;
            self.months = self.months.saturating_add(1);
        } else if self.months >= PROVEN {
            self.months = 1;
        } else {
            *self = Self::default();
        }
    }
}

fn hour_of_day(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid(HOURS)).expect("remainder is not negative")
}

/// A day since the epoch, counted from the start of its month (1 is the first) and from the end (-1 is the last).
fn days_of_month(day: i64) -> Option<[i8; 2]> {
    let seconds = day.checked_mul(HOURS * HOUR_MS / 1000)?;
    let date = jiff::Timestamp::from_second(seconds)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    Some([date.day(), date.day() - date.days_in_month() - 1])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = HOURS * HOUR_MS;
    /// 2024-01-01T00:00Z.
    const START: i64 = 1_704_067_200_000;

    /// Feeds whole days of hourly deviations, in units.
    fn feed(month: &mut Month, days: std::ops::Range<i64>, deviation: impl Fn(jiff::civil::Date, i64) -> f64) {
        for day in days {
            let date = jiff::Timestamp::from_millisecond(START + day * DAY_MS)
                .unwrap()
                .to_zoned(jiff::tz::TimeZone::UTC)
                .date();
            for hour in 0..HOURS {
                let local = START + day * DAY_MS + hour * HOUR_MS;
                month.begin_hour(local, None);
                month.begin_hour(local + HOUR_MS, Some(deviation(date, hour)));
            }
        }
    }

    fn last_day(date: jiff::civil::Date, hour: i64) -> f64 {
        let last = date.day() == date.days_in_month();
        if last && (2..7).contains(&hour) { 3.0 } else { 0.05 }
    }

    #[test]
    fn the_last_day_counts_from_the_end_once_two_months_have_shown_it() {
        let mut month = Month::default();
        // January has 31 days, February 29, March 31.
        feed(&mut month, 0..59, last_day);
        assert!(!month.speaks);
        feed(&mut month, 59..61, last_day);
        assert!(month.speaks);
        let on = |day: i64, hour: i64| month.at(START + day * DAY_MS + hour * HOUR_MS);
        assert!((on(90, 3) - 3.0).abs() < 0.2, "{}", on(90, 3));
        assert!(on(90, 1).abs() < 1e-9 && on(90, 7).abs() < 1e-9 && on(89, 3).abs() < 1e-9);
        // 2024-04-30, and not 04-29.
        assert!(on(120, 3) > 2.0 && on(119, 3).abs() < 1e-9);
    }

    #[test]
    fn the_first_of_the_month_counts_from_the_start() {
        let mut month = Month::default();
        feed(
            &mut month,
            0..62,
            |date, hour| {
                if date.day() == 1 && hour < 10 { -2.0 } else { 0.0 }
            },
        );
        let on = |day: i64| month.at(START + day * DAY_MS);
        assert!(on(91) < -1.5, "2024-04-01: {}", on(91));
        assert!(on(90).abs() < 1e-9 && on(92).abs() < 1e-9);
    }

    #[test]
    fn what_a_month_does_not_show_again_is_silent_and_what_no_month_repeats_never_speaks() {
        let mut month = Month::default();
        feed(&mut month, 0..61, last_day);
        assert!(month.speaks);
        feed(&mut month, 61..92, |_, _| 0.0);
        assert!(!month.speaks);
        // Incidents, each on another day.
        let mut month = Month::default();
        feed(&mut month, 0..366, |date, hour| {
            let day = i64::from(date.month()) * 17 % 27 + 1;
            if i64::from(date.day()) == day && hour > 12 {
                5.0
            } else {
                0.1
            }
        });
        assert!(!month.speaks, "{:?}", month.specials);
    }

    #[test]
    fn a_day_without_data_and_instants_beyond_the_calendar_change_nothing() {
        let mut month = Month::default();
        feed(&mut month, 0..61, last_day);
        let proven = |month: &Month| {
            month.specials.map(|special| {
                if special.months < PROVEN {
                    Special::default()
                } else {
                    special
                }
            })
        };
        let kept = proven(&month);
        // March without its last day.
        feed(&mut month, 61..90, last_day);
        feed(&mut month, 91..100, last_day);
        assert_eq!(proven(&month), kept);
        month.begin_hour(i64::MAX, Some(1.0));
        month.begin_hour(i64::MIN, Some(f64::MAX));
        assert!(month.at(i64::MIN).abs() < 1e-9);
    }
}
