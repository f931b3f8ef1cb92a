//! GOODBYE, and going without one.

use super::World;
use crate::client::SimClient;

/// Says GOODBYE.
pub fn goodbye(client: &mut SimClient, world: &mut World<'_>) {
    if let Ok(goodbye) = client.session.goodbye("wamp.close.close_realm") {
        client.send(world, goodbye);
    }
}

/// Closes the transport, in whatever state.
pub fn disconnect(client: &mut SimClient, world: &mut World<'_>) {
    let reset = world.rng.chance(500);
    client.hang_up(world, reset);
}

/// Leaves, one way or the other.
pub fn leave(client: &mut SimClient, world: &mut World<'_>) {
    if world.rng.chance(500) { goodbye(client, world) } else { disconnect(client, world) }
}
