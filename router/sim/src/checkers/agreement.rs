//! What shards, registry and model know of the same thing is the same, once nothing is on its way.

use std::collections::BTreeMap;

use crossring_codec::message::InvocationPolicy;
use crossring_codec::uri::is_reserved;
use crossring_router::address::{SessionAddress, ShardId, ShardSet};
use crossring_router::control::Control;
use crossring_router::inspect::{RegistrySizes, ShardSizes};
use crossring_router::registry::Registry;
use crossring_router::shard::Shard;

use crate::model::{Key, Model, Session};

/// Realm and key → shards with members.
type Interests = BTreeMap<(usize, Key), Vec<ShardId>>;

/// Realm and key → policy and callees.
type Registrations = BTreeMap<(usize, Key), (InvocationPolicy, Vec<SessionAddress>)>;

/// What a node holds without any client: the sessions of the router itself.
#[derive(Clone, Debug, Default)]
pub struct Baseline {
    registry: RegistrySizes,
    shards: Vec<ShardSizes>,
}

impl Baseline {
    /// The tables of a node whose own sessions have joined and registered.
    pub fn of(shards: &[Shard], control: &Control) -> Self {
        Self { registry: control.registry().inspect().sizes(), shards: sizes_of(shards, control) }
    }
}

fn sizes_of(shards: &[Shard], control: &Control) -> Vec<ShardSizes> {
    shards.iter().chain([control.service_shard()]).map(|shard| shard.inspect().sizes()).collect()
}

/// Checks the tables of a node at rest.
pub fn at_rest(
    shards: &[Shard],
    control: &Control,
    model: &Model,
    baseline: &Baseline,
) -> Result<(), String> {
    let registry = control.registry();
    same_sessions(shards, registry, model)?;
    let sizes = registry.inspect().sizes();
    let held: usize = sessions(model).map(|session| session.subscriptions.len()).sum();
    let held = held + baseline.registry.subscribers;
    let subscribers: usize = sizes_of(shards, control).iter().map(|shard| shard.subscribers).sum();
    if sizes.subscribers != held || subscribers != held {
        let registry = sizes.subscribers;
        return Err(format!(
            "{held} subscriptions held, {registry} in the registry, {subscribers} on shards"
        ));
    }
    let held: usize = sessions(model).map(|session| session.registrations.len()).sum();
    let held = held + baseline.registry.callees;
    if sizes.callees != held {
        return Err(format!("{held} registrations held, {} callees in the registry", sizes.callees));
    }
    let counted: u64 = shards.iter().map(|shard| shard.counters().deliveries_acknowledged).sum();
    let acknowledged = model.deliveries_acknowledged;
    if !(acknowledged..=acknowledged + model.deliveries_doubtful).contains(&counted) {
        return Err(format!("{counted} acknowledged deliveries were counted, not {acknowledged}"));
    }
    let (interests, callees) = (interests_of(model, control.service_shard().id()), callees_of(model));
    let first = shards.first().map(registrations_on).unwrap_or_default();
    for shard in shards {
        settled(shard, &sizes)?;
        let id = shard.id().0;
        let known = interests_on(shard);
        if known != interests {
            return Err(format!("shard {id} knows the interest {known:?}, sessions hold {interests:?}"));
        }
        let known = registrations_on(shard);
        if known != first {
            return Err(format!("shard {id} knows {known:?}, shard 0 {first:?}"));
        }
        let counts =
            known.into_iter().map(|(key, (invoke, callees))| (key, (invoke.as_str(), callees.len())));
        let counts: BTreeMap<_, _> = counts.collect();
        if counts != callees {
            return Err(format!("shard {id} knows the callees {counts:?}, sessions hold {callees:?}"));
        }
    }
    Ok(())
}

