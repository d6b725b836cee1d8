//! The files in OUT. Their bytes depend on the input alone: no time of day, no machine, no hash order.

use super::input::{Input, Stamp};
use super::replay::Outcome;
use super::score::{Summary, by_entity, together};
use engine::correlate::Incident;
use engine::detect::Detection;
use engine::{Error, Result};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use wire::prediction::Prediction;
use wire::series::MemberVote;
use wire::{SeriesId, Timestamp};

/// Causes written per incident.
const CAUSES: usize = 10;

/// Writers of one run.
pub(super) struct Files {
    dir: PathBuf,
    stamp: Stamp,
    scores: Gz,
    entities: Gz,
    /// Column names, quoted for CSV.
    names: Vec<String>,
    /// Entity, quoted for CSV, and its columns; in order of name.
    by_entity: Vec<(String, Vec<usize>)>,
    series: BTreeMap<SeriesId, String>,
}

/// A packed text file.
pub(crate) struct Gz {
    path: PathBuf,
    writer: BufWriter<GzEncoder<File>>,
}

impl Files {
    /// Makes the directory and starts the files.
    pub(super) fn create(dir: &Path, input: &Input) -> Result<Self> {
        std::fs::create_dir_all(dir).map_err(|error| Error::io("cannot make the directory", dir, error))?;
        let mut files = Self {
            dir: dir.to_owned(),
            stamp: input.stamp,
            scores: Gz::create(dir.join("scores.csv.gz"))?,
            entities: Gz::create(dir.join("entities.csv.gz"))?,
            names: input.frame.names.iter().map(|name| quoted(name)).collect(),
            by_entity: by_entity(input)
                .into_iter()
                .map(|(entity, columns)| (quoted(entity.as_str()), columns))
                .collect(),
            series: input
                .frame
                .series
                .iter()
                .map(|info| info.id)
                .zip(input.frame.names.iter().cloned())
                .collect(),
        };
        files
            .scores
            .line("timestamp,series,score,stl,forest,autoencoder,votes,anomaly")?;
        files.entities.line("timestamp,entity,score,anomaly")?;
        Ok(files)
    }

    /// One scored row: a line for every series and every entity. A missing sample scores 0, its members are empty.
    pub(super) fn row(&mut self, at: Timestamp, row: &[Option<Detection>]) -> Result<()> {
        let at = self.stamp.format(at);
        for (name, detection) in self.names.iter().zip(row) {
            let line = match detection {
                None => format!("{at},{name},0,,,,0,0"),
                Some(d) => format!(
                    "{at},{name},{:.6},{},{},{},{},{}",
                    d.salience,
                    member(d.votes.stl),
                    member(d.votes.forest),
                    member(d.votes.autoencoder),
                    d.votes.count(),
                    u8::from(d.anomaly)
                ),
            };
            self.scores.line(&line)?;
        }
        for (entity, columns) in &self.by_entity {
            let detections = columns.iter().filter_map(|column| row[*column].as_ref());
            let score = together(detections.clone().map(|d| [d.salience, d.shift]));
            let anomaly = u8::from(detections.clone().any(|d| d.anomaly));
            self.entities.line(&format!("{at},{entity},{score:.6},{anomaly}"))?;
        }
        Ok(())
    }

    /// Incidents, predictions and the summary; closes everything.
    pub(super) fn finish(mut self, outcome: &Outcome, summary: &Summary) -> Result<()> {
        let incidents = outcome.incidents.iter().map(|incident| self.incident(incident));
        let incidents: Vec<_> = incidents.collect();
        self.json_lines("incidents.jsonl", &incidents)?;
        let predictions = outcome.predictions.iter().map(|prediction| self.prediction(prediction));
        let predictions: Vec<_> = predictions.collect();
        self.json_lines("predictions.jsonl", &predictions)?;
        let mut text = to_json(summary, true);
        text.push('\n');
        self.write("summary.json", &text)?;
        self.scores.finish()?;
        self.entities.finish()
    }

