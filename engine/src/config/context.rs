//! `[[maintenance]]`, `[[expected]]`, `[[series]]` and `[calendar]`.
//!
//! ```toml
//! [[maintenance]]                  # Sundays from 02:00 to 04:00 in Berlin, in summer as in winter
//! entity = "db*"
//! start = "2026-01-04T02:00"
//! duration = "2h"
//! timezone = "Europe/Berlin"
//! rrule = "FREQ=WEEKLY;BYDAY=SU"
//!
//! [[expected]]                     # a launch: ten times the traffic for four hours
//! entity = "shop"
//! class = "traffic"
//! start = "2026-11-27T00:00"
//! duration = "4h"
//! factor = 10.0
//!
//! [[series]]                       # one error of two requests proves nothing
//! metric = "error*"
//! direction = "up"
//! min_evidence = { metric = "requests*", at_least = 100 }
//!
//! [[series]]                       # their days are days in Tokyo
//! entity = "tokyo-*"
//! timezone = "Asia/Tokyo"
//!
//! [[series]]                       # a rule that anybody can compute, in the ensemble's place
//! metric = "queue_depth"
//! detector = "k-sigma"             # or percentile = 99, or static with above and below; "ensemble" is the default
//! k = 4                            # standard deviations
//! window = "1d"                    # of the past
//! for = "5m"                       # as long as in a Prometheus alert rule
//!
//! [[series]]                       # a fixed limit beside whatever decides, also while that is still learning
//! metric = "disk_usage"
//! limit_above = 0.9                # and limit_below
//! limit_for = "10m"
//! fast = true                      # provisional signals within one sample, see `[detect.fast]`
//!
//! [calendar]
//! files = ["holidays.ics"]
//! timezone = "Europe/Berlin"       # of holidays, and of the days, weeks and months that baselines learn
//! ```

use super::{check, detector};
use crate::context::calendar::{Length, Schedule, Span, find_zone};
use crate::context::{ContextConfig, Direction, Evidence, Glob, Kind, Selector, SeriesRule, Settings, When, Window};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use wire::series::MetricClass;

/// One value, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn into_vec(this: Option<Self>) -> Vec<T> {
        match this {
            None => Vec::new(),
            Some(Self::One(one)) => vec![one],
            Some(Self::Many(many)) => many,
        }
    }
}

/// A time, as TOML writes it or as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum RawTime {
    Text(String),
    Toml(toml::value::Datetime),
}

impl RawTime {
    fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Toml(time) => time.to_string(),
        }
    }
}

/// `[[maintenance]]` and `[[expected]]`. `factor` and `direction` belong to the latter.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawWindow {
    /// Names it in reasons; default `maintenance-1`, `expected-1` and so on.
    pub id: Option<String>,
    /// Names with `*` and `?`; default: all.
    pub entity: Option<OneOrMany<String>>,
    pub metric: Option<OneOrMany<String>>,
    pub class: Option<OneOrMany<MetricClass>>,
    /// `2026-11-27T00:00` in `timezone`, or with an offset; a date is its midnight.
    pub start: Option<RawTime>,
    /// Or `duration`. A start that is a date alone lasts that day.
    pub end: Option<RawTime>,
    /// `4h`, `P1D`.
    pub duration: Option<String>,
    /// An IANA name; default UTC.
    pub timezone: Option<String>,
    /// A recurrence rule of RFC 5545.
    pub rrule: Option<String>,
    /// Starts or days that the rule does not mean.
    pub except: Vec<RawTime>,
    /// Open on every day of `[calendar] files`, in place of `start`.
    pub holidays: bool,
    /// What is usual is so many times as much.
    pub factor: Option<f64>,
    /// `up`, `down` or `both`: the side on which deviations are expected, without a `factor`.
    pub direction: Option<String>,
    pub note: Option<String>,
    pub author: Option<String>,
}

