//! A deviation that is too small for one sample and stays.

use super::*;

const DAY: usize = 288;

/// The first anomaly after a step of this size that came of staying: which sample, what the detector said, and why.
fn stayed(rows: &[(Timestamp, f64)], by: f64) -> Option<(usize, Detection, Saw)> {
    let mut detector = detector();
    let slot = detector.add_series(&info("latency"));
    let (history, rest) = rows.split_at(8 * DAY);
    detector.bootstrap(slot, history);
    for (i, &(at, value)) in rest[..12].iter().enumerate() {
        let detection = detector.observe(slot, at, value + by, Effort::Full);
        let (_, before) = detector.take_before().last().unzip();
        if detection.anomaly {
            let before = before?;
            let saw = detector.saw(&before, value + by);
            return (saw.stayed > 0).then_some((i, detection, saw));
        }
    }
    None
}

#[test]
fn a_small_deviation_that_stays_is_told_as_one() {
    let mut found = Vec::new();
    for seed in 0..8 {
        let rows = daily(9 * DAY as i64, 300, seed);
        found.extend((4..24).filter_map(|by| stayed(&rows, 0.5 * f64::from(by))));
    }
    assert!(
        !found.is_empty(),
        "of so many sizes one is just too small for a single sample"
    );
    for (i, detection, saw) in found {
        assert!(i >= 5, "not before it has stayed");
        let detector = detector();
        let info = info("latency");
        assert!(detection.score >= detector.threshold(info.class), "{detection:?}");
        let why = Why {
            saw: Some(saw),
            decided: None,
            decades: None,
            since: detection.at,
            samples: 1,
            searched: false,
            quiet: None,
            settings: Vec::new(),
        };
        let text = detector.explain(&info, &detection, Some(&why));
        let told = "6 samples in a row on which two members agree: none was enough by itself";
        assert!(text.contains(told), "{text}");
    }
}
