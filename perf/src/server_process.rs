//! What a server costs, read from `/proc`: processor time, memory, descriptors.

use std::{collections::BTreeMap, fs, io, str::SplitWhitespace};

/// Most processes of one server that are added up (Crossbar.io runs a controller and workers).
const TREE_PROCESSES_MAX: usize = 64;

/// A server by the id of its first process; its descendants count as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerProcess {
    pid: u32,
}

impl ServerProcess {
    /// The server whose first process is `pid`.
    pub fn new(pid: u32) -> ServerProcess {
        ServerProcess { pid }
    }

    /// Nanoseconds on a processor, per thread, of all threads of all its processes, kernel
    /// threads working for its ring included. A thread that runs right now is exact to the
    /// scheduler's tick (1 to 4 ms), a sleeping one to the nanosecond.
    pub fn processor_time(self) -> io::Result<ProcessorTime> {
        let mut ns_by_thread = BTreeMap::new();
        for pid in self.tree() {
            for thread in threads(pid) {
                if let Some(ns) = schedstat_ns(&format!("/proc/{pid}/task/{thread}/schedstat")) {
                    ns_by_thread.insert(thread, ns);
                }
            }
        }
        match ns_by_thread.is_empty() {
            true => Err(io::Error::new(io::ErrorKind::NotFound, "the server process is gone")),
            false => Ok(ProcessorTime { ns_by_thread }),
        }
    }

    /// Resident memory of all its processes, bytes.
    pub fn resident_bytes(self) -> u64 {
        self.tree().into_iter().map(resident_bytes).sum()
    }

    /// Open descriptors of all its processes.
    pub fn descriptors(self) -> usize {
        let count = |pid| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        self.tree().into_iter().map(count).sum()
    }

    /// Whether the first process still runs.
    pub fn is_alive(self) -> bool {
        match fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => !matches!(state_of(&stat), Some('Z' | 'X')),
            Err(_) => false,
        }
    }

    fn tree(self) -> Vec<u32> {
        let mut tree = vec![self.pid];
        let mut next = 0;
        while next < tree.len() && tree.len() < TREE_PROCESSES_MAX {
            tree.extend(children(tree[next]));
            next += 1;
        }
        tree
    }
}

/// Processor time at one moment.
#[derive(Clone, Debug, Default)]
pub struct ProcessorTime {
    ns_by_thread: BTreeMap<u32, u64>,
}

impl ProcessorTime {
    /// Nanoseconds used since `earlier`. A thread that ended in between loses only what it used
    /// after `earlier`; one that started counts fully.
    pub fn since_ns(&self, earlier: &ProcessorTime) -> u64 {
        let used = |(thread, ns): (&u32, &u64)| {
            ns.saturating_sub(earlier.ns_by_thread.get(thread).copied().unwrap_or(0))
        };
        self.ns_by_thread.iter().map(used).sum()
    }
}

/// Nanoseconds the calling thread has been on a processor.
pub fn own_thread_ns() -> u64 {
    schedstat_ns("/proc/thread-self/schedstat").unwrap_or(0)
}

/// Nanoseconds the other threads of this process have been on a processor: those that are there, and were on one of
/// `processors` last.
pub fn other_threads_ns(processors: &[usize]) -> u64 {
    let pid = std::process::id();
    let own = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    let used_ns = |thread| {
        let task = format!("/proc/{pid}/task/{thread}");
        let processor = processor_of(&fs::read_to_string(format!("{task}/stat")).ok()?)?;
        processors.contains(&processor).then(|| schedstat_ns(&format!("{task}/schedstat")))?
    };
    threads(pid).into_iter().filter(|thread| *thread != own).filter_map(used_ns).sum()
}

