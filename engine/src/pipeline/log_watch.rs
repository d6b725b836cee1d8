//! Lines of logs as observations: a pattern that comes more or less often than it used to is to the correlator a series that
//! strayed, once a step for as long as it does.
//!
//! Two parts, since lines are read where they arrive and judged where incidents are: [`LineReader`] knows templates, [`LogWatch`]
//! counts and judges. What context says of an entity (maintenance, expected events, shadow mode) holds for its lines, too.

use super::lane::EVIDENCE_SCORE;
use crate::context::{Context, ContextConfig};
use crate::correlate::Observation;
use crate::detect::log_mix::{Finding, LogMix, Pattern};
use crate::detect::{Detection, Expected, SHIPPED_THRESHOLD};
use crate::features::{TemplateConfig, TemplateId, Templates};
use crate::ingest::signal::severity;
use crate::series::{Labels, MetricClass, SeriesKind, info_from_labels};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use wire::series::{SeriesInfo, Votes};
use wire::signal::LogRecord;
use wire::{EntityId, Timestamp};

/// OpenTelemetry's number of the least severe error.
const ERROR: u8 = 17;
/// Words at the beginning of a line among which the level is looked for.
const LEVEL_WITHIN: usize = 6;
/// Constant words that tell a place in the code.
const HEAD_WORDS: usize = 3;
/// How often the live engine judges, and the name under which it does.
const LIVE_STEP_MS: i64 = 10_000;
const LIVE_SOURCE: &str = "logs";
/// The day has its own course: until it was seen once, only errors are news.
const LIVE_TRUSTED_AFTER_MS: i64 = 86_400_000;
/// What is shown of a pattern, in characters.
const SHOWN: usize = 80;

/// What a line is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    template: u32,
    head: Option<u32>,
    is_error: bool,
}

/// A line that was read, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SeenLine {
    pub(super) entity: EntityId,
    pub(super) at: Timestamp,
    pub(super) read: Read,
}

/// The templates of lines.
#[derive(Debug)]
pub(super) struct LineReader {
    templates: Templates,
    /// By template.
    known: BTreeMap<u32, Read>,
    /// The first constant words of templates.
    heads: BTreeMap<String, u32>,
    head_texts: Vec<String>,
}

impl LineReader {
    pub(super) fn new() -> Self {
        Self {
            templates: Templates::new(TemplateConfig::default()),
            known: BTreeMap::new(),
            heads: BTreeMap::new(),
            head_texts: Vec::new(),
        }
    }

    /// Reads a line. `level`: its severity on OpenTelemetry's scale, 0 if nobody said.
    pub(super) fn read(&mut self, level: u8, line: &str) -> Read {
        let id = self.templates.learn(line);
        let known = match self.known.get(&id.0) {
            Some(known) => *known,
            None => {
                let known = Read {
                    template: id.0,
                    head: self.head_of(&self.templates.text(id)),
                    is_error: tells_of_errors(line),
                };
                self.known.insert(id.0, known);
                known
            }
        };
        Read {
            is_error: known.is_error || level >= ERROR,
            ..known
        }
    }

    /// Reads lines that were taken in. Nobody can be blamed for those that do not say whose they are.
    pub(super) fn seen<'a>(&mut self, lines: impl Iterator<Item = &'a LogRecord>) -> Vec<SeenLine> {
        lines
            .filter(|line| !line.service.is_empty())
            .map(|line| SeenLine {
                entity: EntityId::from(line.service.as_str()),
                at: line.at,
                read: self.read(line.severity, &line.text),
            })
            .collect()
    }

    fn head_of(&mut self, template: &str) -> Option<u32> {
        let words = template.split_whitespace().filter(|word| !word.contains("<*>"));
        let head = words.take(HEAD_WORDS).collect::<Vec<_>>().join(" ");
        if head.is_empty() {
            return None;
        }
        let next = u32::try_from(self.head_texts.len()).ok()?;
        let id = *self.heads.entry(head.clone()).or_insert(next);
        if id == next {
            self.head_texts.push(head);
        }
        Some(id)
    }

    fn text_of(&self, pattern: Pattern) -> String {
        let text = match pattern {
            Pattern::Template(id) => self.templates.text(TemplateId(id)),
            Pattern::Head(id) => {
                let head = self.head_texts.get(id as usize).map_or("", String::as_str);
                format!("{head} ...")
            }
        };
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }
}

/// Who writes how many of which.
#[derive(Debug)]
pub(super) struct LogWatch {
    reader: Arc<Mutex<LineReader>>,
    mix: LogMix,
    context: Context,
    /// Where entities are in the context.
    slots: BTreeMap<EntityId, usize>,
    /// Where incidents say that it was seen.
    source: Arc<str>,
    step_ms: i64,
    judged: Option<Timestamp>,
    /// Merges of templates that the counts have followed.
    merges: usize,
}