/// `[[series]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSeries {
    pub entity: Option<OneOrMany<String>>,
    pub metric: Option<OneOrMany<String>>,
    pub class: Option<OneOrMany<MetricClass>>,
    /// `up`, `down` or `both`.
    pub direction: Option<String>,
    /// Lowest and highest value that can be.
    pub data_range: Option<Vec<f64>>,
    pub min_abs_deviation: Option<f64>,
    /// As a part of the expected value: 0.1 is 10 %.
    pub min_rel_deviation: Option<f64>,
    /// A number of samples, or `{ metric = "requests*", at_least = 100 }`, or both in one table.
    pub min_evidence: Option<RawEvidence>,
    pub shadow: Option<bool>,
    pub post_deploy_minutes: Option<u32>,
    /// An IANA name: where its days are days; default that of `[calendar]`.
    pub timezone: Option<String>,
    /// Who decides: `ensemble` (default), `percentile`, `k-sigma` or `static`.
    pub detector: Option<String>,
    /// Of `percentile`, in percent; default 99.
    pub percentile: Option<f64>,
    /// Of `k-sigma`, in standard deviations; default 4.
    pub k: Option<f64>,
    /// The past that these two look at, such as `1d` (default).
    pub window: Option<String>,
    /// How long the condition of a simple detector must hold, as in a Prometheus alert rule; default `5m` for `percentile`,
    /// else at once.
    #[serde(rename = "for")]
    pub lasting: Option<String>,
    /// Of `static`: values above, and below, are anomalies.
    pub above: Option<f64>,
    pub below: Option<f64>,
    /// The same beside any detector, also while it warms up.
    pub limit_above: Option<f64>,
    pub limit_below: Option<f64>,
    pub limit_for: Option<String>,
    /// Whether the fast layer may raise provisional signals; default: for metrics about errors.
    pub fast: Option<bool>,
}

/// `min_evidence`
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum RawEvidence {
    Samples(u32),
    Table(RawEvidenceTable),
}

/// `min_evidence = { .. }`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawEvidenceTable {
    pub samples: Option<u32>,
    /// A metric of the same entity, with `*` and `?`.
    pub metric: Option<String>,
    pub at_least: Option<f64>,
}

/// `[calendar]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCalendar {
    /// Calendar files (.ics) of public holidays.
    pub files: Vec<PathBuf>,
    /// Where their days are days, and the days, weeks and months that baselines learn; default UTC.
    pub timezone: Option<String>,
}

/// Checks all four together.
pub(super) fn context(
    maintenance: Vec<RawWindow>,
    expected: Vec<RawWindow>,
    series: Vec<RawSeries>,
    calendar: RawCalendar,
    problems: &mut Vec<String>,
) -> ContextConfig {
    let mut config = ContextConfig {
        calendar_zone: calendar.timezone.unwrap_or_default(),
        calendars: calendar.files,
        ..ContextConfig::default()
    };
    // Any date will do: it is the name of the zone that is checked.
    let probe = Schedule::recurring(
        "2026-01-01",
        &config.calendar_zone,
        Length { days: 1, ms: 0 },
        None,
        &[],
    );
    if let Err((_, problem)) = probe {
        problems.push(format!("calendar.timezone: {problem}"));
    }
    for (list, windows) in [("maintenance", maintenance), ("expected", expected)] {
        for (index, raw) in windows.into_iter().enumerate() {
            let mut place = Place {
                name: format!("{list}[{index}]"),
                problems,
            };
            if raw.holidays && config.calendars.is_empty() {
                place.problem("holidays", "there is no file in calendar.files");
            }
            let id = raw.id.clone().unwrap_or_else(|| format!("{list}-{}", index + 1));
            if config.windows.iter().any(|window| window.id == id) {
                place.problem("id", &format!("{id:?} is there twice"));
            }
            config.windows.extend(window(raw, id, list == "expected", &mut place));
        }
    }
    for (index, raw) in series.into_iter().enumerate() {
        let mut place = Place {
            name: format!("series[{index}]"),
            problems,
        };
        config.series.push(rule(raw, &mut place));
    }
    config
}

/// Where problems belong.
pub(super) struct Place<'a> {
    name: String,
    problems: &'a mut Vec<String>,
}

