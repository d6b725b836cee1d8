//! Estates of 20 to 500 services in which one to three things fail at once, of twelve kinds: is each one incident, with the right
//! cause, in seconds?

use super::{Figure, Report, median};
use crate::backtest::Stamp;
use engine::correlate::Incident;
use engine::detect::{DetectConfig, Effort, Models};
use engine::pipeline::{BrainConfig, Lane, LaneConfig, LaneOutput};
use engine::series::{Labels, info_from_labels};
use engine::{Error, Result};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sim::{Estate, EstateConfig, Failure, FailureKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wire::{EntityId, IncidentId, Timestamp};

/// Arguments of `halo bench storms`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct StormArgs {
    /// storms: estates [default: 200]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    estates: Option<u32>,
    /// storms: seed of the first; of a single estate all incidents are told
    #[arg(long)]
    first_estate: Option<u64>,
}

impl StormArgs {
    /// # Errors
    /// If anything was given that another figure would ignore.
    pub(super) fn must_be_absent(self) -> Result<()> {
        if self.estates.is_none() && self.first_estate.is_none() {
            return Ok(());
        }
        let problem = "--estates, --first-estate: belong to `halo bench storms`";
        Err(Error::Config(vec![problem.to_owned()]))
    }

    fn seeds(self) -> std::ops::Range<u64> {
        let first = self.first_estate.unwrap_or(FIRST_SEED);
        first..first + u64::from(self.estates.unwrap_or(200))
    }
}

/// Seed of the first estate; nothing is tuned on these.
const FIRST_SEED: u64 = 20_000;
/// Seconds in which nothing is wrong, from which what is usual is learnt; more than half an hour, before which nobody is alerted.
const CALM_SECS: usize = 2100;
/// Seconds within which failures begin, how long they last, and how long is waited for stragglers.
const ONSETS_SECS: i64 = 90;
const FAILING_SECS: i64 = 300;
const AFTER_SECS: i64 = 90;

/// What became of a failure.
#[derive(Clone, Debug)]
struct Fate {
    failure: Failure,
    estate: u64,
    services: usize,
    /// Incidents that are mostly about it.
    incidents: usize,
    /// Where its true cause comes in the incident that tells most of it, from 0.
    place: Option<usize>,
    /// Seconds from the first anomaly that it made, and from its onset, until an incident named its cause.
    secs: Option<f64>,
    secs_from_onset: Option<f64>,
    /// What was said instead, if the cause did not come first.
    said: String,
}

/// One estate.
#[derive(Clone, Debug, Default)]
struct Played {
    fates: Vec<Fate>,
    /// Pairs of failures of which neither reaches the other, and how many of them were kept apart.
    pairs: usize,
    apart: usize,
    alerts: usize,
    incidents: usize,
    /// About nothing that failed.
    false_incidents: Vec<String>,
    /// Each incident as it was told.
    stories: Vec<String>,
}

/// The figures of the estates that `args` names.
pub(super) fn report(models: &Arc<Models>, args: StormArgs) -> Report {
    let seeds = args.seeds();
    let estates = (seeds.end - seeds.start) as usize;
    let next = AtomicUsize::new(0);
    let played: Mutex<BTreeMap<usize, Played>> = Mutex::new(BTreeMap::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= estates {
                        return;
                    }
                    let one = play(seeds.start + number as u64, models);
                    let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
                    played.insert(number, one);
                    tracing::info!(done = played.len(), of = estates, "estates");
                }
            });
        }
    });
    let played: Vec<Played> = played
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .into_values()
        .collect();
    let mut report = tell(&played);
    if let [one] = played.as_slice() {
        report.notes.extend(one.stories.iter().cloned());
    }
    report
}

