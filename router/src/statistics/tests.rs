use std::sync::Arc;

use crossring_codec::id::SessionId;
use crossring_codec::message::{ClientRoles, Features, HelloDetails, Message, WelcomeDetails};

use super::*;
use crate::address::{RealmId, RoleId, TransportId};
use crate::config::{RealmConfig, RoleConfig, RouterConfig};
use crate::input::Input;
use crate::letter::Admission;
use crate::limits::Limits;
use crate::outbox::{EndCause, Post, Refused};

const KEY: SessionKey = SessionKey { slot: 0, generation: 1 };

/// A host that counts what the test says.
#[derive(Default)]
struct Host {
    rated_size: Option<u32>,
    total: Traffic,
    reports: Vec<Report>,
}

impl Post for Host {
    fn post(&mut self, _: ShardId, letter: Letter) {
        if let Letter::Statistics { report, .. } = letter {
            self.reports.push(*report);
        }
    }
}

impl Outbox for Host {
    fn send(&mut self, _: SessionKey, _: &Message<'_>) -> Result<(), Refused> {
        Ok(())
    }

    fn fan_out(&mut self, _: &Message<'_>, _: &[SessionKey], _: Option<SessionKey>) {}

    fn end(&mut self, _: SessionKey, _: EndCause) {}

    fn count(&mut self, _: SessionKey, rated_size: u32) {
        self.rated_size = Some(rated_size);
    }

    fn traffic(&self, _: SessionKey) -> Traffic {
        self.total
    }
}

/// A shard with one session, joined at second 0.
fn joined(statistics: Option<StatisticsConfig>) -> (Shard, Host) {
    let realm = RealmConfig { roles: vec![RoleConfig::default()], statistics, ..RealmConfig::default() };
    let config = Arc::new(RouterConfig { realms: vec![realm], ..RouterConfig::default() });
    let (mut shard, mut host) = (Shard::new(ShardId(0), 1, config, Limits::default(), 1), Host::default());
    let (key, transport, details) = (KEY, TransportId(0), Arc::default());
    shard.handle(at(0), Input::Opened { key, transport, details }, &mut host);
    let roles = ClientRoles::all(Features::default());
    let details = Box::new(HelloDetails { roles, ..HelloDetails::default() });
    let message = Message::Hello { realm: Some("realm1".into()), details };
    shard.handle(at(0), Input::Message { key, message }, &mut host);
    let admission = Box::new(Admission {
        realm: RealmId(0),
        role: RoleId(0),
        session: SessionId::from_random(1),
        details: WelcomeDetails::default(),
    });
    let letter = Letter::Admit { key, admission };
    shard.handle(at(0), Input::Letter { from: ShardId::CONTROL, letter }, &mut host);
    (shard, host)
}

fn at(seconds: u64) -> Now {
    Now { monotonic_ns: 1 + seconds * 1_000_000_000, unix_ms: 1_000_000 + seconds * 1_000 }
}

fn quiet() -> StatisticsConfig {
    StatisticsConfig {
        rated_size: 512,
        after_messages: None,
        after_ms: None,
        on_join: false,
        on_leave: false,
    }
}

/// The session has now exchanged so many messages of 10 octets.
fn exchange(shard: &mut Shard, host: &mut Host, seconds: u64, messages: u64) {
    host.total = Traffic { octets: messages * 10, messages, rated_messages: messages };
    let total = host.total;
    shard.handle(at(seconds), Input::Counted { key: KEY, total }, host);
}

fn told(host: &Host) -> Vec<(u64, u64, bool, bool)> {
    let told = |report: &Report| (report.cycle, report.traffic.messages, report.is_first, report.is_last);
    host.reports.iter().map(told).collect()
}

#[test]
fn nothing_is_counted_where_nobody_asks() {
    let (mut shard, mut host) = joined(None);
    assert_eq!(host.rated_size, None);
    exchange(&mut shard, &mut host, 10, 1_000_000);
    shard.handle(at(11), Input::Closed { key: KEY }, &mut host);
    assert!(host.reports.is_empty());
}

#[test]
fn rated_messages_trigger_a_report_of_what_came_since_the_last() {
    let (mut shard, mut host) = joined(Some(StatisticsConfig { after_messages: Some(5), ..quiet() }));
    assert_eq!(host.rated_size, Some(512));
    for (seconds, messages) in [(2, 4), (3, 6), (4, 9), (6, 11)] {
        exchange(&mut shard, &mut host, seconds, messages);
    }
    assert_eq!(told(&host), [(1, 6, true, false), (2, 5, false, false)]);
    assert_eq!((host.reports[0].since, host.reports[1].since), (at(0), at(3)));
}

#[test]
fn reports_cannot_beget_reports_without_end() {
    let (mut shard, mut host) = joined(Some(StatisticsConfig { after_messages: Some(1), ..quiet() }));
    for messages in 1..100 {
        exchange(&mut shard, &mut host, 5, messages);
    }
    assert_eq!(told(&host), [(1, 1, true, false)]);
}

#[test]
fn time_triggers_a_report_with_the_next_message() {
    let (mut shard, mut host) = joined(Some(StatisticsConfig { after_ms: Some(60_000), ..quiet() }));
    for (seconds, messages) in [(59, 1), (100, 2), (159, 3), (160, 4)] {
        exchange(&mut shard, &mut host, seconds, messages);
    }
    assert_eq!(told(&host), [(1, 2, true, false), (2, 2, false, false)]);
}

#[test]
fn the_last_report_has_the_rest() {
    let (mut shard, mut host) = joined(Some(StatisticsConfig { on_join: true, on_leave: true, ..quiet() }));
    host.total = Traffic { octets: 70, messages: 7, rated_messages: 7 };
    shard.handle(at(1), Input::Closed { key: KEY }, &mut host);
    assert_eq!(told(&host), [(1, 0, true, false), (2, 7, false, true)]);
}

#[test]
fn long_messages_count_as_several() {
    let mut traffic = Traffic::default();
    for size in [1, 512, 513, 2048] {
        traffic.add(size, 512);
    }
    assert_eq!(traffic, Traffic { octets: 3074, messages: 4, rated_messages: 8 });
}