    fn incident(&mut self, incident: &Incident) -> serde_json::Value {
        let causes = incident.causes.iter().take(CAUSES).map(|cause| {
            json!({
                "entity": cause.entity,
                "metric": cause.metric,
                "score": short(cause.score),
                "onset": self.stamp.format(cause.onset),
                "reason": cause.reason,
            })
        });
        let members = incident.detail().members.into_iter().map(|member| {
            json!({
                "series": self.series.get(&member.series),
                "entity": member.entity,
                "metric": member.metric,
                "onset": self.stamp.format(member.onset),
                "last": self.stamp.format(member.last),
                "score": short(member.score),
                "observed": member.observed,
                "expected": member.expected,
                "quiet_at": member.quiet_at,
                "reason": member.reason,
            })
        });
        let story = &incident.story;
        let claims = [
            &story.cause,
            &story.critical_failure,
            &story.impact,
            &story.counterfactual,
        ];
        let sentences: Vec<&str> = claims
            .iter()
            .map(|c| c.text.as_str())
            .filter(|t| !t.is_empty())
            .collect();
        json!({
            "id": incident.id,
            "start": self.stamp.format(incident.started),
            "end": incident.ended.map(|at| self.stamp.format(at)),
            "severity": incident.severity,
            "title": incident.title,
            "causes": causes.collect::<Vec<_>>(),
            "members": members.collect::<Vec<_>>(),
            "blast_radius": incident.blast_radius,
            "confidence": short(incident.confidence),
            "explanation": sentences.join(" "),
            "alerts": incident.alerts,
        })
    }

    fn prediction(&self, prediction: &Prediction) -> serde_json::Value {
        json!({
            "id": prediction.id,
            "series": self.series.get(&prediction.series),
            "entity": prediction.entity,
            "metric": prediction.metric,
            "made_at": self.stamp.format(prediction.made_at),
            "limit": prediction.limit,
            "above": prediction.above,
            "probability": short(prediction.probability),
            "horizon_seconds": prediction.horizon_ms as f64 / 1000.0,
            "breach_at": self.stamp.format(prediction.breach_at),
            "breach_earliest": self.stamp.format(prediction.breach_earliest),
            "breach_latest": self.stamp.format(prediction.breach_latest),
            "state": prediction.state,
            "text": prediction.text,
        })
    }

    fn json_lines(&self, name: &str, values: &[serde_json::Value]) -> Result<()> {
        let lines: String = values.iter().map(|value| to_json(value, false) + "\n").collect();
        self.write(name, &lines)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).map_err(|error| Error::io("cannot write", path, error))
    }
}

impl Gz {
    pub(crate) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(|error| Error::io("cannot write", path.clone(), error))?;
        // No name, no time of writing, operating system "unknown": the header is the same everywhere.
        let encoder = GzBuilder::new()
            .mtime(0)
            .operating_system(255)
            .write(file, Compression::new(6));
        Ok(Self {
            path,
            writer: BufWriter::with_capacity(1 << 16, encoder),
        })
    }

    pub(crate) fn line(&mut self, text: &str) -> Result<()> {
        let done = self
            .writer
            .write_all(text.as_bytes())
            .and_then(|()| self.writer.write_all(b"\n"));
        done.map_err(|error| Error::io("cannot write", self.path.clone(), error))
    }

    pub(crate) fn finish(self) -> Result<()> {
        let closed = self.writer.into_inner().map_err(std::io::IntoInnerError::into_error);
        let closed = closed.and_then(GzEncoder::finish).map(drop);
        closed.map_err(|error| Error::io("cannot write", self.path, error))
    }
}

fn member(vote: Option<MemberVote>) -> String {
    vote.map_or_else(String::new, |vote| format!("{:.6}", vote.score))
}

/// Six decimals: an `f32` printed as `f64` would show digits that mean nothing.
fn short(value: f32) -> f64 {
    (f64::from(value) * 1e6).round() / 1e6
}

/// A CSV cell.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn to_json<T: Serialize>(value: &T, pretty: bool) -> String {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    text.expect("plain data with string keys has a JSON form")
}