impl Place<'_> {
    pub(super) fn problem(&mut self, field: &str, text: &str) {
        self.problems.push(format!("{}.{field}: {text}", self.name));
    }

    fn direction(&mut self, text: Option<&str>) -> Option<Direction> {
        match text? {
            "up" => Some(Direction::Up),
            "down" => Some(Direction::Down),
            "both" => Some(Direction::Both),
            other => {
                self.problem("direction", &format!("must be up, down or both, got {other:?}"));
                None
            }
        }
    }

    pub(super) fn check(&mut self, ok: bool, field: &str, text: &str) {
        let name = &self.name;
        check(self.problems, ok, || format!("{name}.{field}: {text}"));
    }
}

fn selector(
    entity: Option<OneOrMany<String>>,
    metric: Option<OneOrMany<String>>,
    class: Option<OneOrMany<MetricClass>>,
) -> Selector {
    let globs = |names: Option<OneOrMany<String>>| {
        let names = OneOrMany::into_vec(names);
        names.iter().map(|name| Glob::new(name)).collect()
    };
    Selector {
        entities: globs(entity),
        metrics: globs(metric),
        classes: OneOrMany::into_vec(class),
        named: BTreeSet::new(),
    }
}

fn window(raw: RawWindow, id: String, expected: bool, place: &mut Place<'_>) -> Option<Window> {
    let direction = place.direction(raw.direction.as_deref());
    if let Some(factor) = raw.factor {
        place.check(
            factor.is_finite() && factor > 0.0,
            "factor",
            &format!("must be above 0, got {factor}"),
        );
    }
    if !expected {
        place.check(raw.factor.is_none(), "factor", "belongs to [[expected]]");
        place.check(raw.direction.is_none(), "direction", "belongs to [[expected]]");
    }
    if raw.factor.is_some() && raw.direction.is_some() {
        place.problem(
            "direction",
            "does not go with factor: what differs from it is an anomaly to both sides",
        );
    }
    let kind = if expected {
        Kind::Expected {
            factor: raw.factor,
            direction: direction.unwrap_or_default(),
        }
    } else {
        Kind::Maintenance
    };
    let when = if raw.holidays {
        let alone = raw.start.is_none() && raw.end.is_none() && raw.duration.is_none() && raw.rrule.is_none();
        place.check(alone, "holidays", "takes the place of start, end, duration and rrule");
        Some(When::Holidays)
    } else {
        let schedule = schedule(&raw, place);
        schedule.map(|schedule| When::Schedules(Arc::new([schedule])))
    };
    Some(Window {
        id,
        kind,
        selector: selector(raw.entity, raw.metric, raw.class),
        when: when?,
        note: raw.note.unwrap_or_default(),
        author: raw.author.unwrap_or_default(),
    })
}

fn schedule(raw: &RawWindow, place: &mut Place<'_>) -> Option<Schedule> {
    let Some(start) = raw.start.clone().map(RawTime::into_text) else {
        place.problem("start", "is needed, such as 2026-11-27T00:00");
        return None;
    };
    let zone = raw.timezone.as_deref().unwrap_or_default();
    let length = match (&raw.duration, &raw.end) {
        (Some(_), Some(_)) => {
            place.problem("end", "does not go with duration");
            return None;
        }
        (Some(text), None) => match Length::parse(text) {
            Ok(length) => length,
            Err(problem) => {
                place.problem("duration", &problem);
                return None;
            }
        },
        (None, Some(end)) => until(&start, end.clone().into_text(), zone, place)?,
        (None, None) if start.trim().len() <= "2026-11-27".len() => Length { days: 1, ms: 0 },
        (None, None) => {
            place.problem("duration", "is needed, or an end");
            return None;
        }
    };
    let except: Vec<String> = raw.except.iter().cloned().map(RawTime::into_text).collect();
    match Schedule::recurring(&start, zone, length, raw.rrule.as_deref(), &except) {
        Ok(schedule) => Some(schedule),
        Err((field, problem)) => {
            place.problem(field, &problem);
            None
        }
    }
}

