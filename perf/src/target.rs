//! Which server, by which protocol: what a user writes as a URL, and the one place that turns it
//! into a concrete protocol driver.

use std::{fmt, net::ToSocketAddrs, str::FromStr, time::Duration};

use crossring_codec::serializer::Serializer;

use crate::{
    clock::Clock,
    driver::{
        self, Bench,
        requests::{self, Http},
    },
    fault::Fault,
    identity::Method,
    link::Address,
    progress::Progress,
    protocol::{
        Protocol,
        floor::Floor,
        mqtt::Mqtt,
        nats::{Nats, Wrapping},
        redis::Redis,
        wamp::{Carrier, Compression, Wamp, Wire},
    },
    recorder::Measurement,
    runtime::{Generator, Laps, Spin},
    scenario::{Scenario, Shape},
    server_process::ServerProcess,
};

/// The closed set of protocols the generator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The floor pump's frames.
    Floor {
        /// Whether connections are encrypted.
        is_secured: bool,
    },
    /// NATS core.
    Nats(Wrapping),
    /// Redis publish/subscribe.
    Redis,
    /// MQTT 3.1.1.
    Mqtt,
    /// WAMP.
    Wamp(Wire),
    /// Files over HTTP.
    Http {
        /// Whether connections are encrypted.
        is_secured: bool,
    },
}

/// A server to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// How to talk to it.
    pub dialect: Dialect,
    /// Where it listens.
    pub address: Address,
    /// Request target of the WebSocket handshake, or the path that files are below; empty for everything else.
    pub resource: String,
}

/// WAMP realm that sessions join unless told otherwise.
pub const REALM_DEFAULT: &str = "realm1";

impl Target {
    /// The same server by another serializer; `None` if it is not reached by WAMP, or not so.
    pub fn with_serializer(self, serializer: Serializer) -> Option<Target> {
        match self.dialect {
            Dialect::Wamp(Wire { carrier: Carrier::RawSocket, .. }) if serializer.batched => None,
            Dialect::Wamp(wire) => {
                Some(Target { dialect: Dialect::Wamp(Wire { serializer, ..wire }), ..self })
            }
            _ => None,
        }
    }
}

impl Dialect {
    /// What a scheme says behind its name.
    fn wrapping(self) -> String {
        match self {
            Dialect::Nats(wrapping) => wrapping.to_string(),
            Dialect::Wamp(Wire { compression, is_secured, .. }) => {
                format!("{}{}", compression.suffix(), if is_secured { "+tls" } else { "" })
            }
            Dialect::Floor { .. } | Dialect::Redis | Dialect::Mqtt | Dialect::Http { .. } => {
                if self.is_secured() { "+tls" } else { "" }.to_owned()
            }
        }
    }

    /// Whether connections are encrypted.
    pub fn is_secured(self) -> bool {
        match self {
            Dialect::Nats(wrapping) => wrapping.is_secured,
            Dialect::Wamp(wire) => wire.is_secured,
            Dialect::Http { is_secured } | Dialect::Floor { is_secured } => is_secured,
            Dialect::Redis | Dialect::Mqtt => false,
        }
    }

    /// What the scheme of a URL stands for: a name, and what is appended to it.
    fn from_scheme(scheme: &str) -> Result<Dialect, String> {
        let (plain, is_secured) = scheme.strip_suffix("+tls").map_or((scheme, false), |plain| (plain, true));
        let wamp = |carrier| Wire { is_secured, ..Wire::plain(carrier, Serializer::MESSAGE_PACK) };
        let compressed = |compression| Wire { compression, ..wamp(Carrier::WebSocket) };
        Ok(match plain {
            "floor" => Dialect::Floor { is_secured },
            "redis" if !is_secured => Dialect::Redis,
            "mqtt" if !is_secured => Dialect::Mqtt,
            "http" => Dialect::Http { is_secured },
            "nats" => Dialect::Nats(Wrapping { is_websocket: false, is_secured }),
            "nats+ws" => Dialect::Nats(Wrapping { is_websocket: true, is_secured }),
            "rs" => Dialect::Wamp(wamp(Carrier::RawSocket)),
            "ws" => Dialect::Wamp(wamp(Carrier::WebSocket)),
            "ws+deflate" => Dialect::Wamp(compressed(Compression::Deflate)),
            "ws+deflate-alone" => Dialect::Wamp(compressed(Compression::DeflateAlone)),
            _ => {
                return Err(format!(
                    "no such scheme: {scheme:?} (redis, mqtt; floor, http, nats, nats+ws, rs, ws, ws+deflate, \
                     ws+deflate-alone, each with +tls appended if wanted)"
                ));
            }
        })
    }

    /// Whether the protocol has calls.
    pub fn has_calls(self) -> bool {
        !matches!(self, Dialect::Redis | Dialect::Mqtt | Dialect::Http { .. })
    }

