//! Tracking cookies at the registry: who is let in by one, who has logged in with one, and whose sessions end with one.

use crossring_codec::message::HelloDetails;
use crossring_codec::uri::well_known;

use super::{Channel, Registry, Session};
use crate::address::{Now, SessionAddress, TransportId};
use crate::auth::{self, Provider, Step};
use crate::config::Secret;
use crate::cookies::{CookieChange, CookieRecord, CookieTable};
use crate::outbox::Post;

impl Registry {
    /// A cookie has been set at a transport.
    pub(crate) fn cookie_issued(&mut self, now: Now, transport: TransportId, value: Secret) {
        let Some(tracking) = self.config.tracking(transport) else { return };
        let (store, max_age_s) = (usize::from(tracking.store), tracking.max_age_s);
        self.cookies[store].issue(now.unix_ms, value, max_age_s);
    }

    /// Whether a cookie that a connection brings has been set here and is still good.
    pub(crate) fn is_known_cookie(&self, now: Now, transport: TransportId, value: &Secret) -> bool {
        let tracking = self.config.tracking(transport);
        tracking.is_some_and(|it| self.cookies[usize::from(it.store)].is_known(now.unix_ms, value.expose()))
    }

    /// Takes what a store has kept.
    pub(crate) fn load_cookies(&mut self, now: Now, store: u16, records: Vec<CookieRecord>) {
        if let Some(table) = self.cookies.get_mut(usize::from(store)) {
            table.load(now.unix_ms, records);
        }
    }

    /// What stores have to keep since the last time.
    pub(crate) fn take_cookie_changes(&mut self) -> Vec<CookieChange> {
        let change = |store: usize| move |(kind, record)| CookieChange { store: store as u16, kind, record };
        let tables = self.cookies.iter_mut().enumerate();
        tables.flat_map(|(store, table)| table.take_changes().into_iter().map(change(store))).collect()
    }

    /// All that a store has to keep.
    pub(crate) fn kept_cookies(&self, store: u16) -> impl Iterator<Item = &CookieRecord> {
        self.cookies.get(usize::from(store)).into_iter().flat_map(CookieTable::kept)
    }

    /// Lets a client in by its cookie, if the transport allows that. A client that does not ask for it revokes the login.
    pub(super) fn cookie_login(
        &mut self,
        now: Now,
        channel: &Channel,
        details: &HelloDetails<'_>,
    ) -> Option<Step> {
        let methods = self.config.transports.get(usize::from(channel.transport.0))?;
        let tracking = methods.tracking.as_ref().filter(|_| methods.cookie)?;
        let value = channel.details.cookie()?.expose();
        let table = &mut self.cookies[usize::from(tracking.store)];
        if !auth::cookie::is_offered(details) {
            table.set_login(now.unix_ms, value, None);
            return None;
        }
        auth::cookie::accept(&self.config, table.login(now.unix_ms, value)?)
    }

    /// A session has joined: its identity goes with the cookie from now on, unless it comes from there.
    pub(super) fn note_cookie(&mut self, now: Now, address: SessionAddress) {
        let Some(session) = self.places.session(address) else { return };
        let Some((store, value)) = cookie(&self.config, &session.channel) else { return };
        let table = &mut self.cookies[store];
        table.session_joined(value.expose(), session.id);
        if session.identity.provider != Provider::Cookie {
            let login = auth::cookie::login(&self.config, &session.identity);
            table.set_login(now.unix_ms, value.expose(), Some(login));
        }
    }

    /// A session has left the connection that brought the cookie.
    pub(super) fn forget_cookie(&mut self, session: &Session) {
        if let Some((store, value)) = cookie(&self.config, &session.channel) {
            self.cookies[store].session_left(value.expose(), session.id);
        }
    }

    /// A session goes on over a connection with another cookie, maybe.
    pub(super) fn move_cookie(&mut self, address: SessionAddress) {
        let Some(session) = self.places.session(address) else { return };
        if let Some((store, value)) = cookie(&self.config, &session.channel) {
            self.cookies[store].session_joined(value.expose(), session.id);
        }
    }

    /// GOODBYE `wamp.close.logout`: the cookie is worth nothing any more, and everybody else who has it leaves.
    pub(super) fn log_out<P: Post>(&mut self, address: SessionAddress, out: &mut P) {
        let Some(session) = self.places.session(address) else { return };
        let own = session.id;
        let Some((store, value)) = cookie(&self.config, &session.channel) else { return };
        for id in self.cookies[store].delete(value.expose()) {
            if let Some((other, _)) = self.session_by_id(id).filter(|_| id != own) {
                self.kill(other, well_known::CLOSE_LOGOUT, None, false, out);
            }
        }
    }
}

/// The cookie of a connection, and the index of its store.
fn cookie<'a>(config: &crate::config::RouterConfig, channel: &'a Channel) -> Option<(usize, &'a Secret)> {
    let tracking = config.tracking(channel.transport)?;
    Some((usize::from(tracking.store), channel.details.cookie()?))
}
