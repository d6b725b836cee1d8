//! A range of samples and verdicts as at most so many points of a chart.

use crate::detect::{Detection, Expected, SignalState};
use wire::Timestamp;
use wire::series::{MemberVote, SeriesPoint, Votes};

/// What the detector said of one past sample: kept for the newest samples of every series ([`super::Verdicts`]) so that a chart shows
/// the verdicts that were given, not ones recomputed later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub at: Timestamp,
    pub(super) expected: f32,
    /// Half width of the band; negative if there was no baseline yet.
    pub(super) half_band: f32,
    pub(super) score: u8,
    pub(super) members: [u8; MEMBERS],
    /// Bits 0..=3: members that voted. Bits 4..=7: members that were evaluated. Bit 8: anomaly. Bit 9: a provisional signal.
    /// Bits 10 and 11: a simple detector was asked, and voted; its score is the detection's.
    pub(super) flags: u16,
}

const MEMBERS: usize = 4;
const ANOMALY: u16 = 1 << (2 * MEMBERS);
const PROVISIONAL: u16 = ANOMALY << 1;
const SIMPLE: u16 = ANOMALY << 2;
const SIMPLE_VOTE: u16 = ANOMALY << 3;

impl Verdict {
    /// Packs a detection; scores keep 8 bits.
    pub fn new(detection: &Detection) -> Self {
        let votes = &detection.votes;
        let members = [votes.stl, votes.forest, votes.autoencoder, votes.novelty];
        let mut flags = if detection.anomaly { ANOMALY } else { 0 };
        if detection.signal.is_some_and(|s| s.state == SignalState::Provisional) {
            flags |= PROVISIONAL;
        }
        if let Some(simple) = votes.simple {
            flags |= SIMPLE | if simple.vote { SIMPLE_VOTE } else { 0 };
        }
        for (bit, member) in members.iter().enumerate() {
            if let Some(member) = member {
                flags |= 1 << (bit + MEMBERS) | u16::from(member.vote) << bit;
            }
        }
        let (expected, half_band) = detection.expected.map_or((0.0, -1.0), |e: Expected| {
            (e.mean as f32, ((e.upper - e.lower) / 2.0) as f32)
        });
        Self {
            at: detection.at,
            expected,
            half_band,
            score: quantize(detection.score),
            members: members.map(|m| m.map_or(0, |m| quantize(m.score))),
            flags,
        }
    }

    /// Whether the sample was called anomalous.
    pub fn anomaly(&self) -> bool {
        self.flags & ANOMALY != 0
    }

    /// Whether the fast layer had a provisional signal.
    pub fn provisional(&self) -> bool {
        self.flags & PROVISIONAL != 0
    }

    fn votes(&self) -> Votes {
        let member = |bit: usize| {
            (self.flags & 1 << (bit + MEMBERS) != 0).then(|| MemberVote {
                score: f32::from(self.members[bit]) / 255.0,
                vote: self.flags & 1 << bit != 0,
            })
        };
        Votes {
            stl: member(0),
            forest: member(1),
            autoencoder: member(2),
            novelty: member(3),
            simple: (self.flags & SIMPLE != 0).then(|| MemberVote {
                score: f32::from(self.score) / 255.0,
                vote: self.flags & SIMPLE_VOTE != 0,
            }),
        }
    }
}

fn quantize(score: f32) -> u8 {
    (score.clamp(0.0, 1.0) * 255.0).round() as u8
}

/// At most `max_points` points out of `samples` (oldest first) with the `verdicts` known for some of them (oldest first).
///
/// A gap of more than 2.5 steps becomes a point without value, so that a line is broken there. Where several samples
/// share a bucket, the point is the most anomalous one and `min`/`max` keep the bucket's extremes: no anomaly and no peak
/// is lost to the zoom level.
pub fn bucketed(
    samples: &[(Timestamp, f64)],
    verdicts: &[Verdict],
    step_ms: i64,
    max_points: usize,
) -> Vec<SeriesPoint> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else {
        return Vec::new();
    };
    let max_points = max_points.max(2);
    let span = (last.0.millis_since(first.0) + 1).max(1);
    let bucket_ms = if samples.len() <= max_points {
        1
    } else {
        span / max_points as i64 + 1
    };
    let gap_ms = (step_ms * 5 / 2).max(bucket_ms * 3 / 2);

    let mut points: Vec<SeriesPoint> = Vec::with_capacity(samples.len().min(max_points) + 8);
    let mut bucket = i64::MIN;
    let mut previous: Option<Timestamp> = None;
    let mut rest = verdicts;
    for &(at, value) in samples {
        while rest.first().is_some_and(|v| v.at < at) {
            rest = &rest[1..];
        }
        let point = point(at, value, rest.first().filter(|v| v.at == at));
        if step_ms > 0 && previous.is_some_and(|p| at.millis_since(p) > gap_ms) {
            points.push(gap(Timestamp(previous.unwrap_or(at).0 + step_ms)));
            bucket = i64::MIN;
        }
        previous = Some(at);
        let own = at.millis_since(first.0) / bucket_ms;
        match points.last_mut() {
            Some(open) if own == bucket => merge(open, point),
            _ => points.push(point),
        }
        bucket = own;
    }
    points
}

