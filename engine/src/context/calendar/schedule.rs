//! When something is on: one span, or a start with a length that recurs by a rule, in a time zone.

use super::expand::{Expansion, instant};
use super::rule::{End, Freq, Rule, Stamp};
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use std::collections::BTreeSet;
use std::sync::OnceLock;
use wire::Timestamp;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Periods that are looked at to find where a rule with a COUNT ends: five years of minutes.
const MAX_COUNTED_PERIODS: i64 = 5 * 366 * 1440;

/// A stretch of time that holds its first instant and not its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Span {
    /// Whether `at` is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from <= at && at < self.until
    }
}

/// How long an occurrence lasts: days of the calendar (23 to 25 hours where clocks change), then elapsed time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    pub days: i64,
    pub ms: i64,
}

impl Length {
    /// Reads `4h`, `90 minutes`, `P1D`, `PT4H`.
    ///
    /// # Errors
    /// A sentence that shows the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("a duration is written 4h, 90m, PT4H or P1D, got {text:?}");
        let span: jiff::Span = text.trim().parse().map_err(|_| bad())?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(format!(
                "a duration of months or years has no fixed length, got {text:?}"
            ));
        }
        let part = |count: i64, unit_ms: i64| count.checked_mul(unit_ms).ok_or_else(bad);
        let length = Self {
            days: i64::from(span.get_weeks()) * 7 + i64::from(span.get_days()),
            ms: part(span.get_hours().into(), HOUR_MS)?
                .saturating_add(part(span.get_minutes(), 60_000)?)
                .saturating_add(part(span.get_seconds(), 1000)?)
                .saturating_add(span.get_milliseconds()),
        };
        if length.days < 0 || length.ms < 0 || length == Self::default() {
            return Err(format!("a duration must be above 0, got {text:?}"));
        }
        if length.days > 3660 || length.ms > 3660 * DAY_MS {
            return Err(format!("a duration of more than ten years is not one, got {text:?}"));
        }
        Ok(length)
    }

    /// No occurrence lasts longer, whatever the clocks do.
    fn at_most_ms(self) -> i64 {
        self.days * DAY_MS + self.ms + if self.days > 0 { 3 * HOUR_MS } else { 0 }
    }
}

/// What a [`Schedule`] is made from.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) start: DateTime,
    pub(super) zone: TimeZone,
    pub(super) length: Length,
    pub(super) rule: Option<Rule>,
    /// Starts beside those of the rule.
    pub(super) extra: Vec<Stamp>,
    pub(super) except: Vec<Stamp>,
}

/// See the module. Pure: the time zones are compiled in.
#[derive(Clone, Debug)]
pub struct Schedule {
    zone: TimeZone,
    length: Length,
    expansion: Option<(Expansion, Freq)>,
    /// No start of the rule is after this.
    last: Option<Timestamp>,
    /// Starts beside those of the rule, in order.
    extra: Vec<Timestamp>,
    except_at: BTreeSet<Timestamp>,
    except_on: BTreeSet<Date>,
}

impl Schedule {
    /// One span.
    pub fn once(span: Span) -> Self {
        Self {
            zone: TimeZone::UTC,
            length: Length {
                days: 0,
                ms: span.until.millis_since(span.from).max(0),
            },
            expansion: None,
            last: None,
            extra: vec![span.from],
            except_at: BTreeSet::new(),
            except_on: BTreeSet::new(),
        }
    }

