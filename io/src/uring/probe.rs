//! Asks this kernel for what the ring engine needs, by trying it, never by version.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use io_uring::{Probe, opcode};

use super::Ring;
use crate::engine::{Engine, EngineOptions};
use crate::event::{Event, Wait};
use crate::probe::{Feature, Refusal};

/// Opens a small ring and moves a byte through it. `Ok` lists what the ring can do.
pub(crate) fn probe() -> Result<Vec<Feature>, Refusal> {
    let options = EngineOptions {
        receive_buffer_count: 2,
        receive_buffer_size: 64,
        submission_count: 16,
        completion_count: 128,
        ..EngineOptions::default()
    };
    let ring = Ring::open(options).map_err(|error| Refusal::of_setup(&error))?;
    let features = features(&ring)?;
    if let Some(missing) = features.iter().find(|feature| feature.required && !feature.present) {
        return Err(Refusal::of_missing(missing.name));
    }
    receives_multishot(ring)?;
    Ok(features)
}

fn features(ring: &Ring) -> Result<Vec<Feature>, Refusal> {
    let mut probe = Probe::new();
    let kernel = ring.queue.ring();
    kernel.submitter().register_probe(&mut probe).map_err(|error| Refusal::of_setup(&error))?;
    let parameters = kernel.params();
    let required = |name, present, gives| Feature { name, present, required: true, gives };
    let optional = |name, present, gives| Feature { name, present, required: false, gives };
    Ok(vec![
        required("single_issuer+defer_taskrun", true, "completions are worked off in our own turn"),
        required("provided buffer ring", true, "idle connections hold no receive buffer"),
        required("ext_arg", parameters.is_feature_ext_arg(), "timed waits without a timer operation"),
        required("nodrop", parameters.is_feature_nodrop(), "no completion is ever lost"),
        required(
            "cqe_skip",
            parameters.is_feature_skip_cqe_on_success(),
            "doorbells and cancellations cost their sender no completion",
        ),
        required("accept", probe.is_supported(opcode::Accept::CODE), "accepting"),
        required("send", probe.is_supported(opcode::Send::CODE), "sending"),
        required("sendmsg", probe.is_supported(opcode::SendMsg::CODE), "sending several ranges at once"),
        required("async_cancel", probe.is_supported(opcode::AsyncCancel::CODE), "clean closing"),
        required("msg_ring", probe.is_supported(opcode::MsgRingData::CODE), "doorbells between rings"),
        optional("min_timeout", parameters.is_feature_min_timeout(), "adaptive batching under load"),
        optional(
            "recvsend_bundle",
            parameters.is_feature_recvsend_bundle(),
            "not used: measured equal to gathered sends",
        ),
    ])
}

fn receives_multishot(mut ring: Ring) -> Result<(), Refusal> {
    let refuse = || Refusal::of_missing("multishot receive");
    let (ours, mut theirs) = UnixStream::pair().map_err(|error| Refusal::of_setup(&error))?;
    ring.adopt(OwnedFd::from(ours)).map_err(|_| refuse())?;
    theirs.write_all(b"?").map_err(|error| Refusal::of_setup(&error))?;
    let mut events = Vec::new();
    let deadline = ring.now().after_ns(PROBE_TIMEOUT_NS);
    while events.is_empty() && ring.now() < deadline {
        ring.poll(&mut events, Wait::until(deadline))
            .map_err(|fault| Refusal::of_setup(&std::io::Error::from_raw_os_error(fault.errno)))?;
    }
    match events.pop() {
        Some(Event::Received { buffer, .. }) => {
            let intact = ring.bytes(&buffer) == b"?";
            ring.release(buffer);
            if intact && ring.counters().receive_restarts == 0 { Ok(()) } else { Err(refuse()) }
        }
        _ => Err(refuse()),
    }
}

/// Far more than one byte through a socket pair needs.
const PROBE_TIMEOUT_NS: u64 = 1_000_000_000;