/// Checks that nothing is left after everybody has gone.
pub fn when_empty(shards: &[Shard], control: &Control, baseline: &Baseline) -> Result<(), String> {
    let sizes = control.registry().inspect().sizes();
    if sizes != baseline.registry {
        return Err(format!("all have left, and the registry holds {sizes:?}"));
    }
    if control.undecided() > 0 {
        return Err(format!("all have left, and {} of them wait for authorizers", control.undecided()));
    }
    for (index, (sizes, before)) in sizes_of(shards, control).iter().zip(&baseline.shards).enumerate() {
        if sizes != before {
            return Err(format!("all have left, and shard {index} holds {sizes:?}"));
        }
    }
    Ok(())
}

fn sessions(model: &Model) -> impl Iterator<Item = &Session> {
    model.live.iter().map(|index| &model.sessions[*index])
}

/// The same sessions are joined, under the same ids and identities.
fn same_sessions(shards: &[Shard], registry: &Registry, model: &Model) -> Result<(), String> {
    let mut joined: Vec<_> = sessions(model).map(|session| (session.id, session.authid.as_str())).collect();
    joined.sort_unstable();
    let mut registered: Vec<_> =
        registry.inspect().sessions().map(|member| (member.session, member.authid)).collect();
    registered.sort_unstable();
    if registered != joined {
        return Err(format!("the registry knows {registered:?}, joined are {joined:?}"));
    }
    let views: Vec<_> = shards.iter().map(Shard::inspect).collect();
    let mut local: Vec<_> =
        views.iter().flat_map(|view| view.sessions().map(|known| (known.session, known.authid))).collect();
    local.sort_unstable();
    if local == joined { Ok(()) } else { Err(format!("the shards know {local:?}, joined are {joined:?}")) }
}

fn interests_of(model: &Model, service_shard: ShardId) -> Interests {
    let mut interests = Interests::new();
    for session in sessions(model) {
        for held in &session.subscriptions {
            let shards = interests.entry((session.realm, held.key.clone())).or_default();
            if !shards.contains(&session.shard) {
                shards.push(session.shard);
            }
        }
    }
    for history in &model.histories {
        interests.entry((history.realm, history.key.clone())).or_default().push(service_shard);
    }
    interests.values_mut().for_each(|shards| shards.sort_unstable());
    interests
}

fn interests_on(shard: &Shard) -> Interests {
    let listed = |set: ShardSet| set.iter().collect();
    let view = shard.inspect();
    let key = |uri: &str, policy| Key { uri: uri.to_owned(), policy };
    view.subscriptions()
        .map(|known| {
            ((usize::from(known.realm.0), key(known.uri, known.match_policy)), listed(known.interest))
        })
        .collect()
}

fn callees_of(model: &Model) -> BTreeMap<(usize, Key), (&'static str, usize)> {
    let mut callees = BTreeMap::new();
    for session in sessions(model) {
        for held in &session.registrations {
            let key = (session.realm, held.key.clone());
            callees.entry(key).or_insert((held.invoke.as_str(), 0)).1 += 1;
        }
    }
    callees
}

fn registrations_on(shard: &Shard) -> Registrations {
    let view = shard.inspect();
    view.registrations()
        .filter(|known| !is_reserved(known.uri))
        .map(|known| {
            let key = Key { uri: known.uri.to_owned(), policy: known.match_policy };
            ((usize::from(known.realm.0), key), (known.invoke, known.callees))
        })
        .collect()
}

/// A shard waits for nothing, and knows no more than the registry.
fn settled(shard: &Shard, registry: &RegistrySizes) -> Result<(), String> {
    let (id, sizes) = (shard.id().0, shard.inspect().sizes());
    let known = [sizes.subscriptions, sizes.registrations, sizes.callees];
    let wanted = [registry.subscriptions, registry.registrations, registry.callees];
    if known != wanted {
        let what = "subscriptions, registrations, callees";
        return Err(format!("shard {id} knows {known:?} {what}; the registry {wanted:?}"));
    }
    let open = [
        sizes.calls,
        sizes.invocations,
        sizes.calls_waiting,
        sizes.deferred,
        sizes.requests,
        registry.tickets,
    ];
    if open == [0; 6] {
        return Ok(());
    }
    let what = "calls, invocations, waiting, deferred, requests, tickets";
    Err(format!("shard {id} at rest has {open:?} {what}"))
}
