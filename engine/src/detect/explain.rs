//! One sentence about a detection: expected and observed, how rare, since when, who says so.

use super::{Detection, Detector};
use wire::series::{SeriesInfo, SeriesKind, Votes};

impl Detector {
    /// One sentence about a detection of a series, such as:
    ///
    /// > latency p99 of cart was 4.21, expected 1.02 (0.75 to 1.29): 41 standard deviations above, rarer than 1 in 10^7 clean
    /// > samples; decomposition and isolation forest agree, for 3 samples since 2023-11-02T10:05:00Z
    pub fn explain(&self, info: &SeriesInfo, detection: &Detection) -> String {
        let name = match &info.statistic {
            Some(statistic) => format!("{} {statistic} of {}", info.metric, info.entity),
            None => format!("{} of {}", info.quantity(), info.entity),
        };
        let unit = if info.kind == SeriesKind::Counter { "/s" } else { "" };
        let number = |x: f64| number(x) + unit;
        let observed = number(detection.value);
        let Some(expected) = detection.expected else {
            let needed = self.confidence_note(detection);
            return format!("{name} was {observed}; no baseline yet{needed}");
        };
        let deviation = (detection.value - expected.mean) / expected.scale;
        let mut text = format!(
            "{name} was {observed}, expected {} ({} to {})",
            number(expected.mean),
            number(expected.lower),
            number(expected.upper)
        );
        if deviation.abs() >= 0.5 {
            let side = if deviation > 0.0 { "above" } else { "below" };
            text += &format!(": {} standard deviations {side}", self::number(deviation.abs()));
        }
        if detection.score >= 0.5 {
            let decades = self.decades(detection).min(12.0);
            text += &format!(", rarer than 1 in 10^{decades:.0} clean samples");
        }
        text += &agreement(detection.votes);
        if let Some((since, samples)) = self.episode(detection.series).filter(|_| detection.anomaly) {
            let since = jiff::Timestamp::from_millisecond(since.as_millis())
                .map_or_else(|_| since.to_string(), |t| t.to_string());
            let plural = if samples == 1 { "" } else { "s" };
            text += &format!(", for {samples} sample{plural} since {since}");
        }
        text + &self.confidence_note(detection)
    }

    fn confidence_note(&self, detection: &Detection) -> String {
        if detection.confidence >= 1.0 {
            String::new()
        } else {
            format!(" (baseline {:.0} % learnt)", detection.confidence * 100.0)
        }
    }
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
fn number(x: f64) -> String {
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
}
