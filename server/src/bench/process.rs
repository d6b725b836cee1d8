//! What a process uses, as Linux tells it under `/proc`.

use engine::{Error, Result};

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, the same on every architecture of today.
const TICKS_PER_SEC: f64 = 100.0;

/// What a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Usage {
    /// Seconds of processor time of all its threads, own and the kernel's for it.
    pub(super) cpu_secs: f64,
    /// Memory that it holds now (RSS); files that it has mapped and read count.
    pub(super) resident_mb: f64,
}

/// What process `pid` has used.
///
/// # Errors
/// If there is no such process, or no `/proc`.
pub(super) fn usage(pid: u32) -> Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::read_to_string(&path).map_err(|error| Error::io("cannot ask what a process uses", path, error))
    };
    let (stat, status) = (read("stat")?, read("status")?);
    parse(&stat, &status).ok_or_else(|| Error::Corrupt {
        place: format!("/proc/{pid}"),
        message: "neither processor time nor memory of a running process are in it".to_owned(),
    })
}

fn parse(stat: &str, status: &str) -> Option<Usage> {
    // The name, in parentheses, may hold spaces and parentheses: count from behind it. Fields 14 and 15.
    let mut times = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (times.next()?.parse().ok()?, times.next()?.parse().ok()?);
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = resident.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(Usage {
        cpu_secs: (user + system) as f64 / TICKS_PER_SEC,
        resident_mb: kilobytes * 1024.0 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use super::{Usage, parse};

    const STAT: &str = "4242 (a (b) c) S 1 4242 4242 0 -1 4194560 2153 0 1 0 1234 66 0 0 20 0 9 0 815 268435456 5000 0";
    const STATUS: &str = "Name:\ta (b) c\nVmHWM:\t   40000 kB\nVmRSS:\t   20000 kB\nThreads:\t9\n";

    #[test]
    fn time_of_user_and_kernel_adds_up_and_memory_is_what_is_held_now() {
        let expected = Usage {
            cpu_secs: 13.0,
            resident_mb: 20.48,
        };
        assert_eq!(parse(STAT, STATUS), Some(expected));
    }

    #[test]
    fn what_is_not_there_is_not_zero() {
        // A process that has ended and was not asked for yet has no memory.
        assert_eq!(parse(STAT, "Name:\ta\nState:\tZ (zombie)\n"), None);
        assert_eq!(parse("4242 (a) S 1 2 3", STATUS), None);
        assert_eq!(parse("", STATUS), None);
    }
}
