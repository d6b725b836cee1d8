//! Ranks the entities of an incident by how probable it is that the fault began there.
//!
//! Blame starts where it hurts (every deviating entity, most of all those that users enter through) and walks down the
//! calls: from a caller to the callees whose own deviation explains the caller's, in proportion to how much of it they
//! explain. What no callee explains stays. An entity that keeps much is a cause; one that passes everything on is a
//! victim. This is a random walk with absorption on the call graph, so cycles need no care and ties get a smooth order.
//!
//! How much callee `u` explains of caller `v` is measured, not assumed: the regression slope of `u`'s excess on `v`'s
//! excess over the window (one more second in the caller needs one more second in the callee), times their correlation.
//! A series that strayed all along therefore explains nothing that began a minute ago.
//!
//! Load goes the other way: what a callee suffers because a caller sends more is the caller's doing. So blame also walks up,
//! from an entity whose traffic rose to the callers whose own traffic rose with it.
//!
//! What nothing is measured of (a partner's service, a zone) can be the cause, too: of what its dependents keep it gets the more the
//! more of them stray, and the better they agree on when.
//!
//! Published relatives: MAD-score graph traversal (Hardt et al., CLeaR 2024), MicroRank's personalized walk, BARO's
//! robust scoring for the metric inside the entity.

use super::calls::Calls;
use super::columns::{Column, Columns};
use super::evidence::{Evidence, class_weight};
use super::graph::CallGraph;
use super::kind::kind_of;
use super::relation::{SUSPECT_SHARE, Suspect, suspects};
use std::collections::{BTreeMap, BTreeSet};
use wire::series::MetricClass;
use wire::topology::{Deploy, EntityKind};
use wire::{EntityId, SeriesId, Timestamp};

/// Blame that an entity nobody enters through brings in by itself, relative to an entry.
const INNER_INJECTION: f64 = 0.3;
/// Dependencies counted for the weight of an entity, at most.
const REACH_CAP: usize = 64;
/// What is left of an explanation that needs another statistic of the same metric.
const OTHER_STATISTIC: f64 = 0.8;
/// What is left of an explanation for every silent entity in between.
const PER_GAP: f64 = 0.5;
/// Entities without evidence that an explanation may cross.
const MAX_GAPS: usize = 2;
/// Explanations below this are noise.
const MIN_SHARE: f64 = 0.05;
/// Rounds of the walk; what still moves then stays where it is.
const MAX_ROUNDS: usize = 64;
/// The part of the blame that something takes which nothing is measured of, if all that depend on it stray at once.
const UNSEEN: f64 = 0.9;
/// What only one depends on is as often that one itself.
const UNSEEN_BY_ONE: f64 = 0.3;
/// So many who stray at once with something that they all depend on stray because of it.
const SHARED_FROM: usize = 3;
/// What several run on has no load of its own that could be why: two are enough.
const SHARED_PLACE_FROM: usize = 2;
/// At once: in so many cells of the grid.
const TOGETHER_BINS: i64 = 5;
/// What is left of the blame of what began after the incident did, and after what users feel most.
const BEGUN_AFTER: f64 = 0.3;
const LATE: f64 = 0.6;
/// A deploy this long before the onset makes its entity suspect.
const DEPLOY_MS: i64 = 30 * 60_000;

/// What a ranking looks at.
#[derive(Debug)]
pub(super) struct Input<'a> {
    pub graph: &'a CallGraph,
    pub evidence: &'a Evidence,
    /// Entities whose evidence counts.
    pub scope: &'a BTreeSet<EntityId>,
    /// Those of them that hurt: what strays beside them explains and is not explained.
    pub members: &'a BTreeSet<EntityId>,
    /// Those of the scope that may be the cause.
    pub candidates: &'a BTreeSet<EntityId>,
    /// Entities that have metrics.
    pub reporting: &'a BTreeSet<EntityId>,
    pub deploys: &'a [Deploy],
    /// What begins later than this follows from something that began before.
    pub begun_by: Timestamp,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// Entities, most probable cause first.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    pub causes: Vec<Ranked>,
    /// Probability that the first is right, 0..1.
    pub confidence: f64,
}

