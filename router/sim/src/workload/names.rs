//! The URIs that clients use: few, so that they meet.

use crossring_codec::uri::{Match, is_reserved};

use super::World;
use crate::client::SimClient;

/// Topics and procedures, the ones in front most often.
const NAMES: [&str; 10] = [
    "com.public.a",
    "com.public.b",
    "com.private.a",
    "com.x.shared",
    "com.public.deep.x",
    "org.one",
    "com.public.secret",
    "com.disclosed.a",
    "com.public.a.long.one",
    "org.one.two",
];

/// URIs that get an ERROR: invalid ones, invalid where URIs are checked strictly, reserved for routers.
const BAD_NAMES: [&str; 6] = ["com..bad", "com.bad.", "com.b ad", "", "com.Upper", "wamp.custom.name"];

const PREFIXES: [&str; 5] = ["com.public.", "com.", "com.public.a", "org", "com.disclosed."];
const WILDCARDS: [&str; 4] = ["com..a", "com.public.", "com..shared", "org.."];

/// A topic or procedure.
pub fn name(world: &mut World<'_>) -> &'static str {
    if world.rng.chance(10) {
        return world.rng.pick::<&str>(&BAD_NAMES);
    }
    NAMES[world.rng.below(world.options.names)]
}

/// The same for what routers may not be given: others may use what is reserved for them, and do not.
pub fn own_name(client: &SimClient, world: &mut World<'_>) -> &'static str {
    let name = name(world);
    if client.profile.link && is_reserved(name) { NAMES[0] } else { name }
}

/// A topic or procedure, or a pattern of them.
pub fn pattern(world: &mut World<'_>) -> (&'static str, Match) {
    if !world.rng.chance(world.options.pattern_per_mille) {
        return (name(world), Match::Exact);
    }
    if world.rng.chance(500) {
        (world.rng.pick::<&str>(&PREFIXES), Match::Prefix)
    } else {
        (world.rng.pick::<&str>(&WILDCARDS), Match::Wildcard)
    }
}
