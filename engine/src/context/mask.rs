//! Spans that must not teach: incidents, and alerts that a person called false.
//!
//! A mask removes nothing: the samples stay in history, [`learnable`] leaves them out when a baseline is built. So lifting a
//! mask and building anew gives the baseline as if the mask had never been.

use super::calendar::Span;
use super::selector::Selector;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use wire::series::SeriesInfo;
use wire::{EntityId, IncidentId, Timestamp};

/// Why a span is masked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MaskReason {
    Incident(IncidentId),
    /// A person said that the alert of this incident was false.
    ConfirmedFalse(IncidentId),
}

impl fmt::Display for MaskReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incident(id) => write!(f, "incident {id}"),
            Self::ConfirmedFalse(id) => write!(f, "false alert {id}"),
        }
    }
}

/// A span of the series that a selector means.
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    pub selector: Selector,
    pub span: Span,
    pub reason: MaskReason,
}

/// Names a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaskId(u64);

/// All masks, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Masks {
    masks: BTreeMap<MaskId, Mask>,
    /// Those that name their entities, by them: an incident's mask is of no interest to a million others.
    by_entity: BTreeMap<EntityId, Vec<MaskId>>,
    /// The others.
    general: BTreeSet<MaskId>,
    next: u64,
}

impl Masks {
    /// Adds a mask. One that lasts still has no end: `Timestamp(i64::MAX)`.
    pub fn add(&mut self, mask: Mask) -> MaskId {
        let id = MaskId(self.next);
        self.next += 1;
        for entity in &mask.selector.named {
            self.by_entity.entry(entity.clone()).or_default().push(id);
        }
        if mask.selector.named.is_empty() {
            self.general.insert(id);
        }
        self.masks.insert(id, mask);
        id
    }

    /// Takes a mask away.
    pub fn lift(&mut self, id: MaskId) -> Option<Mask> {
        let mask = self.masks.remove(&id)?;
        self.general.remove(&id);
        for entity in &mask.selector.named {
            if let Some(own) = self.by_entity.get_mut(entity) {
                own.retain(|other| *other != id);
            }
        }
        Some(mask)
    }

    /// Why a sample of `info` at `at` must not teach: the oldest mask's reason.
    pub fn masked(&self, info: &SeriesInfo, at: Timestamp) -> Option<&MaskReason> {
        let found = self.of(info).filter(|(_, mask)| mask.span.contains(at));
        found.min_by_key(|(id, _)| *id).map(|(_, mask)| &mask.reason)
    }

    /// The masked spans of a series: in order, apart from each other.
    pub fn spans_of(&self, info: &SeriesInfo) -> Vec<Span> {
        union(self.of(info).map(|(_, mask)| mask.span).collect())
    }

    /// The masks that mean a series.
    fn of(&self, info: &SeriesInfo) -> impl Iterator<Item = (MaskId, &Mask)> {
        let named = self.by_entity.get(&info.entity).into_iter().flatten();
        let ids = self.general.iter().chain(named);
        ids.filter_map(move |id| Some((*id, self.masks.get(id)?)))
            .filter(move |(_, mask)| mask.selector.matches(info))
    }
}

/// The same instants as spans in order and apart.
pub(super) fn union(mut spans: Vec<Span>) -> Vec<Span> {
    spans.retain(|span| span.from < span.until);
    spans.sort_unstable();
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(open) if span.from <= open.until => open.until = open.until.max(span.until),
            _ => out.push(span),
        }
    }
    out
}

/// Whether one of `spans` (in order, apart) holds `at`.
pub(super) fn within(spans: &[Span], at: Timestamp) -> bool {
    let after = spans.partition_point(|span| span.from <= at);
    after > 0 && spans[after - 1].contains(at)
}

