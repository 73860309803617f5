//! Was a process well until its end?
//!
//! Every Envoy that a test has started is asked when it is dropped: whether a VM has died, which no
//! client may ever bring about, and how much memory it has needed at most.

use std::fs;

use rustix::process::{Pid, setpriority_process};

/// The most memory that an Envoy with a small set may ever need, with what a V8 engine with three
/// VMs takes and what a new configuration takes beside the old one.
pub(crate) const MEMORY_MIB: u64 = 512;

/// The most memory that a process has had so far, in MiB; none where it has ended.
pub(crate) fn peak_mib(process: u32) -> Option<u64> {
    field_kib(process, "VmHWM:").map(|kib| kib / 1024)
}

/// The memory that a process has now, in KiB; none where it has ended.
#[must_use]
pub fn resident_kib(process: u32) -> Option<u64> {
    field_kib(process, "VmRSS:")
}

/// How many files and sockets a process has open.
#[must_use]
pub fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// Lets a process, or else the calling thread, run before all others as far as this user may; without
/// root nothing changes.
pub fn come_first(process: Option<u32>) {
    let Some(process) = process else {
        let _ = setpriority_process(None, FIRST);
        return;
    };
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    for thread in threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        let _ = setpriority_process(Pid::from_raw(thread), FIRST);
    }
}

/// Processor time that a process has used, in ticks of 10 ms.
#[must_use]
pub fn processor_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)
}

fn field_kib(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

const FIRST: i32 = -15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_measured() {
        let this = std::process::id();
        assert!(peak_mib(this) > Some(1) && resident_kib(this) > Some(1_000));
        assert!(open_files(this) > 2);
        assert_eq!((peak_mib(u32::MAX), open_files(u32::MAX)), (None, 0));
    }
}
