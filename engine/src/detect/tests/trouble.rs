//! What an incident teaches, and what it does not.

use super::*;

const DAY: usize = 288;

/// A week of a series, and a detector that has seen it.
fn known(rows: &[(Timestamp, f64)]) -> (Detector, usize) {
    let mut detector = detector();
    let slot = detector.add_series(&info("latency"));
    detector.bootstrap(slot, &rows[..7 * DAY]);
    (detector, slot)
}

fn observe(detector: &mut Detector, slot: usize, rows: &[(Timestamp, f64)], by: f64) -> Vec<Detection> {
    let samples = rows.iter();
    samples
        .map(|&(at, value)| detector.observe(slot, at, value + by, Effort::Full))
        .collect()
}

/// Runs two days in which each third hour is half an hour of trouble. Returns the greatest score of the last of them.
fn after_many(troubled: bool) -> f32 {
    let rows = daily(10 * DAY as i64, 300, 5);
    let (mut detector, slot) = known(&rows);
    let mut greatest = 0.0;
    for start in (7 * DAY..9 * DAY).step_by(36) {
        detector.trouble(slot, troubled);
        let during = observe(&mut detector, slot, &rows[start..start + 6], 9.0);
        greatest = during.iter().map(|d| d.score).fold(0.0, f32::max);
        detector.trouble(slot, false);
        observe(&mut detector, slot, &rows[start + 6..start + 36], 0.0);
    }
    greatest
}

#[test]
fn trouble_that_comes_often_does_not_become_usual() {
    let (plain, troubled) = (after_many(false), after_many(true));
    assert!(troubled > plain + 0.02, "{troubled} {plain}");
}

#[test]
fn what_an_incident_showed_is_as_strange_after_it() {
    let rows = daily(9 * DAY as i64, 300, 6);
    let (mut detector, slot) = known(&rows);
    let (mut spared, other) = known(&rows);
    detector.trouble(slot, true);
    observe(&mut detector, slot, &rows[7 * DAY..7 * DAY + 36], 30.0);
    observe(&mut detector, slot, &rows[7 * DAY + 36..7 * DAY + 40], 0.0);
    detector.trouble(slot, false);
    assert_eq!(detector.state(slot), spared.state(other), "the baseline is what it was");
    assert_eq!(detector.outlook(slot, 9), spared.outlook(other, 9));
    let quiet = &rows[7 * DAY + 40..8 * DAY];
    let after = observe(&mut detector, slot, quiet, 0.0);
    assert!(after.iter().all(|d| !d.anomaly), "nothing is left of it");
    observe(&mut spared, other, quiet, 0.0);
    let again = observe(&mut detector, slot, &rows[8 * DAY..8 * DAY + 6], 30.0);
    let first = observe(&mut spared, other, &rows[8 * DAY..8 * DAY + 6], 30.0);
    let greatest = |found: &[Detection]| found.iter().map(|d| d.score).fold(0.0, f32::max);
    assert!(greatest(&again) < greatest(&first), "its worst was learnt");
    assert!(greatest(&again) > 0.8 * greatest(&first), "and no more: {again:?}");
}

#[test]
fn a_level_that_stays_is_kept() {
    let rows = daily(10 * DAY as i64, 300, 7);
    let (mut detector, slot) = known(&rows);
    detector.trouble(slot, true);
    observe(&mut detector, slot, &rows[7 * DAY..7 * DAY + 150], 200.0);
    detector.trouble(slot, false);
    let (next, value) = rows[7 * DAY + 150];
    let expected = detector.expected(slot, next).unwrap();
    assert!((expected.mean - value - 200.0).abs() < 60.0, "{expected:?} {value}");
    let after = observe(&mut detector, slot, &rows[7 * DAY + 150..8 * DAY], 200.0);
    assert!(after.iter().all(|d| !d.anomaly));
}

#[test]
fn what_lasts_longer_than_a_day_is_how_it_is_and_who_is_young_learns_on() {
    let rows = daily(10 * DAY as i64, 300, 8);
    let (mut detector, slot) = known(&rows);
    detector.trouble(slot, true);
    observe(&mut detector, slot, &rows[7 * DAY..8 * DAY + 10], 0.0);
    detector.trouble(slot, false);
    assert_eq!(detector.state(slot).last_at, Some(rows[8 * DAY + 9].0));
    let young = detector.add_series(&info("other"));
    observe(&mut detector, young, &rows[..20], 0.0);
    detector.trouble(young, true);
    observe(&mut detector, young, &rows[20..60], 0.0);
    detector.trouble(young, false);
    assert_eq!(detector.state(young).seen, 60);
}

#[test]
fn a_mask_within_an_incident_leaves_no_trace_of_either() {
    let rows = daily(8 * DAY as i64, 300, 9);
    let (mut detector, slot) = known(&rows);
    let (mut spared, other) = known(&rows);
    detector.trouble(slot, true);
    observe(&mut detector, slot, &rows[7 * DAY..7 * DAY + 10], 30.0);
    detector.mask(slot, true);
    observe(&mut detector, slot, &rows[7 * DAY + 10..7 * DAY + 20], 30.0);
    detector.trouble(slot, false);
    observe(&mut detector, slot, &rows[7 * DAY + 20..7 * DAY + 30], 30.0);
    detector.mask(slot, false);
    let ours = observe(&mut detector, slot, &rows[7 * DAY + 30..], 0.0);
    assert_eq!(ours, observe(&mut spared, other, &rows[7 * DAY + 30..], 0.0));
}