/// One candidate.
#[derive(Clone, Debug)]
pub(super) struct Ranked {
    pub entity: EntityId,
    /// The series that shows it best; of something that nothing is measured of, that of a dependent.
    pub series: SeriesId,
    /// How many of its dependents stray, of how many, where that is all there is to see of it.
    pub seen_by: Option<(usize, usize)>,
    /// Share of the blame, 0..1; all shares add up to 1.
    pub score: f64,
    pub onset: Timestamp,
    /// The callee that explains most of this entity's deviation, and how much, 0..1.
    pub explained_by: Option<(EntityId, f64)>,
    pub deploy: Option<Deploy>,
    /// How abruptly the best series left its usual course, 0..1.
    pub contrast: f64,
}

/// Ranks. Deterministic; linear in edges times the pairs of series on them.
pub(super) fn rank(input: &Input<'_>) -> Ranking {
    let columns = Columns::collect(input.evidence, input.scope, input.from, input.to);
    let entities = &columns.entities;
    if entities.is_empty() {
        return Ranking::default();
    }
    let injected = inject(input, &columns);
    let symptom_onset = best(&injected).map(|place| columns.best(place).onset);
    let calls = Calls::of(input.graph, &columns);
    let shares: Vec<Vec<(usize, f64)>> = (0..entities.len())
        .map(|place| explanations(&calls, &columns, place))
        .collect();
    let shares = with_shared(&calls, &columns, shares);
    let shares = with_load(&calls, &columns, shares);
    let mut kept = walk(injected, &shares);
    let unseen = blame_unseen(input, &columns, &mut kept);
    // An endpoint that only its callers measure repeats what they see: the service behind it tells more.
    let telling = |(u, share): &(usize, f64)| share * kind_factor(entities[*u]);
    let mut causes: Vec<Ranked> = entities
        .iter()
        .enumerate()
        .filter(|(_, entity)| input.candidates.contains(*entity))
        .map(|(i, entity)| {
            let column = columns.best(i);
            let deploy = deploy_before(input.deploys, entity, column.onset, columns.bin_ms);
            let late = symptom_onset.is_some_and(|s| column.onset.millis_since(s) > columns.bin_ms);
            let after = if column.onset > input.begun_by {
                BEGUN_AFTER
            } else if late {
                LATE
            } else {
                1.0
            };
            let factor = kind_factor(entity) * if deploy.is_some() { 1.5 } else { 1.0 } * after;
            Ranked {
                entity: (*entity).clone(),
                series: column.series,
                seen_by: None,
                score: kept[i] * factor,
                onset: column.onset,
                explained_by: shares[i]
                    .iter()
                    .max_by(|a, b| telling(a).total_cmp(&telling(b)).then(b.0.cmp(&a.0)))
                    .map(|(u, share)| (entities[*u].clone(), *share)),
                deploy,
                contrast: column.contrast,
            }
        })
        .collect();
    causes.extend(unseen);
    let total: f64 = causes.iter().map(|c| c.score).sum();
    if total > 0.0 {
        for cause in &mut causes {
            cause.score /= total;
        }
    }
    causes.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.entity.cmp(&b.entity)));
    let confidence = confidence(&causes, input.graph);
    Ranking { causes, confidence }
}

