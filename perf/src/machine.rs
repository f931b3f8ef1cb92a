//! The machine a report was made on.

use std::fs;

use serde::Serialize;

/// What a reader needs to place the numbers.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub processor: String,
    /// Processors online.
    pub processors: usize,
    /// Whether a hypervisor is below.
    pub is_virtual: bool,
    /// Main memory, GiB.
    pub memory_gib: u64,
}

impl Machine {
    /// Reads `/proc`.
    pub fn read() -> Machine {
        let cpuinfo = read("/proc/cpuinfo");
        let field = |key: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_once(':')).map_or("", |(_, value)| value.trim()).to_owned()
        };
        let memory_kib = read("/proc/meminfo")
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
        Machine {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: format!(
                "{} (family {} model {})",
                field("model name"),
                field("cpu family"),
                field("model\t")
            ),
            processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            is_virtual: field("flags").split(' ').any(|flag| flag == "hypervisor"),
            memory_gib: memory_kib.unwrap_or(0).div_ceil(1024 * 1024),
        }
    }

    /// One line.
    pub fn describe(&self) -> String {
        let kind = if self.is_virtual { "virtual, " } else { "" };
        let Machine { kernel, processor, processors, memory_gib, .. } = self;
        format!("Linux {kernel}, {processor}, {kind}{processors} processors, {memory_gib} GiB")
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