    /// `start` for `length`, again by `rule`, without the starts or whole days in `except`. A `start` without offset is local
    /// time in `zone`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn recurring(
        start: &str,
        zone: &str,
        length: Length,
        rule: Option<&str>,
        except: &[String],
    ) -> Result<Self, (&'static str, String)> {
        let zone = find_zone(zone).map_err(|e| ("timezone", e))?;
        let bad = |text: &str| format!("a time is written 2026-11-27T00:00, as local time, or with Z, got {text:?}");
        let start = match super::rule::parse_stamp(start).ok_or_else(|| ("start", bad(start)))? {
            Stamp::Local(at) => at,
            Stamp::Date(date) => date.at(0, 0, 0, 0),
            Stamp::Utc(at) => local(&zone, at).ok_or_else(|| ("start", bad(start)))?,
        };
        let except = except
            .iter()
            .map(|text| super::rule::parse_stamp(text).ok_or_else(|| ("except", bad(text))));
        Self::new(Plan {
            start,
            zone,
            length,
            rule: rule.map(Rule::parse).transpose().map_err(|e| ("rrule", e))?,
            extra: Vec::new(),
            except: except.collect::<Result<_, _>>()?,
        })
        .map_err(|e| ("rrule", e))
    }

    pub(super) fn new(plan: Plan) -> Result<Self, String> {
        let zone = plan.zone;
        let moment = |stamp: &Stamp| match stamp {
            Stamp::Utc(at) => Some(*at),
            Stamp::Local(at) => instant(&zone, *at, true),
            Stamp::Date(date) => instant(&zone, date.at(0, 0, 0, 0), true),
        };
        let mut except_on = BTreeSet::new();
        let mut except_at = BTreeSet::new();
        for stamp in &plan.except {
            match stamp {
                Stamp::Date(date) => {
                    except_on.insert(*date);
                }
                other => except_at.extend(moment(other)),
            }
        }
        let mut extra: Vec<Timestamp> = plan.extra.iter().filter_map(moment).collect();
        if plan.rule.is_none() {
            extra.extend(instant(&zone, plan.start, true));
        }
        extra.sort_unstable();
        extra.dedup();
        let mut schedule = Self {
            length: plan.length,
            expansion: None,
            last: None,
            extra,
            except_at,
            except_on,
            zone: zone.clone(),
        };
        if let Some(rule) = plan.rule {
            let (freq, end) = (rule.freq, rule.end);
            let expansion =
                Expansion::new(rule, plan.start, zone.clone()).ok_or("the start is beyond what a calendar can say")?;
            schedule.last = match end {
                End::Never => None,
                End::At(at) => Some(at),
                End::Local(at) => instant(&zone, at, true),
                End::Count(count) => Some(last_of(&expansion, count)?),
            };
            schedule.expansion = Some((expansion, freq));
        }
        Ok(schedule)
    }

    /// The occurrences that touch the time from `from` until before `until`, by their starts.
    pub fn spans(&self, from: Timestamp, until: Timestamp) -> Vec<Span> {
        let earliest = from - self.length.at_most_ms();
        let mut starts = Vec::new();
        if let Some((expansion, _)) = &self.expansion {
            let until = self.last.map_or(until, |last| until.min(last + 1));
            let mut found = Vec::new();
            let mut number = expansion.period_before(earliest);
            while let Some(begins) = expansion.period(number, &mut found) {
                if begins >= until {
                    break;
                }
                starts.extend(found.iter().filter(|at| (earliest..until).contains(*at)));
                number += 1;
            }
        }
        starts.extend(self.extra.iter().filter(|at| (earliest..until).contains(*at)));
        starts.sort_unstable();
        starts.dedup();
        starts
            .into_iter()
            .filter(|at| !self.is_excepted(*at))
            .filter_map(|at| {
                let span = Span {
                    from: at,
                    until: self.end_of(at)?,
                };
                (span.until > from).then_some(span)
            })
            .collect()
    }

    /// The occurrence that is on at `at`: of several, the one that began last.
    pub fn covering(&self, at: Timestamp) -> Option<Span> {
        self.spans(at, at + 1).pop()
    }

    /// The first start beside those of a rule.
    pub fn first(&self) -> Option<Timestamp> {
        self.extra.first().copied()
    }

    /// How far a [`super::Timeline`] should look ahead at once.
    pub(super) fn reach_ms(&self) -> i64 {
        match &self.expansion {
            Some((_, Freq::Minutely)) => 2 * DAY_MS,
            Some((_, Freq::Hourly)) => 60 * DAY_MS,
            _ => 400 * DAY_MS,
        }
    }

    fn is_excepted(&self, at: Timestamp) -> bool {
        self.except_at.contains(&at)
            || (!self.except_on.is_empty()
                && local(&self.zone, at).is_some_and(|at| self.except_on.contains(&at.date())))
    }

    fn end_of(&self, start: Timestamp) -> Option<Timestamp> {
        if self.length.days == 0 {
            return Some(start + self.length.ms);
        }
        let end = local(&self.zone, start)?.checked_add(self.length.days.days()).ok()?;
        Some(instant(&self.zone, end, true)? + self.length.ms)
    }
}

/// The start with number `count`, from 1. A rule that runs out before it has no end of its own.
fn last_of(expansion: &Expansion, count: u32) -> Result<Timestamp, String> {
    let mut left = count as usize;
    let mut found = Vec::new();
    for number in 0..MAX_COUNTED_PERIODS {
        if expansion.period(number, &mut found).is_none() {
            return Ok(Timestamp(i64::MAX));
        }
        if let Some(last) = found.get(left - 1) {
            return Ok(*last);
        }
        left -= found.len();
    }
    Err(format!(
        "the rule does not occur {count} times within five years of minutes; use UNTIL"
    ))
}

fn local(zone: &TimeZone, at: Timestamp) -> Option<DateTime> {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
    Some(zone.to_datetime(at))
}

/// A time zone by its IANA name, from the database that is compiled in: the same on every machine.
///
/// # Errors
/// A sentence that shows the name.
pub(crate) fn find_zone(name: &str) -> Result<TimeZone, String> {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    let name = name.trim().trim_start_matches('/');
    if name.is_empty() || name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    ZONES
        .get_or_init(TimeZoneDatabase::bundled)
        .get(name)
        .map_err(|_| format!("{name:?} is not a time zone; use an IANA name such as Europe/Berlin"))
}
