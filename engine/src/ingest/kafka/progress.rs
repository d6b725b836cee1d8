//! Where the sources stand in their partitions: what is behind, for `/metrics` and for the line that people read of a source.

use crate::telemetry::escape;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Partitions of one source.
#[derive(Debug, Default)]
struct Standing {
    /// Messages behind the newest, by topic and partition. `None`: not known yet.
    lag: BTreeMap<(String, i32), Option<i64>>,
    /// Messages taken by topic.
    taken: BTreeMap<String, u64>,
    /// What keeps it from reading: brokers that do not answer, say.
    cut_off: Option<String>,
    /// What keeps it from going on with what it read.
    waits: Option<String>,
}

/// See the module. Sources by name.
#[derive(Debug, Default)]
pub struct Progress(Mutex<BTreeMap<String, Standing>>);

impl Progress {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Standing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions that `source` has now, with what is behind in each.
    pub fn stands(&self, source: &str, lag: BTreeMap<(String, i32), Option<i64>>) {
        self.lock().entry(source.to_owned()).or_default().lag = lag;
    }

    /// So many messages of a topic were dealt with.
    pub fn took(&self, source: &str, topic: &str, messages: u64) {
        let mut sources = self.lock();
        let standing = sources.entry(source.to_owned()).or_default();
        standing.waits = None;
        *standing.taken.entry(topic.to_owned()).or_default() += messages;
    }

    /// Messages of `source` wait to be dealt with; whether that is news.
    pub fn waits(&self, source: &str, problem: &str) -> bool {
        let mut sources = self.lock();
        replace(&mut sources.entry(source.to_owned()).or_default().waits, problem)
    }

    /// Something keeps `source` from reading; whether that is news.
    pub fn cut_off(&self, source: &str, problem: &str) -> bool {
        let mut sources = self.lock();
        replace(&mut sources.entry(source.to_owned()).or_default().cut_off, problem)
    }

    /// A broker answers again.
    pub fn connected(&self, source: &str) {
        self.lock().entry(source.to_owned()).or_default().cut_off = None;
    }

    /// A line for people: `otlp_metrics: 3 partitions, 12 messages behind`.
    pub fn note(&self, source: &str) -> String {
        let sources = self.lock();
        let Some(standing) = sources.get(source) else {
            return "connecting".to_owned();
        };
        if let Some(problem) = standing.waits.as_ref().or(standing.cut_off.as_ref()) {
            return problem.clone();
        }
        let mut topics: BTreeMap<&str, (u64, Option<i64>)> = BTreeMap::new();
        for ((topic, _), lag) in &standing.lag {
            let (partitions, behind) = topics.entry(topic).or_default();
            *partitions += 1;
            *behind = behind.zip(*lag).map(|(a, b)| a + b).or(*behind).or(*lag);
        }
        if topics.is_empty() {
            return "no partitions: another consumer of the group has them, or there are none".to_owned();
        }
        let line = |(topic, (partitions, behind)): (&str, (u64, Option<i64>))| {
            let behind = behind.map_or_else(|| "lag not known yet".to_owned(), |n| format!("{n} messages behind"));
            let plural = if partitions == 1 { "" } else { "s" };
            format!("{topic}: {partitions} partition{plural}, {behind}")
        };
        topics.into_iter().map(line).collect::<Vec<_>>().join("; ")
    }

    /// In the Prometheus text format; empty without sources.
    pub fn metrics_text(&self) -> String {
        let sources = self.lock();
        let mut out = String::new();
        if sources.is_empty() {
            return out;
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "# HELP halo_kafka_lag Messages of a partition that were not taken yet.\n# TYPE halo_kafka_lag gauge"
        );
        for (source, standing) in sources.iter() {
            for ((topic, partition), lag) in &standing.lag {
                let Some(lag) = lag else { continue };
                let (source, topic) = (escape(source), escape(topic));
                let _ = writeln!(
                    out,
                    "halo_kafka_lag{{source=\"{source}\",topic=\"{topic}\",partition=\"{partition}\"}} {lag}"
                );
            }
        }
        let _ = writeln!(
            out,
            "# HELP halo_kafka_messages_total Messages dealt with, by topic.\n# TYPE halo_kafka_messages_total counter"
        );
        for (source, standing) in sources.iter() {
            for (topic, taken) in &standing.taken {
                let (source, topic) = (escape(source), escape(topic));
                let _ = writeln!(
                    out,
                    "halo_kafka_messages_total{{source=\"{source}\",topic=\"{topic}\"}} {taken}"
                );
            }
        }
        out
    }
}

/// Whether `problem` is another one than before.
fn replace(known: &mut Option<String>, problem: &str) -> bool {
    let is_news = known.as_deref() != Some(problem);
    *known = Some(problem.to_owned());
    is_news
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_is_told() {
        let progress = Progress::default();
        assert_eq!(
            (progress.note("k").as_str(), progress.metrics_text().as_str()),
            ("connecting", "")
        );
        assert!(progress.cut_off("k", "no broker answers") && !progress.cut_off("k", "no broker answers"));
        assert_eq!(progress.note("k"), "no broker answers");
        progress.connected("k");
        assert!(progress.waits("k", "no room"));
        assert_eq!(progress.note("k"), "no room");
        progress.took("k", "a", 2);
        assert!(progress.note("k").starts_with("no partitions"));
        let at = |topic: &str, partition, lag| ((topic.to_owned(), partition), lag);
        let lag = [at("a", 0, Some(3)), at("a", 1, Some(4)), at("b", 0, None)];
        progress.stands("k", lag.into_iter().collect());
        assert_eq!(
            progress.note("k"),
            "a: 2 partitions, 7 messages behind; b: 1 partition, lag not known yet"
        );
        let text = progress.metrics_text();
        assert!(
            text.contains("halo_kafka_lag{source=\"k\",topic=\"a\",partition=\"1\"} 4\n"),
            "{text}"
        );
        assert!(
            text.contains("halo_kafka_messages_total{source=\"k\",topic=\"a\"} 2\n"),
            "{text}"
        );
        assert!(!text.contains("topic=\"b\""), "{text}");
    }
}