fn tell(played: &[Played]) -> Report {
    let fates: Vec<&Fate> = played.iter().flat_map(|one| &one.fates).collect();
    let share = |count: usize, of: usize| count as f64 / of.max(1) as f64;
    let of_all = |is: &dyn Fn(&Fate) -> bool| share(fates.iter().filter(|fate| is(fate)).count(), fates.len());
    let sum = |of: fn(&Played) -> usize| played.iter().map(of).sum::<usize>();
    let secs = |of: fn(&Fate) -> Option<f64>| fates.iter().filter_map(|fate| of(fate)).collect::<Vec<f64>>();
    let name = |what: &str| format!("storms, {} failures in {} estates: {what}", fates.len(), played.len());
    let figure = |what: &str, value: f64, unit: &str, higher: bool| Figure::new(name(what), value, unit, higher);
    let named = secs(|fate| fate.secs);
    let within = named.iter().filter(|secs| **secs <= 8.0).count();
    let figures = vec![
        figure("one incident", of_all(&|f| f.incidents == 1), "share", true).goal(0.95),
        figure(
            "not found",
            of_all(&|f| f.incidents == 0 && f.place.is_none()),
            "share",
            false,
        ),
        figure("cause first", of_all(&|f| f.place == Some(0)), "share", true).goal(0.9),
        figure(
            "cause in three",
            of_all(&|f| f.place.is_some_and(|p| p < 3)),
            "share",
            true,
        )
        .goal(0.98),
        figure(
            &format!("{} independent pairs kept apart", sum(|one| one.pairs)),
            share(sum(|one| one.apart), sum(|one| one.pairs)),
            "share",
            true,
        )
        .goal(0.95),
        figure(
            "alerts per incident",
            share(sum(|one| one.alerts), sum(|one| one.incidents)),
            "alerts",
            true,
        ),
        figure(
            "incidents about nothing",
            share(sum(|one| one.false_incidents.len()), sum(|one| one.incidents)),
            "share",
            false,
        ),
        figure(
            "first anomaly to named cause, median",
            median(named.clone()),
            "s",
            false,
        )
        .goal(8.0),
        figure(
            "named within 8 s of the first anomaly",
            share(within, fates.len()),
            "share",
            true,
        ),
        figure(
            "onset to named cause, median",
            median(secs(|fate| fate.secs_from_onset)),
            "s",
            false,
        ),
    ];
    let mut notes: Vec<String> = FailureKind::ALL.iter().map(|kind| by_kind(*kind, &fates)).collect();
    notes.extend(
        fates
            .iter()
            .filter(|fate| fate.place != Some(0) || fate.incidents != 1)
            .map(|fate| {
                format!(
                    "  estate {} of {} services, {:?} of {}: {} incidents, {}",
                    fate.estate, fate.services, fate.failure.kind, fate.failure.cause, fate.incidents, fate.said
                )
            }),
    );
    notes.extend(played.iter().flat_map(|one| one.false_incidents.iter().cloned()));
    Report { figures, notes }
}

fn by_kind(kind: FailureKind, fates: &[&Fate]) -> String {
    let of: Vec<&&Fate> = fates.iter().filter(|fate| fate.failure.kind == kind).collect();
    let count = |is: &dyn Fn(&Fate) -> bool| of.iter().filter(|fate| is(fate)).count();
    let secs: Vec<f64> = of.iter().filter_map(|fate| fate.secs).collect();
    format!(
        "  storms, {:<14} {:>3}: one incident {:>3}, cause first {:>3}, in three {:>3}, named after {:>5.1} s (median)",
        format!("{kind:?}"),
        of.len(),
        count(&|f| f.incidents == 1),
        count(&|f| f.place == Some(0)),
        count(&|f| f.place.is_some_and(|p| p < 3)),
        median(secs),
    )
}

/// An estate and what fails in it.
fn draw(seed: u64) -> (Estate, Vec<Failure>) {
    let mut rng = StdRng::seed_from_u64(seed);
    // As many small ones as large ones.
    let services = (20.0 * 25f64.powf(rng.random::<f64>())).round() as usize;
    let config = EstateConfig {
        services,
        ..EstateConfig::default()
    };
    let begin = config.start + CALM_SECS as i64 * 1000;
    let calm = Estate::new(seed, config);
    let used: BTreeSet<EntityId> = calm.edges().into_iter().map(|edge| edge.callee).collect();
    let mut failures: Vec<Failure> = Vec::new();
    let wanted = rng.random_range(1..=3);
    while failures.len() < wanted {
        let kind = FailureKind::ALL[rng.random_range(0..FailureKind::ALL.len())];
        let may: Vec<&EntityId> = calm
            .parts()
            // A part that nobody uses fails and nobody notices.
            .filter(|(name, part)| *part == kind.part() && (used.contains(*name) || kind.part() == sim::Part::Service))
            .map(|(name, _)| name)
            .collect();
        if may.is_empty() {
            continue;
        }
        let cause = may[rng.random_range(0..may.len())].clone();
        let onset = begin + rng.random_range(0..ONSETS_SECS) * 1000;
        let failure = Failure {
            kind,
            cause,
            onset,
            duration_ms: FAILING_SECS * 1000,
        };
        if failures.iter().all(|other| other.cause != failure.cause) && calm.is_felt(&failure) {
            failures.push(failure);
        }
    }
    (calm.with(failures.clone()), failures)
}

