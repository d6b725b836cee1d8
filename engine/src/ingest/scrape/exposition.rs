//! The text formats of metrics: Prometheus 0.0.4 and OpenMetrics 1.0.
//!
//! Strict, as Prometheus is: a line that makes no sense, or an OpenMetrics text without its end, refuses the whole, for what else
//! is missing nobody knows. O(bytes).

use crate::series::{Metadata, MetricType};
use std::collections::BTreeMap;
use wire::Timestamp;

/// Which of the two a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    /// By the content type of an answer; what is not OpenMetrics is read as text.
    pub fn of(content_type: &str) -> Self {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/openmetrics-text") {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub name: String,
    /// As written.
    pub labels: Vec<(String, String)>,
    pub value: f64,
    /// `None`: the time of the scrape.
    pub at: Option<Timestamp>,
    pub exemplar: Option<PointExemplar>,
    /// Since when it counts, where the text says so.
    pub start: Option<Timestamp>,
}

/// The exemplar of a line.
#[derive(Clone, Debug, PartialEq)]
pub struct PointExemplar {
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub at: Option<Timestamp>,
}

/// A text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    pub points: Vec<Point>,
    /// By the name of the metric or family, as the engine's catalog has them.
    pub types: BTreeMap<String, Metadata>,
}

/// The line that refuses a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// Counted from 1.
    pub line: usize,
    pub problem: &'static str,
}

/// Reads a text with at most `max` values.
///
/// # Errors
/// The first line that makes no sense.
pub fn parse(text: &str, format: Format, max: usize) -> Result<Exposition, BadLine> {
    let mut found = Exposition::default();
    let mut families: BTreeMap<&str, MetricType> = BTreeMap::new();
    let mut texts = Texts::default();
    let mut ended = false;
    let mut last = 0;
    for (index, line) in text.lines().enumerate() {
        last = index + 1;
        let bad = |problem| BadLine { line: last, problem };
        if ended {
            return Err(bad("there is more after # EOF"));
        }
        let line = line.trim_matches([' ', '\t', '\r']);
        if let Some(comment) = line.strip_prefix('#') {
            match comment.trim_start() {
                "EOF" if format == Format::OpenMetrics => ended = true,
                comment => {
                    let of = |word: &str| comment.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\t']));
                    if let Some(declared) = of("TYPE") {
                        let mut words = declared.split_whitespace();
                        let (Some(name), Some(kind), None) = (words.next(), words.next(), words.next()) else {
                            return Err(bad("a TYPE needs a name and a type"));
                        };
                        if let Some(kind) = MetricType::of_word(kind) {
                            families.insert(name, kind);
                        }
                    } else if let Some(help) = of("HELP") {
                        texts.help.extend(named(help));
                    } else if let Some(unit) = of("UNIT").filter(|_| format == Format::OpenMetrics) {
                        texts.unit.extend(named(unit));
                    }
                }
            }
        } else if !line.is_empty() {
            if found.points.len() >= max {
                return Err(bad("there are more samples than max_samples allows"));
            }
            found.points.push(Line(line).point(format).map_err(bad)?);
        }
    }
    if format == Format::OpenMetrics && !ended {
        return Err(BadLine {
            line: last,
            problem: "the text ends without # EOF: a part of it is missing",
        });
    }
    if format == Format::OpenMetrics {
        found.take_starts(&families);
    }
    let typed = families.into_iter().map(|(name, kind)| {
        let metadata = texts.of(name, kind);
        // The name of a counter in OpenMetrics is that of its family.
        let name = match (format, kind) {
            (Format::OpenMetrics, MetricType::Counter) => format!("{name}_total"),
            (Format::OpenMetrics, MetricType::Info) => format!("{name}_info"),
            _ => name.to_owned(),
        };
        (name, metadata)
    });
    found.types = typed.collect();
    Ok(found)
}

/// What is said of families beside their types, by their names.
#[derive(Default)]
struct Texts<'a> {
    help: BTreeMap<&'a str, &'a str>,
    unit: BTreeMap<&'a str, &'a str>,
}

impl Texts<'_> {
    fn of(&self, name: &str, kind: MetricType) -> Metadata {
        let text = |of: &BTreeMap<&str, &str>| of.get(name).map_or_else(String::new, |text| plain(text));
        Metadata::new(kind, &text(&self.help), &text(&self.unit))
    }
}

/// A name and the text that follows.
fn named(line: &str) -> Option<(&str, &str)> {
    let line = line.trim_start_matches([' ', '\t']);
    line.split_once([' ', '\t'])
        .map(|(name, text)| (name, text.trim_start_matches([' ', '\t'])))
}

/// A text without its escapes. As Prometheus reads it: a backslash before anything else is one.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some(c @ ('\\' | '"')) => plain.push(c),
                other => plain.extend(['\\'].into_iter().chain(other)),
            },
            c => plain.push(c),
        }
    }
    plain
}