/// The part of `history` that may teach the baseline of `info`.
pub fn learnable(history: &[(Timestamp, f64)], info: &SeriesInfo, masks: &Masks) -> Vec<(Timestamp, f64)> {
    let spans = masks.spans_of(info);
    history.iter().filter(|(at, _)| !within(&spans, *at)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::{DetectConfig, Detector, Effort, Models};
    use crate::series::{Labels, info_from_labels};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn span(from: i64, until: i64) -> Span {
        Span {
            from: Timestamp(from),
            until: Timestamp(until),
        }
    }

    fn mask(entity: &str, from: i64, until: i64, incident: &str) -> Mask {
        Mask {
            selector: Selector::of_entity(entity),
            span: span(from, until),
            reason: MaskReason::Incident(IncidentId::from(incident)),
        }
    }

    #[test]
    fn masks_are_added_and_lifted() {
        let db = info_from_labels(&Labels::of("db", "load", None));
        let web = info_from_labels(&Labels::of("web", "load", None));
        let mut masks = Masks::default();
        let first = masks.add(mask("d*", 10, 20, "INC-1"));
        masks.add(mask("*", 15, 30, "INC-2"));
        assert_eq!(
            masks.masked(&db, Timestamp(16)).map(ToString::to_string),
            Some("incident INC-1".into())
        );
        assert!(masks.masked(&web, Timestamp(14)).is_none());
        assert_eq!(masks.spans_of(&db), [span(10, 30)]);
        assert_eq!(masks.spans_of(&web), [span(15, 30)]);
        assert!(masks.lift(first).is_some() && masks.lift(first).is_none());
        let named = masks.add(Mask {
            selector: Selector::of_entities(BTreeSet::from([db.entity.clone()])),
            ..mask("*", 100, 110, "INC-3")
        });
        assert!(masks.masked(&db, Timestamp(105)).is_some() && masks.spans_of(&web).len() == 1);
        masks.lift(named);
        assert_eq!(masks.spans_of(&db), [span(15, 30)]);
    }

    /// Everything that can be asked of a detector about one series.
    fn picture(models: &Arc<Models>, history: &[(Timestamp, f64)]) -> String {
        let info = info_from_labels(&Labels::of("db", "load", None));
        let mut detector = Detector::new(DetectConfig::default(), Arc::clone(models));
        let slot = detector.add_series(&info);
        detector.bootstrap(slot, history);
        let after = detector.observe(slot, Timestamp(400 * 60_000), 9.0, Effort::Full);
        format!("{:?} {:?} {after:?}", detector.state(slot), detector.outlook(slot, 5))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn lifting_a_mask_undoes_it(from in 0i64..300, length in 1i64..100, other in 0i64..300, seed in 0u64..1000) {
            let models = Arc::new(Models::bundled().unwrap());
            let info = info_from_labels(&Labels::of("db", "load", None));
            let noise = |i: i64| (((i as u64).wrapping_mul(2_654_435_761).wrapping_add(seed * 97)) % 1000) as f64 / 1000.0;
            let history: Vec<_> = (0..300).map(|i| (Timestamp(i * 60_000), 5.0 + noise(i))).collect();
            let mut masks = Masks::default();
            masks.add(mask("db", other * 60_000, (other + 20) * 60_000, "INC-1"));
            let before = picture(&models, &learnable(&history, &info, &masks));
            let id = masks.add(mask("db", from * 60_000, (from + length) * 60_000, "INC-2"));
            let masked = learnable(&history, &info, &masks);
            prop_assert!(masked.iter().all(|(at, _)| masks.masked(&info, *at).is_none()));
            masks.lift(id);
            let after = picture(&models, &learnable(&history, &info, &masks));
            prop_assert_eq!(before, after);
        }

        #[test]
        fn spans_of_a_series_say_what_the_masks_say(spans in prop::collection::vec((0i64..100, 0i64..40), 0..8), at in 0i64..150) {
            let info = info_from_labels(&Labels::of("db", "load", None));
            let mut masks = Masks::default();
            for (from, length) in spans {
                masks.add(mask("db", from, from + length, "INC-1"));
            }
            prop_assert_eq!(within(&masks.spans_of(&info), Timestamp(at)), masks.masked(&info, Timestamp(at)).is_some());
        }
    }
}
