//! Halo's own metrics, in the Prometheus text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write;
use wire::protection::Protection;
use wire::status::Status;

/// The loop's state as `/metrics` shows it.
pub fn metrics_text(status: &Status) -> String {
    let mut out = String::with_capacity(4096);
    let mut family = |name: &str, kind: &str, help: &str, rows: &[(String, f64)]| {
        write_family(&mut out, name, kind, help, rows);
    };
    let one = |value: f64| vec![(String::new(), value)];
    family(
        "halo_samples_total",
        "counter",
        "Samples accepted.",
        &one(status.samples as f64),
    );
    family("halo_series", "gauge", "Series known.", &one(status.series as f64));
    family(
        "halo_series_warming",
        "gauge",
        "Series whose baseline is not yet trusted.",
        &one(status.warming as f64),
    );
    family(
        "halo_anomalies_total",
        "counter",
        "Samples called anomalous.",
        &one(status.anomalies as f64),
    );
    family(
        "halo_alerts_total",
        "counter",
        "Anomalous spans of single series, before correlation.",
        &one(status.alerts as f64),
    );
    family(
        "halo_incidents_total",
        "counter",
        "Incidents opened.",
        &one(status.incidents as f64),
    );
    let provisional = &status.provisional;
    let states = [
        ("raised", provisional.raised),
        ("confirmed", provisional.confirmed),
        ("dropped", provisional.dropped),
    ];
    family(
        "halo_provisional_signals_total",
        "counter",
        "Provisional signals of the fast layer, by what became of them.",
        &states.map(|(state, n)| (format!("{{state=\"{state}\"}}"), n as f64)),
    );
    family(
        "halo_kill_switch",
        "gauge",
        "1 while nothing may act.",
        &one(f64::from(u8::from(status.kill_switch))),
    );
    let by_source = |value: fn(&wire::status::Source) -> f64| {
        status
            .sources
            .iter()
            .map(|s| (format!("{{source=\"{}\"}}", escape(&s.name)), value(s)))
            .collect::<Vec<_>>()
    };
    family(
        "halo_source_samples_total",
        "counter",
        "Samples accepted, by source.",
        &by_source(|s| s.samples as f64),
    );
    family(
        "halo_source_records_total",
        "counter",
        "Lines of logs and spans accepted, by source.",
        &by_source(|s| s.records as f64),
    );
    family(
        "halo_source_last_timestamp_seconds",
        "gauge",
        "Time of the newest sample, by source, on the source's own clock.",
        &by_source(|s| s.last_at.map_or(0.0, wire::Timestamp::as_secs_f64)),
    );
    let mut events = by_source(|s| s.events as f64);
    // Most sources send samples alone.
    events.retain(|(_, count)| *count > 0.0);
    family(
        "halo_source_events_total",
        "counter",
        "Changes and alerts taken, by source.",
        &events,
    );
    let rejected: Vec<_> = status
        .sources
        .iter()
        .flat_map(|s| {
            s.rejected.iter().map(|(reason, count)| {
                (
                    format!("{{source=\"{}\",reason=\"{}\"}}", escape(&s.name), escape(reason)),
                    *count as f64,
                )
            })
        })
        .collect();
    family(
        "halo_source_rejected_total",
        "counter",
        "Samples, lines, spans, changes and alerts refused or set aside, by source and reason.",
        &rejected,
    );
    let rows: Vec<_> = status
        .channels
        .iter()
        .flat_map(|channel| {
            let name = escape(&channel.name);
            [("delivered", channel.delivered), ("failed", channel.failed)]
                .map(|(state, n)| (format!("{{channel=\"{name}\",state=\"{state}\"}}"), n as f64))
        })
        .collect();
    let waiting = status.channels.iter();
    let waiting: Vec<_> = waiting
        .map(|channel| {
            (
                format!("{{channel=\"{}\"}}", escape(&channel.name)),
                channel.waiting as f64,
            )
        })
        .collect();
    if !rows.is_empty() {
        family(
            "halo_notifications_total",
            "counter",
            "Messages to people, by channel and what became of them.",
            &rows,
        );
        family(
            "halo_notifications_waiting",
            "gauge",
            "Messages to people that are not delivered yet, by channel.",
            &waiting,
        );
    }
    protection(&mut out, &status.protection);
    out
}