/// Blame that each member brings in; adds up to 1 if there is any.
fn inject(input: &Input<'_>, columns: &Columns<'_>) -> Vec<f64> {
    let graph = input.graph;
    let mut mass: Vec<f64> = columns
        .entities
        .iter()
        .enumerate()
        .map(|(place, entity)| {
            if !input.members.contains(*entity) {
                return 0.0;
            }
            let strongest = columns.best(place).weighted_contrast();
            let entry = if graph.is_entry(entity) { 1.0 } else { INNER_INJECTION };
            let weight = (1.0 + graph.reach(entity, REACH_CAP) as f64).sqrt();
            strongest * strongest * entry * weight
        })
        .collect();
    let total: f64 = mass.iter().sum();
    if total > 0.0 {
        for m in &mut mass {
            *m /= total;
        }
    }
    mass
}

/// The callees of the entity at `place` that deviate too, with how much of its deviation each explains, 0..1.
fn explanations(calls: &Calls<'_>, columns: &Columns<'_>, place: usize) -> Vec<(usize, f64)> {
    let mut found: BTreeMap<usize, f64> = BTreeMap::new();
    let mut explain = |callee: usize, factor: f64| {
        let share = factor * columns.explained(place, callee);
        if share >= MIN_SHARE {
            found.entry(callee).or_insert(share);
        }
    };
    for part in &calls.parts[place] {
        explain(*part, 1.0);
    }
    let Some(node) = calls.nodes[place] else {
        return found.into_iter().collect();
    };
    let mut seen = BTreeSet::from([node]);
    let mut level = vec![node];
    let mut factor = 1.0;
    for _ in 0..=MAX_GAPS {
        let mut silent = Vec::new();
        for callee in level.into_iter().flat_map(|node| calls.graph.callee_nodes(node)) {
            if !seen.insert(callee) {
                continue;
            }
            match calls.places[callee.index()] {
                Some(callee) => explain(callee, factor),
                None => silent.push(callee),
            }
        }
        level = silent;
        factor *= PER_GAP;
    }
    found.into_iter().collect()
}

/// Raises what is explained by something that several depend on and that strays as they do: when most of those who run on a host are
/// slow at once, it is the host, however little its own metrics look like theirs.
fn with_shared(calls: &Calls<'_>, columns: &Columns<'_>, mut shares: Vec<Vec<(usize, f64)>>) -> Vec<Vec<(usize, f64)>> {
    for u in 0..columns.entities.len() {
        let (dependents, all) = calls.callers(u);
        let part = dependents.len() as f64 / all.max(1) as f64;
        let from = match calls.graph.is_place(columns.entities[u]) {
            true => SHARED_PLACE_FROM,
            false => SHARED_FROM,
        };
        if dependents.len() < from || part < SUSPECT_SHARE {
            continue;
        }
        let onset = columns.best(u).onset;
        let near = |at: Timestamp| at.millis_since(onset).abs() <= TOGETHER_BINS * columns.bin_ms;
        let at_once: Vec<usize> = dependents
            .iter()
            .copied()
            .filter(|v| near(columns.best(*v).onset))
            .collect();
        let agreement = at_once.len() as f64 / dependents.len() as f64;
        let least = UNSEEN * part * agreement * agreement;
        for v in at_once {
            match shares[v].binary_search_by_key(&u, |(to, _)| *to) {
                Ok(place) => shares[v][place].1 = shares[v][place].1.max(least),
                Err(place) if least >= MIN_SHARE => shares[v].insert(place, (u, least)),
                Err(_) => {}
            }
        }
    }
    shares
}