impl LogWatch {
    /// Of the live engine.
    pub(super) fn live(context: &ContextConfig) -> Self {
        Self {
            mix: LogMix::new(LIVE_STEP_MS, LIVE_TRUSTED_AFTER_MS),
            ..Self::new(LIVE_STEP_MS, context, Arc::from(LIVE_SOURCE))
        }
    }

    /// Of recorded history, where what came before is all there will ever be. `step_ms`: how often is judged.
    pub(super) fn new(step_ms: i64, context: &ContextConfig, source: Arc<str>) -> Self {
        Self {
            source,
            reader: Arc::new(Mutex::new(LineReader::new())),
            mix: LogMix::new(step_ms, 0),
            context: Context::new(context),
            slots: BTreeMap::new(),
            step_ms,
            judged: None,
            merges: 0,
        }
    }

    /// Who reads the lines that are counted here.
    pub(super) fn reader(&self) -> Arc<Mutex<LineReader>> {
        Arc::clone(&self.reader)
    }

    /// Counts a line that was read.
    pub(super) fn count(&mut self, line: &SeenLine) {
        let Read {
            template,
            head,
            is_error,
        } = line.read;
        self.mix.count(&line.entity, line.at, template, head, is_error);
    }

    /// Reads and counts a line.
    pub(super) fn line(&mut self, entity: &EntityId, at: Timestamp, line: &str) {
        let read = lock(&self.reader).read(0, line);
        self.mix.count(entity, at, read.template, read.head, read.is_error);
    }

    /// Takes everything so far for usual.
    pub(super) fn learn(&mut self) {
        self.follow_merges();
        self.mix.learn();
    }

    /// What is strange at `now`, if it is time to judge again.
    pub(super) fn tell(&mut self, now: Timestamp, out: &mut Vec<Observation>) {
        if self.judged.is_some_and(|last| now.millis_since(last) < self.step_ms) {
            return;
        }
        self.judged = Some(now);
        self.follow_merges();
        for entity in self.mix.entities() {
            if !self.slots.contains_key(entity) {
                let info = info_from_labels(&Labels::of(entity.as_str(), "log_lines", None));
                self.slots.insert(entity.clone(), self.context.add_series(&info));
            }
        }
        let (context, slots) = (&mut self.context, &self.slots);
        let findings = self.mix.judge(now, |entity| {
            slots.get(entity).is_none_or(|slot| context.cares(*slot, now))
        });
        for finding in findings {
            let Some(slot) = self.slots.get(&finding.entity) else {
                continue;
            };
            let info = Arc::new(self.series_of(&finding));
            let mut detection = detection(&info, &finding, now);
            let adjust = self.context.before(*slot, now, detection.value);
            let judgement = self.context.judge(*slot, adjust, &detection, SHIPPED_THRESHOLD, 1.0);
            detection.anomaly = judgement.anomaly;
            if detection.anomaly || (judgement.evidence && detection.score >= EVIDENCE_SCORE) {
                out.push(Observation {
                    info,
                    source: Arc::clone(&self.source),
                    detection,
                    has_samples: false,
                });
            }
        }
    }

    /// Templates may have become one since the last time.
    fn follow_merges(&mut self) {
        let reader = lock(&self.reader);
        let merges = reader.templates.merges();
        if merges != self.merges {
            self.mix.merge(|id| reader.templates.resolve(TemplateId(id)).0);
            self.merges = merges;
        }
    }

    fn series_of(&self, finding: &Finding) -> SeriesInfo {
        let reader = lock(&self.reader);
        let text = reader.text_of(finding.pattern);
        let metric = match finding.beside {
            Some(other) => format!(
                "percent of log lines \"{text}\" of them and \"{}\"",
                reader.text_of(other)
            ),
            None => format!("percent of log lines \"{text}\""),
        };
        let class = if finding.fails {
            MetricClass::Errors
        } else {
            MetricClass::Other
        };
        SeriesInfo {
            class,
            kind: SeriesKind::Gauge,
            step_ms: self.step_ms,
            ..info_from_labels(&Labels::of(finding.entity.as_str(), &metric, None))
        }
    }
}

/// A reader that panicked has lost one line at most.
pub(super) fn lock(reader: &Mutex<LineReader>) -> std::sync::MutexGuard<'_, LineReader> {
    reader.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a line tells of an error: by its level, or by what programs write where they give up.
fn tells_of_errors(line: &str) -> bool {
    const SIGNS: [&str; 5] = ["Exception", "Traceback", "panicked at", "segfault", "Out of memory"];
    // An address such as /error is no level.
    let words = line
        .split(|c: char| !c.is_alphabetic() && c != '/')
        .filter(|word| !word.is_empty());
    words.take(LEVEL_WITHIN).any(|word| severity(word) >= ERROR) || SIGNS.iter().any(|sign| line.contains(sign))
}