    /// Whether `scenario` can be played to its end.
    pub fn can_play(self, scenario: &Scenario) -> bool {
        match scenario.shape {
            Shape::Static { .. } => matches!(self, Dialect::Http { .. }),
            _ if matches!(self, Dialect::Http { .. }) => false,
            Shape::Rpc { .. } => self.has_calls(),
            Shape::Handshakes { .. } => self.is_secured(),
            _ if scenario.method() != Method::Anonymous => matches!(self, Dialect::Wamp(_)),
            _ => true,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.dialect {
            Dialect::Floor { .. } => "floor",
            Dialect::Nats(_) => "nats",
            Dialect::Redis => "redis",
            Dialect::Mqtt => "mqtt",
            Dialect::Http { .. } => "http",
            Dialect::Wamp(Wire { carrier: Carrier::RawSocket, .. }) => "rs",
            Dialect::Wamp(Wire { carrier: Carrier::WebSocket, .. }) => "ws",
        };
        let wrapping = self.dialect.wrapping();
        write!(f, "{scheme}{wrapping}://{}{}", self.address, self.resource)
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Target, String> {
        let (scheme, rest) = url.split_once("://").ok_or("a target is SCHEME://ADDRESS")?;
        let dialect = Dialect::from_scheme(scheme)?;
        let is_websocket = matches!(dialect, Dialect::Wamp(Wire { carrier: Carrier::WebSocket, .. }));
        let has_path = is_websocket || matches!(dialect, Dialect::Http { .. });
        let is_path_separate = has_path && !rest.starts_with("unix:");
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
    if !target.dialect.can_play(scenario) {
        return Err(Fault::Setup(format!("{target} has not what {scenario} needs")));
    }
    match target.dialect {
        Dialect::Http { is_secured } => {
            let base = target.resource.trim_end_matches('/').to_owned();
            measure_http(
                Http { base, file_bytes: bytes, is_secured },
                generator,
                clock,
                target,
                scenario,
                settings,
            )
        }
        Dialect::Floor { is_secured } => {
            measure_as(Floor::new(is_secured, bytes), generator, clock, target, scenario, settings)
        }
        Dialect::Nats(wrapping) => {
            measure_as(Nats::new(wrapping, bytes), generator, clock, target, scenario, settings)
        }
        Dialect::Redis => measure_as(Redis::new(bytes), generator, clock, target, scenario, settings),
        Dialect::Mqtt => measure_as(Mqtt::new(bytes), generator, clock, target, scenario, settings),
        Dialect::Wamp(wire) => {
            let wamp = Wamp::new(wire, &settings.realm, &target.resource, bytes)?.proving(scenario.method());
            measure_as(wamp, generator, clock, target, scenario, settings)
        }
    }
}

fn measure_http(
    http: Http,
    generator: &mut Generator,
    clock: Clock,
    target: &Target,
    scenario: &Scenario,
    settings: Settings,
) -> Result<Measurement, Fault> {
    let Shape::Static { connections } = scenario.shape else {
        return Err(Fault::Unsupported { operation: "anything but GET" });
    };
    let laps = generator.laps();
    generator.block_on(async move {
        let bench = bench(http, laps, clock, target, settings)?;
        requests::measure(&bench, connections).await
    })
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
    generator.block_on(async move {
        let bench = bench(protocol, laps, clock, target, settings)?;
        driver::measure(&bench, scenario).await
    })
}

/// Must be called on the runtime.
fn bench<P>(
    protocol: P,
    laps: Laps,
    clock: Clock,
    target: &Target,
    settings: Settings,
) -> Result<Bench<P>, Fault> {
    let address = target.address.clone();
    let Settings { warm_up, window, server, server_processors, progress, .. } = settings;
    let spin = Spin::new(laps).map_err(Fault::io("open /dev/null"))?;
    Ok(Bench { protocol, address, clock, spin, warm_up, window, server, server_processors, progress })
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
            "ws+deflate-alone+tls://127.0.0.1:8080/ws",
            "nats+ws+tls://127.0.0.1:4222",
            "rs+tls://127.0.0.1:8081",
            "http+tls://127.0.0.1:8443/files",
            "rs://unix:/run/r.sock",
        ] {
            assert_eq!(url.parse::<Target>().map(|target| target.to_string()), Ok(url.to_owned()));
        }
    }

    #[test]
    fn other_urls_are_refused() {
        for url in [
            "127.0.0.1:4000",
            "redis+tls://127.0.0.1:1",
            "rs+deflate://127.0.0.1:1",
            "gopher://127.0.0.1:80",
            "nats://nowhere",
            "rs://127.0.0.1:80/ws",
        ] {
            assert!(url.parse::<Target>().is_err(), "{url}");
        }
    }
}