fn play(seed: u64, models: &Arc<Models>) -> Played {
    let (estate, failures) = draw(seed);
    let config = LaneConfig {
        detect: DetectConfig::default(),
        brain: BrainConfig::default(),
        context: Default::default(),
        source: Arc::from("estate"),
    };
    let mut lane = Lane::new(config, Arc::clone(models));
    for (host, _) in estate.parts().filter(|(_, part)| *part == sim::Part::Host) {
        lane.declare_place(host);
    }
    for edge in estate.edges() {
        lane.declare_edge(edge);
    }
    let metrics = estate.metrics();
    let mut rows = estate.rows();
    let past: Vec<(Timestamp, Vec<f64>)> = rows.by_ref().take(CALM_SECS).collect();
    for (place, metric) in metrics.iter().enumerate() {
        let labels = Labels::of(metric.entity.as_str(), metric.metric, Some(metric.statistic));
        let mut info = info_from_labels(&labels);
        info.step_ms = 1000;
        let slot = lane.add_series(info);
        let history: Vec<_> = past.iter().map(|(at, row)| (*at, row[place])).collect();
        lane.bootstrap(slot, &history);
    }
    drop(past);
    let touched: Vec<BTreeSet<EntityId>> = failures.iter().map(|failure| estate.touched(failure)).collect();
    let mut deploys = estate.deploys().into_iter().peekable();
    let mut first_anomaly: Vec<Option<Timestamp>> = vec![None; failures.len()];
    let mut named: Vec<Option<Timestamp>> = vec![None; failures.len()];
    let mut incidents: BTreeMap<IncidentId, Incident> = BTreeMap::new();
    let mut alerting: BTreeSet<usize> = BTreeSet::new();
    let mut alerts = 0;
    let mut out = LaneOutput::default();
    let mut samples = Vec::with_capacity(metrics.len());
    for (at, row) in rows.take((ONSETS_SECS + FAILING_SECS + AFTER_SECS) as usize) {
        while let Some(deploy) = deploys.next_if(|deploy| deploy.at <= at) {
            lane.record_deploy(deploy);
        }
        samples.clear();
        let present = row.iter().enumerate().filter(|(_, value)| value.is_finite());
        samples.extend(present.map(|(slot, value)| (slot, at, *value)));
        out.clear();
        lane.step(at, &samples, Effort::Lazy, &mut out);
        for ((slot, ..), detection) in samples.iter().zip(&out.detections) {
            if !detection.anomaly {
                alerting.remove(slot);
                continue;
            }
            alerts += usize::from(alerting.insert(*slot));
            let entity = &metrics[*slot].entity;
            for ((failure, touched), first) in failures.iter().zip(&touched).zip(&mut first_anomaly) {
                if at >= failure.onset && touched.contains(entity) {
                    first.get_or_insert(at);
                }
            }
        }
        for change in &out.brain.incidents {
            for (failure, named) in failures.iter().zip(&mut named) {
                if change.incident.cause.as_ref() == Some(&failure.cause) && at >= failure.onset {
                    named.get_or_insert(at);
                }
            }
            incidents.insert(change.incident.id.clone(), change.incident.clone());
        }
    }
    let incidents: Vec<Incident> = incidents.into_values().filter(|i| i.merged_into.is_none()).collect();
    let mut played = judge(seed, &estate, &failures, &touched, &incidents);
    played.alerts = alerts;
    for ((fate, first), named) in played.fates.iter_mut().zip(first_anomaly).zip(named) {
        let since = |from: Timestamp, to: Timestamp| to.millis_since(from) as f64 / 1000.0;
        fate.secs = first.zip(named).map(|(first, named)| since(first, named).max(0.0));
        fate.secs_from_onset = named.map(|named| since(fate.failure.onset, named));
    }
    played
}

