//! SUBSCRIBE and UNSUBSCRIBE.

use std::borrow::Cow;

use crossring_codec::message::{Feature, SubscribeOptions};

use super::{World, names};
use crate::client::SimClient;

/// Subscribes, now and then to what is held already.
pub fn subscribe(client: &mut SimClient, world: &mut World<'_>) {
    let (topic, match_policy) = names::pattern(world);
    let has_share = client.publishes_with(Feature::ShardedSubscription);
    let nkey = client.profile.nkey.filter(|_| has_share).map(Cow::Borrowed);
    let get_retained = client.publishes_with(Feature::EventRetention) && world.rng.chance(300);
    let options = SubscribeOptions { match_policy, nkey, get_retained, ..SubscribeOptions::default() };
    if let Ok(request) = client.session.subscribe(topic, options) {
        client.send(world, request.message);
    }
}

/// Gives up one subscription.
pub fn unsubscribe(client: &mut SimClient, world: &mut World<'_>) {
    if client.subscriptions.is_empty() {
        return;
    }
    let index = world.rng.below(client.subscriptions.len());
    let subscription = client.subscriptions.swap_remove(index);
    if let Ok(request) = client.session.unsubscribe(subscription) {
        client.send(world, request.message);
    }
}
