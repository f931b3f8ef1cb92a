//! Which server, by which protocol: what a user writes as a URL, and the one place that turns it
//! into a concrete protocol driver.

use std::{fmt, net::ToSocketAddrs, str::FromStr, time::Duration};

use crossring_codec::serializer::Serializer;

use crate::{
    clock::Clock,
    driver::{self, Bench},
    fault::Fault,
    identity::Method,
    link::Address,
    progress::Progress,
    protocol::{
        Protocol,
        floor::Floor,
        mqtt::Mqtt,
        nats::Nats,
        redis::Redis,
        wamp::{Carrier, Wamp, Wire},
    },
    recorder::Measurement,
    runtime::{Generator, Spin},
    scenario::Scenario,
    server_process::ServerProcess,
};

/// The closed set of protocols the generator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The floor pump's frames.
    Floor,
    /// NATS core.
    Nats,
    /// Redis publish/subscribe.
    Redis,
    /// MQTT 3.1.1.
    Mqtt,
    /// WAMP.
    Wamp(Wire),
}

/// A server to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How to talk to it.
    pub dialect: Dialect,
    /// Where it listens.
    pub address: Address,
    /// Request target of the WebSocket handshake, empty for everything else.
    pub resource: String,
}

/// WAMP realm that sessions join unless told otherwise.
pub const REALM_DEFAULT: &str = "realm1";

impl Target {
    /// The same server by another serializer; `None` if it is not reached by WAMP, or not so.
    pub fn with_serializer(self, serializer: Serializer) -> Option<Target> {
        match self.dialect {
            Dialect::Wamp(Wire { carrier: Carrier::RawSocket, .. }) if serializer.batched => None,
            Dialect::Wamp(Wire { carrier, .. }) => {
                Some(Target { dialect: Dialect::Wamp(Wire { carrier, serializer }), ..self })
            }
            _ => None,
        }
    }
}

impl Dialect {
    /// Whether the protocol has calls.
    pub fn has_calls(self) -> bool {
        !matches!(self, Dialect::Redis | Dialect::Mqtt)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.dialect {
            Dialect::Floor => "floor",
            Dialect::Nats => "nats",
            Dialect::Redis => "redis",
            Dialect::Mqtt => "mqtt",
            Dialect::Wamp(Wire { carrier: Carrier::RawSocket, .. }) => "rs",
            Dialect::Wamp(Wire { carrier: Carrier::WebSocket, .. }) => "ws",
        };
        write!(f, "{scheme}://{}{}", self.address, self.resource)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Target, String> {
        let (scheme, rest) = url.split_once("://").ok_or("a target is SCHEME://ADDRESS")?;
        let dialect = match scheme {
            "floor" => Dialect::Floor,
            "nats" => Dialect::Nats,
            "redis" => Dialect::Redis,
            "mqtt" => Dialect::Mqtt,
            "rs" => Dialect::Wamp(Wire::DEFAULT),
            "ws" => Dialect::Wamp(Wire { carrier: Carrier::WebSocket, serializer: Serializer::MESSAGE_PACK }),
            _ => return Err(format!("no such scheme: {scheme:?} (floor, nats, redis, mqtt, rs, ws)")),
        };
        let is_path_separate = scheme == "ws" && !rest.starts_with("unix:");
        let path_at = if is_path_separate { rest.find('/').unwrap_or(rest.len()) } else { rest.len() };
        let (address, resource) = rest.split_at(path_at);
        Ok(Target { dialect, address: parse_address(address)?, resource: resource.to_owned() })
    }
}

/// `HOST:PORT` or `unix:PATH`.
fn parse_address(text: &str) -> Result<Address, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Address::Unix(path.into()));
    }
    let mut addresses = text.to_socket_addrs().map_err(|error| format!("{text}: {error}"))?;
    addresses.next().map(Address::Tcp).ok_or_else(|| format!("{text}: no address"))
}

/// How one measurement is made.
pub struct Settings {
    /// Not measured at the start.
    pub warm_up: Duration,
    /// The measuring window.
    pub window: Duration,
    /// The server's process, if known.
    pub server: Option<ServerProcess>,
    /// The processors it is pinned to.
    pub server_processors: Vec<usize>,
    /// Shows what happens.
    pub progress: Progress,
    /// WAMP realm to join.
    pub realm: String,
}

/// Runs `scenario` against `target` once, on `generator`.
pub fn measure(
    generator: &mut Generator,
    clock: Clock,
    target: &Target,
    scenario: &Scenario,
    settings: Settings,
) -> Result<Measurement, Fault> {
    let bytes = scenario.payload_bytes;
    let method = scenario.method();
    if method != Method::Anonymous && !matches!(target.dialect, Dialect::Wamp(_)) {
        return Err(Fault::Unsupported { operation: "authenticate" });
    }
    match target.dialect {
        Dialect::Floor => measure_as(Floor::new(bytes), generator, clock, target, scenario, settings),
        Dialect::Nats => measure_as(Nats::new(bytes), generator, clock, target, scenario, settings),
        Dialect::Redis => measure_as(Redis::new(bytes), generator, clock, target, scenario, settings),
        Dialect::Mqtt => measure_as(Mqtt::new(bytes), generator, clock, target, scenario, settings),
        Dialect::Wamp(wire) => {
            let wamp = Wamp::new(wire, &settings.realm, &target.resource, bytes)?.proving(method);
            measure_as(wamp, generator, clock, target, scenario, settings)
        }
    }
}

fn measure_as<P: Protocol>(
    protocol: P,
    generator: &mut Generator,
    clock: Clock,
    target: &Target,
    scenario: &Scenario,
    settings: Settings,
) -> Result<Measurement, Fault> {
    let laps = generator.laps();
    let address = target.address.clone();
    let Settings { warm_up, window, server, server_processors, progress, .. } = settings;
    generator.block_on(async move {
        let spin = Spin::new(laps).map_err(Fault::io("open /dev/null"))?;
        let bench =
            Bench { protocol, address, clock, spin, warm_up, window, server, server_processors, progress };
        driver::measure(&bench, scenario).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_round_trip() {
        for url in [
            "floor://127.0.0.1:4000",
            "nats://127.0.0.1:4222",
            "mqtt://unix:/run/broker.sock",
            "ws://127.0.0.1:8080/ws",
            "rs://unix:/run/r.sock",
        ] {
            assert_eq!(url.parse::<Target>().map(|target| target.to_string()), Ok(url.to_owned()));
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in ["127.0.0.1:4000", "http://127.0.0.1:80", "nats://nowhere", "rs://127.0.0.1:80/ws"] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }
}
