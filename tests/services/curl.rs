//! Every web service as curl sees it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::site::{HOOK_SECRET, KEY, SECRET, Site};
use super::{clients, program};

/// A request that hangs fails after this many seconds.
const LIMIT_S: &str = "30";

const JSON: &str = "Content-Type: application/json";

struct Curl {
    program: PathBuf,
    site: Site,
}

/// What came back.
struct Answer {
    status: u16,
    /// `1.1` or `2`.
    version: String,
    head: String,
    text: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next_back()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

impl Curl {
    /// None where there is no curl, or no server for behind the proxies.
    fn find(engine: &str) -> Option<Self> {
        let program = program(&["curl"])?;
        Some(Self { program, site: Site::start(&clients()?, engine) })
    }

    fn start(&self, path: &str, arguments: &[&str]) -> Child {
        let mut command = Command::new(&self.program);
        command.args(["--silent", "--show-error", "--include", "--no-buffer", "--noproxy", "*"]);
        command.args(["--max-time", LIMIT_S, "--write-out", "\n%{http_version} %{http_code}"]);
        command.arg("--cacert").arg(self.site.certificate()).args(arguments);
        let place = if path.starts_with("https:") {
            path.to_owned()
        } else {
            format!("http://{}{path}", self.site.at)
        };
        command.arg(place).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("curl starts")
    }

    fn ask(&self, path: &str, arguments: &[&str]) -> Answer {
        self.finish(self.start(path, arguments))
    }

    fn finish(&self, curl: Child) -> Answer {
        let output = curl.wait_with_output().expect("curl ends");
        let text = String::from_utf8(output.stdout).expect("text").replace('\r', "");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}{text}\nrouter:\n{}", self.site.router.log());
        let (text, written) = text.rsplit_once('\n').expect("what it was asked to write");
        let (version, status) = written.split_once(' ').expect("two words");
        let (head, text) = text.split_once("\n\n").expect("a head");
        Answer {
            status: status.parse().expect("a status"),
            version: version.to_owned(),
            head: head.to_owned(),
            text: text.to_owned(),
        }
    }

    fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask(path, &["--header", JSON, "--data", &body.to_string()])
    }

    /// The same path by TLS.
    fn secured(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.site.secured.port())
    }

    #[track_caller]
    fn check(&self, path: &str, arguments: &[&str], status: u16, text: &str) {
        let answer = self.ask(path, arguments);
        assert!(
            answer.status == status && answer.text.contains(text),
            "{path} {arguments:?}: {} {} {}",
            answer.status,
            answer.head,
            answer.text
        );
    }
}

#[test]
fn curl_is_served() {
    is_served("auto");
}

#[test]
fn curl_is_served_with_epoll() {
    is_served("epoll");
}

fn is_served(engine: &str) {
    let Some(curl) = Curl::find(engine) else { return };
    what_is_only_read(&curl);
    calls_and_publications(&curl);
    what_others_answer(&curl);
    uploads(&curl);
    pages_from_elsewhere(&curl);
    http2(&curl);
    websockets(&curl);
    assert!(engine == "auto" || curl.site.router.log().contains(&format!("engine {engine}")));
    curl.site.stop();
}

fn what_is_only_read(curl: &Curl) {
    curl.check("/", &[], 200, "A page with AutobahnJS");
    curl.check("/files/a%20%3Cb%3E.txt", &["--range", "5-6"], 206, "is");
    curl.check("/files/", &[], 200, "<h1>");
    curl.check("/files/../../config.json", &["--path-as-is"], 404, "");
    curl.check("/files/%2e%2e/config.json", &["--path-as-is"], 404, "");
    let page = curl.ask("/", &["--head"]);
    let tag = format!("If-None-Match: {}", page.field("etag").expect("a tag"));
    curl.check("/", &["--header", &tag], 304, "");
    curl.check("/info", &[], 200, "<h1>crossring</h1>");
    assert_eq!(curl.ask("/info", &["--header", "Accept: application/json"]).json()["shards"], 2);
    assert_eq!(curl.ask("/doc", &[]).json(), json!({"a": ["ü"]}));
    curl.check("/deep/er/doc", &[], 200, "1");
    curl.check("/deep/none", &[], 404, "");
    assert_eq!(curl.ask("/to/x", &[]).field("location"), Some("/info"));
    curl.check("/to/x", &["--location"], 200, "<h1>crossring</h1>");
    curl.check("/packed/", &["--compressed"], 200, "<h1>Packed</h1>");
    curl.check("/packed/app.js", &[], 200, "querySelector");
    curl.check("/packed/none", &[], 404, "");
    for path in ["/", "/info", "/doc", "/to", "/packed/"] {
        curl.check(path, &["--request", "DELETE"], 405, "");
    }
}

/// A session by long-poll sees what the other services do.
struct LongPoll<'a> {
    curl: &'a Curl,
    path: String,
}

