//! What is behind a detection, for a person: one sentence (expected and observed, how rare, since when, who says so, the
//! smallest change that would have kept it quiet), and the parts that it is made from.

use super::{Detection, Detector, Saw, Signal, SignalState, Why};
use crate::clock::rfc3339;
use wire::series::{Evidence, MemberEvidence, MemberVote, SeriesInfo, SeriesKind, Votes};

impl Detector {
    /// One sentence about a detection of a series, such as:
    ///
    /// > latency p99 of cart was 4.21, expected 1.02 (0.75 to 1.29): 41 standard deviations above, rarer than 1 in 10^7 clean
    /// > samples; decomposition and isolation forest agree (97 % likely real), for 3 samples since 2023-11-02T10:05:00Z; at 1.34
    /// > or less it would have kept quiet, or with min_abs_deviation = 3.2
    ///
    /// `why`: what was put aside about an anomaly; without it the sentence is shorter.
    pub fn explain(&self, info: &SeriesInfo, detection: &Detection, why: Option<&Why>) -> String {
        let name = match &info.statistic {
            Some(statistic) => format!("{} {statistic} of {}", info.metric, info.entity),
            None => format!("{} of {}", info.quantity(), info.entity),
        };
        let unit = if info.kind == SeriesKind::Counter { "/s" } else { "" };
        let number = |x: f64| number(x) + unit;
        let observed = number(detection.value);
        let mut text = format!("{name} was {observed}");
        match detection.expected {
            None if why.is_none() => return format!("{text}; no baseline yet{}", self.confidence_note(detection)),
            None => {}
            Some(expected) => {
                text += &format!(
                    ", expected {} ({} to {})",
                    number(expected.mean),
                    number(expected.lower),
                    number(expected.upper)
                );
                let deviation = (detection.value - expected.mean) / expected.scale;
                if deviation.abs() >= 0.5 {
                    let side = if deviation > 0.0 { "above" } else { "below" };
                    text += &format!(": {} {side}", standard_deviations(deviation.abs()));
                }
            }
        }
        if let Some(decades) = self.rarity(detection, why) {
            text += &format!(", rarer than 1 in 10^{decades:.0} clean samples");
        }
        text += &agreement(detection.votes);
        if detection.anomaly && detection.votes.count() >= 2 {
            let chance = self
                .models()
                .certainty()
                .chance(detection.score, detection.votes.count());
            text += &format!(" ({} % likely real)", (100.0 * chance).round().min(99.0));
        }
        if let Some(saw) = why.and_then(|why| why.saw).filter(|saw| saw.stayed > 0) {
            text += &format!(
                "; {} samples in a row on which two members agree: none was enough by itself",
                saw.stayed
            );
        }
        if let Some(decided) = why.and_then(|why| why.decided.as_deref()) {
            text += &format!("; {decided}");
        }
        let lasting = why.map(|why| (why.since, why.samples));
        let lasting = lasting.or_else(|| self.episode(detection.series).filter(|_| detection.anomaly));
        if let Some((since, samples)) = lasting {
            let plural = if samples == 1 { "" } else { "s" };
            text += &format!(", for {samples} sample{plural} since {}", rfc3339(since));
        } else if let Some(signal) = detection.signal {
            text += &format!("; {}", provisional(signal));
        }
        text += &why.map_or_else(String::new, |why| kept_quiet(detection, why));
        text + &self.confidence_note(detection)
    }

    /// The sentence and its parts.
    pub fn evidence(&self, info: &SeriesInfo, detection: &Detection, why: Option<&Why>) -> Evidence {
        let expected = detection.expected;
        Evidence {
            at: detection.at,
            sentence: self.explain(info, detection, why),
            anomaly: detection.anomaly,
            value: detection.value,
            expected: expected.map(|e| e.mean),
            lower: expected.map(|e| e.lower),
            upper: expected.map(|e| e.upper),
            members: members(detection, why),
            decades: self.rarity(detection, why),
            since: why.map(|why| why.since),
            samples: why.map_or(0, |why| why.samples),
            quiet_at: detection.quiet_at,
            settings: why.map_or_else(Vec::new, |why| why.settings.clone()),
        }
    }

