//! Sessions that attacks must not hurt: one publishes at a steady pace, others note when each event comes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossring::client::{Client, ClientError, Destination, RouterUrl};
use crossring::tls::ClientSettings;
use crossring_codec::message::{PublishOptions, SubscribeOptions};
use crossring_codec::payload::Payload;
use crossring_codec::serializer::{Serializer, SerializerId};
use crossring_router::client::ClientEvent;

use super::support::{PATIENCE, wait_until};
use super::{Field, pause};

const TOPIC: &str = "com.example.bystanders";
const EVENTS_PER_SECOND: u32 = 200;

/// So many that each of two shards has some.
const SUBSCRIBERS: usize = 4;

/// What one subscriber has got.
#[derive(Default)]
struct Seen {
    last: AtomicU64,
    delays_us: Mutex<Vec<u64>>,
}

pub(super) struct Bystanders {
    is_over: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    seen: Vec<Arc<Seen>>,
    threads: Vec<JoinHandle<()>>,
}

/// Times from publication to arrival, in microseconds.
#[derive(Copy, Clone, Debug)]
pub(super) struct Delays {
    pub(super) events: usize,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

impl Bystanders {
    pub(super) fn start(field: &Field) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let published = Arc::new(AtomicU64::new(0));
        let begun = Instant::now();
        let seen: Vec<Arc<Seen>> = (0..SUBSCRIBERS).map(|_| Arc::default()).collect();
        let mut threads: Vec<_> = seen
            .iter()
            .map(|seen| {
                let mut client = join(field);
                subscribe(&mut client);
                let (seen, is_over) = (Arc::clone(seen), Arc::clone(&is_over));
                thread::spawn(move || listen(client, begun, &seen, &is_over))
            })
            .collect();
        let publisher = join(field);
        let (count, over) = (Arc::clone(&published), Arc::clone(&is_over));
        threads.push(thread::spawn(move || speak(publisher, begun, &count, &over)));
        Self { is_over, published, seen, threads }
    }

    /// What the subscribers see while `act` runs. Panics if they lose an event.
    pub(super) fn during<R>(&self, act: impl FnOnce() -> R) -> (R, Delays) {
        self.take();
        let result = act();
        let published = self.published.load(Ordering::SeqCst);
        let all_seen =
            wait_until(|| self.seen.iter().all(|seen| seen.last.load(Ordering::SeqCst) >= published));
        assert!(all_seen, "a bystander does not get its events any more");
        (result, Delays::of(self.take()))
    }

    fn take(&self) -> Vec<u64> {
        let delays = |seen: &Arc<Seen>| std::mem::take(&mut *seen.delays_us.lock().expect("no panic there"));
        self.seen.iter().flat_map(delays).collect()
    }

    /// Ends them; says how many events each has got.
    pub(super) fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a bystander was hurt");
        }
        self.published.load(Ordering::SeqCst)
    }
}

impl Delays {
    fn of(mut delays_us: Vec<u64>) -> Self {
        delays_us.sort_unstable();
        let at = |share: f64| {
            let index = (delays_us.len() as f64 * share) as usize;
            delays_us.get(index.min(delays_us.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        Self { events: delays_us.len(), p50_us: at(0.5), p99_us: at(0.99), max_us: at(1.0) }
    }
}

fn join(field: &Field) -> Client {
    let to = Destination {
        url: RouterUrl::RawSocket {
            host: "127.0.0.1".into(),
            port: field.bystanders.port(),
            is_secure: false,
        },
        tls: ClientSettings::default(),
        realm: "realm1".into(),
        serializer: Serializer::plain(SerializerId::Cbor),
        identity: None,
        timeout: PATIENCE,
    };
    Client::join(&to).expect("everybody may join")
}

fn subscribe(client: &mut Client) {
    let request = client.session.subscribe(TOPIC, SubscribeOptions::default()).expect("joined");
    client.send(&request.message).expect("connected");
    let event = client.next(Some(PATIENCE)).expect("an answer");
    assert!(matches!(event, ClientEvent::Subscribed { .. }), "{event:?}");
}

/// Publishes numbers from 1 on, each with the time since `begun` in microseconds.
fn speak(mut client: Client, begun: Instant, published: &AtomicU64, is_over: &AtomicBool) {
    let interval = Duration::from_secs(1) / EVENTS_PER_SECOND;
    let mut due = Instant::now();
    while !is_over.load(Ordering::SeqCst) {
        let number = published.load(Ordering::SeqCst) + 1;
        let now_us = begun.elapsed().as_micros() as u64;
        let payload = Payload::from_values(SerializerId::Cbor, &[number.into(), now_us.into()], &Vec::new());
        let request = client.session.publish(TOPIC, PublishOptions::default(), payload).expect("joined");
        client.send(&request.message).expect("the publisher was cut off");
        published.store(number, Ordering::SeqCst);
        due += interval;
        pause(due.saturating_duration_since(Instant::now()));
    }
}

fn listen(mut client: Client, begun: Instant, seen: &Seen, is_over: &AtomicBool) {
    let mut last = 0;
    while !is_over.load(Ordering::SeqCst) {
        let event = match client.next(Some(Duration::from_millis(100))) {
            Err(ClientError::Timeout) => continue,
            event => event.expect("a subscriber was cut off"),
        };
        let now_us = begun.elapsed().as_micros() as u64;
        let ClientEvent::Event { payload, .. } = event else { panic!("{event:?}") };
        let arguments = payload.arguments().expect("a list");
        let numbers = [0, 1].map(|index| arguments[index].as_integer().expect("a number") as u64);
        assert_eq!(numbers[0], last + 1, "an event was lost");
        last = numbers[0];
        seen.delays_us.lock().expect("no panic there").push(now_us.saturating_sub(numbers[1]));
        seen.last.store(last, Ordering::SeqCst);
    }
}