fn detection(info: &SeriesInfo, finding: &Finding, at: Timestamp) -> Detection {
    let percent = |share: f64| 100.0 * share;
    // So many deviations as its weight: what is that unlikely is as far off as a metric gets.
    let scale = percent((finding.share - finding.usual).abs()).max(1e-6) / finding.weight.max(1.0);
    let mean = percent(finding.usual);
    Detection {
        series: info.id,
        at,
        value: percent(finding.share),
        expected: Some(Expected {
            mean,
            lower: (mean - 3.0 * scale).max(0.0),
            upper: (mean + 3.0 * scale).min(100.0),
            scale,
        }),
        score: finding.score,
        salience: finding.score,
        shift: 0.0,
        votes: Votes::default(),
        anomaly: finding.anomaly,
        confidence: finding.confidence,
        signal: None,
        breach: None,
        quiet_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::calendar::Span;
    use crate::context::{Selector, Window};

    const MINUTE: i64 = 60_000;

    fn at(minute: i64, second: i64) -> Timestamp {
        Timestamp(minute * MINUTE + second * 1000)
    }

    /// Minutes of a shop that takes an order every two seconds, whose payments fail from minute 60 on.
    fn told(context: &ContextConfig, minutes: i64) -> Vec<Observation> {
        let mut watch = LogWatch::new(MINUTE, context, Arc::from("test"));
        let shop = EntityId::from("shop");
        let mut out = Vec::new();
        for minute in 0..minutes {
            for second in (0..60).step_by(2) {
                let order = minute * 60 + second;
                watch.line(
                    &shop,
                    at(minute, second),
                    &format!("INFO order {order} received from 10.0.0.{second}"),
                );
                let end = if minute < 60 {
                    format!("INFO order {order} paid")
                } else {
                    format!("ERROR order {order} failed: java.io.IOException: Broken pipe")
                };
                watch.line(&shop, at(minute, second + 1), &end);
            }
            watch.tell(at(minute + 1, 0), &mut out);
        }
        out
    }

    #[test]
    fn what_fails_is_told_with_its_words_once_a_step() {
        let out = told(&ContextConfig::default(), 63);
        let times: Vec<i64> = out.iter().map(|o| o.detection.at.0 / MINUTE).collect();
        assert_eq!(times, [61, 62, 63]);
        let first = &out[0];
        assert!(first.detection.anomaly && !first.has_samples);
        assert_eq!(
            (first.info.entity.as_str(), first.info.class),
            ("shop", MetricClass::Errors)
        );
        assert!(
            first.info.metric.contains("failed") || first.info.metric.contains("paid"),
            "{}",
            first.info.metric
        );
        assert!(first.detection.value > first.detection.expected.unwrap().upper);
    }

    #[test]
    fn what_is_expected_is_evidence_alone() {
        let window = Window::expected_once(
            "migration".to_owned(),
            Selector::of_entity("sh*"),
            Span {
                from: at(59, 0),
                until: at(80, 0),
            },
            String::new(),
        );
        let context = ContextConfig {
            windows: vec![window],
            ..ContextConfig::default()
        };
        let out = told(&context, 63);
        assert!(!out.is_empty());
        assert!(out.iter().all(|o| !o.detection.anomaly));
    }

    #[test]
    fn a_judgement_too_soon_says_nothing() {
        let mut watch = LogWatch::new(MINUTE, &ContextConfig::default(), Arc::from("test"));
        let mut out = Vec::new();
        watch.tell(at(1, 0), &mut out);
        assert_eq!(watch.judged, Some(at(1, 0)));
        watch.tell(at(1, 59), &mut out);
        assert_eq!(watch.judged, Some(at(1, 0)));
        watch.tell(at(2, 0), &mut out);
        assert_eq!(watch.judged, Some(at(2, 0)));
    }

    #[test]
    fn errors_are_told_by_level_or_by_what_is_said() {
        for line in [
            "[2026-01-01 10:00:00] ERROR no",
            "level=fatal x",
            "java.lang.NullPointerException: x",
            "CRIT disk",
        ] {
            assert!(tells_of_errors(line), "{line}");
        }
        for line in ["INFO all is well", "no errors", "GET /error 200"] {
            assert!(!tells_of_errors(line), "{line}");
        }
    }

    #[test]
    fn the_same_words_are_one_place_in_the_code() {
        let mut reader = LineReader::new();
        let [a, b, c] =
            ["INFO pay started for 1", "INFO pay started by 2", "INFO pay ended"].map(|line| reader.read(0, line));
        assert_eq!(a.head, b.head);
        assert_ne!(a.template, b.template);
        assert_ne!(a.head, c.head);
        assert_eq!(reader.text_of(Pattern::Head(a.head.unwrap())), "INFO pay started ...");
        assert!(reader.read(17, "INFO pay ended").is_error);
    }
}
