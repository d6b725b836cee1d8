//! Loki's JSON: `{"streams": [{"stream": {…}, "values": [["<nanoseconds>", "<line>", {…}], …]}]}`.

use super::take;
use crate::ingest::signal::Collector;
use serde::de::{Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

#[derive(Deserialize)]
struct Push {
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    stream: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<Entry>,
}

/// Time, line, and perhaps structured metadata.
struct Entry {
    nanos: i128,
    line: String,
    metadata: BTreeMap<String, String>,
}

pub(super) fn read(body: &[u8], collector: &mut Collector<'_>) -> serde_json::Result<()> {
    let push: Push = serde_json::from_slice(body)?;
    for stream in push.streams {
        let labels: Vec<_> = stream.stream.into_iter().collect();
        for entry in stream.values {
            take(
                entry.nanos,
                entry.line,
                &labels,
                entry.metadata.into_iter().collect(),
                collector,
            );
        }
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of a time in nanoseconds as text, a line, and perhaps metadata")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
        let missing = |place| A::Error::invalid_length(place, &Self);
        let time: String = list.next_element()?.ok_or_else(|| missing(0))?;
        let line = list.next_element()?.ok_or_else(|| missing(1))?;
        let metadata = list.next_element()?.unwrap_or_default();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Entry {
            nanos: time
                .parse()
                .map_err(|_| A::Error::custom(format!("{time:.40?} is no time in nanoseconds")))?,
            line,
            metadata,
        })
    }
}
