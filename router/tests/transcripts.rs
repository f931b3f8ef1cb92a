//! Runs the transcripts over every placement of their clients on the shards of a router in memory.

#![forbid(unsafe_code)]

#[path = "transcripts/matching.rs"]
mod matching;
#[path = "transcripts/node.rs"]
mod node;
#[path = "transcripts/script.rs"]
mod script;

use node::Node;
use script::Script;

const SHARDS: usize = 4;

fn check(text: &str) {
    for script in Script::parse(text) {
        let clients = script.clients();
        for placement in placements(clients.len()) {
            let places =
                clients.iter().zip(&placement).map(|(name, place)| (*name, *place, script.door(name)));
            let used = placement.iter().max().map_or(1, |highest| highest + 1);
            for shards in [used, SHARDS] {
                let mut node = Node::with_doors(shards, places.clone());
                let result = script.run(&mut node).and_then(|()| node.check_empty_after_all_left());
                if let Err(fault) = result {
                    panic!("{} ({shards} shards, placement {placement:?})\n{fault}", script.title);
                }
            }
        }
    }
}

/// The ways to distribute clients over shards, up to the names of the shards.
fn placements(clients: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..clients {
        all = all.iter().flat_map(|placement| extended(placement)).collect();
    }
    all
}

fn extended(placement: &[usize]) -> Vec<Vec<usize>> {
    let fresh = placement.iter().max().map_or(0, |highest| highest + 1);
    let place = |shard| {
        let mut longer = placement.to_vec();
        longer.push(shard);
        longer
    };
    (0..=fresh.min(SHARDS - 1)).map(place).collect()
}

macro_rules! transcripts {
    ($($name:ident),+ $(,)?) => {$(
        #[test]
        fn $name() {
            check(include_str!(concat!("transcripts/", stringify!($name), ".wamp")));
        }
    )+

        /// A file that nobody runs shows nothing.
        #[test]
        fn every_file_is_run() {
            let run = [$(concat!(stringify!($name), ".wamp")),+];
            let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transcripts");
            for entry in std::fs::read_dir(directory).expect("the transcripts are there") {
                let name = entry.expect("a file").file_name().into_string().expect("a plain name");
                assert!(!name.ends_with(".wamp") || run.contains(&&*name), "{name} is not run");
            }
        }
    };
}

transcripts!(
    traces,
    establishment,
    authentication,
    authentication_dynamic,
    authentication_methods,
    authorization,
    authorizer,
    authorizer_loss,
    identifiers,
    publish,
    patterns,
    calls,
    leaving,
    trust,
    timeouts,
    progressive_invocations,
    reroute,
    passthru,
    answers,
    race_cancel_vs_result,
    race_callee_loss_vs_timeout,
    sharding,
    queue,
    resumption,
    resumption_ends,
    race_resume_vs_kill,
    meta_bridge,
    meta_session,
    session_details,
    disclosure,
    meta_kill,
    meta_subscription,
    meta_registration,
    meta_order,
    meta_schema,
    testaments,
    retained,
    retained_expiry,
    history
);