impl<'a> LongPoll<'a> {
    fn join(curl: &'a Curl) -> Self {
        let opened = curl.post("/lp/open", &json!({"protocols": ["wamp.2.json"]})).json();
        let path = format!("/lp/{}", opened["transport"].as_str().expect("an id"));
        let session = Self { curl, path };
        session.send(&json!([1, "realm1", {"roles": {"subscriber": {}, "callee": {}}}]));
        assert_eq!(session.receive()[0], 2);
        session
    }

    fn send(&self, message: &Value) {
        assert_eq!(self.curl.post(&format!("{}/send", self.path), message).status, 204);
    }

    fn receive(&self) -> Value {
        self.curl.post(&format!("{}/receive", self.path), &json!(null)).json()
    }

    /// Asks for something, and takes the answer.
    fn request(&self, message: &Value) -> Value {
        self.send(message);
        self.receive()
    }

    fn leave(self) {
        assert_eq!(self.curl.ask(&format!("{}/close", self.path), &["--request", "POST"]).status, 204);
        assert_eq!(self.curl.ask(&format!("{}/close", self.path), &["--request", "POST"]).status, 404);
    }
}

fn calls_and_publications(curl: &Curl) {
    let session = LongPoll::join(curl);
    for (request, topic) in ["com.curl.news", "com.curl.signed", "com.browser.hook"].iter().enumerate() {
        assert_eq!(session.request(&json!([32, request + 1, {}, topic]))[0], 33);
    }
    let published = curl.post("/push", &json!({"topic": "com.curl.news", "args": [1], "kwargs": {"a": "ü"}}));
    assert!(published.status == 200 && published.json()["id"].is_u64(), "{}", published.text);
    let event = session.receive();
    assert_eq!((&event[0], &event[4], &event[5]), (&json!(36), &json!([1]), &json!({"a": "ü"})));
    curl.check("/push", &["--header", JSON, "--data", "{}"], 400, "missing key 'topic'");

    let body = json!({"topic": "com.curl.signed", "args": [2]}).to_string();
    let good = signed("/signed", SECRET, &body);
    curl.check(&good, &["--header", JSON, "--data", &body], 200, "\"id\"");
    assert_eq!(session.receive()[4], json!([2]));
    curl.check(&good, &["--header", JSON, "--data", &body], 401, "used before");
    curl.check(&signed("/signed", "other", &body), &["--header", JSON, "--data", &body], 401, "not valid");

    let digits: String = mac(HOOK_SECRET, b"{}").iter().map(|octet| format!("{octet:02x}")).collect();
    let field = format!("X-Hub-Signature-256: sha256={digits}");
    curl.check("/hook", &["--header", &field, "--data", "{}"], 202, "OK");
    assert_eq!(session.receive()[4][0]["body"], "{}");
    curl.check("/hook", &["--header", &field, "--data", "{ }"], 400, "GitHub signature");

    assert_eq!(session.request(&json!([64, 9, {}, "com.curl.double"]))[0], 65);
    let call = json!({"procedure": "com.curl.double", "args": [4]}).to_string();
    let calling = curl.start("/call", &["--header", JSON, "--data", &call]);
    let invocation = session.receive();
    assert_eq!((&invocation[0], &invocation[4]), (&json!(68), &json!([4])));
    session.send(&json!([70, invocation[1], {}, [8]]));
    assert_eq!(curl.finish(calling).json(), json!({"args": [8]}));
    session.leave();
    curl.check("/call", &["--header", JSON, "--data", &call], 200, "wamp.error.no_such_procedure");
    let count = json!({"procedure": "wamp.session.count"}).to_string();
    curl.check("/safe", &["--header", JSON, "--data", &count], 400, "");
    curl.check(&curl.secured("/safe"), &["--header", JSON, "--data", &count], 200, "\"args\":[");
}

/// The path of a request with this body, with all that its signature needs.
fn signed(path: &str, secret: &str, body: &str) -> String {
    let now = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.000Z"]).output().expect("date runs");
    let now = String::from_utf8(now.stdout).expect("text").trim().to_owned();
    let signature = URL_SAFE.encode(mac(secret, format!("{KEY}{now}12{body}").as_bytes()));
    format!("{path}?key={KEY}&timestamp={now}&seq=1&nonce=2&signature={}", signature.replace('=', "%3D"))
}

