//! Tracking cookies at the WebSocket handshake: who brings none gets a new one at once; who brings one waits until the
//! control shard has said whether it is one of ours.

use crossring_io::Engine;
use crossring_router::address::{SessionKey, ShardId};

use super::mail::CookieMail;
use super::{ListenerKind, Worker, connection_of, find};

impl<E: Engine> Worker<E> {
    /// A WebSocket client asks to be let in.
    pub(super) fn requested(&mut self, key: SessionKey) {
        let Some(connection) = find(&mut self.connections, key) else { return };
        let transport = connection.transport_id();
        let Some(value) = connection.requested_cookie() else {
            self.accept_with_new_cookie(key);
            return self.go_on(key);
        };
        self.engine.pause_receive(connection_of(key));
        self.outbound.mail.cookie(ShardId::CONTROL, CookieMail::Asked { key, transport, value });
    }

    /// Takes what has come behind the request.
    fn go_on(&mut self, key: SessionKey) {
        let Some(connection) = find(&mut self.connections, key) else { return };
        let held = connection.take_held();
        let pumped = self.pump(key, &held);
        self.pumped(key, pumped);
    }

    /// The control shard has looked at a cookie.
    pub(super) fn cookie_answered(&mut self, mail: CookieMail) {
        let CookieMail::Answered { key, is_known } = mail else { return };
        let Some(connection) = find(&mut self.connections, key) else { return };
        match connection.requested_cookie() {
            Some(cookie) if is_known => {
                connection.accept_request(cookie, false, &mut self.outbound, &mut self.scratch);
            }
            _ => self.accept_with_new_cookie(key),
        }
        self.read_on(key);
    }

    fn accept_with_new_cookie(&mut self, key: SessionKey) {
        let Some(ListenerKind::WebSocket(websocket)) = self.kind_of(key) else {
            return;
        };
        let value = self.cookies.generate(websocket.cookie_length);
        let Some(connection) = find(&mut self.connections, key) else { return };
        let transport = connection.transport_id();
        connection.accept_request(value.clone(), true, &mut self.outbound, &mut self.scratch);
        self.outbound.mail.cookie(ShardId::CONTROL, CookieMail::Issued { transport, value });
    }
}