/// Limits that were reached, and whether samples are kept.
fn protection(out: &mut String, protection: &Protection) {
    let mut family = |name: &str, kind: &str, help: &str, rows: &[(String, f64)]| {
        if !rows.is_empty() {
            write_family(out, name, kind, help, rows);
        }
    };
    let explosions = protection.explosions.iter();
    let rows: Vec<_> = explosions
        .map(|e| {
            let label = e.label.as_deref().unwrap_or_default();
            let labels = [("source", e.source.as_str()), ("metric", &e.metric), ("label", label)];
            let labels = labels.map(|(name, value)| format!("{name}=\"{}\"", escape(value)));
            (format!("{{{}}}", labels.join(",")), e.refused as f64)
        })
        .collect();
    // One offender may stand there for several limits.
    let mut sums: BTreeMap<String, f64> = BTreeMap::new();
    for (labels, refused) in rows {
        *sums.entry(labels).or_default() += refused;
    }
    family(
        "halo_cardinality_refused_total",
        "counter",
        "Samples of new series refused over a limit on series, by what explodes.",
        &sums.into_iter().collect::<Vec<_>>(),
    );
    let storage = &protection.storage;
    let one = |value: f64| vec![(String::new(), value)];
    family(
        "halo_storage_refusing",
        "gauge",
        "1 while samples are refused because they cannot be kept.",
        &one(f64::from(u8::from(storage.refusing.is_some()))),
    );
    family(
        "halo_log_damaged_places",
        "gauge",
        "Damaged places found in the log at the start.",
        &one(storage.damage.len() as f64),
    );
    family(
        "halo_log_bytes",
        "gauge",
        "Log that a start would have to read.",
        &one(storage.log_bytes as f64),
    );
    let known = |value: Option<u64>| value.map_or_else(Vec::new, |value| one(value as f64));
    family(
        "halo_disk_free_bytes",
        "gauge",
        "Room on the disk of the data directory.",
        &known(storage.free_bytes),
    );
    family(
        "halo_memory_bytes",
        "gauge",
        "Memory in use.",
        &known(storage.memory_bytes),
    );
    family(
        "halo_memory_limit_bytes",
        "gauge",
        "Memory above which no new series are taken; 0: no limit.",
        &one(storage.memory_limit_bytes as f64),
    );
}

fn write_family(out: &mut String, name: &str, kind: &str, help: &str, rows: &[(String, f64)]) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in rows {
        let _ = writeln!(out, "{name}{labels} {value}");
    }
}

/// Label values escape backslash, quote and newline.
pub(crate) fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Timestamp;
    use wire::protection::Explosion;
    use wire::status::{Provisional, Source, SourceState};

    #[test]
    fn the_text_is_what_prometheus_parses() {
        let status = Status {
            samples: 12,
            provisional: Provisional {
                confirmed: 2,
                ..Provisional::default()
            },
            sources: vec![Source {
                name: "a\"b".to_owned(),
                kind: "test".to_owned(),
                samples: 12,
                series: 1,
                records: 4,
                events: 4,
                rejected: vec![("too_old".to_owned(), 3)],
                last_at: Some(Timestamp(1500)),
                last_seen: None,
                state: SourceState::Live,
                note: String::new(),
            }],
            protection: Protection {
                explosions: vec![Explosion {
                    source: "otlp".to_owned(),
                    metric: "requests".to_owned(),
                    label: Some("user_id".to_owned()),
                    values: 9,
                    series: 10,
                    limit: 10,
                    refused: 5,
                    since: Timestamp(0),
                    last_at: Timestamp(0),
                    active: true,
                    text: String::new(),
                }],
                ..Protection::default()
            },
            ..Status::default()
        };
        let text = metrics_text(&status);
        assert!(text.contains("# TYPE halo_samples_total counter\nhalo_samples_total 12\n"));
        assert!(text.contains("halo_source_events_total{source=\"a\\\"b\"} 4\n"));
        assert!(text.contains("halo_source_rejected_total{source=\"a\\\"b\",reason=\"too_old\"} 3\n"));
        assert!(text.contains("halo_source_records_total{source=\"a\\\"b\"} 4\n"));
        assert!(text.contains("halo_provisional_signals_total{state=\"confirmed\"} 2\n"));
        assert!(
            text.contains("halo_cardinality_refused_total{source=\"otlp\",metric=\"requests\",label=\"user_id\"} 5\n")
        );
        assert!(text.contains("halo_storage_refusing 0\n"));
        assert!(text.contains("halo_source_last_timestamp_seconds{source=\"a\\\"b\"} 1.5\n"));
    }
}
