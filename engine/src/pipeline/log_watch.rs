//! Lines of logs as observations: a pattern that comes more or less often than it used to is to the correlator a series that
//! strayed, once a step for as long as it does.

use crate::correlate::Observation;
use crate::detect::log_mix::{Finding, LogMix, Pattern};
use crate::detect::{Detection, Expected};
use crate::features::{TemplateConfig, TemplateId, Templates};
use crate::ingest::signal::severity;
use crate::series::{Labels, MetricClass, SeriesKind, info_from_labels};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::series::{SeriesInfo, Votes};
use wire::{EntityId, Timestamp};

/// OpenTelemetry's number of the least severe error.
const ERROR: u8 = 17;
/// Words at the beginning of a line among which the level is looked for.
const LEVEL_WITHIN: usize = 6;
/// Constant words that tell a place in the code.
const HEAD_WORDS: usize = 3;
/// What is shown of a pattern, in characters.
const SHOWN: usize = 80;

/// Templates of lines, and who writes how many of which.
#[derive(Debug)]
pub(super) struct LogWatch {
    templates: Templates,
    mix: LogMix,
    /// By template.
    known: BTreeMap<u32, Known>,
    heads: BTreeMap<String, u32>,
    head_texts: Vec<String>,
    step_ms: i64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    head: Option<u32>,
    is_error: bool,
}

impl LogWatch {
    /// `step_ms`: how often [`Self::tell`] will be asked.
    pub(super) fn new(step_ms: i64) -> Self {
        Self {
            templates: Templates::new(TemplateConfig::default()),
            mix: LogMix::new(step_ms),
            known: BTreeMap::new(),
            heads: BTreeMap::new(),
            head_texts: Vec::new(),
            step_ms,
        }
    }

    /// Counts a line. `level`: its severity on OpenTelemetry's scale, 0 if nobody said.
    pub(super) fn line(&mut self, entity: &EntityId, at: Timestamp, level: u8, text: &str) {
        let id = self.templates.learn(text).0;
        let known = match self.known.get(&id) {
            Some(known) => *known,
            None => {
                let template = self.templates.text(TemplateId(id));
                let known = Known {
                    head: self.head_of(&template),
                    is_error: level >= ERROR || tells_of_errors(text),
                };
                self.known.insert(id, known);
                known
            }
        };
        self.mix
            .count(entity, at, id, known.head, known.is_error || level >= ERROR);
    }

    /// Takes everything so far for usual.
    pub(super) fn learn(&mut self) {
        self.mix.learn();
    }

    /// What is strange at `now`.
    pub(super) fn tell(&mut self, source: &Arc<str>, now: Timestamp, out: &mut Vec<Observation>) {
        for finding in self.mix.judge(now) {
            let info = Arc::new(self.series_of(&finding));
            out.push(observation(&info, source, &finding, now));
        }
    }

    fn head_of(&mut self, template: &str) -> Option<u32> {
        let words = template.split_whitespace().filter(|word| !word.contains("<*>"));
        let head = words.take(HEAD_WORDS).collect::<Vec<_>>().join(" ");
        if head.is_empty() {
            return None;
        }
        let next = self.heads.len() as u32;
        let id = *self.heads.entry(head.clone()).or_insert(next);
        if id == next {
            self.head_texts.push(head);
        }
        Some(id)
    }

    fn text_of(&self, pattern: Pattern) -> String {
        let text = match pattern {
            Pattern::Template(id) => self.templates.text(TemplateId(id)),
            Pattern::Head(id) => format!("{} ...", self.head_texts.get(id as usize).map_or("", String::as_str)),
        };
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    }

    fn series_of(&self, finding: &Finding) -> SeriesInfo {
        let text = self.text_of(finding.pattern);
        let metric = match finding.beside {
            Some(other) => format!(
                "percent of log lines \"{text}\" of them and \"{}\"",
                self.text_of(other)
            ),
            None => format!("percent of log lines \"{text}\""),
        };
        SeriesInfo {
            class: if finding.fails {
                MetricClass::Errors
            } else {
                MetricClass::Other
            },
            kind: SeriesKind::Gauge,
            step_ms: self.step_ms,
            ..info_from_labels(&Labels::of(finding.entity.as_str(), &metric, None))
        }
    }
}

/// Whether a line tells of an error: by its level, or by what programs write where they give up.
fn tells_of_errors(line: &str) -> bool {
    let words = line
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.take(LEVEL_WITHIN).any(|word| severity(word) >= ERROR)
        || ["Exception", "Traceback", "panicked at", "segfault", "Out of memory"]
            .iter()
            .any(|sign| line.contains(sign))
}

fn observation(info: &Arc<SeriesInfo>, source: &Arc<str>, finding: &Finding, at: Timestamp) -> Observation {
    let percent = |share: f64| 100.0 * share;
    // So many deviations as its weight: what is that unlikely is as far off as a metric gets.
    let scale = percent((finding.share - finding.usual).abs()).max(1e-6) / finding.weight.max(1.0);
    let mean = percent(finding.usual);
    Observation {
        detection: Detection {
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
        },
        source: Arc::clone(source),
        info: Arc::clone(info),
        has_samples: false,
    }
}
