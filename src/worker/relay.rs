//! Connections of listeners that serve several protocols: deciding which one it is, and relaying HTTP to the control shard.

use std::sync::Arc;

use crossring_codec::limits::NestingDepth;
use crossring_codec::transport::{Opening, Transport, TransportErrorKind};
use crossring_io::{Close, Engine};
use crossring_router::address::{SessionKey, ShardId, TransportId};
use crossring_router::details::ChannelType;

use super::mail::{Relay, RelayPart, WINDOW_SIZE};
use super::{ListenerKind, RawSocketListener, Refusal, WebSocketListener, Worker, connection_of, find};
use crate::config::Routes;
use crate::web::HEAD_SIZE_MAX;

/// A listener whose connections speak what their first octets say.
#[derive(Clone, Debug, Default)]
pub struct SharedListener {
    /// What speaks RawSocket belongs to this transport; absent: nothing may.
    pub rawsocket: Option<(TransportId, RawSocketListener)>,
    /// What asks for a WebSocket at these paths belongs to these transports. Everything else is HTTP.
    pub websockets: Routes<Option<(TransportId, Arc<WebSocketListener>)>>,
}

impl SharedListener {
    /// How a connection that was decided speaks.
    pub(super) fn kind_of(&self, transport: TransportId) -> Option<ListenerKind> {
        if let Some((id, rawsocket)) = &self.rawsocket
            && *id == transport
        {
            return Some(ListenerKind::RawSocket(*rawsocket));
        }
        let mut websockets = self.websockets.services().into_iter().flatten();
        let found = websockets.find(|(id, _)| *id == transport);
        found.map(|(_, listener)| ListenerKind::WebSocket(Arc::clone(listener)))
    }

    fn websocket_at(&self, path: &str) -> Option<&(TransportId, Arc<WebSocketListener>)> {
        self.websockets.find(path).and_then(|(found, _)| found.as_ref())
    }
}

/// What the first octets of a connection make of it.
enum Decision {
    Open,
    Undecidable(TransportErrorKind),
    RefusedMqtt,
    Speaks(TransportId, Transport, NestingDepth),
    Http,
}

/// Octets on their way between a connection and the control shard.
#[derive(Copy, Clone, Debug, Default)]
pub(super) struct Flow {
    /// Received and not taken yet.
    received: usize,
    /// Told to be sent and not left yet.
    sending: usize,
    /// Reading rests until some have been taken.
    rests: bool,
}

impl<E: Engine> Worker<E> {
    /// Input of a connection whose protocol is not decided, or is HTTP.
    pub(super) fn take_shared(&mut self, key: SessionKey, octets: Vec<u8>) {
        let Some(connection) = find(&mut self.connections, key) else { return };
        if connection.is_relayed() {
            return self.relay_input(key, octets);
        }
        connection.hold(&octets);
        let octets = connection.take_held();
        let Some(ListenerKind::Shared(listener)) = self.listen_of(key).map(|listen| listen.kind) else {
            return;
        };
        match decide(&listener, &octets) {
            Decision::Open => {
                if let Some(connection) = find(&mut self.connections, key) {
                    connection.keep(octets);
                }
            }
            Decision::Http => self.open_relay(key, octets),
            Decision::Speaks(transport_id, transport, nesting_max) => {
                let Some(connection) = find(&mut self.connections, key) else { return };
                connection.decide(transport_id, transport);
                connection.limit_nesting(nesting_max);
                let pumped = self.pump(key, &octets);
                self.pumped(key, pumped);
            }
            Decision::RefusedMqtt => {
                self.door.refusals.add(Refusal::Mqtt);
                self.engine.close(connection_of(key), Close::Now);
            }
            Decision::Undecidable(error) => {
                tracing::debug!(shard = self.id.0, slot = key.slot, "neither RawSocket nor HTTP: {error}");
                self.door.refusals.add(super::connection::refusal_of(error));
                self.engine.close(connection_of(key), Close::Now);
            }
        }
    }

