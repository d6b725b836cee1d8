//! This host's own metrics: CPU, load, memory, swap, disks, network, and the processes that use most.
//!
//! Gauges only: counters are turned into rates here. Entities are the host's name and `host/process`.

use super::IngestBatch;
use crate::series::{Labels, Sample, info_from_labels};
use std::collections::{BTreeMap, BTreeSet};
use sysinfo::{Disks, Networks, ProcessRefreshKind, ProcessesToUpdate, System};
use wire::{SeriesId, Timestamp};

/// Processes reported by CPU, and as many again by memory.
const TOP_PROCESSES: usize = 5;

/// Process names ever reported: a host that starts ever new names must not grow series without end.
const MAX_PROCESSES: usize = 64;

/// Reads this host. Keeps what it needs to turn counters into rates.
#[derive(Debug)]
pub struct HostSource {
    host: String,
    system: System,
    disks: Disks,
    networks: Networks,
    last: Option<Timestamp>,
    known: BTreeSet<SeriesId>,
    processes: BTreeSet<String>,
}

impl Default for HostSource {
    fn default() -> Self {
        Self::new()
    }
}

impl HostSource {
    /// A source that has not looked yet.
    pub fn new() -> Self {
        Self {
            host: System::host_name()
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "localhost".to_owned()),
            system: System::new(),
            disks: Disks::new_with_refreshed_list(),
            networks: Networks::new_with_refreshed_list(),
            last: None,
            known: BTreeSet::new(),
            processes: BTreeSet::new(),
        }
    }

    /// The entity its own metrics belong to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Looks at the host. The first look brings no rates: they need two.
    pub fn collect(&mut self, now: Timestamp) -> IngestBatch {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory();
        self.system.refresh_processes_specifics(
            ProcessesToUpdate::All,
            true,
            ProcessRefreshKind::nothing().with_cpu().with_memory(),
        );
        self.disks.refresh(true);
        self.networks.refresh(true);
        let elapsed_secs = self
            .last
            .map(|last| now.millis_since(last) as f64 / 1000.0)
            .filter(|secs| *secs > 0.0);
        self.last = Some(now);

        let mut values = BTreeMap::new();
        self.whole_host(elapsed_secs, &mut values);
        self.top_processes(elapsed_secs, &mut values);
        self.batch(now, values)
    }

    fn whole_host(&self, elapsed_secs: Option<f64>, values: &mut BTreeMap<(String, String), f64>) {
        let mut put = |metric: String, value: f64| {
            values.insert((self.host.clone(), metric), value);
        };
        if elapsed_secs.is_some() {
            put(
                "cpu_usage_percent".to_owned(),
                f64::from(self.system.global_cpu_usage()),
            );
            for (index, cpu) in self.system.cpus().iter().enumerate() {
                put(format!("cpu{index}_usage_percent"), f64::from(cpu.cpu_usage()));
            }
        }
        let load = System::load_average();
        put("load1".to_owned(), load.one);
        put("load5".to_owned(), load.five);
        put("memory_used_bytes".to_owned(), self.system.used_memory() as f64);
        if self.system.total_memory() > 0 {
            put(
                "memory_used_percent".to_owned(),
                100.0 * self.system.used_memory() as f64 / self.system.total_memory() as f64,
            );
        }
        if self.system.total_swap() > 0 {
            put(
                "swap_used_percent".to_owned(),
                100.0 * self.system.used_swap() as f64 / self.system.total_swap() as f64,
            );
        }
        let mut seen = BTreeSet::new();
        for disk in self.disks.list() {
            let total = disk.total_space();
            // One device mounted at several places is one disk.
            if total == 0 || !seen.insert(disk.name().to_owned()) {
                continue;
            }
            let mount = disk.mount_point().to_string_lossy();
            put(
                format!("disk_used_percent{{mount={mount}}}"),
                100.0 * total.saturating_sub(disk.available_space()) as f64 / total as f64,
            );
            if let Some(secs) = elapsed_secs {
                put(
                    format!("disk_read_bytes_per_sec{{mount={mount}}}"),
                    disk.usage().read_bytes as f64 / secs,
                );
                put(
                    format!("disk_written_bytes_per_sec{{mount={mount}}}"),
                    disk.usage().written_bytes as f64 / secs,
                );
            }
        }
        if let Some(secs) = elapsed_secs {
            let (mut received, mut transmitted, mut errors) = (0, 0, 0);
            for (_, data) in self.networks.iter().filter(|(name, _)| *name != "lo") {
                received += data.received();
                transmitted += data.transmitted();
                errors += data.errors_on_received() + data.errors_on_transmitted();
            }
            put("network_receive_bytes_per_sec".to_owned(), received as f64 / secs);
            put("network_transmit_bytes_per_sec".to_owned(), transmitted as f64 / secs);
            put("network_errors_per_sec".to_owned(), errors as f64 / secs);
        }
    }

    /// Processes are added up by name: twenty workers of one server are one line.
    fn top_processes(&mut self, elapsed_secs: Option<f64>, values: &mut BTreeMap<(String, String), f64>) {
        let mut by_name: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        #[expect(
            clippy::iter_over_hash_type,
            reason = "sums do not depend on the order, and the map of them is sorted"
        )]
        for process in self.system.processes().values() {
            if process.thread_kind().is_some() {
                continue;
            }
            let sum = by_name
                .entry(process.name().to_string_lossy().into_owned())
                .or_default();
            sum.0 += f64::from(process.cpu_usage());
            sum.1 += process.memory() as f64;
        }
        let mut top: BTreeSet<String> = BTreeSet::new();
        for value in [|v: &(f64, f64)| v.0, |v: &(f64, f64)| v.1] {
            let mut ranked: Vec<_> = by_name.iter().filter(|(_, v)| value(v) > 0.0).collect();
            ranked.sort_by(|a, b| value(b.1).total_cmp(&value(a.1)).then_with(|| a.0.cmp(b.0)));
            top.extend(ranked.into_iter().take(TOP_PROCESSES).map(|(name, _)| name.clone()));
        }
        for name in top {
            if self.processes.len() < MAX_PROCESSES {
                self.processes.insert(name);
            }
        }
        // Once reported, a process stays reported while it runs: a series that comes and goes with its rank has no baseline.
        for name in &self.processes {
            let Some((cpu, memory)) = by_name.get(name) else {
                continue;
            };
            let entity = format!("{}/{name}", self.host);
            if elapsed_secs.is_some() {
                values.insert((entity.clone(), "process_cpu_percent".to_owned()), *cpu);
            }
            values.insert((entity, "process_memory_bytes".to_owned()), *memory);
        }
    }

    fn batch(&mut self, now: Timestamp, values: BTreeMap<(String, String), f64>) -> IngestBatch {
        let mut batch = IngestBatch::default();
        for ((entity, metric), value) in values {
            if !value.is_finite() {
                continue;
            }
            let labels = labels_of(&entity, &metric);
            let id = labels.id();
            if self.known.insert(id) {
                batch.new_series.push(info_from_labels(&labels));
            }
            batch.samples.push(Sample {
                series: id,
                at: now,
                value,
            });
        }
        batch
    }
}