/// Which failure each incident is about, and what follows from that.
fn judge(
    seed: u64,
    estate: &Estate,
    failures: &[Failure],
    touched: &[BTreeSet<EntityId>],
    incidents: &[Incident],
) -> Played {
    let shared = |incident: &Incident, of: usize| incident.entities.intersection(&touched[of]).count();
    // Of two failures that share what they touch the incident is about the one whose cause it holds, or else most of whose own.
    let about: Vec<Option<usize>> = incidents
        .iter()
        .map(|incident| {
            let first = incident.causes.first().map(|cause| &cause.entity);
            let weight = |of: usize| {
                (
                    usize::from(first == Some(&failures[of].cause)),
                    usize::from(incident.entities.contains(&failures[of].cause)),
                    shared(incident, of),
                )
            };
            (0..failures.len())
                .filter(|&of| shared(incident, of) > 0)
                .max_by_key(|&of| (weight(of), std::cmp::Reverse(of)))
        })
        .collect();
    let mut played = Played {
        incidents: incidents.len(),
        stories: incidents.iter().map(story).collect(),
        ..Played::default()
    };
    for (incident, about) in incidents.iter().zip(&about) {
        if about.is_none() {
            let members: Vec<String> = incident
                .members
                .values()
                .map(|m| format!("{} {}", m.entity, m.metric))
                .collect();
            played.false_incidents.push(format!(
                "  estate {seed}, nothing was wrong with {}",
                members.join(", ")
            ));
        }
    }
    let mut own: Vec<usize> = Vec::new();
    for (of, failure) in failures.iter().enumerate() {
        let mine = incidents.iter().zip(&about).filter(|(_, about)| **about == Some(of));
        let count = mine.clone().count();
        own.push(count);
        let largest = mine.map(|(incident, _)| incident).max_by_key(|i| shared(i, of));
        let tells = largest.or_else(|| {
            let any = incidents.iter().filter(|i| shared(i, of) > 0);
            any.max_by_key(|i| shared(i, of))
        });
        let place = tells.and_then(|i| i.causes.iter().position(|cause| cause.entity == failure.cause));
        let said = tells.map_or("not seen".to_owned(), |i| {
            let causes: Vec<String> = i
                .causes
                .iter()
                .take(3)
                .map(|cause| format!("{} {:.2}", cause.entity, cause.score))
                .collect();
            let began = Stamp::Rfc3339.format(i.started);
            format!("{} members from {began}, blamed {}", i.members.len(), causes.join(", "))
        });
        played.fates.push(Fate {
            failure: failure.clone(),
            estate: seed,
            services: estate.parts().filter(|(_, part)| *part == sim::Part::Service).count(),
            incidents: count,
            place,
            secs: None,
            secs_from_onset: None,
            said,
        });
    }
    for one in 0..failures.len() {
        for other in one + 1..failures.len() {
            let reaches = |a: usize, b: usize| touched[a].contains(&failures[b].cause);
            if !reaches(one, other) && !reaches(other, one) {
                played.pairs += 1;
                played.apart += usize::from(own[one] > 0 && own[other] > 0);
            }
        }
    }
    played
}

fn story(incident: &Incident) -> String {
    let mut text = format!("  {} {}\n", incident.id, incident.title);
    for cause in &incident.causes {
        text.push_str(&format!("    {:.2} {}: {}\n", cause.score, cause.entity, cause.reason));
    }
    for entry in incident.timeline.iter().take(60) {
        text.push_str(&format!("    {} {}\n", Stamp::Rfc3339.format(entry.at), entry.text));
    }
    for member in incident.members.values() {
        text.push_str(&format!(
            "    member {} {} from {}: {}\n",
            member.entity,
            member.metric,
            Stamp::Rfc3339.format(member.onset),
            member.reason
        ));
    }
    text
}
