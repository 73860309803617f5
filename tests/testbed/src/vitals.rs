//! Checks the health of a process when it is dropped.
//!
//! For every Envoy of a test: no VM may have died, because no
//! client may ever cause that, and the memory must have stayed below a limit.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, setpriority_process};

use crate::until;

/// The memory limit of an Envoy with a small set, including a V8 engine with three
/// VMs and a new configuration next to the old one.
pub(crate) const MEMORY_MIB: u64 = 512;

/// Returns the peak memory of a process in MiB; none if it has exited.
pub(crate) fn peak_mib(process: u32) -> Option<u64> {
    field_kib(process, "VmHWM:").map(|kib| kib / 1024)
}

/// Returns the current memory of a process in KiB; none if it has exited.
#[must_use]
pub fn resident_kib(process: u32) -> Option<u64> {
    field_kib(process, "VmRSS:")
}

/// Returns the number of open files and sockets of a process.
#[must_use]
pub fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}

/// Raises the priority of a process, or of the calling thread, as far as permitted; without
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

/// Returns the CPU time of a process, in ticks of 10 ms.
#[must_use]
pub fn processor_ticks(process: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    ticks(11).unwrap_or(0) + ticks(12).unwrap_or(0)
}

/// Returns the CPU time of Envoy's workers in nanoseconds; waits until all of them are idle, because
/// the kernel does not count the current time slice of a running thread.
#[must_use]
#[track_caller]
pub fn workers_nanoseconds(process: u32) -> u64 {
    until(IDLE_WITHIN, || {
        let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?.flatten();
        let read = |thread: &fs::DirEntry, file: &str| {
            fs::read_to_string(thread.path().join(file)).unwrap_or_default()
        };
        let workers = threads.filter(|thread| read(thread, "comm").starts_with(WORKER_PREFIX));
        let used = |worker: fs::DirEntry| {
            let stat = read(&worker, "stat");
            let (_, state) = stat.rsplit_once(')')?;
            let schedstat = read(&worker, "schedstat");
            let used = schedstat.split(' ').next()?.parse::<u64>().ok()?;
            state.trim_start().starts_with('S').then_some(used)
        };
        workers.map(used).sum()
    })
}

fn field_kib(process: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

const FIRST: i32 = -15;

const WORKER_PREFIX: &str = "wrk:";

const IDLE_WITHIN: Duration = Duration::from_secs(20);

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