/// `metric` or `metric{mount=/}`.
fn labels_of(entity: &str, metric: &str) -> Labels {
    let (name, mount) = metric
        .split_once("{mount=")
        .map_or((metric, None), |(name, rest)| (name, rest.strip_suffix('}')));
    let mut pairs = vec![
        ("__name__".to_owned(), name.to_owned()),
        ("entity".to_owned(), entity.to_owned()),
    ];
    if let Some(mount) = mount {
        pairs.push(("mount".to_owned(), mount.to_owned()));
    }
    Labels::new(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_look_brings_rates_and_no_new_names_for_old_series() {
        let mut source = HostSource::new();
        let first = source.collect(Timestamp(0));
        let second = source.collect(Timestamp(1000));
        let metrics = |batch: &IngestBatch| {
            batch
                .new_series
                .iter()
                .map(|s| s.metric.clone())
                .collect::<BTreeSet<_>>()
        };
        assert!(metrics(&first).contains("memory_used_percent"));
        assert!(!metrics(&first).contains("cpu_usage_percent"));
        assert!(metrics(&second).contains("cpu_usage_percent"));
        assert!(metrics(&second).contains("network_receive_bytes_per_sec"));
        assert!(second.samples.len() >= first.samples.len());
        assert!(
            second
                .samples
                .iter()
                .all(|s| s.value.is_finite() && s.at == Timestamp(1000))
        );
        let known: BTreeSet<_> = first.new_series.iter().map(|s| s.id).collect();
        assert!(second.new_series.iter().all(|s| !known.contains(&s.id)));
    }
}