/// Time the given processors spent not idle since boot, nanoseconds, exact to 10 ms.
pub fn processors_busy_ns(processors: &[usize]) -> u64 {
    let Ok(stat) = fs::read_to_string("/proc/stat") else { return 0 };
    let wanted = |line: &&str| {
        let number = line.strip_prefix("cpu").and_then(|rest| rest.split(' ').next()?.parse().ok());
        number.is_some_and(|number| processors.contains(&number))
    };
    stat.lines().filter(wanted).map(busy_ticks).sum::<u64>() * 10_000_000
}

/// User, nice, system, interrupt, soft interrupt and stolen time; not idle, not waiting for disks.
fn busy_ticks(line: &str) -> u64 {
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    [0, 1, 2, 5, 6, 7].iter().filter_map(|&index| ticks.get(index)).sum()
}

fn schedstat_ns(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.split(' ').next()?.parse().ok()
}

fn threads(pid: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

fn children(pid: u32) -> Vec<u32> {
    let of_thread = |thread| fs::read_to_string(format!("/proc/{pid}/task/{thread}/children"));
    let lists = threads(pid).into_iter().filter_map(|thread| of_thread(thread).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn resident_bytes(pid: u32) -> u64 {
    let exact =
        fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().and_then(|text| kib(&text, "Rss:"));
    let rough =
        || fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|text| kib(&text, "VmRSS:"));
    exact.or_else(rough).unwrap_or(0) * 1024
}

fn kib(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}

/// The state letter, field 3.
fn state_of(stat: &str) -> Option<char> {
    behind_name(stat)?.next()?.chars().next()
}

/// The processor that a thread was on last, field 39.
fn processor_of(stat: &str) -> Option<usize> {
    behind_name(stat)?.nth(36)?.parse().ok()
}

/// The fields from the third on, behind the parenthesized name, which may itself contain parentheses.
fn behind_name(stat: &str) -> Option<SplitWhitespace<'_>> {
    Some(stat.rsplit_once(')')?.1.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_its_own_process() {
        let own = ServerProcess::new(std::process::id());
        let before = own.processor_time().expect("alive");
        let busy_before = own_thread_ns();
        let mut sum = 0u64;
        while own_thread_ns() - busy_before < 20_000_000 {
            sum = (0..100_000u64).fold(sum, |sum, number| sum.wrapping_add(number * number));
        }
        std::hint::black_box(sum);
        let used = own.processor_time().expect("alive").since_ns(&before);
        assert!(used > 10_000_000, "{used}");
        assert!(own.is_alive() && own.resident_bytes() > 100_000 && own.descriptors() >= 3);
    }

    #[test]
    fn other_threads_are_told_from_this_one() {
        let all: Vec<usize> = (0..1024).collect();
        let before = other_threads_ns(&all);
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let (ended, is_ended) = std::sync::mpsc::channel();
        let other = std::thread::spawn(move || {
            let mut sum = 0u64;
            while own_thread_ns() < 20_000_000 {
                sum = (0..100_000u64).fold(sum, |sum, number| sum.wrapping_add(number * number));
            }
            std::hint::black_box(sum);
            ended.send(()).expect("somebody waits");
            let _ = begun.recv();
        });
        is_ended.recv().expect("the thread says so");
        // Other tests' threads, too, come and go.
        let used = other_threads_ns(&all).saturating_sub(before);
        let elsewhere = other_threads_ns(&[]);
        drop(begin);
        other.join().expect("it ends");
        assert!(used > 10_000_000, "{used}");
        assert_eq!(elsewhere, 0);
    }

    #[test]
    fn a_missing_process_is_an_error() {
        let gone = ServerProcess::new(u32::MAX);
        assert!(gone.processor_time().is_err() && !gone.is_alive());
    }

    #[test]
    fn threads_that_come_and_go_do_not_underflow() {
        let time = |list: &[(u32, u64)]| ProcessorTime { ns_by_thread: list.iter().copied().collect() };
        assert_eq!(time(&[(2, 50), (3, 7)]).since_ns(&time(&[(1, 100), (2, 40)])), 17);
    }
}
