use super::*;
use crate::series::{Labels, info_from_labels};
use proptest::prelude::*;

const STEP: i64 = 15_000;

fn info(entity: &str, metric: &str) -> SeriesInfo {
    info_from_labels(&Labels::of(entity, metric, None))
}

fn noise(i: i64) -> f64 {
    ((i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f64 / 1000.0
}

/// One series and its step-by-step driver.
struct One {
    quality: Quality,
    changes: Vec<QualityChange>,
    now: i64,
}

impl One {
    fn new() -> Self {
        let mut quality = Quality::default();
        quality.add_series(&info("db", "load"));
        Self {
            quality,
            changes: Vec::new(),
            now: 0,
        }
    }

    fn sample(&mut self, value: f64, lag: i64) {
        let (at, arrived) = (Timestamp(self.now * STEP), Timestamp(self.now * STEP + lag));
        self.quality.observe(0, at, value, arrived, &mut self.changes);
        self.now += 1;
    }

    fn clean(&mut self, steps: i64) {
        for _ in 0..steps {
            self.sample(noise(self.now), 200);
        }
    }

    fn kinds(&self) -> Vec<(QualityKind, bool)> {
        self.changes
            .iter()
            .map(|c| (c.finding.kind, c.ended.is_none()))
            .collect()
    }
}

#[test]
fn late_samples_are_found_and_forgiven_once() {
    let mut one = One::new();
    one.clean(200);
    for i in 0..60 {
        one.sample(noise(i), 90_000);
    }
    assert_eq!(one.kinds(), [(QualityKind::Late, true)]);
    assert!(one.quality.score(0) > 0.5, "a late value is right");
    one.clean(200);
    assert_eq!(one.kinds(), [(QualityKind::Late, true), (QualityKind::Late, false)]);
    assert!(one.quality.findings(0).is_empty());
}

#[test]
fn a_source_that_always_lags_is_not_late() {
    let mut one = One::new();
    for i in 0..600 {
        one.sample(noise(i), 120_000 + (i % 7) * 1000);
    }
    assert_eq!(one.kinds(), []);
}

#[test]
fn every_second_sample_missing_is_sparse_and_one_outage_is_not() {
    let mut one = One::new();
    one.clean(200);
    one.now += 500;
    one.clean(100);
    assert_eq!(one.kinds(), [], "an outage is none");
    for _ in 0..60 {
        one.clean(1);
        one.now += 2;
    }
    assert_eq!(one.kinds(), [(QualityKind::Sparse, true)]);
    assert!(one.quality.score(0) < 0.5);
    one.clean(200);
    assert_eq!(one.kinds().last(), Some(&(QualityKind::Sparse, false)));
}

#[test]
fn a_series_that_reports_now_and_then_is_not_sparse() {
    let mut one = One::new();
    for i in 0..600 {
        one.clean(1);
        one.now += ((noise(i) * 10.0) as i64) % 4;
    }
    assert_eq!(one.kinds(), []);
}

#[test]
fn other_values_for_old_timestamps_are_duplicates() {
    let mut one = One::new();
    one.clean(200);
    for (conflicting, expected) in [(false, false), (true, true)] {
        for _ in 0..200 {
            one.clean(1);
            let at = Timestamp((one.now - 1) * STEP);
            one.quality.resent(0, at, conflicting, &mut one.changes);
        }
        assert_eq!(one.kinds().contains(&(QualityKind::Duplicated, true)), expected);
    }
    assert!(one.quality.score(0) < 0.5);
    assert_eq!(one.quality.findings(0).len(), 1);
    one.clean(200);
    assert_eq!(one.kinds().last(), Some(&(QualityKind::Duplicated, false)));
}

#[test]
fn a_value_that_stands_still_for_the_first_time_is_a_flat_line() {
    let mut one = One::new();
    one.clean(300);
    let from = one.now;
    for _ in 0..40 {
        one.sample(7.25, 200);
    }
    assert_eq!(one.kinds(), [(QualityKind::FlatLined, true)]);
    assert!(one.quality.score(0) < 0.5);
    let since = one.quality.findings(0)[0].since;
    assert!((since.0 - from * STEP).abs() <= STEP, "{since:?}");
    assert!(one.quality.findings(0)[0].text.contains("samples"));
    one.clean(10);
    assert_eq!(
        one.kinds(),
        [(QualityKind::FlatLined, true), (QualityKind::FlatLined, false)]
    );
}

#[test]
fn nothing_happening_and_a_full_disk_are_no_flat_lines() {
    for edge in [0.0, 1.0, 100.0] {
        let mut one = One::new();
        one.clean(300);
        for _ in 0..500 {
            one.sample(edge, 200);
        }
        assert_eq!(one.kinds(), [], "{edge}");
    }
}

#[test]
fn a_gauge_with_long_runs_is_no_flat_line() {
    let mut one = One::new();
    for i in 0..900 {
        one.sample(noise(i / 20).floor() + 2.0, 200);
    }
    for _ in 0..300 {
        one.sample(5.0, 200);
    }
    assert_eq!(one.kinds(), []);
}

/// Three entities with four series each; `alter` changes what is sent of entity 0, series by series.
fn fleet(steps: i64, alter: impl Fn(i64, i64) -> Option<f64>) -> (Quality, Vec<QualityChange>) {
    let mut quality = Quality::default();
    for entity in 0..3 {
        for metric in 0..4 {
            quality.add_series(&info(&format!("e{entity}"), &format!("m{metric}")));
        }
    }
    let mut out = Vec::new();
    for i in 0..steps {
        for slot in 0..12_i64 {
            let value = if slot < 4 {
                alter(i, slot)
            } else {
                Some(noise(i * 12 + slot))
            };
            if let Some(value) = value {
                let at = Timestamp(i * STEP);
                quality.observe(slot as usize, at, value, at, &mut out);
            }
        }
        quality.sweep(12, &mut out);
    }
    (quality, out)
}

#[test]
fn a_series_is_missed_when_its_siblings_report() {
    let (quality, out) = fleet(400, |i, slot| {
        (slot != 2 || !(200..300).contains(&i)).then(|| noise(i * 12 + slot))
    });
    let kinds: Vec<_> = out
        .iter()
        .map(|c| (c.slot, c.finding.kind, c.ended.is_none()))
        .collect();
    assert_eq!(
        kinds,
        [(2, QualityKind::Missing, true), (2, QualityKind::Missing, false)]
    );
    assert_eq!(out[0].finding.since, Timestamp(200 * STEP));
    assert!(
        out[0].finding.text.contains("3 other series"),
        "{}",
        out[0].finding.text
    );
    assert!(quality.score(2) > 0.9);
    let (_, out) = fleet(400, |i, slot| (i < 200).then(|| noise(i * 12 + slot)));
    assert_eq!(
        out,
        [],
        "when all of an entity go, the entity is silent, no series is missing"
    );
}

#[test]
fn after_a_pause_of_all_nobody_is_missed_for_coming_second() {
    let mut quality = Quality::default();
    quality.add_series(&info("db", "a"));
    quality.add_series(&info("db", "b"));
    let mut out = Vec::new();
    for i in (0..200).chain(300..400) {
        for slot in 0..2 {
            // The two come in different requests.
            quality.observe(slot, Timestamp(i * STEP), noise(i), Timestamp(i * STEP), &mut out);
            quality.sweep(2, &mut out);
        }
    }
    assert_eq!(out, []);
}

#[test]
fn a_series_that_has_ended_is_not_missed() {
    let (mut quality, mut out) = fleet(200, |i, slot| Some(noise(i * 12 + slot)));
    quality.ended(2, Timestamp(200 * STEP), &mut out);
    for i in 200..300 {
        for slot in [0, 1, 3] {
            quality.observe(slot, Timestamp(i * STEP), noise(i), Timestamp(i * STEP), &mut out);
        }
        quality.sweep(3, &mut out);
    }
    assert_eq!(out, []);
}

#[test]
fn an_entity_whose_series_all_freeze_is_found_at_once() {
    let (quality, out) = fleet(300 + 10, |i, slot| Some(noise(i.min(300) * 12 + slot)));
    assert_eq!(out.len(), 1, "{out:?}");
    assert!(out[0].finding.kind == QualityKind::FlatLined && out[0].finding.text.contains("all 4 series"));
    assert!((0..4).all(|slot| quality.score(slot) < 0.5 && !quality.findings(slot).is_empty()));
    assert!((4..12).all(|slot| quality.score(slot) > 0.9));
    let (quality, out) = fleet(400, |i, slot| {
        Some(noise(if (300..310).contains(&i) { 300 } else { i } * 12 + slot))
    });
    assert!(
        out.len() == 2 && out[1].ended.is_some() && quality.score(0) > 0.9,
        "{out:?}"
    );
    let (_, out) = fleet(310, |i, slot| {
        Some(noise(if slot == 0 { i } else { i.min(300) } * 12 + slot))
    });
    assert_eq!(out, [], "not all of them");
}

#[test]
fn history_is_no_finding() {
    let mut quality = Quality::default();
    let slot = quality.add_series(&info("db", "load"));
    let mut history: Vec<_> = (0..300).map(|i| (Timestamp(i * STEP), noise(i))).collect();
    history.extend((300..360).map(|i| (Timestamp(i * STEP), 3.5)));
    quality.bootstrap(slot, &history);
    assert!(quality.findings(slot).is_empty());
    assert!(quality.score(slot) > 0.99);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Jitter below a fifth of the step, lag below a step: never a finding, from the first sample on.
    #[test]
    fn a_clean_series_has_no_finding(
        step in prop::sample::select(vec![1_000i64, 5_000, 15_000, 60_000, 300_000]),
        known in any::<bool>(),
        jitter in prop::collection::vec((-0.2f64..0.2, 0.0f64..1.0, 1u32..1_000_000), 150..700),
    ) {
        let mut quality = Quality::default();
        let mut own = info("db", "load");
        own.step_ms = if known { step } else { 0 };
        quality.add_series(&own);
        let mut out = Vec::new();
        for (i, (shift, lag, value)) in jitter.iter().enumerate() {
            let at = Timestamp(i as i64 * step + (shift * step as f64) as i64);
            quality.observe(0, at, f64::from(*value) + i as f64 * 1e-3, at + (lag * step as f64) as i64, &mut out);
            quality.sweep(1, &mut out);
        }
        prop_assert_eq!(out, Vec::new());
        prop_assert!(quality.score(0) > 0.999);
    }

    /// A series that has always been constant is not flat-lined, alone or beside others that change.
    #[test]
    fn a_constant_series_is_constant(value in -1e9f64..1e9, steps in 200i64..1500) {
        let mut quality = Quality::default();
        quality.add_series(&info("db", "limit"));
        quality.add_series(&info("db", "load"));
        let mut out = Vec::new();
        for i in 0..steps {
            let at = Timestamp(i * STEP);
            quality.observe(0, at, value, at, &mut out);
            quality.observe(1, at, noise(i), at, &mut out);
            quality.sweep(2, &mut out);
        }
        prop_assert_eq!(out, Vec::new());
    }

    /// Whatever comes: scores stay in 0..1, and every finding that goes has come.
    #[test]
    fn findings_come_and_go_in_turn(events in prop::collection::vec((0u8..8, 0i64..200_000, 0u8..4), 0..1500)) {
        let mut quality = Quality::default();
        quality.add_series(&info("db", "a"));
        quality.add_series(&info("db", "b"));
        let mut out = Vec::new();
        let mut now = 0;
        for (what, lag, value) in events {
            let slot = usize::from(what & 1);
            match what >> 1 {
                0 => quality.resent(slot, Timestamp(now), value > 1, &mut out),
                1 => now += lag,
                _ => {
                    now += STEP;
                    quality.observe(slot, Timestamp(now), f64::from(value), Timestamp(now + lag), &mut out);
                }
            }
            quality.sweep(1, &mut out);
            prop_assert!((0.0..=1.0).contains(&quality.score(slot)));
        }
        for kind in QualityKind::ALL {
            for slot in 0..2 {
                let own: Vec<bool> = out.iter().filter(|c| c.slot == slot && c.finding.kind == kind).map(|c| c.ended.is_none()).collect();
                prop_assert!(own.iter().enumerate().all(|(i, on)| *on == (i % 2 == 0)), "{:?} {:?}", kind, own);
            }
        }
    }
}