/// Gives what nothing is measured of its part of the blame that its dependents keep.
fn blame_unseen(input: &Input<'_>, columns: &Columns<'_>, kept: &mut [f64]) -> Vec<Ranked> {
    let strays = |entity: &EntityId| columns.place(entity).is_some();
    let mut found: BTreeMap<EntityId, Suspect> = BTreeMap::new();
    for entity in &columns.entities {
        for suspect in suspects(input.graph, entity, strays, |e| input.reporting.contains(e), 1) {
            found.entry(suspect.entity.clone()).or_insert(suspect);
        }
    }
    let ranked = found.into_values().filter_map(|suspect| {
        let of = |dependent: &EntityId| {
            let at = columns.place(dependent)?;
            Some((at, columns.best(at)))
        };
        let seen: Vec<(usize, &Column<'_>)> = suspect.dependents.iter().filter_map(of).collect();
        let (_, best) = seen
            .iter()
            .max_by(|(_, a), (_, b)| a.weighted_contrast().total_cmp(&b.weighted_contrast()))?;
        let onset = seen.iter().map(|(_, column)| column.onset).min()?;
        let together = seen
            .iter()
            .filter(|(_, column)| column.onset.millis_since(onset) <= TOGETHER_BINS * columns.bin_ms);
        let agreement = together.count() as f64 / seen.len() as f64;
        let most = if seen.len() > 1 { UNSEEN } else { UNSEEN_BY_ONE };
        let share = most * suspect.share * agreement * agreement;
        let mut score = 0.0;
        for (at, _) in &seen {
            score += kept[*at] * share;
            kept[*at] *= 1.0 - share;
        }
        let all = (suspect.dependents.len() as f64 / suspect.share).round() as usize;
        Some(Ranked {
            series: best.series,
            seen_by: Some((suspect.dependents.len(), all)),
            score,
            onset,
            explained_by: None,
            deploy: None,
            contrast: best.contrast,
            entity: suspect.entity,
        })
    });
    ranked.collect()
}

/// Adds the way up: an entity's trouble, as far as it is load, goes to the callers that send it, and comes down to it no more.
fn with_load(calls: &Calls<'_>, columns: &Columns<'_>, mut shares: Vec<Vec<(usize, f64)>>) -> Vec<Vec<(usize, f64)>> {
    let mut up = Vec::new();
    for u in 0..columns.entities.len() {
        for v in calls.callers(u).0 {
            let share = columns.load_from(v, u);
            if share >= MIN_SHARE {
                up.push((u, v, share));
            }
        }
    }
    for &(u, v, share) in &up {
        for (_, down) in shares[v].iter_mut().filter(|(to, _)| *to == u) {
            *down *= 1.0 - share;
        }
        shares[u].push((v, share));
    }
    for own in &mut shares {
        own.retain(|(_, share)| *share >= MIN_SHARE);
    }
    shares
}

/// Moves blame down the calls until it rests; returns what each entity keeps.
fn walk(mut mass: Vec<f64>, shares: &[Vec<(usize, f64)>]) -> Vec<f64> {
    let mut kept = vec![0.0; mass.len()];
    for _ in 0..MAX_ROUNDS {
        let mut next = vec![0.0; mass.len()];
        let mut moving = 0.0;
        for (at, &m) in mass.iter().enumerate().filter(|(_, m)| **m > 0.0) {
            let most = shares[at].iter().map(|(_, s)| *s).fold(0.0, f64::max);
            kept[at] += m * (1.0 - most);
            let squares: f64 = shares[at].iter().map(|(_, s)| s * s).sum();
            for &(to, share) in &shares[at] {
                next[to] += m * most * share * share / squares;
                moving += m * most * share * share / squares;
            }
        }
        mass = next;
        if moving < 1e-6 {
            break;
        }
    }
    for (kept, rest) in kept.iter_mut().zip(mass) {
        *kept += rest;
    }
    kept
}

impl Columns<'_> {
    /// How much of `callee`'s trouble is traffic that `caller` sends, 0..1: how alike the traffic of both rose, and how much of the
    /// callee's deviation is traffic.
    fn load_from(&self, caller: usize, callee: usize) -> f64 {
        let traffic = |place: usize| {
            let columns = self.of(place).iter();
            columns.filter(|c| c.info.class == MetricClass::Traffic && c.above)
        };
        let alike = traffic(callee)
            .flat_map(|u| traffic(caller).map(move |v| (u, v)))
            .map(|(u, v)| self.correlation(u, v).max(0.0) * (v.contrast / u.contrast.max(1e-9)).min(1.0))
            .fold(0.0, f64::max);
        let rose = traffic(callee).map(|c| c.contrast).fold(0.0, f64::max);
        alike * (rose / self.best(callee).contrast.max(1e-9)).min(1.0)
    }

    /// How much of `caller`'s deviation `callee` explains, 0..1: mean over the caller's series, the strongest weighing most.
    fn explained(&self, caller: usize, callee: usize) -> f64 {
        let (of_caller, of_callee) = (self.of(caller), self.of(callee));
        let (mut sum, mut weights) = (0.0, 0.0);
        for v in of_caller {
            let weight = (v.peak * class_weight(v.info.class)).powi(2);
            // Another metric speaks only where the same one did not stray at all.
            let same = of_callee.iter().any(|u| u.metric == v.metric);
            let share = of_callee
                .iter()
                .filter(|u| !same || u.metric == v.metric)
                .map(|u| self.explains(v, u))
                .fold(0.0, f64::max);
            sum += weight * share;
            weights += weight;
        }
        if weights > 0.0 { sum / weights } else { 0.0 }
    }

    /// How much of `v`'s deviation `u` explains, 0..1.
    fn explains(&self, v: &Column<'_>, u: &Column<'_>) -> f64 {
        if v.metric == u.metric {
            let (slope, correlation) = self.regress_excess(v, u);
            let factor = if v.info.statistic == u.info.statistic {
                1.0
            } else {
                OTHER_STATISTIC
            };
            return slope.clamp(0.0, 1.0) * correlation.max(0.0) * factor;
        }
        let size = if v.peak > 0.0 { (u.peak / v.peak).min(1.0) } else { 0.0 };
        self.correlation(v, u).max(0.0).powi(2) * size * cross_class(v.info.class, u.info.class)
    }
}

