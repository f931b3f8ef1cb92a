//! Connections of the testee transports: whatever arrives goes back, by the same codec and the same queues as all else.

use crossring_codec::transport::Incoming;

use super::connection::{Connection, Pumped, Routing};

impl Connection {
    /// As `pump`, without a router behind it.
    pub(super) fn pump_echo(&mut self, octets: &[u8], routing: &mut Routing<'_>) -> Pumped {
        let mut consumed = 0;
        let mut pumped = Pumped::Done;
        loop {
            let key = self.key();
            let Some(transport) = self.transport_mut() else {
                routing.outbound.raw(key, octets);
                return Pumped::Done;
            };
            match transport.next(octets, &mut consumed, routing.scratch) {
                Ok(None) => break,
                Ok(Some(Incoming::Message(message))) => {
                    if let Some(framing) = transport.framing() {
                        routing.outbound.echo(key, framing, message);
                    }
                }
                Ok(Some(Incoming::Reply(reply))) => routing.outbound.raw(key, reply),
                Ok(Some(Incoming::Opened { .. })) => {
                    if let Some(writer) = transport.take_writer() {
                        routing.outbound.set_writer(key, writer);
                    }
                    self.begin_echo();
                    pumped = Pumped::Opened;
                }
                Ok(Some(Incoming::Pong(_))) => self.heard(routing.now, true),
                Ok(Some(Incoming::Requested)) => {}
                Ok(Some(Incoming::PeerClosing { .. })) => return Pumped::Ended,
                Err(error) => return self.fail(error, routing),
            }
        }
        self.heard(routing.now, false);
        pumped
    }
}