    fn confidence_note(&self, detection: &Detection) -> String {
        if detection.confidence >= 1.0 {
            return String::new();
        }
        let slot = self.slot(detection.series);
        match slot.and_then(|slot| self.borrowed_from(slot)) {
            Some(n) => format!(" (baseline borrowed from {n} series of the same metric)"),
            None => format!(" (baseline {:.0} % learnt)", detection.confidence * 100.0),
        }
    }

    /// How rare, in decades, where that is worth a word.
    fn rarity(&self, detection: &Detection, why: Option<&Why>) -> Option<f32> {
        let known = why.map(|why| why.decades);
        let decades = known.unwrap_or_else(|| {
            (detection.score >= 0.5 && detection.votes.simple.is_none()).then(|| self.decades(detection))
        });
        decades.map(|decades| decades.min(12.0))
    }
}

fn provisional(signal: Signal) -> String {
    let since = rfc3339(signal.since);
    match signal.state {
        SignalState::Provisional => format!("a provisional signal since {since}, which the ensemble has not confirmed"),
        SignalState::Confirmed => format!("confirmed, it began {since}"),
        SignalState::Dropped => format!("a provisional signal since {since} was not confirmed and is dropped"),
    }
}

/// The smallest change that would have kept the detector quiet: of the value, and of a setting.
fn kept_quiet(detection: &Detection, why: &Why) -> String {
    if !why.searched {
        return String::new();
    }
    let settings = why.settings.join(" or ");
    match (why.quiet, settings.is_empty()) {
        (Some(quiet), none) => {
            let expected = detection.expected.map_or(quiet.value, |e| e.mean);
            let side = if quiet.beyond > quiet.value { "less" } else { "more" };
            let or = if none {
                String::new()
            } else {
                format!(", or with {settings}")
            };
            format!(
                "; at {} or {side} it would have kept quiet{or}",
                number_towards(quiet.value, expected)
            )
        }
        (None, false) => format!("; with {settings} it would have kept quiet"),
        (None, true) => "; no other value of this sample alone would have ended it".to_owned(),
    }
}

/// Each member's part, in its own words where they were put aside.
fn members(detection: &Detection, why: Option<&Why>) -> Vec<MemberEvidence> {
    let saw = why.and_then(|why| why.saw.as_ref());
    let votes = &detection.votes;
    let word = |of: fn(&Saw) -> String, otherwise: &str| saw.map_or_else(|| otherwise.to_owned(), of);
    let entry = |member: &str, vote: Option<MemberVote>, saw: String| {
        vote.map(|vote| MemberEvidence {
            member: member.to_owned(),
            score: vote.score,
            vote: vote.vote,
            saw,
        })
    };
    let entries = [
        entry(
            "decomposition",
            votes.stl,
            word(deviations, "distance from the expected course"),
        ),
        entry(
            "isolation forest",
            votes.forest,
            word(splits, "how alone the residuals stand"),
        ),
        entry(
            "autoencoder",
            votes.autoencoder,
            word(rebuilt, "how badly the window is rebuilt"),
        ),
        entry(
            "novelty",
            votes.novelty,
            word(nearest, "distance from every value seen before"),
        ),
        entry(
            "simple detector",
            votes.simple,
            why.and_then(|why| why.decided.clone()).unwrap_or_default(),
        ),
    ];
    entries.into_iter().flatten().collect()
}

fn deviations(saw: &Saw) -> String {
    let from = if saw.long_term {
        "the long-term level of this time of day"
    } else {
        "the forecast"
    };
    format!("saw {} from {from}", standard_deviations(f64::from(saw.deviations)))
}

/// Beyond a thousand, as of a series that never moved, the figure says nothing more.
fn standard_deviations(count: f64) -> String {
    if count > 1000.0 {
        "more than 1000 standard deviations".to_owned()
    } else {
        format!("{} standard deviations", number(count))
    }
}

fn splits(saw: &Saw) -> String {
    let [splits, ordinary] = [saw.splits, saw.ordinary_splits].map(|n| number(f64::from(n)));
    let what = if saw.jointly {
        "the metrics of its entity together"
    } else {
        "it"
    };
    format!("isolated {what} in {splits} splits, {ordinary} are ordinary")
}

