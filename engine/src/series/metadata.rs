//! What senders say of a metric beside its samples: type, help and unit, as Prometheus, OpenMetrics and OpenTelemetry have them.

use serde::{Deserialize, Serialize};

/// Bytes of a help text that are kept.
const MAX_HELP: usize = 512;

/// Bytes of a unit that are kept.
const MAX_UNIT: usize = 64;

/// A type that a sender declares for a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetricType {
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    Info,
    StateSet,
}

impl MetricType {
    /// Every type, with the word that Prometheus has for it.
    const WORDS: [(Self, &'static str); 7] = [
        (Self::Counter, "counter"),
        (Self::Gauge, "gauge"),
        (Self::Histogram, "histogram"),
        (Self::GaugeHistogram, "gaugehistogram"),
        (Self::Summary, "summary"),
        (Self::Info, "info"),
        (Self::StateSet, "stateset"),
    ];

    /// The type of a word as Prometheus and OpenMetrics spell it. `None` for `unknown`, and what is none.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, own)| *own == word).map(|(kind, _)| *kind)
    }

    /// As Prometheus and OpenMetrics spell it.
    pub fn word(self) -> &'static str {
        let own = Self::WORDS.iter().find(|(kind, _)| *kind == self);
        own.map_or("unknown", |(_, word)| word)
    }
}

/// What a sender declares of a metric family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Metadata {
    #[serde(rename = "type")]
    pub kind: MetricType,
    /// What it measures, in words; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// What it measures in; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

impl Metadata {
    /// Of texts as sent; what is too long is cut.
    pub fn new(kind: MetricType, help: &str, unit: &str) -> Self {
        Self {
            kind,
            help: help[..help.floor_char_boundary(MAX_HELP)].to_owned(),
            unit: unit[..unit.floor_char_boundary(MAX_UNIT)].to_owned(),
        }
    }

    /// Whether it says more than the type.
    pub fn is_described(&self) -> bool {
        !(self.help.is_empty() && self.unit.is_empty())
    }

    /// Takes over what another declaration of the same type says and this one does not; returns whether there was something.
    pub(super) fn complete(&mut self, other: Self) -> bool {
        let mut is_more = false;
        for (own, other) in [(&mut self.help, other.help), (&mut self.unit, other.unit)] {
            if own.is_empty() && !other.is_empty() {
                *own = other;
                is_more = true;
            }
        }
        is_more
    }
}

impl From<MetricType> for Metadata {
    fn from(kind: MetricType) -> Self {
        Self::new(kind, "", "")
    }
}

/// As it is stored. Once it was the type alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Kind(MetricType),
    Whole {
        #[serde(rename = "type")]
        kind: MetricType,
        #[serde(default)]
        help: String,
        #[serde(default)]
        unit: String,
    },
}

impl From<Written> for Metadata {
    fn from(written: Written) -> Self {
        match written {
            Written::Kind(kind) => kind.into(),
            Written::Whole { kind, help, unit } => Self { kind, help, unit },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_as_it_was_stored_and_from_before_it_had_texts() {
        let all = [
            Metadata::new(MetricType::GaugeHistogram, "Bytes at work.", "bytes"),
            MetricType::Counter.into(),
        ];
        for metadata in all {
            let text = serde_json::to_string(&metadata).unwrap();
            assert_eq!(serde_json::from_str::<Metadata>(&text).unwrap(), metadata, "{text}");
        }
        assert_eq!(
            serde_json::from_str::<Metadata>("\"state_set\"").unwrap(),
            MetricType::StateSet.into()
        );
    }

    #[test]
    fn a_text_is_cut_between_two_characters() {
        let metadata = Metadata::new(MetricType::Gauge, &"é".repeat(400), &"x".repeat(100));
        assert_eq!((metadata.help.len(), metadata.unit.len()), (512, 64));
        let metadata = Metadata::new(MetricType::Gauge, &format!("x{}", "é".repeat(400)), "");
        assert_eq!(metadata.help.len(), 511);
    }

    #[test]
    fn every_type_has_its_word() {
        for (kind, word) in MetricType::WORDS {
            assert_eq!((kind.word(), MetricType::of_word(word)), (word, Some(kind)));
        }
        assert_eq!(MetricType::of_word("unknown"), None);
    }
}
