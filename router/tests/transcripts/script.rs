//! Transcripts: scripted conversations between clients and a router, the same for every transport and placement.
//!
//! ```text
//! ## A title starts a transcript
//! # a comment
//! join a b                          HELLO with all roles and features; `$a`, `$b` are the session ids
//! join a b @advanced                the same in another realm
//! a> [32,1,{},"com.x"]              the client `a` sends
//! a+ [32,2,{},"com.y"]              the same, but the next line follows at once
//! a< [33,1,$sub]                    the next message that `a` receives; `$sub` is bound, or compared
//! a< [2,$id,{"realm":"realm1","...":0}]   further keys are allowed
//! a by dynamic                      `a` comes by the listening transport of that name; others by `static`
//! a limit 64                        from here on `a` takes messages of at most so many octets
//! a any                             whatever `a` has received, if anything
//! a lost                            the client's transport breaks
//! a ended                           the router ends the transport
//! wait 50ms                         time passes: virtual in memory, real over sockets
//! ```
//! At the end of a transcript nobody has received anything that it does not mention.

use std::collections::BTreeMap;

use crossring_codec::serializer::SerializerId;
use crossring_codec::value::Value;

/// What runs transcripts: a router in memory, or clients over sockets.
pub(crate) trait Driver {
    /// Sends a WAMP message, in JSON. `is_pipelined`: more follows before anything else happens.
    fn send(&mut self, client: &str, message: &str, is_pipelined: bool);
    /// The next message that the client has received, in JSON.
    fn receive(&mut self, client: &str) -> Option<String>;
    /// As `receive`, at the end, when nothing should come any more.
    fn receive_unexpected(&mut self, client: &str) -> Option<String> {
        self.receive(client)
    }
    /// Breaks the client's transport.
    fn lose(&mut self, client: &str);
    /// Whether the router has ended the client's transport.
    fn is_ended(&mut self, client: &str) -> bool;
    /// Bounds what the client takes.
    fn limit(&mut self, client: &str, octets: usize);
    /// Lets milliseconds pass.
    fn wait(&mut self, ms: u64);
}

/// A transcript.
#[derive(Debug)]
pub(crate) struct Script<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// Its lines, with their numbers in the file.
    lines: Vec<(usize, &'a str)>,
}

impl<'a> Script<'a> {
    /// The transcripts of a file.
    pub(crate) fn parse(text: &'a str) -> Vec<Script<'a>> {
        let mut scripts: Vec<Script<'a>> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(title) = line.strip_prefix("## ") {
                scripts.push(Script { title, lines: Vec::new() });
            } else if !line.is_empty() && !line.starts_with('#') {
                let script = scripts.last_mut().expect("a file starts with a title");
                script.lines.push((index + 1, line));
            }
        }
        scripts
    }

    /// The clients, in the order of their appearance.
    pub(crate) fn clients(&self) -> Vec<&'a str> {
        let mut names = Vec::new();
        for (_, line) in &self.lines {
            let mentioned: Vec<&str> = match line.strip_prefix("join ") {
                Some(list) => list.split_whitespace().filter(|name| !name.starts_with('@')).collect(),
                None if waiting_ms(line).is_some() => Vec::new(),
                None => vec![split(line).0],
            };
            for name in mentioned {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// The listening transport that a client comes by.
    pub(crate) fn door(&self, client: &str) -> &'a str {
        let mut lines = self.lines.iter().map(|(_, line)| split(line));
        lines.find(|line| line.0 == client && line.1 == "by").map_or("static", |line| line.2)
    }

    /// Milliseconds that it waits in all.
    #[allow(dead_code, reason = "time costs nothing in memory")]
    pub(crate) fn waits_ms(&self) -> u64 {
        self.lines.iter().filter_map(|(_, line)| waiting_ms(line)).sum()
    }

    /// What a client sends, with its variables.
    #[allow(dead_code, reason = "in memory there are no serializers")]
    pub(crate) fn sent(&self, client: &str) -> impl Iterator<Item = &'a str> {
        self.told(client, &[">", "+"])
    }

    /// What a client should receive, with its variables.
    #[allow(dead_code, reason = "in memory there are no serializers")]
    pub(crate) fn expected(&self, client: &str) -> impl Iterator<Item = &'a str> {
        self.told(client, &["<"])
    }

    fn told(&self, client: &str, actions: &'static [&'static str]) -> impl Iterator<Item = &'a str> {
        let lines = self.lines.iter().map(|(_, line)| split(line));
        lines
            .filter(move |(name, action, _)| *name == client && actions.contains(action))
            .map(|(_, _, rest)| rest)
    }

    /// Runs the transcript; the error names the line.
    pub(crate) fn run(&self, driver: &mut impl Driver) -> Result<(), String> {
        let mut bound = BTreeMap::new();
        for (number, line) in &self.lines {
            run_line(line, driver, &mut bound)
                .map_err(|fault| format!("line {number}: {line}\n  {fault}"))?;
        }
        for client in self.clients() {
            if let Some(message) = driver.receive_unexpected(client) {
                return Err(format!("at the end {client} has also received {message}"));
            }
        }
        Ok(())
    }
}

const ALL_ROLES: &str = r#"{"publisher":{"features":{"payload_passthru_mode":true,"payload_transparency":true}},"subscriber":{"features":{"subscription_revocation":true}},
"caller":{"features":{"progressive_call_results":true,"progressive_call_invocations":true,"call_timeout":true,"call_canceling":true}},
"callee":{"features":{"progressive_call_results":true,"progressive_call_invocations":true,"call_timeout":true,"call_canceling":true,"call_reroute":true,"registration_revocation":true,"payload_passthru_mode":true,"payload_transparency":true}}}"#;