impl Exposition {
    /// `x_created` is no series, but the start of those beside it.
    fn take_starts(&mut self, families: &BTreeMap<&str, MetricType>) {
        let family = |name: &str| {
            let suffixes = ["_created", "_total", "_bucket", "_sum", "_count"];
            let mut bases = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
            let counts = |base: &&str| {
                matches!(
                    families.get(base),
                    Some(MetricType::Counter | MetricType::Histogram | MetricType::Summary)
                )
            };
            bases.find(counts).map(str::to_owned)
        };
        let own = |point: &Point| {
            let own = point
                .labels
                .iter()
                .filter(|(name, _)| name != "le" && name != "quantile");
            let mut own: Vec<_> = own.cloned().collect();
            own.sort();
            own
        };
        let mut starts = BTreeMap::new();
        self.points.retain(|point| {
            let Some(base) = family(&point.name).filter(|_| point.name.ends_with("_created")) else {
                return true;
            };
            if let Some(start) = millis(point.value) {
                starts.insert((base, own(point)), start);
            }
            false
        });
        if starts.is_empty() {
            return;
        }
        for point in &mut self.points {
            if let Some(base) = family(&point.name) {
                point.start = starts.get(&(base, own(point))).copied();
            }
        }
    }
}

/// What is left of a line.
struct Line<'a>(&'a str);

impl<'a> Line<'a> {
    fn point(mut self, format: Format) -> Result<Point, &'static str> {
        let name = self.name(|c| c == ':')?.to_owned();
        let labels = self.labels()?;
        let value = number(self.word().ok_or("a value is missing")?)?;
        let (mut at, mut exemplar) = (None, None);
        let rest = self.0.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with('#') {
            let word = self.word().unwrap_or_default();
            at = Some(match format {
                Format::Text => Timestamp(word.parse().map_err(|_| "a time is no number of milliseconds")?),
                Format::OpenMetrics => millis(number(word)?).ok_or("a time is no number of seconds")?,
            });
        }
        let rest = self.0.trim_start_matches([' ', '\t']);
        if let Some(rest) = rest.strip_prefix('#').filter(|_| format == Format::OpenMetrics) {
            self.0 = rest.trim_start_matches([' ', '\t']);
            let labels = self.labels()?;
            let value = number(self.word().ok_or("an exemplar has no value")?)?;
            let at = match self.word() {
                Some(word) => Some(millis(number(word)?).ok_or("a time is no number of seconds")?),
                None => None,
            };
            exemplar = Some(PointExemplar { labels, value, at });
        }
        if !self.0.trim().is_empty() {
            return Err("there is something behind the value that does not belong there");
        }
        Ok(Point {
            name,
            labels,
            value,
            at,
            exemplar,
            start: None,
        })
    }

    /// A name: letters, digits, underscores and what `more` says, no digit first.
    fn name(&mut self, more: impl Fn(char) -> bool) -> Result<&'a str, &'static str> {
        let good = |c: char| c.is_ascii_alphanumeric() || c == '_' || more(c);
        let end = self.0.find(|c| !good(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err("a name is missing, or has a character that no name may have");
        }
        self.0 = rest;
        Ok(name)
    }

    /// `{a="b",c="d",}`, or nothing.
    fn labels(&mut self) -> Result<Vec<(String, String)>, &'static str> {
        let mut labels: Vec<(String, String)> = Vec::new();
        let Some(rest) = self.blank().0.strip_prefix('{') else {
            return Ok(labels);
        };
        self.0 = rest;
        loop {
            if let Some(rest) = self.blank().0.strip_prefix('}') {
                self.0 = rest;
                return Ok(labels);
            }
            let name = self.name(|_| false)?;
            self.expect('=')?;
            self.expect('"')?;
            let value = self.quoted()?;
            if labels.iter().any(|(known, _)| known == name) {
                return Err("a label is there twice");
            }
            labels.push((name.to_owned(), value));
            if let Some(rest) = self.blank().0.strip_prefix(',') {
                self.0 = rest;
            } else if !self.0.starts_with('}') {
                return Err("labels are not separated by a comma");
            }
        }
    }

    /// The rest of a value in quotes.
    fn quoted(&mut self) -> Result<String, &'static str> {
        let mut is_escaped = false;
        let end = self.0.find(|c| {
            let ends = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            ends
        });
        let (value, rest) = self.0.split_at(end.ok_or("the value of a label does not end")?);
        self.0 = &rest[1..];
        Ok(plain(value))
    }

    fn blank(&mut self) -> &mut Self {
        self.0 = self.0.trim_start_matches([' ', '\t']);
        self
    }

    fn expect(&mut self, c: char) -> Result<(), &'static str> {
        self.0 = self
            .blank()
            .0
            .strip_prefix(c)
            .ok_or("a label must be like name=\"value\"")?;
        Ok(())
    }

    /// The next word.
    fn word(&mut self) -> Option<&'a str> {
        let rest = self.0.trim_start_matches([' ', '\t']);
        let end = rest.find([' ', '\t']).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

fn number(word: &str) -> Result<f64, &'static str> {
    word.parse().map_err(|_| "a value is no number")
}

/// Seconds as a time.
fn millis(secs: f64) -> Option<Timestamp> {
    let millis = (secs * 1000.0).round();
    (millis.abs() < 9e15).then_some(Timestamp(millis as i64))
}
