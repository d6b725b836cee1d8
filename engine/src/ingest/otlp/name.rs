//! OpenTelemetry's names as Prometheus spells them: the strategy `UnderscoreEscapingWithSuffixes`.
//!
//! As `prometheus/otlptranslator` 1.0 does it, which `fixtures/names.go` asks for the names that the test compares with: a
//! metric is its words joined by `_`, then its unit, then `total` for what only grows, or `ratio` for a gauge of unit 1.

/// What a metric is, as far as its name is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Gauge,
    /// A sum that only grows.
    Counter,
    /// Anything else: a sum that also falls, a histogram, a summary.
    Other,
}

const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

const PER_UNITS: [(&str, &str); 7] = [
    ("s", "second"),
    ("m", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

/// The name of a metric; `None` if nothing is left of it.
pub(super) fn metric(name: &str, unit: &str, shape: Shape) -> Option<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == ':';
    let mut words: Vec<&str> = name.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
    let (main, per) = unit_suffixes(unit);
    let per = per.trim_end_matches('_');
    let per = if per == "per" || words.contains(&per) { "" } else { per };
    let main = if words.contains(&main.as_str()) { "" } else { &main };
    let main = if per.is_empty() {
        main
    } else {
        main.strip_suffix('_').unwrap_or(main)
    };
    words.extend([main, per].into_iter().filter(|word| !word.is_empty()));
    let last = match shape {
        Shape::Counter => "total",
        Shape::Gauge if unit == "1" => "ratio",
        _ => "",
    };
    if !last.is_empty() {
        words.retain(|word| *word != last);
        words.push(last);
    }
    let mut joined = words.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) {
        joined.insert(0, '_');
    }
    joined.contains(|c| c != '_').then_some(joined)
}

/// What a unit such as `By/s` adds to a name: `bytes`, `per_second`.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let spelled = |unit: &str, table: &[(&str, &str)]| {
        let unit = unit.trim();
        // `{requests}` is an annotation for people, 1 is no unit.
        if unit.contains(['{', '}']) || unit == "1" && table.len() == UNITS.len() {
            return String::new();
        }
        let known = table.iter().find(|(short, _)| *short == unit);
        known.map_or(unit, |(_, long)| long).to_owned()
    };
    let per = spelled(per, &PER_UNITS);
    let per = if per.is_empty() { per } else { format!("per_{per}") };
    (cleaned(&spelled(main, &UNITS)), cleaned(&per))
}

/// Everything that no name may hold as `_`, of several one, none at the start.
fn cleaned(unit: &str) -> String {
    let mut clean = String::with_capacity(unit.len());
    for c in unit.chars() {
        let c = if c.is_ascii_alphanumeric() || c == ':' { c } else { '_' };
        if c != '_' || !clean.ends_with('_') {
            clean.push(c);
        }
    }
    clean.strip_prefix('_').map(str::to_owned).unwrap_or(clean)
}

/// The name of a label; `None` if nothing is left of it.
pub(super) fn label(key: &str) -> Option<String> {
    let inner = key.strip_prefix("__").and_then(|rest| rest.strip_suffix("__"));
    let (key, is_reserved) = match inner {
        Some(inner) if key.len() >= 4 => (inner, true),
        _ => (key, false),
    };
    let mut name = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        let c = if c.is_ascii_alphanumeric() { c } else { '_' };
        if c != '_' || !name.ends_with('_') {
            name.push(c);
        }
    }
    if is_reserved {
        name = format!("__{name}__");
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "key_");
    }
    name.contains(|c| c != '_').then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        kind: String,
        name: String,
        #[serde(default)]
        unit: String,
        expected: Option<String>,
    }

    #[test]
    fn names_are_those_of_prometheus() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/names.json")).unwrap();
        assert!(cases.len() > 500);
        for case in cases {
            let found = match case.kind.as_str() {
                "label" => label(&case.name),
                "counter" => metric(&case.name, &case.unit, Shape::Counter),
                "gauge" => metric(&case.name, &case.unit, Shape::Gauge),
                _ => metric(&case.name, &case.unit, Shape::Other),
            };
            assert_eq!(found, case.expected, "{} {:?} {:?}", case.kind, case.name, case.unit);
        }
    }
}
