//! Which engine this host allows, and why.

use std::fmt;
use std::io;

use crate::any::AnyEngine;
use crate::engine::EngineOptions;
use crate::epoll::Epoll;
use crate::event::{EngineFault, Operation};
use crate::uring::{self, Ring};

/// Which engine the configuration asks for.
#[derive(Copy, Clone, Eq, PartialEq, Debug, Default)]
pub enum EngineKind {
    /// io_uring where the host allows it, else epoll.
    #[default]
    Auto,
    /// io_uring or nothing.
    IoUring,
    /// epoll.
    Epoll,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Auto => "auto",
            EngineKind::IoUring => "io_uring",
            EngineKind::Epoll => "epoll",
        })
    }
}

/// One thing the kernel has or lacks.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Feature {
    /// The kernel's name for it.
    pub name: &'static str,
    /// Whether this kernel has it.
    pub present: bool,
    /// Whether the ring engine cannot do without.
    pub required: bool,
    /// What it gives us.
    pub gives: &'static str,
}

/// Why io_uring cannot be used, and what would change that.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct Refusal {
    /// What is in the way.
    pub cause: String,
    /// What to do about it.
    pub cure: &'static str,
}

impl Refusal {
    pub(crate) fn of_setup(error: &io::Error) -> Refusal {
        let disabled = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").unwrap_or_default();
        Refusal::explain(error, disabled.trim())
    }

    pub(crate) fn of_missing(feature: &str) -> Refusal {
        Refusal { cause: format!("this kernel lacks {feature}"), cure: CURE_KERNEL }
    }

    /// `disabled` is the text of the sysctl, empty if it does not exist.
    fn explain(error: &io::Error, disabled: &str) -> Refusal {
        match error.raw_os_error() {
            Some(libc::EPERM) if matches!(disabled, "1" | "2") => Refusal {
                cause: format!("io_uring is disabled by sysctl kernel.io_uring_disabled={disabled}"),
                cure: "set kernel.io_uring_disabled=0, or 1 and add this user to kernel.io_uring_group",
            },
            Some(libc::EPERM | libc::EACCES) => Refusal {
                cause: "io_uring is not permitted here (container seccomp profile?)".to_owned(),
                cure: "allow io_uring_setup, io_uring_enter and io_uring_register in the seccomp profile",
            },
            Some(libc::ENOSYS) => Refusal {
                cause: "io_uring_setup does not exist here (kernel built without, or seccomp)".to_owned(),
                cure: "use a kernel with io_uring, or allow its system calls in the seccomp profile",
            },
            Some(libc::EINVAL) => Refusal {
                cause: "this kernel lacks single_issuer+defer_taskrun".to_owned(),
                cure: CURE_KERNEL,
            },
            Some(libc::ENOMEM) => Refusal {
                cause: "no memory for the ring".to_owned(),
                cure: "raise the locked-memory limit (ulimit -l) or the container's memory limit",
            },
            Some(libc::EMFILE | libc::ENFILE) => Refusal {
                cause: "no free file descriptor for the ring".to_owned(),
                cure: "raise the open-files limit (ulimit -n)",
            },
            _ => Refusal { cause: format!("io_uring setup failed: {error}"), cure: CURE_KERNEL },
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; to use io_uring: {}", self.cause, self.cure)
    }
}

const CURE_KERNEL: &str = "use Linux 6.1 or newer";

/// What [`probe`] found. Its `Display` is for people, one line per feature.
#[derive(Clone, Eq, PartialEq, Debug)]
pub struct ProbeReport {
    /// The engine to open: never `Auto`.
    pub chosen: EngineKind,
    /// Why a wanted io_uring is not used; worth one warning.
    pub refusal: Option<Refusal>,
    /// What the ring can do; empty if it was not looked at or refused.
    pub features: Vec<Feature>,
}

impl fmt::Display for ProbeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "engine {}", self.chosen)?;
        if let Some(refusal) = &self.refusal {
            write!(f, ": {refusal}")?;
        }
        for feature in &self.features {
            let mark = if feature.present { "yes" } else { "no" };
            write!(f, "\n  {:<28} {mark:<4} {}", feature.name, feature.gives)?;
        }
        Ok(())
    }
}

