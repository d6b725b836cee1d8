//! The local times that a [`Rule`] names, one period (a year, a month, .. a minute) after the other.
//!
//! A period is expanded by filtering its days and crossing them with the times of day, as RFC 5545's table of section
//! 3.3.10 says; `BYSETPOS` chooses among the result. From days upwards the arithmetic is civil, so that 02:00 stays 02:00
//! across a change of the clocks; hours and minutes are steps of elapsed time. A local time that a change of the clocks
//! skips does not occur; one that it repeats occurs the first time.
//!
//! Any period can be asked for by its number, so finding the occurrences near an instant does not walk there from the start.

use super::rule::{Freq, Rule};
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, ToSpan};
use wire::Timestamp;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A rule bound to its first local time and zone, with what that start implies filled in.
#[derive(Clone, Debug)]
pub(super) struct Expansion {
    rule: Rule,
    start: DateTime,
    zone: TimeZone,
    start_at: Timestamp,
}

impl Expansion {
    pub(super) fn new(mut rule: Rule, start: DateTime, zone: TimeZone) -> Option<Self> {
        let no_days = rule.by_week_no.is_empty()
            && rule.by_year_day.is_empty()
            && rule.by_month_day.is_empty()
            && rule.by_day.is_empty();
        if no_days {
            match rule.freq {
                Freq::Yearly => {
                    if rule.by_month.is_empty() {
                        rule.by_month.push(start.month().into());
                    }
                    rule.by_month_day.push(start.day().into());
                }
                Freq::Monthly => rule.by_month_day.push(start.day().into()),
                Freq::Weekly => rule.by_day.push(super::rule::ByDay {
                    nth: 0,
                    weekday: start.weekday(),
                }),
                Freq::Minutely | Freq::Hourly | Freq::Daily => {}
            }
        }
        if rule.by_second.is_empty() {
            rule.by_second.push(start.second().into());
        }
        if rule.by_minute.is_empty() && rule.freq > Freq::Minutely {
            rule.by_minute.push(start.minute().into());
        }
        if rule.by_hour.is_empty() && rule.freq > Freq::Hourly {
            rule.by_hour.push(start.hour().into());
        }
        let start_at = instant(&zone, start, true)?;
        Some(Self {
            rule,
            start,
            zone,
            start_at,
        })
    }

    /// Number of the first period that may hold an occurrence at or after `at`.
    pub(super) fn period_before(&self, at: Timestamp) -> i64 {
        let passed = at.millis_since(self.start_at);
        if passed <= 0 {
            return 0;
        }
        // Shortest lengths would overshoot, so the longest; two periods more for the odd hour of a changed clock.
        let longest = match self.rule.freq {
            Freq::Minutely => MINUTE_MS,
            Freq::Hourly => HOUR_MS,
            Freq::Daily => 24 * HOUR_MS,
            Freq::Weekly => 7 * 24 * HOUR_MS,
            Freq::Monthly => 31 * 24 * HOUR_MS,
            Freq::Yearly => 366 * 24 * HOUR_MS,
        };
        (passed / longest / self.rule.interval - 2).max(0)
    }

    /// Fills `out` with the occurrences of period `number`, in order, and returns an instant that nothing in this or a later
    /// period precedes. `None`: the period is beyond what a calendar can say.
    pub(super) fn period(&self, number: i64, out: &mut Vec<Timestamp>) -> Option<Timestamp> {
        out.clear();
        let ahead = number.checked_mul(self.rule.interval)?;
        let begins = match self.rule.freq {
            Freq::Minutely => self.elapsed_period(ahead, MINUTE_MS, out)?,
            Freq::Hourly => self.elapsed_period(ahead, HOUR_MS, out)?,
            Freq::Daily => self.civil_period(self.day_ahead(self.start.date(), ahead)?, 1, out)?,
            Freq::Weekly => {
                let back = self.start.weekday().since(self.rule.week_start);
                let monday = self.start.date().checked_sub(i64::from(back).days()).ok()?;
                self.civil_period(self.day_ahead(monday, ahead.checked_mul(7)?)?, 7, out)?
            }
            Freq::Monthly => {
                let month = self.start.date().first_of_month();
                let month = month.checked_add(Span::new().try_months(ahead).ok()?).ok()?;
                self.civil_period(month, month.days_in_month().into(), out)?
            }
            Freq::Yearly => {
                let year = i16::try_from(i64::from(self.start.year()).checked_add(ahead)?).ok()?;
                let year = Date::new(year, 1, 1).ok()?;
                self.civil_period(year, year.days_in_year(), out)?
            }
        };
        out.retain(|at| *at >= self.start_at);
        Some(begins)
    }

    fn day_ahead(&self, date: Date, days: i64) -> Option<Date> {
        date.checked_add(Span::new().try_days(days).ok()?).ok()
    }

    /// Occurrences on `days` days from `first` on.
    fn civil_period(&self, first: Date, days: i16, out: &mut Vec<Timestamp>) -> Option<Timestamp> {
        let begins = instant(&self.zone, first.at(0, 0, 0, 0), true)?;
        let mut found = Vec::new();
        let mut date = first;
        for i in 0..days {
            if i > 0 {
                date = date.tomorrow().ok()?;
            }
            if self.is_on(date) {
                self.times_on(date, &mut found);
            }
        }
        self.choose(found, out);
        Some(begins)
    }