    fn open_relay(&mut self, key: SessionKey, octets: Vec<u8>) {
        let mut details = Box::new(self.own.socket(&self.engine, key));
        let Some(connection) = find(&mut self.connections, key) else { return };
        if connection.is_secured() {
            details.channel_type = Some(ChannelType::Tls);
        }
        connection.relay();
        self.relayed_count += 1;
        let part = RelayPart::Opened(connection.transport_id(), details);
        self.post_relay(key, part);
        self.relay_input(key, octets);
    }

    fn relay_input(&mut self, key: SessionKey, octets: Vec<u8>) {
        let Some(flow) = find(&mut self.connections, key).and_then(|connection| connection.flow()) else {
            return;
        };
        flow.received += octets.len();
        if flow.received >= WINDOW_SIZE && !flow.rests {
            flow.rests = true;
            self.engine.pause_receive(connection_of(key));
        }
        self.post_relay(key, RelayPart::Octets(octets));
    }

    fn post_relay(&mut self, key: SessionKey, part: RelayPart) {
        self.outbound.mail.relay(ShardId::CONTROL, Relay { key, part });
    }

    /// What the control shard says of a connection.
    pub(super) fn relayed(&mut self, relay: Relay) {
        let key = relay.key;
        let Some(connection) = find(&mut self.connections, key).filter(|it| it.is_relayed()) else { return };
        let Some(flow) = connection.flow() else { return };
        match relay.part {
            RelayPart::Octets(octets) => {
                flow.sending += octets.len();
                self.outbound.raw(key, &octets);
            }
            RelayPart::Took(count) => {
                flow.received = flow.received.saturating_sub(count as usize);
                if flow.rests && flow.received <= WINDOW_SIZE / 2 {
                    flow.rests = false;
                    self.engine.resume_receive(connection_of(key));
                }
            }
            RelayPart::Ended => self.finish(key),
            RelayPart::HandedOver(octets) => {
                if flow.rests {
                    self.engine.resume_receive(connection_of(key));
                }
                connection.undecide();
                self.relayed_count -= 1;
                self.take_shared(key, octets);
            }
            RelayPart::Opened(..) => debug_assert!(false, "only data shards open relays"),
        }
    }

    /// Octets of a connection have left.
    pub(super) fn relay_sent(&mut self, key: SessionKey) {
        let flow = find(&mut self.connections, key).and_then(|connection| connection.flow());
        let Some(flow) = flow else { return };
        let queued = self.outbound.queued(key) as usize;
        if flow.sending <= queued {
            return;
        }
        let left = flow.sending - queued;
        flow.sending = queued;
        self.post_relay(key, RelayPart::Took(left as u32));
    }

    /// A relayed connection is gone.
    pub(super) fn end_relay(&mut self, key: SessionKey) {
        self.relayed_count -= 1;
        self.post_relay(key, RelayPart::Ended);
    }
}

fn decide(listener: &SharedListener, octets: &[u8]) -> Decision {
    match Opening::read(octets, HEAD_SIZE_MAX) {
        Ok(None) => Decision::Open,
        Ok(Some(Opening::Mqtt)) => Decision::RefusedMqtt,
        Ok(Some(Opening::RawSocket)) => match &listener.rawsocket {
            Some((id, rawsocket)) => {
                let transport = Transport::accept_rawsocket(&rawsocket.options);
                Decision::Speaks(*id, transport, rawsocket.nesting_max)
            }
            None => Decision::Undecidable(TransportErrorKind::MagicMissing),
        },
        Ok(Some(Opening::WebSocket(path))) => match listener.websocket_at(path) {
            Some((id, websocket)) => {
                let transport = Transport::accept_websocket(&websocket.options);
                Decision::Speaks(*id, transport, websocket.nesting_max)
            }
            None => Decision::Http,
        },
        Ok(Some(Opening::Http)) => Decision::Http,
        Err(error) => Decision::Undecidable(error),
    }
}