fn run_line(line: &str, driver: &mut impl Driver, bound: &mut BTreeMap<String, Value>) -> Result<(), String> {
    if let Some(names) = line.strip_prefix("join ") {
        let (names, realm) = names.split_once('@').unwrap_or((names, "realm1"));
        for name in names.split_whitespace() {
            driver.send(name, &format!("[1,\"{realm}\",{{\"roles\":{ALL_ROLES}}}]"), false);
            expect(driver, name, &format!("[2,${name},{{\"...\":0}}]"), bound)?;
        }
        return Ok(());
    }
    if let Some(ms) = waiting_ms(line) {
        driver.wait(ms);
        return Ok(());
    }
    let (client, action, rest) = split(line);
    match action {
        ">" | "+" => driver.send(client, &substitute(rest, bound)?, action == "+"),
        "<" => expect(driver, client, rest, bound)?,
        "by" => {}
        "any" => while driver.receive_unexpected(client).is_some() {},
        "lost" => driver.lose(client),
        "ended" if !driver.is_ended(client) => return Err("the transport is still open".to_owned()),
        "ended" => {}
        "limit" => driver.limit(client, rest.parse().map_err(|_| "a limit is a number")?),
        _ => return Err("not understood".to_owned()),
    }
    Ok(())
}

/// The time of `wait 50ms`.
fn waiting_ms(line: &str) -> Option<u64> {
    line.strip_prefix("wait ")?.strip_suffix("ms")?.parse().ok()
}

/// Client, action, and what it is about.
fn split(line: &str) -> (&str, &str, &str) {
    let end = line.find(|c: char| !c.is_alphanumeric()).unwrap_or(line.len());
    let (client, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let end = rest.find(|c: char| c.is_whitespace()).unwrap_or(rest.len());
    let (action, rest) = rest.split_at(end);
    (client, action, rest.trim())
}

fn expect(
    driver: &mut impl Driver,
    client: &str,
    expected: &str,
    bound: &mut BTreeMap<String, Value>,
) -> Result<(), String> {
    let Some(received) = driver.receive(client) else { return Err("nothing was received".to_owned()) };
    let pattern = value(&quote_variables(expected))?;
    let found = value(&received)?;
    if matches(&pattern, &found, bound) { Ok(()) } else { Err(format!("received {received}")) }
}

fn matches(pattern: &Value, found: &Value, bound: &mut BTreeMap<String, Value>) -> bool {
    match (pattern, found) {
        (Value::String(name), _) if name.starts_with('$') => {
            bound.entry(name.clone()).or_insert_with(|| found.clone()) == found
        }
        (Value::List(pattern), Value::List(found)) => {
            pattern.len() == found.len()
                && pattern.iter().zip(found).all(|(pattern, found)| matches(pattern, found, bound))
        }
        (Value::Dict(wanted), Value::Dict(_)) => {
            let open = pattern.get("...").is_some();
            let count = |value: &Value| match value {
                Value::Dict(entries) => entries.len(),
                _ => 0,
            };
            (open || count(pattern) == count(found))
                && wanted
                    .iter()
                    .filter(|(key, _)| key != "...")
                    .all(|(key, pattern)| found.get(key).is_some_and(|found| matches(pattern, found, bound)))
        }
        _ => pattern == found,
    }
}

/// Whether a message is what is expected, whatever the variables stand for.
#[allow(dead_code, reason = "in memory there are no serializers")]
pub(crate) fn is_like(expected: &str, message: &str) -> bool {
    let read = value(&quote_variables(expected)).and_then(|pattern| Ok((pattern, value(message)?)));
    read.is_ok_and(|(pattern, found)| matches(&pattern, &found, &mut BTreeMap::new()))
}

/// The text with one value in place of all variables.
#[allow(dead_code, reason = "in memory there are no serializers")]
pub(crate) fn with_variables(text: &str, value: &str) -> String {
    each_variable(text, |_| Ok(value.to_owned())).unwrap_or_default()
}

fn value(text: &str) -> Result<Value, String> {
    Value::decode(SerializerId::Json, text.as_bytes()).map_err(|error| format!("{text}: {error:?}"))
}

/// `$name` becomes `"$name"`, so that the line is JSON.
fn quote_variables(text: &str) -> String {
    each_variable(text, |name| Ok(format!("\"{name}\""))).unwrap_or_default()
}

/// `$name` becomes what it is bound to.
fn substitute(text: &str, bound: &BTreeMap<String, Value>) -> Result<String, String> {
    each_variable(text, |name| {
        let value = bound.get(name).ok_or_else(|| format!("{name} is not bound"))?;
        let mut octets = Vec::new();
        value.encode(SerializerId::Json, &mut octets).map_err(|error| format!("{error:?}"))?;
        String::from_utf8(octets).map_err(|error| error.to_string())
    })
}

fn each_variable(text: &str, with: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('$') {
        let name = &rest[start..];
        let end = name[1..].find(|c: char| !c.is_alphanumeric()).map_or(name.len(), |end| end + 1);
        result.push_str(&rest[..start]);
        result.push_str(&with(&name[..end])?);
        rest = &name[end..];
    }
    result.push_str(rest);
    Ok(result)
}
