//! A day of an estate that is watched by static rules, as most are: how many alerts they make, how many incidents Halo makes of the
//! same metrics, how many of those would page, and what either misses.
//!
//! The rules are as people write them: a metric is above or below a fixed number for a minute, and the number is so many standard
//! deviations from the mean of a day that somebody looked at. How many is chosen so that a calm day already makes as many alerts as
//! the estates have that teams complain about.

use super::{Figure, Report};
use crate::backtest::Stamp;
use engine::correlate::Incident;
use engine::detect::{DetectConfig, Effort, Models};
use engine::pipeline::{BrainConfig, Lane, LaneConfig, LaneOutput};
use engine::series::{Labels, info_from_labels};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::{Estate, EstateConfig, Failure, FailureKind, Metric, Part};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wire::incident::Severity;
use wire::{EntityId, IncidentId, Timestamp};

/// Nothing is tuned on it.
const SEED: u64 = 30_000;
const RULES: usize = 3400;
/// Alerts of a calm day.
const ALERTS: usize = 12_000;
/// Incidents that they are to become at most.
const INCIDENTS: f64 = 720.0;
const STEP_MS: i64 = 60_000;
const DAY: usize = 1440;
/// Days from which what is usual is learnt; the last of them is the calm one that the rules are judged by.
const DAYS: usize = 3;
const FAILURES: usize = 24;
/// Minutes that a failure lasts.
const LASTS: std::ops::Range<i64> = 15..50;
/// An alert or an incident that begins so many minutes after a failure may still be about it.
const AFTER: i64 = 15;

/// A static rule on one metric.
#[derive(Clone, Copy, Debug)]
struct Rule {
    mean: f64,
    deviation: f64,
    /// Whether it fires above its threshold, or below.
    above: bool,
}

impl Rule {
    fn of(metric: &Metric, calm: &[f64]) -> Self {
        let present = calm.iter().filter(|value| value.is_finite());
        let count = present.clone().count().max(1) as f64;
        let mean = present.clone().sum::<f64>() / count;
        let square = present.map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        Self {
            mean,
            deviation: square.sqrt(),
            above: !matches!(metric.metric, "availability" | "hit_ratio"),
        }
    }

    fn is_broken(self, value: f64, deviations: f64) -> bool {
        let away = deviations * self.deviation;
        // Where there is no value nothing is compared.
        if self.above {
            value > self.mean + away
        } else {
            value < self.mean - away
        }
    }

    /// The rows at which it begins to fire.
    fn firings(self, values: &[f64], deviations: f64) -> impl Iterator<Item = usize> {
        let mut was_broken = false;
        values.iter().enumerate().filter_map(move |(row, value)| {
            let is_broken = self.is_broken(*value, deviations);
            let begins = is_broken && !was_broken;
            was_broken = is_broken;
            begins.then_some(row)
        })
    }
}

