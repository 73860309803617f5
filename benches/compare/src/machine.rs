//! CPU time and memory of a process, and the processors on which it runs.

use std::fs;
use std::thread::available_parallelism;

use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// The assignment of processors: Envoy has one to itself, and everything else shares the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processors {
    /// Load generator and services.
    pub(crate) load: usize,
    /// Envoy.
    pub(crate) proxy: usize,
}

impl Processors {
    /// Returns the first and the last processor that this process may use.
    ///
    /// # Errors
    /// There is only one.
    pub(crate) fn choose() -> Result<Self, String> {
        let may_use = sched_getaffinity(None).map_err(|error| error.to_string())?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| may_use.is_set(*cpu));
        match (usable.next(), usable.next_back()) {
            (Some(load), Some(proxy)) => Ok(Self { load, proxy }),
            _ => Err("two processors are needed: one for Envoy, one for the load".to_owned()),
        }
    }
}

/// Pins all present threads of a process, and the threads that these start later, to one processor.
pub(crate) fn pin(process: u32, processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    for thread in threads(process) {
        let _ = sched_setaffinity(Pid::from_raw(thread), &set); // the thread may have ended
    }
}

/// Pins the calling thread to one processor.
pub(crate) fn pin_this_thread(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).expect("a processor that this process may use");
}

/// Returns the CPU time of all threads of a process in nanoseconds.
pub(crate) fn cpu_nanoseconds(process: u32) -> u64 {
    let of = |thread| {
        let path = format!("/proc/{process}/task/{thread}/schedstat");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    };
    threads(process).into_iter().map(of).sum()
}

/// Returns the resident memory of a process in bytes.
pub(crate) fn resident_bytes(process: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Describes the machine.
pub(crate) fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model =
        model.map_or("unknown processor", |model| model.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    let processors = available_parallelism().map_or(1, usize::from);
    format!("{model}, {processors} processors, Linux {}, load average {load}", kernel.trim())
}

fn threads(process: u32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
