//! A series that is stored and not judged.

use super::{SPARK_POINTS, Series};
use crate::ingest::admit::Admit;
use crate::pipeline::shard::families::Link;
use crate::series::{SeriesInfo, SeriesKind};
use crate::store::history::History;
use std::sync::Arc;
use wire::Timestamp;
use wire::series::{Health, SeriesSummary};

/// One series that is stored and not judged: part of a histogram, or a statement about others.
#[derive(Debug)]
pub(in crate::pipeline::shard) struct Kept {
    pub(super) info: Arc<SeriesInfo>,
    pub(super) source: Arc<str>,
    pub(super) history: History,
    pub(super) link: Option<Link>,
    pub(super) last: Option<(Timestamp, f64)>,
}

impl Kept {
    pub(in crate::pipeline::shard) fn new(
        info: Arc<SeriesInfo>,
        source: Arc<str>,
        history: History,
        link: Option<Link>,
    ) -> Self {
        Self {
            info,
            source,
            history,
            link,
            last: None,
        }
    }

    pub(in crate::pipeline::shard) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// Takes a sample into history, if its place is open.
    pub(in crate::pipeline::shard) fn admit(&mut self, at: Timestamp, value: f64) -> Admit {
        let admit = self.history.insert(at, value);
        if admit == Admit::InOrder {
            self.last = Some((at, value));
        }
        admit
    }

    /// The series is of another kind than was thought, and is not judged either way.
    pub(in crate::pipeline::shard) fn become_of(&mut self, info: Arc<SeriesInfo>, link: Option<Link>) {
        self.info = info;
        self.link = link;
    }

    /// The same series as one that is judged.
    pub(in crate::pipeline::shard) fn into_series(self, info: Arc<SeriesInfo>, link: Option<Link>) -> Series {
        Series {
            last: self.last,
            ..Series::new(info, self.source, self.history, link)
        }
    }

    pub(in crate::pipeline::shard) fn info(&self) -> &Arc<SeriesInfo> {
        &self.info
    }

    pub(in crate::pipeline::shard) fn summary(&self) -> SeriesSummary {
        let recent = self.history.newest(SPARK_POINTS);
        SeriesSummary {
            info: SeriesInfo::clone(&self.info),
            health: Health::Unknown,
            last_at: self.last.map(|(at, _)| at).unwrap_or_default(),
            last_value: self.last.map(|(_, value)| value),
            score: 0.0,
            confidence: 0.0,
            provisional: None,
            spark: recent.iter().map(|(_, value)| Some(*value as f32)).collect(),
        }
    }

    pub(super) fn explanation(&self) -> &'static str {
        match self.info.kind {
            SeriesKind::Component => {
                "stored, not judged by itself: its histogram or summary is judged by the quantiles, the mean and the rate \
                 derived from it"
            }
            _ => "stored, not judged: it describes other series",
        }
    }
}