/// How far a deviation of class `of` in a callee may explain one of class `in_caller` that is measured by another metric.
fn cross_class(in_caller: MetricClass, of: MetricClass) -> f64 {
    use MetricClass::{Errors, Latency, Other, Saturation, Traffic};
    match (in_caller, of) {
        (_, Traffic) | (Traffic, _) => 0.2,
        (a, b) if a == b => 0.9,
        (Errors | Latency, Saturation | Other) => 0.7,
        (Errors, Latency) | (Latency, Errors) => 0.6,
        (Saturation | Other, _) => 0.5,
        (Errors | Latency, _) => 0.6,
    }
}

/// Endpoints seen only from their callers, and callers of last resort, are rarely where a state changed.
fn kind_factor(entity: &EntityId) -> f64 {
    match kind_of(entity) {
        EntityKind::Client | EntityKind::External => 0.5,
        _ => 1.0,
    }
}

fn deploy_before(deploys: &[Deploy], entity: &EntityId, onset: Timestamp, slack_ms: i64) -> Option<Deploy> {
    deploys
        .iter()
        .filter(|d| d.entity == *entity)
        .filter(|d| (-slack_ms..=DEPLOY_MS).contains(&onset.millis_since(d.at)))
        .max_by_key(|d| d.at)
        .cloned()
}

fn confidence(causes: &[Ranked], graph: &CallGraph) -> f64 {
    let Some(first) = causes.first() else {
        return 0.0;
    };
    let second = causes.get(1).map_or(0.0, |c| c.score);
    let margin = first.score / (first.score + second).max(f64::MIN_POSITIVE);
    let evidence = (0.5 + first.contrast).min(1.0);
    let structure = if graph.is_empty() && causes.len() > 1 { 0.7 } else { 1.0 };
    (margin * evidence * structure).min(0.97)
}

fn best(values: &[f64]) -> Option<usize> {
    (0..values.len())
        .filter(|&i| values[i] > 0.0)
        .max_by(|&a, &b| values[a].total_cmp(&values[b]).then(b.cmp(&a)))
}
