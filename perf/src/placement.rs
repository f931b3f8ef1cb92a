//! Which processors the servers and the generator get.

use rustix::{
    process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit, setsid},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::fault::Fault;

/// Pinning of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// For servers that run on one processor.
    pub server: Vec<usize>,
    /// For servers that run on two.
    pub server_pair: Vec<usize>,
    /// For the generator: never one of `server`, if there are two at all.
    pub generator: usize,
}

impl Placement {
    /// The first for the servers, the last for the generator.
    pub fn split(usable: &[usize]) -> Option<Placement> {
        let server_pair = usable.iter().copied().take(2).collect();
        Some(Placement { server: vec![*usable.first()?], server_pair, generator: *usable.last()? })
    }

    /// What a reader of the report must know about this placement.
    pub fn caveat(&self) -> Option<&'static str> {
        if self.server.contains(&self.generator) {
            return Some("only one processor: server and generator share it, the numbers mean little");
        }
        self.server_pair.contains(&self.generator).then_some(
            "only two processors: a two-shard server shares one with the generator, which limits both",
        )
    }
}

/// The processors this process may use, ascending.
pub fn usable_processors() -> Result<Vec<usize>, Fault> {
    let allowed = sched_getaffinity(None).map_err(|errno| Fault::io("sched_getaffinity")(errno.into()))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&processor| allowed.is_set(processor)).collect())
}

/// Pins the calling thread, and whatever it starts from now on.
pub fn pin(processors: &[usize]) -> Result<(), Fault> {
    let mut set = CpuSet::new();
    processors.iter().for_each(|&processor| set.set(processor));
    sched_setaffinity(None, &set).map_err(|errno| Fault::io("sched_setaffinity")(errno.into()))
}

/// Raises the limit of open descriptors as far as this user may, for us and the servers we start.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where the hard limit was lowered meanwhile; then the old limit stays.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Niceness of measuring and measured processes.
const NICE: i32 = -15;

/// Goes before ordinary programs, as far as this user may; so does whatever is started from now on.
///
/// Niceness alone counts only within a session where the kernel groups processes by session, so a
/// session of our own is begun and raised as a whole. Whoever is started in such a session stays in it: classes of scheduling, too, count
/// only among processes of one session. All of that ends with this process.
pub fn raise_priority() {
    if is_priority_raised() {
        return;
    }
    // Each of these is refused to some users or absent in some kernels; `is_priority_raised` tells.
    let _ = setsid();
    let _ = setpriority_process(None, NICE);
    let _ = std::fs::write("/proc/self/autogroup", NICE.to_string());
}

/// Whether `raise_priority` was permitted to this process or the one that started it.
pub fn is_priority_raised() -> bool {
    getpriority_process(None).is_ok_and(|nice| nice <= NICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_and_generator_stay_apart() {
        let four = Placement::split(&[0, 1, 2, 3]).expect("four");
        assert_eq!((four.server.as_slice(), four.generator), ([0].as_slice(), 3));
        assert_eq!(four.caveat(), None);
        assert!(Placement::split(&[0, 1]).and_then(|two| two.caveat()).is_some());
        assert!(Placement::split(&[5]).and_then(|one| one.caveat()).is_some());
        assert_eq!(Placement::split(&[]), None);
    }
}
