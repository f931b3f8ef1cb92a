//! Questions about the history of events.

use crossring_codec::value::{Dict, Value};

use super::meta::ask;
use super::{World, names};
use crate::client::SimClient;
use crate::clock::{milliseconds, rfc3339};

const SIDES: [&str; 4] = ["from", "after", "before", "until"];

/// How far back times reach.
const PAST_MS_MAX: u64 = 60;

/// Asks for events of a history, now and then of what has none.
pub fn get_events(client: &mut SimClient, world: &mut World<'_>) {
    let id = if world.common.histories.is_empty() || world.rng.chance(100) {
        let known = &world.common.subscriptions;
        if known.is_empty() {
            return;
        }
        world.rng.pick(known).0
    } else {
        *world.rng.pick(&world.common.histories)
    };
    let keywords = conditions(world);
    ask(client, world, "wamp.subscription.get_events", vec![id.into()], keywords);
}

fn conditions(world: &mut World<'_>) -> Dict {
    let mut conditions = Dict::new();
    let mut set = |name: &str, value: Value| conditions.push((name.to_owned(), value));
    if world.rng.chance(300) {
        set("reverse", true.into());
    }
    if world.rng.chance(400) {
        let limit = if world.rng.chance(30) { 0 } else { world.rng.between(1, 5) };
        set("limit", limit.into());
    }
    if world.rng.chance(150) {
        set("topic", names::name(world).into());
    }
    if world.rng.chance(250) {
        let past_ms = world.rng.below(PAST_MS_MAX as usize) as u64;
        let time = rfc3339(milliseconds(world.tick).saturating_sub(past_ms));
        set(&format!("{}_time", world.rng.pick(&SIDES)), Value::String(time));
    }
    for side in SIDES {
        if world.rng.chance(80) && !world.common.publications.is_empty() {
            let publication = *world.rng.pick(&world.common.publications);
            set(&format!("{side}_publication"), publication.into());
        }
    }
    conditions
}
