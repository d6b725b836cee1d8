//! What history costs on disk, and how soon a day of it is there: real gauges and a simulated world through the same steps as in
//! operation, sealed each hour and put together, into a database in memory.

use super::{Data, Figure, Report, median};
use engine::Result;
use engine::store::Store as _;
use engine::store::history::History;
use engine::store::rollup::Level;
use engine::store::sqlite::SqliteStore;
use serde::Deserialize;
use sim::{World, WorldConfig};
use std::time::Instant;
use wire::{SeriesId, Timestamp};

/// Columns of real data sets that are no gauges.
const NOT_GAUGES: [&str; 4] = ["t", "timestamp", "label", "window"];

/// An hour, after which everything that is open is sealed.
const CHECKPOINT_MS: i64 = 3_600_000;

const DAY_MS: i64 = 24 * 3_600_000;

/// Gauges and their usual interval.
struct Gauges {
    name: &'static str,
    step_ms: i64,
    columns: Vec<Vec<f64>>,
}

/// What was measured of some gauges.
struct Cost {
    samples: u64,
    sealed_bytes: u64,
    bytes: u64,
    rollup_bytes: u64,
    day_ms: f64,
}

/// Bytes a sample, for each data set that is there, and for a simulated world.
pub(super) fn figures(data: &Data, runs: usize) -> Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| engine::Error::io("cannot start a runtime", "", error))?;
    let mut report = Report::default();
    let mut sets = Vec::new();
    for name in ["smd", "nab", "jumpstarter"] {
        if data.has(&format!("{name}/index.json")) {
            sets.push(read(data, name)?);
        } else {
            report = report.and(data.missing(name));
        }
    }
    sets.push(simulated());
    for gauges in sets {
        let cost = runtime.block_on(measure(&gauges, runs))?;
        let of = |what: &str| format!("history, {}, {} series: {what}", gauges.name, gauges.columns.len());
        let per_sample = |bytes: u64| bytes as f64 / cost.samples as f64;
        let own = Figure::new(of("samples"), per_sample(cost.bytes), "B/sample", false);
        // The bar is for machines as they report; the others are mostly noise in the last digits.
        report.figures.push(if gauges.name == "smd" {
            own.goal(1.0).peer("Gorilla (paper)", 1.37)
        } else {
            own
        });
        let sealed = per_sample(cost.sealed_bytes);
        report.figures.push(Figure::new(
            of("before they are put together"),
            sealed,
            "B/sample",
            false,
        ));
        let rollups = per_sample(cost.rollup_bytes);
        report
            .figures
            .push(Figure::new(of("minutes and hours"), rollups, "B/sample", false));
        report
            .figures
            .push(Figure::new(of("a day is read in"), cost.day_ms, "ms", false).goal(10.0));
    }
    Ok(report)
}

async fn measure(gauges: &Gauges, runs: usize) -> Result<Cost> {
    let store = SqliteStore::in_memory().await?;
    let start = Timestamp::from_secs(1_760_000_400);
    let at = |row: usize| start + row as i64 * gauges.step_ms;
    let mut cost = Cost {
        samples: 0,
        sealed_bytes: 0,
        bytes: 0,
        rollup_bytes: 0,
        day_ms: f64::NAN,
    };
    let (all, mut days) = ((Timestamp(i64::MIN), Timestamp(i64::MAX)), Vec::new());
    for (index, column) in gauges.columns.iter().enumerate() {
        let id = SeriesId(index as u64);
        let mut history = History::new(id);
        for (row, value) in column.iter().enumerate() {
            history.insert(at(row), *value);
            let is_hour = at(row + 1).as_millis() / CHECKPOINT_MS > at(row).as_millis() / CHECKPOINT_MS;
            if is_hour || history.is_full() || row + 1 == column.len() {
                history.seal(is_hour || row + 1 == column.len());
            }
        }
        cost.samples += column.len() as u64;
        cost.sealed_bytes += history
            .unsaved()
            .iter()
            .map(|chunk| chunk.bytes.len() as u64)
            .sum::<u64>();
        store.seal(history.unsaved(), None).await?;
    }
    while store.compact(64).await? > 0 {}
    for index in 0..gauges.columns.len() {
        let id = SeriesId(index as u64);
        let chunks = store.chunks(id, all.0, all.1).await?;
        cost.bytes += chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
        for level in Level::ALL {
            let rollups = store.rollups(id, level, all.0, all.1).await?;
            cost.rollup_bytes += rollups.iter().map(|chunk| chunk.bytes.len() as u64).sum::<u64>();
        }
    }
    let last = gauges.columns.iter().map(Vec::len).min().unwrap_or(0);
    for run in 0..runs {
        let begun = Instant::now();
        let mut read = 0;
        for chunk in store.chunks(SeriesId(run as u64), at(last) - DAY_MS, at(last)).await? {
            read += chunk.samples()?.len();
        }
        days.push(if read > 0 {
            begun.elapsed().as_secs_f64() * 1000.0
        } else {
            f64::NAN
        });
    }
    cost.day_ms = median(days);
    Ok(cost)
}