/// The figures of the day.
pub(super) fn report(models: &Arc<Models>) -> Report {
    let (estate, failures) = draw();
    let metrics: Vec<Metric> = estate.metrics().into_iter().take(RULES).collect();
    let mut times = Vec::with_capacity((DAYS + 1) * DAY);
    let mut columns: Vec<Vec<f64>> = vec![Vec::with_capacity((DAYS + 1) * DAY); metrics.len()];
    for (at, row) in estate.rows().take((DAYS + 1) * DAY) {
        times.push(at);
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let touched: Vec<BTreeSet<EntityId>> = failures.iter().map(|failure| estate.touched(failure)).collect();
    let about = |at: Timestamp, entities: &BTreeSet<EntityId>| {
        let minutes = |failure: &Failure| at.millis_since(failure.onset) / 60_000;
        (0..failures.len())
            .filter(|&of| (-1..failures[of].duration_ms / 60_000 + AFTER).contains(&minutes(&failures[of])))
            .map(|of| {
                (
                    entities.contains(&failures[of].cause),
                    entities.intersection(&touched[of]).count(),
                    of,
                )
            })
            .filter(|(_, shared, _)| *shared > 0)
            .max_by_key(|(has_cause, shared, of)| (*has_cause, *shared, std::cmp::Reverse(*of)))
            .map(|(.., of)| of)
    };

    let past = DAYS * DAY;
    let looked_at = |column: &[f64]| column[past - 2 * DAY..past - DAY].to_vec();
    let rules: Vec<Rule> = metrics
        .iter()
        .zip(&columns)
        .map(|(metric, column)| Rule::of(metric, &looked_at(column)))
        .collect();
    let deviations = deviations(&rules, &columns, past - DAY..past);
    let alerts: Vec<(Timestamp, &EntityId)> = rules
        .iter()
        .zip(&columns)
        .zip(&metrics)
        .flat_map(|((rule, column), metric)| {
            let begun = rule.firings(&column[past..], deviations);
            begun.map(|row| (times[past + row], &metric.entity)).collect::<Vec<_>>()
        })
        .collect();
    let told: Vec<Option<usize>> = alerts
        .iter()
        .map(|(at, entity)| about(*at, &BTreeSet::from([(*entity).clone()])))
        .collect();

    let incidents = watch(&estate, &metrics, &times, &columns, models);
    let explained: Vec<Option<usize>> = incidents.iter().map(|i| about(i.started, &i.entities)).collect();
    let pages = |incident: &&Incident| matches!(incident.severity, Severity::P1 | Severity::P2);
    let missed = |by: &[Option<usize>]| (0..failures.len()).filter(|of| !by.contains(&Some(*of))).count() as f64;
    let named = (0..failures.len()).filter(|&of| {
        let mut own = incidents
            .iter()
            .zip(&explained)
            .filter(|(_, about)| **about == Some(of));
        own.any(|(incident, _)| incident.cause.as_ref() == Some(&failures[of].cause))
    });
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let about_nothing = |by: &[Option<usize>]| share(by.iter().filter(|about| about.is_none()).count(), by.len());
    let name = |what: &str| format!("a day of {} rules, {FAILURES} failures: {what}", rules.len());
    let figure = |what: &str, value: f64, unit: &str, higher: bool| Figure::new(name(what), value, unit, higher);
    let raised = incidents.len() as f64;
    let paged = incidents.iter().filter(pages).count();
    let figures = vec![
        figure("alerts of the rules", alerts.len() as f64, "alerts", false),
        figure("alerts about nothing that failed", about_nothing(&told), "share", false),
        figure("failures that no rule tells of", missed(&told), "failures", false),
        figure("incidents raised", raised, "incidents", false).goal(INCIDENTS),
        figure(
            "incidents about nothing that failed",
            about_nothing(&explained),
            "share",
            false,
        ),
        figure("pages sent (P1 and P2)", paged as f64, "pages", false),
        figure("failures missed", missed(&explained), "failures", false).goal(0.0),
        figure(
            "failures with the right cause first",
            share(named.count(), FAILURES),
            "share",
            true,
        )
        .goal(0.9),
    ];
    let notes = failures.iter().enumerate().map(|(of, failure)| {
        let own = incidents
            .iter()
            .zip(&explained)
            .filter(|(_, about)| **about == Some(of));
        let told: Vec<String> = own.map(|(incident, _)| line(incident)).collect();
        format!(
            "  {} {:?} of {}: {}",
            Stamp::Rfc3339.format(failure.onset),
            failure.kind,
            failure.cause,
            if told.is_empty() {
                "missed".to_owned()
            } else {
                told.join("; ")
            }
        )
    });
    let false_ones = incidents.iter().zip(&explained).filter(|(_, about)| about.is_none());
    let false_ones = false_ones.map(|(incident, _)| format!("  about nothing: {}", line(incident)));
    Report {
        notes: notes.chain(false_ones).collect(),
        figures,
    }
}

fn line(incident: &Incident) -> String {
    format!(
        "{:?} {} at {}, {} members",
        incident.severity,
        incident.title,
        Stamp::Rfc3339.format(incident.started),
        incident.members.len()
    )
}

/// The smallest estate with a metric for each rule, and what fails in it on the last day.
fn draw() -> (Estate, Vec<Failure>) {
    let estate = |services| {
        Estate::new(
            SEED,
            EstateConfig {
                services,
                step_ms: STEP_MS,
                ..EstateConfig::default()
            },
        )
    };
    let services = (100..)
        .step_by(10)
        .find(|services| estate(*services).metrics().len() >= RULES);
    let calm = estate(services.expect("an estate has metrics"));
    let watched: BTreeSet<EntityId> = calm
        .metrics()
        .into_iter()
        .take(RULES)
        .map(|metric| metric.entity)
        .collect();
    let used: BTreeSet<EntityId> = calm.edges().into_iter().map(|edge| edge.callee).collect();
    let begin = EstateConfig::default().start + (DAYS * DAY) as i64 * STEP_MS;
    let mut rng = StdRng::seed_from_u64(SEED);
    let mut failures: Vec<Failure> = Vec::new();
    while failures.len() < FAILURES {
        // Two of each kind.
        let kind = FailureKind::ALL[failures.len() % FailureKind::ALL.len()];
        let may: Vec<&EntityId> = calm
            .parts()
            .filter(|(name, part)| *part == kind.part() && (*part == Part::Partner || watched.contains(*name)))
            .filter(|(name, part)| *part == Part::Service || used.contains(*name))
            .map(|(name, _)| name)
            .collect();
        let lasts = rng.random_range(LASTS);
        let failure = Failure {
            kind,
            cause: may[rng.random_range(0..may.len())].clone(),
            onset: begin + rng.random_range(30..DAY as i64 - 60) * STEP_MS,
            duration_ms: lasts * STEP_MS,
        };
        if failures.iter().all(|other| other.cause != failure.cause) && calm.is_felt(&failure) {
            failures.push(failure);
        }
    }
    (calm.with(failures.clone()), failures)
}

/// How many standard deviations the rules allow, so that they make [`ALERTS`] alerts in `rows`: fewer the more they allow.
fn deviations(rules: &[Rule], columns: &[Vec<f64>], rows: std::ops::Range<usize>) -> f64 {
    let (mut least, mut most) = (0.5, 10.0);
    for _ in 0..24 {
        let middle = (least + most) / 2.0;
        let of = |(rule, column): (&Rule, &Vec<f64>)| rule.firings(&column[rows.clone()], middle).count();
        if rules.iter().zip(columns).map(of).sum::<usize>() > ALERTS {
            least = middle;
        } else {
            most = middle;
        }
    }
    most
}

/// What Halo makes of the last day.
fn watch(
    estate: &Estate,
    metrics: &[Metric],
    times: &[Timestamp],
    columns: &[Vec<f64>],
    models: &Arc<Models>,
) -> Vec<Incident> {
    let config = LaneConfig {
        detect: DetectConfig::default(),
        brain: BrainConfig::default(),
        context: Default::default(),
        source: Arc::from("estate"),
    };
    let mut lane = Lane::new(config, Arc::clone(models));
    for (host, _) in estate.parts().filter(|(_, part)| *part == Part::Host) {
        lane.declare_place(host);
    }
    for edge in estate.edges() {
        lane.declare_edge(edge);
    }
    let past = DAYS * DAY;
    for (metric, column) in metrics.iter().zip(columns) {
        let labels = Labels::of(metric.entity.as_str(), metric.metric, Some(metric.statistic));
        let mut info = info_from_labels(&labels);
        info.step_ms = STEP_MS;
        let slot = lane.add_series(info);
        let history: Vec<_> = times.iter().copied().zip(column.iter().copied()).take(past).collect();
        lane.bootstrap(slot, &history);
    }
    let mut deploys = estate.deploys();
    deploys.sort_by_key(|deploy| deploy.at);
    let mut deploys = deploys.into_iter().peekable();
    let mut incidents: BTreeMap<IncidentId, Incident> = BTreeMap::new();
    let mut out = LaneOutput::default();
    let mut samples = Vec::with_capacity(metrics.len());
    for (row, &at) in times.iter().enumerate().skip(past) {
        while let Some(deploy) = deploys.next_if(|deploy| deploy.at <= at) {
            lane.record_deploy(deploy);
        }
        samples.clear();
        let values = columns.iter().enumerate().map(|(slot, column)| (slot, at, column[row]));
        samples.extend(values.filter(|sample| sample.2.is_finite()));
        out.clear();
        lane.step(at, &samples, Effort::Lazy, &mut out);
        for change in &out.brain.incidents {
            incidents.insert(change.incident.id.clone(), change.incident.clone());
        }
    }
    incidents.into_values().filter(|i| i.merged_into.is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_fires_when_it_begins_to_be_broken_and_not_where_there_is_nothing() {
        let metric = |metric| Metric {
            entity: "web".into(),
            metric,
            statistic: "Average",
        };
        let calm = [1.0, 3.0, f64::NAN, 1.0, 3.0];
        let rule = Rule::of(&metric("requests"), &calm);
        assert_eq!((rule.mean, rule.deviation, rule.above), (2.0, 1.0, true));
        let values = [4.5, 5.5, 5.5, f64::NAN, 5.5, 2.0, -9.0];
        assert_eq!(rule.firings(&values, 3.0).collect::<Vec<_>>(), [1, 4]);
        let rule = Rule::of(&metric("availability"), &calm);
        assert_eq!(rule.firings(&values, 3.0).collect::<Vec<_>>(), [6]);
        // As many as are asked for, or a few less.
        let columns = vec![vec![0.0, 4.0, 0.0, 6.0, 0.0]; 6001];
        let rules = vec![Rule::of(&metric("requests"), &calm); 6001];
        let found = deviations(&rules, &columns, 0..5);
        assert!((1.99..2.01).contains(&found), "{found}");
    }
}