fn mac(secret: &str, text: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn what_others_answer(curl: &Curl) {
    let arguments = ["--request", "PUT", "--data", "ü", "--header", "X-Own: 1"];
    let told = curl.ask("/back/a%20b?x=1", &arguments);
    assert_eq!((told.status, told.field("x-upstream")), (200, Some("node")));
    let told = told.json();
    assert_eq!((&told["method"], &told["body"]), (&json!("PUT"), &json!("ü")));
    assert_eq!((&told["url"], &told["headers"]["x-own"]), (&json!("/inner/a%20b?x=1"), &json!("1")));
    assert_eq!(told["headers"]["x-forwarded-for"], "127.0.0.1");
    curl.check("/back/teapot", &[], 418, "/inner/teapot");
    curl.check("/back/%2e%2e/secret", &["--path-as-is"], 400, "");

    let told = curl.ask("/cgi/tell/more?a=b", &["--data", "ü"]);
    assert_eq!((told.status, told.field("x-script")), (200, Some("sh")));
    assert_eq!(told.text, "POST /more ?a=b\nü");
    curl.check("/cgi/none", &[], 404, "");
}

fn uploads(curl: &Curl) {
    let chunk = |number: &str, content: &str| {
        let fields =
            ["name=curl.txt", "type=text/plain", "total=8", "size=5", "count=2", &format!("number={number}")]
                .map(str::to_owned);
        let content = format!("content={content};filename=blob");
        fields.into_iter().chain([content]).flat_map(|field| ["--form".to_owned(), field]).collect()
    };
    let send = |number: &str, content: &str, status: u16, text: &str| {
        let form: Vec<String> = chunk(number, content);
        curl.check("/up", &form.iter().map(String::as_str).collect::<Vec<_>>(), status, text);
    };
    let query = "/up?name=curl.txt&type=a/b&total=8&size=5&count=2&number=2";
    assert_eq!(curl.ask(query, &[]).status, 204);
    send("2", "678", 200, "");
    assert_eq!(curl.ask(query, &[]).status, 200);
    curl.check("/stored/curl.txt", &[], 404, "");
    send("1", "1234", 400, "");
    send("1", "12345", 200, "file stored");
    curl.check("/stored/curl.txt", &[], 200, "12345678");
    send("1", "12345", 409, "");
}

/// What curl shows of the fields that let a page from elsewhere read an answer.
fn pages_from_elsewhere(curl: &Curl) {
    let origin = ["--header", "Origin: http://page"];
    for path in ["/doc", "/push", "/call", "/hook", "/packed/", "/up", "/lp/none"] {
        let answer = curl.ask(path, &origin);
        assert_eq!(answer.field("access-control-allow-origin"), Some("http://page"), "{path}");
    }
    for path in ["/push", "/call", "/signed", "/hook", "/up", "/lp/open"] {
        let wanted = ["--request", "OPTIONS", "--header", "Access-Control-Request-Headers: x-a"];
        let answer = curl.ask(path, &[&origin[..], &wanted].concat());
        let fields = ["origin", "headers", "credentials"]
            .map(|name| answer.field(&format!("access-control-allow-{name}")).map(str::to_owned));
        let expected = ["http://page", "x-a", "true"].map(|value| Some(value.to_owned()));
        assert_eq!((answer.status, fields), (200, expected), "{path}: {}", answer.head);
    }
    assert_eq!(curl.ask("/page.js", &origin).field("access-control-allow-origin"), Some("*"));
    for path in ["/info", "/to", "/files/", "/back/x", "/cgi/tell"] {
        assert_eq!(curl.ask(path, &origin).field("access-control-allow-origin"), None, "{path}");
    }
}

/// Without TLS it is spoken to those who know beforehand, with TLS to those who offer it.
fn http2(curl: &Curl) {
    let [plain, secured] = ["/doc".to_owned(), curl.secured("/doc")];
    for (place, argument, version) in [
        (&plain, "--http1.1", "1.1"),
        (&plain, "--http2-prior-knowledge", "2"),
        (&secured, "--http1.1", "1.1"),
        (&secured, "--http2", "2"),
    ] {
        let answer = curl.ask(place, &[argument]);
        assert_eq!((answer.status, &*answer.version), (200, version), "{place}");
        assert_eq!(answer.json(), json!({"a": ["ü"]}), "{place}");
    }
    for path in ["/", "/info", "/packed/", "/cgi/tell", "/back/x", "/files/"] {
        let answer = curl.ask(&curl.secured(path), &["--http2"]);
        assert_eq!((answer.status, &*answer.version), (200, "2"), "{path}");
    }
}

/// curl does not speak it, but shows how the handshake is answered.
fn websockets(curl: &Curl) {
    let fields = [
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: wamp.2.json",
    ];
    // Only its trace is written at once.
    let arguments: Vec<&str> =
        fields.iter().flat_map(|field| ["--header", field]).chain(["--verbose"]).collect();
    for path in ["/ws", "/wamp", "/echo", "/back/chat"] {
        let mut open = curl.start(path, &arguments);
        let lines = BufReader::new(open.stderr.take().expect("it is piped")).lines();
        let received = lines.filter_map(|line| line.expect("text").strip_prefix("< ").map(str::to_owned));
        let head: Vec<String> = received
            .map(|line| line.trim_end().to_ascii_lowercase())
            .take_while(|line| !line.is_empty())
            .collect();
        // It would listen to what comes.
        open.kill().and_then(|()| open.wait()).expect("it runs");
        assert_eq!(head[0], "http/1.1 101 switching protocols", "{path}");
        let accept = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";
        assert!(head.iter().any(|line| line == accept), "{path}: {head:?}");
    }
    for path in ["/ws", "/wamp", "/echo"] {
        curl.check(path, &[], 426, "");
    }
}