/// Why no engine could be opened.
#[derive(Clone, Eq, PartialEq, Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// io_uring was asked for and is refused.
    Refused(Refusal),
    /// The kernel refused what every engine needs.
    Fault(EngineFault),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Refused(refusal) => write!(f, "{refusal}"),
            OpenError::Fault(fault) => write!(f, "{fault}"),
        }
    }
}

impl std::error::Error for OpenError {}

/// Chooses an engine by trying what the ring needs; about half a millisecond. Do it once per process.
pub fn probe(wanted: EngineKind) -> Result<ProbeReport, OpenError> {
    if wanted == EngineKind::Epoll {
        return Ok(ProbeReport { chosen: EngineKind::Epoll, refusal: None, features: Vec::new() });
    }
    match uring::probe() {
        Ok(mut features) => {
            features.push(kernel_tls());
            Ok(ProbeReport { chosen: EngineKind::IoUring, refusal: None, features })
        }
        Err(refusal) if wanted == EngineKind::IoUring => Err(OpenError::Refused(refusal)),
        Err(refusal) => {
            Ok(ProbeReport { chosen: EngineKind::Epoll, refusal: Some(refusal), features: Vec::new() })
        }
    }
}

/// Probes, then opens the chosen engine on this thread, where it must stay.
pub fn open(wanted: EngineKind, options: EngineOptions) -> Result<(AnyEngine, ProbeReport), OpenError> {
    let report = probe(wanted)?;
    let engine = open_probed(&report, options)?;
    Ok((engine, report))
}

/// Opens a further engine, on this thread, as an earlier [`probe`] chose.
pub fn open_probed(report: &ProbeReport, options: EngineOptions) -> Result<AnyEngine, OpenError> {
    if report.chosen == EngineKind::Epoll {
        return Epoll::open(options).map(|epoll| AnyEngine::Epoll(Box::new(epoll))).map_err(fault);
    }
    let ring = Ring::open(options).map_err(|error| OpenError::Refused(Refusal::of_setup(&error)))?;
    Ok(AnyEngine::IoUring(Box::new(ring)))
}

/// Whether the kernel could encrypt and decrypt by itself. Nothing uses it.
fn kernel_tls() -> Feature {
    let protocols = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_available_ulp").unwrap_or_default();
    Feature {
        name: "kernel_tls",
        present: names_tls(&protocols),
        required: false,
        gives: "nothing: TLS is spoken in the process",
    }
}

/// `protocols`: names between spaces.
fn names_tls(protocols: &str) -> bool {
    protocols.split_ascii_whitespace().any(|name| name == "tls")
}

fn fault(error: io::Error) -> OpenError {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    OpenError::Fault(EngineFault { operation: Operation::Setup, errno })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(errno: i32, disabled: &str) -> String {
        Refusal::explain(&io::Error::from_raw_os_error(errno), disabled).to_string()
    }

    #[test]
    fn every_refusal_names_cause_and_cure() {
        assert!(explain(libc::EPERM, "2").contains("kernel.io_uring_disabled=2"));
        assert!(explain(libc::EPERM, "0").contains("seccomp"));
        assert!(explain(libc::ENOSYS, "").contains("seccomp"));
        assert!(explain(libc::EINVAL, "0").contains("6.1"));
        assert!(explain(libc::ENOMEM, "0").contains("ulimit -l"));
        assert!(explain(libc::EMFILE, "0").contains("ulimit -n"));
        assert!(explain(libc::EIO, "0").contains("io_uring setup failed"));
    }

    #[test]
    fn epoll_is_chosen_without_looking_at_the_ring() {
        let report = probe(EngineKind::Epoll).unwrap();
        assert_eq!(report.chosen, EngineKind::Epoll);
        assert_eq!(report.to_string(), "engine epoll");
    }

    #[test]
    fn kernel_tls_is_looked_for() {
        assert!(names_tls("espintcp tls mptcp\n") && !names_tls("mptcp\n") && !names_tls(""));
        assert_eq!(kernel_tls().name, "kernel_tls");
    }

    #[test]
    fn auto_always_finds_an_engine_and_says_which() {
        let report = probe(EngineKind::Auto).unwrap();
        println!("{report}");
        assert_eq!(report.refusal.is_some(), report.chosen == EngineKind::Epoll);
    }
}