fn rebuilt(saw: &Saw) -> String {
    let window = span(saw.window_ms);
    match saw.rebuilt {
        Some(ratio) => format!(
            "rebuilt the last {window} with {} times the error that 96 % of clean windows stay below",
            number(f64::from(ratio))
        ),
        None => "the others had already decided".to_owned(),
    }
}

fn nearest(saw: &Saw) -> String {
    saw.nearest.map_or_else(
        || "knows no value yet".to_owned(),
        |distance| format!("the nearest value seen before is {} away", number(distance)),
    )
}

/// A span as in "the last day", "the last 32 min".
pub(super) fn span(millis: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400_000, "days"), (3_600_000, "h"), (60_000, "min"), (1000, "s")];
    if millis == UNITS[0].0 {
        return "day".to_owned();
    }
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| millis >= 2 * unit)
        .unwrap_or((1000, "s"));
    format!("{} {name}", number(millis as f64 / unit as f64))
}

/// As few decimals as do not leave out more than a twentieth of the way to `towards`, rounded to that side: what is true of
/// all values between is true of the number written.
fn number_towards(x: f64, towards: f64) -> String {
    let way = (x - towards).abs();
    for decimals in 0..=9 {
        let unit = 10_f64.powi(decimals);
        let scaled = x * unit;
        let rounded = if towards < x { scaled.floor() } else { scaled.ceil() } / unit;
        if rounded.is_finite() && (rounded - x).abs() <= 0.05 * way && x.abs() < 1e7 {
            return format!("{rounded:.decimals$}", decimals = decimals as usize);
        }
    }
    format!("{x:e}")
}

fn agreement(votes: Votes) -> String {
    let members = [
        ("decomposition", votes.stl),
        ("isolation forest", votes.forest),
        ("autoencoder", votes.autoencoder),
        ("novelty measure", votes.novelty),
    ];
    let yes: Vec<&str> = members
        .iter()
        .filter(|m| m.1.is_some_and(|v| v.vote))
        .map(|m| m.0)
        .collect();
    match yes.as_slice() {
        [] => String::new(),
        [one] => format!("; only the {one} objects"),
        [first @ .., last] => format!("; {} and {last} agree", first.join(", ")),
    }
}

/// Three significant digits, without an exponent where a person would not use one.
pub(super) fn number(x: f64) -> String {
    let size = x.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-3..1e7).contains(&size) {
        return format!("{x:.2e}");
    }
    let decimals = (2 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{x:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        for (x, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (4.2149, "4.21"),
            (0.012_345, "0.0123"),
            (99.97, "100"),
            (123_456.7, "123457"),
            (8.1e9, "8.10e9"),
            (-2.5, "-2.5"),
        ] {
            assert_eq!(number(x), text);
        }
    }

    #[test]
    fn deviations_without_a_scale_are_not_counted() {
        for (count, text) in [
            (41.04, "41 standard deviations"),
            (1000.0, "1000 standard deviations"),
            (1e290, "more than 1000 standard deviations"),
        ] {
            assert_eq!(standard_deviations(count), text);
        }
    }

    #[test]
    fn a_border_is_rounded_to_the_quiet_side() {
        for (x, towards, text) in [
            (1.3492, 1.0, "1.34"),
            (0.6508, 1.0, "0.66"),
            (140.9, 100.0, "140"),
            (1_000_000.567, 1_000_000.0, "1000000.56"),
            (-3.0, 4.0, "-3"),
        ] {
            let written = number_towards(x, towards);
            let close = written.parse::<f64>().unwrap();
            assert!((close - x).abs() <= 0.05 * (x - towards).abs(), "{x}: {written}");
            assert!((close - towards).abs() <= (x - towards).abs(), "{x}: {written}");
            assert_eq!(written, text);
        }
    }

    #[test]
    fn spans_are_written_for_people() {
        for (millis, text) in [
            (86_400_000, "day"),
            (604_800_000, "7 days"),
            (7_200_000, "2 h"),
            (1_920_000, "32 min"),
            (90_000, "90 s"),
        ] {
            assert_eq!(span(millis), text);
        }
    }
}