/// Every gauge of a real data set.
fn read(data: &Data, name: &'static str) -> Result<Gauges> {
    #[derive(Deserialize)]
    struct Entry {
        file: Option<String>,
        #[serde(alias = "service")]
        name: Option<String>,
        step_seconds: i64,
    }
    let entries: Vec<Entry> = data.json(&format!("{name}/index.json"))?;
    let mut gauges = Gauges {
        name,
        step_ms: entries.first().map_or(60_000, |entry| entry.step_seconds * 1000),
        columns: Vec::new(),
    };
    for entry in entries {
        let files = match (&entry.file, &entry.name) {
            (Some(file), _) => vec![format!("{name}/{file}")],
            (None, Some(machine)) => vec![
                format!("{name}/{machine}_train.csv.gz"),
                format!("{name}/{machine}_test.csv.gz"),
            ],
            (None, None) => Vec::new(),
        };
        for file in files {
            gauges.columns.extend(columns(&data.text(&file)?));
        }
    }
    Ok(gauges)
}

/// The columns of a table that are gauges; a cell without a number is a missing sample.
fn columns(text: &str) -> Vec<Vec<f64>> {
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let mut columns = vec![Vec::new(); head.len()];
    for line in lines {
        for (column, cell) in columns.iter_mut().zip(line.split(',')) {
            column.extend(cell.parse::<f64>().ok().filter(|value| value.is_finite()));
        }
    }
    let named = columns.into_iter().zip(head);
    named
        .filter(|(column, name)| !NOT_GAUGES.contains(name) && !column.is_empty())
        .map(|(column, _)| column)
        .collect()
}

/// Two weeks of twenty services. Every digit of its values is random, as no instrument's is: they are rounded to six.
fn simulated() -> Gauges {
    let world = World::new(
        11,
        WorldConfig {
            services: 20,
            ..WorldConfig::default()
        },
    );
    let mut columns = vec![Vec::new(); world.series().len()];
    for row in world.rows().take((14 * DAY_MS / 60_000) as usize) {
        for (column, value) in columns.iter_mut().zip(row.values) {
            column.extend(Some((value * 1e6).round() / 1e6).filter(|value| value.is_finite()));
        }
    }
    Gauges {
        name: "simulated",
        step_ms: 60_000,
        columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_told_from_labels() {
        let found = columns("timestamp,value,label,window\n2014-02-14 14:30:00,1.5,0,0\n2014-02-14 14:35:00,,0,1\n");
        assert_eq!(found, [[1.5]]);
    }

    #[tokio::test]
    async fn what_is_put_together_takes_less() {
        let wave = |phase: usize| {
            (0..3000)
                .map(|i| f64::from(((i + phase) % 60) as u32) / 100.0)
                .collect()
        };
        let gauges = Gauges {
            name: "smd",
            step_ms: 60_000,
            columns: vec![wave(0), wave(7)],
        };
        let cost = measure(&gauges, 1).await.unwrap();
        assert_eq!(cost.samples, 6000);
        assert!(
            cost.bytes * 3 < cost.sealed_bytes,
            "{} of {}",
            cost.bytes,
            cost.sealed_bytes
        );
        assert!(cost.day_ms.is_finite());
    }
}