    fn times_on(&self, date: Date, found: &mut Vec<Timestamp>) {
        for &hour in &self.rule.by_hour {
            for &minute in &self.rule.by_minute {
                for &second in &self.rule.by_second {
                    // A leap second is the last one of its minute, as civil time has none.
                    let time = date.at(hour as i8, minute as i8, second.min(59) as i8, 0);
                    found.extend(instant(&self.zone, time, false));
                }
            }
        }
    }

    /// Occurrences in the hour or minute that is `ahead` whole ones after the start.
    fn elapsed_period(&self, ahead: i64, unit_ms: i64, out: &mut Vec<Timestamp>) -> Option<Timestamp> {
        let into_unit = if unit_ms == HOUR_MS {
            i64::from(self.start.minute()) * MINUTE_MS + i64::from(self.start.second()) * 1000
        } else {
            i64::from(self.start.second()) * 1000
        };
        let begins = (self.start_at - into_unit) + ahead.checked_mul(unit_ms)?;
        let local = self.zone.to_datetime(jiff::Timestamp::from_millisecond(begins.0).ok()?);
        let rule = &self.rule;
        let hour_fits = rule.by_hour.is_empty() || rule.by_hour.contains(&local.hour().into());
        if !hour_fits || !self.is_on(local.date()) {
            return Some(begins);
        }
        let mut found = Vec::new();
        if unit_ms == HOUR_MS {
            for &minute in &rule.by_minute {
                for &second in &rule.by_second {
                    found.push(begins + i64::from(minute) * MINUTE_MS + i64::from(second.min(59)) * 1000);
                }
            }
        } else if rule.by_minute.is_empty() || rule.by_minute.contains(&local.minute().into()) {
            for &second in &rule.by_second {
                found.push(begins + i64::from(second.min(59)) * 1000);
            }
        }
        self.choose(found, out);
        Some(begins)
    }

    /// Applies `BYSETPOS` to the occurrences of one period.
    fn choose(&self, mut found: Vec<Timestamp>, out: &mut Vec<Timestamp>) {
        found.sort_unstable();
        found.dedup();
        if self.rule.by_set_pos.is_empty() {
            out.append(&mut found);
            return;
        }
        let n = found.len() as i64;
        let mut chosen: Vec<i64> = self.rule.by_set_pos.iter().map(|&p| i64::from(p)).collect();
        for place in &mut chosen {
            *place = if *place > 0 { *place - 1 } else { n + *place };
        }
        chosen.sort_unstable();
        chosen.dedup();
        out.extend(chosen.iter().filter_map(|&p| found.get(usize::try_from(p).ok()?)));
    }

    /// Whether the rule's BY parts for days let `date` pass.
    fn is_on(&self, date: Date) -> bool {
        let rule = &self.rule;
        let fits = |list: &[i16], number: i16, length: i16| {
            list.is_empty() || list.contains(&number) || list.contains(&(number - length - 1))
        };
        (rule.by_month.is_empty() || rule.by_month.contains(&date.month().into()))
            && fits(&rule.by_month_day, date.day().into(), date.days_in_month().into())
            && fits(&rule.by_year_day, date.day_of_year(), date.days_in_year())
            && (rule.by_week_no.is_empty() || self.week_fits(date))
            && (rule.by_day.is_empty() || rule.by_day.iter().any(|day| self.day_fits(date, day.nth, day.weekday)))
    }

    fn day_fits(&self, date: Date, nth: i16, weekday: Weekday) -> bool {
        if date.weekday() != weekday {
            return false;
        }
        // Within the year only where the rule is about years and names no month.
        let (index, length) = if self.rule.freq == Freq::Yearly && self.rule.by_month.is_empty() {
            (date.day_of_year() - 1, date.days_in_year())
        } else {
            (i16::from(date.day()) - 1, i16::from(date.days_in_month()))
        };
        nth == 0 || nth == index / 7 + 1 || nth == -((length - 1 - index) / 7 + 1)
    }

    fn week_fits(&self, date: Date) -> bool {
        let Some((number, weeks)) = week_of(date, self.rule.week_start) else {
            return false;
        };
        self.rule.by_week_no.contains(&number) || self.rule.by_week_no.contains(&(number - weeks - 1))
    }
}

/// Number of the week that holds `date` and how many its year has. Week 1 is the first with four days in the year.
fn week_of(date: Date, week_start: Weekday) -> Option<(i16, i16)> {
    let begins = date
        .checked_sub(i64::from(date.weekday().since(week_start)).days())
        .ok()?;
    // The year that holds the week's fourth day is the week's year.
    let fourth = begins.checked_add(3.days()).ok()?;
    let number = (fourth.day_of_year() - 1) / 7 + 1;
    let last = fourth.last_of_year();
    let spare = last.weekday().since(week_start);
    // The week of 31 December counts for this year if four of its days do.
    let end = if spare >= 3 {
        last
    } else {
        last.checked_sub(i64::from(spare + 1).days()).ok()?
    };
    let end_begins = end
        .checked_sub(i64::from(end.weekday().since(week_start)).days())
        .ok()?;
    let end_fourth = end_begins.checked_add(3.days()).ok()?;
    Some((number, (end_fourth.day_of_year() - 1) / 7 + 1))
}

/// The instant of a local time. One that the clocks skip is `None`, or with `shift` as far after the change as it was after
/// the start of the gap; of one that they repeat the first counts.
pub(super) fn instant(zone: &TimeZone, local: DateTime, shift: bool) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    if !shift && matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. }) {
        return None;
    }
    let at = ambiguous.compatible().ok()?;
    Some(Timestamp(at.as_millisecond()))
}
