//! How much memory this process has, and may have, as the operating system says.

/// Share of the memory there is that is used if nobody says how much: the rest is for the page cache and for others.
const DEFAULT_SHARE: f64 = 0.75;

/// Bytes in use (resident); `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn in_use() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Bytes in use (resident); `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn in_use() -> Option<u64> {
    None
}

/// What is to be used at most if nobody says otherwise: three quarters of the machine, or of the control group this process is
/// in. `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub fn usual_limit() -> Option<u64> {
    let total = parse_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    Some(share(group.map_or(total, |group: u64| group.min(total))))
}

/// What is to be used at most if nobody says otherwise; `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn usual_limit() -> Option<u64> {
    None
}

fn share(bytes: u64) -> u64 {
    (bytes as f64 * DEFAULT_SHARE) as u64
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_the_machine_is_read() {
        let text = "MemTotal:       24625628 kB\nMemFree:         1 kB\n";
        assert_eq!(parse_meminfo(text), Some(24_625_628 * 1024));
        assert_eq!(parse_meminfo("MemFree: 1 kB\n"), None);
        assert_eq!(share(1000), 750);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_in_use_is_below_what_may_be() {
        assert!(in_use().unwrap() > 1 << 20);
        assert!(usual_limit().unwrap() > in_use().unwrap());
    }
}