fn point(at: Timestamp, value: f64, verdict: Option<&Verdict>) -> SeriesPoint {
    let band = verdict.filter(|v| v.half_band >= 0.0);
    SeriesPoint {
        at,
        value: Some(value),
        min: Some(value),
        max: Some(value),
        expected: band.map(|v| f64::from(v.expected)),
        lower: band.map(|v| f64::from(v.expected - v.half_band)),
        upper: band.map(|v| f64::from(v.expected + v.half_band)),
        score: verdict.map_or(0.0, |v| f32::from(v.score) / 255.0),
        votes: verdict.map_or_else(Votes::default, Verdict::votes),
        anomaly: verdict.is_some_and(Verdict::anomaly),
        provisional: verdict.is_some_and(Verdict::provisional),
    }
}

fn gap(at: Timestamp) -> SeriesPoint {
    SeriesPoint {
        at,
        value: None,
        min: None,
        max: None,
        expected: None,
        lower: None,
        upper: None,
        score: 0.0,
        votes: Votes::default(),
        anomaly: false,
        provisional: false,
    }
}

fn merge(open: &mut SeriesPoint, next: SeriesPoint) {
    let min = open.min.into_iter().chain(next.min).reduce(f64::min);
    let max = open.max.into_iter().chain(next.max).reduce(f64::max);
    let provisional = open.provisional || next.provisional;
    if (next.anomaly, next.score) > (open.anomaly, open.score) {
        *open = next;
    }
    open.provisional = provisional;
    open.min = min;
    open.max = max;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::SeriesId;

    fn detection(at: i64, anomaly: bool) -> Detection {
        Detection {
            series: SeriesId(1),
            at: Timestamp(at),
            value: 1.0,
            expected: Some(Expected {
                mean: 2.0,
                lower: 1.0,
                upper: 3.0,
                scale: 0.5,
            }),
            score: if anomaly { 0.9 } else { 0.1 },
            salience: 0.0,
            shift: 0.0,
            votes: Votes {
                stl: Some(MemberVote {
                    score: 0.9,
                    vote: anomaly,
                }),
                forest: Some(MemberVote {
                    score: 0.2,
                    vote: false,
                }),
                autoencoder: None,
                novelty: None,
                simple: None,
            },
            anomaly,
            signal: None,
            breach: None,
            quiet_at: None,
            confidence: 1.0,
        }
    }

    #[test]
    fn a_verdict_keeps_what_the_chart_needs() {
        let verdict = Verdict::new(&detection(5, true));
        let votes = verdict.votes();
        assert!(verdict.anomaly() && votes.stl.is_some_and(|m| m.vote) && votes.forest.is_some_and(|m| !m.vote));
        assert_eq!(votes.autoencoder, None);
        assert!((votes.stl.map_or(0.0, |m| m.score) - 0.9).abs() < 0.003);
    }

    #[test]
    fn a_gap_breaks_the_line() {
        let samples = [(Timestamp(0), 1.0), (Timestamp(10), 2.0), (Timestamp(100), 3.0)];
        let points = bucketed(&samples, &[], 10, 100);
        let values: Vec<_> = points.iter().map(|p| p.value).collect();
        assert_eq!(values, [Some(1.0), Some(2.0), None, Some(3.0)]);
    }

    proptest! {
        #[test]
        fn no_peak_and_no_anomaly_is_lost(values in prop::collection::vec(-1e6f64..1e6, 1..400), odd in 0usize..400, max_points in 2usize..50) {
            let samples: Vec<_> = values.iter().enumerate().map(|(i, v)| (Timestamp(i as i64 * 10), *v)).collect();
            let odd = odd % samples.len();
            let verdicts: Vec<_> = (0..samples.len()).map(|i| Verdict::new(&detection(i as i64 * 10, i == odd))).collect();
            let points = bucketed(&samples, &verdicts, 10, max_points);
            prop_assert!(points.len() <= max_points.max(values.len().min(max_points)) + 1);
            prop_assert_eq!(points.iter().filter(|p| p.anomaly).count(), 1);
            let max = points.iter().filter_map(|p| p.max).fold(f64::MIN, f64::max);
            prop_assert!((max - values.iter().copied().fold(f64::MIN, f64::max)).abs() < 1e-9);
        }
    }
}