/// The length from `start` to `end`.
fn until(start: &str, end: String, zone: &str, place: &mut Place<'_>) -> Option<Length> {
    let mut moment = |field: &str, text: &str| {
        let once = Schedule::recurring(text, zone, Length { days: 0, ms: 1 }, None, &[]);
        match once.map(|schedule| schedule.first()) {
            Ok(Some(at)) => Some(at),
            Ok(None) => {
                place.problem(field, "is beyond what a calendar can say");
                None
            }
            Err((problem_of, problem)) => {
                place.problem(if problem_of == "start" { field } else { problem_of }, &problem);
                None
            }
        }
    };
    let span = Span {
        from: moment("start", start)?,
        until: moment("end", &end)?,
    };
    let ms = span.until.millis_since(span.from);
    if ms <= 0 {
        place.problem("end", "must be after start");
        return None;
    }
    Some(Length { days: 0, ms })
}

fn rule(raw: RawSeries, place: &mut Place<'_>) -> SeriesRule {
    let mut settings = Settings {
        detector: detector::choice(&raw, place),
        limits: detector::beside(&raw, place),
        fast: raw.fast,
        direction: place.direction(raw.direction.as_deref()),
        min_abs_deviation: raw.min_abs_deviation,
        min_rel_deviation: raw.min_rel_deviation,
        shadow: raw.shadow,
        post_deploy_ms: raw.post_deploy_minutes.map(|minutes| i64::from(minutes) * 60_000),
        zone: match raw.timezone.as_deref().map(find_zone) {
            Some(Ok(zone)) => Some(zone),
            Some(Err(problem)) => {
                place.problem("timezone", &problem);
                None
            }
            None => None,
        },
        ..Settings::default()
    };
    for (field, value) in [
        ("min_abs_deviation", raw.min_abs_deviation),
        ("min_rel_deviation", raw.min_rel_deviation),
    ] {
        if let Some(value) = value {
            place.check(
                value.is_finite() && value >= 0.0,
                field,
                &format!("must be 0 or above, got {value}"),
            );
        }
    }
    match raw.data_range.as_deref() {
        None => {}
        Some([low, high]) if low < high => settings.data_range = Some((*low, *high)),
        Some(other) => place.problem(
            "data_range",
            &format!("is the lowest and the highest value, such as [0, 100], got {other:?}"),
        ),
    }
    match raw.min_evidence {
        None => {}
        Some(RawEvidence::Samples(samples)) => settings.min_samples = Some(samples),
        Some(RawEvidence::Table(table)) => {
            settings.min_samples = table.samples;
            match (table.metric, table.at_least) {
                (Some(metric), Some(at_least)) if at_least.is_finite() => {
                    settings.evidence = Some(Evidence {
                        metric: Glob::new(&metric),
                        at_least,
                    });
                }
                (None, None) if table.samples.is_some() => {}
                _ => place.problem("min_evidence", "needs samples, or metric together with at_least"),
            }
        }
    }
    SeriesRule {
        selector: selector(raw.entity, raw.metric, raw.class),
        settings,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, RawConfig};
    use crate::context::{ContextConfig, Direction, Kind, When};
    use crate::error::Error;
    use wire::Timestamp;

    fn read(text: &str) -> ContextConfig {
        Config::try_from(RawConfig::parse(text).unwrap()).unwrap().context
    }

    #[track_caller]
    fn refused(text: &str, expected: &[&str]) {
        let Err(Error::Config(problems)) = Config::try_from(RawConfig::parse(text).unwrap()) else {
            panic!("must not be accepted: {text}")
        };
        let fields: Vec<_> = problems
            .iter()
            .map(|p| p.split(": ").next().unwrap_or_default())
            .collect();
        assert_eq!(fields, expected, "{problems:?}");
    }

    #[test]
    fn windows_series_and_calendars_are_read() {
        let config = read(
            r#"
            [calendar]
            files = ["de.ics"]
            timezone = "Europe/Berlin"
            [[maintenance]]
            id = "db-upgrade"
            entity = ["db*", "cache"]
            start = "2026-01-04T02:00"
            duration = "2h"
            timezone = "Europe/Berlin"
            rrule = "FREQ=WEEKLY;BYDAY=SU"
            except = ["2026-12-20"]
            author = "ada"
            [[expected]]
            entity = "shop*"
            class = "traffic"
            start = 2026-11-27T00:00:00
            end = 2026-11-27T04:00:00
            factor = 10.0
            [[expected]]
            holidays = true
            direction = "down"
            [[series]]
            metric = "error*"
            direction = "up"
            data_range = [0, 1]
            min_abs_deviation = 0.02
            min_rel_deviation = 0.1
            min_evidence = { samples = 100, metric = "requests*", at_least = 50 }
            post_deploy_minutes = 15
            [[series]]
            class = ["saturation", "other"]
            min_evidence = 200
            shadow = true
            timezone = "Asia/Tokyo"
            "#,
        );
        let ids: Vec<_> = config.windows.iter().map(|w| w.id.as_str()).collect();
        assert_eq!(ids, ["db-upgrade", "expected-1", "expected-2"]);
        assert!(matches!(config.windows[1].kind, Kind::Expected { factor: Some(k), .. } if (k - 10.0).abs() < 1e-9));
        assert!(matches!(config.windows[2].when, When::Holidays));
        let When::Schedules(schedules) = &config.windows[1].when else {
            panic!()
        };
        let span = schedules[0].covering(Timestamp(1_795_737_600_000)).unwrap();
        assert_eq!(span.until.millis_since(span.from), 4 * 3_600_000);
        let settings = &config.series[0].settings;
        assert_eq!(
            (
                settings.direction,
                settings.data_range,
                settings.min_samples,
                settings.post_deploy_ms
            ),
            (Some(Direction::Up), Some((0.0, 1.0)), Some(100), Some(900_000))
        );
        assert!(
            settings
                .evidence
                .as_ref()
                .is_some_and(|e| (e.at_least - 50.0).abs() < 1e-9)
        );
        assert_eq!(
            (config.series[1].settings.min_samples, config.series[1].settings.shadow),
            (Some(200), Some(true))
        );
        let zone = |index: usize| {
            config.series[index]
                .settings
                .zone
                .as_ref()
                .and_then(|zone| zone.iana_name())
        };
        assert_eq!((zone(0), zone(1)), (None, Some("Asia/Tokyo")));
    }

    #[test]
    fn every_problem_is_listed_with_its_place() {
        refused(
            r#"
            [calendar]
            timezone = "Berlin"
            [[maintenance]]
            start = "2026-01-04T02:00"
            duration = "2h"
            [[maintenance]]
            start = "2026-01-04T02:00"
            duration = "2h"
            rrule = "FREQ=SOMETIMES"
            factor = 2.0
            [[maintenance]]
            start = "soon"
            duration = "2h"
            [[maintenance]]
            start = "2026-01-04T02:00"
            end = "2026-01-04T01:00"
            [[maintenance]]
            id = "maintenance-1"
            start = "2026-01-04T02:00"
            [[expected]]
            factor = -1.0
            direction = "sideways"
            [[expected]]
            holidays = true
            [[series]]
            data_range = [3]
            min_abs_deviation = -1
            min_evidence = { metric = "requests" }
            timezone = "Tokyo"
            "#,
            &[
                "calendar.timezone",
                "maintenance[1].factor",
                "maintenance[1].rrule",
                "maintenance[2].start",
                "maintenance[3].end",
                "maintenance[4].id",
                "maintenance[4].duration",
                "expected[0].direction",
                "expected[0].factor",
                "expected[0].direction",
                "expected[0].start",
                "expected[1].holidays",
                "series[0].timezone",
                "series[0].min_abs_deviation",
                "series[0].data_range",
                "series[0].min_evidence",
            ],
        );
    }

    #[test]
    fn a_typo_in_a_table_is_an_error() {
        let error = RawConfig::parse("[[series]]\nmin_dev = 1\n").unwrap_err().to_string();
        assert!(error.contains("min_dev"), "{error}");
    }
}
