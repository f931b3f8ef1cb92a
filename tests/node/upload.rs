//! Files that browsers send in chunks.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::support::wait_until;
use super::web::{Answer, Site, read_answer};

const BOUNDARY: &str = "----end";

fn site(options: &Value) -> Site {
    let fields = json!({
        "file_name": "resumableFilename",
        "mime_type": "resumableType",
        "total_size": "resumableTotalSize",
        "chunk_number": "resumableChunkNumber",
        "chunk_size": "resumableChunkSize",
        "total_chunks": "resumableTotalChunks",
        "content": "file",
        "on_progress": "on_progress",
        "session": "session",
        "chunk_extra": "chunk_extra",
        "finish_extra": "finish_extra",
    });
    let paths = json!({
        "/": {"type": "nodeinfo"},
        "up": {
            "type": "upload", "realm": "realm1", "role": "rest", "directory": "files", "temp_directory": "unfinished",
            "form_fields": fields.clone(), "options": options,
        },
        "node": {
            "type": "upload", "realm": "realm1", "role": "rest", "directory": ".", "temp_directory": "unfinished",
            "form_fields": fields,
        },
        "lp": {"type": "longpoll", "auth": {"anonymous": {"type": "static", "role": "rest"}}},
    });
    Site::start(&paths, &json!({}), |directory| {
        fs::create_dir(directory.join("files")).expect("a directory");
        fs::create_dir(directory.join("unfinished")).expect("a directory");
        fs::write(directory.join("unfinished/.upload-old.part"), "old").expect("a file");
    })
}

/// A chunk of a file, with more fields.
struct Chunk<'a> {
    name: &'a str,
    total: usize,
    /// Number, size of all but the last, and how many.
    place: (usize, usize, usize),
    content: &'a str,
    more: &'a [(&'a str, &'a str)],
}

impl Chunk<'_> {
    fn fields(&self) -> Vec<(&str, String)> {
        let (number, size, count) = self.place;
        let mut fields = vec![
            ("resumableFilename", self.name.to_owned()),
            ("resumableType", "text/plain".to_owned()),
            ("resumableTotalSize", self.total.to_string()),
            ("resumableChunkNumber", number.to_string()),
            ("resumableChunkSize", size.to_string()),
            ("resumableTotalChunks", count.to_string()),
        ];
        fields.extend(self.more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        fields
    }

    fn form(&self) -> String {
        let field = |(name, value): &(&str, String)| {
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields: String = self.fields().iter().map(field).collect();
        let content = &self.content;
        format!(
            "{fields}--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"blob\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{content}\r\n--{BOUNDARY}--\r\n"
        )
    }

    fn query(&self) -> String {
        let pairs: Vec<String> =
            self.fields().iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("&")
    }
}

fn post(site: &Site, form: &str) -> Answer {
    post_to(site, "/up", form)
}

fn post_to(site: &Site, path: &str, form: &str) -> Answer {
    let mut stream = site.connect();
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let size = form.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n\r\n{form}"
    )
    .expect("sent");
    read_answer(&mut stream, &format!("POST {path}"))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_comes_in_chunks_and_is_seen_when_it_is_complete() {
    let site = site(&json!({"file_permissions": "0640"}));
    let (files, unfinished) = (site.directory.path().join("files"), site.directory.path().join("unfinished"));
    assert!(names(&unfinished).is_empty(), "what was left behind is gone");
    let chunk = |place, content| Chunk { name: "../dir/a.txt", total: 8, place, content, more: &[] };
    let (last, first) = (chunk((2, 5, 2), "678"), chunk((1, 5, 2), "12345"));
    let there = |chunk: &Chunk<'_>| site.ask(&format!("GET /up?{}", chunk.query()), "").status;
    assert_eq!(there(&last), 204);
    assert_eq!(post(&site, &last.form()).status, 200);
    assert_eq!((there(&last), there(&first)), (200, 204));
    assert!(names(&files).is_empty());
    assert_eq!(post(&site, &last.form()).status, 200, "once more");
    let stored = post(&site, &first.form());
    assert_eq!((stored.status, stored.text().as_str()), (200, "file stored\n"));
    assert_eq!(fs::read_to_string(files.join("a.txt")).expect("the file"), "12345678");
    let mode = fs::metadata(files.join("a.txt")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert!(names(&unfinished).is_empty());
    assert_eq!(post(&site, &first.form()).status, 409, "nothing is replaced");
    assert!(!site.directory.path().join("dir").exists());
}

#[test]
fn what_is_no_good_chunk_is_refused() {
    let site = site(&json!({"max_file_size": 100, "file_types": ["txt", ".MD"]}));
    let good = Chunk { name: "a.txt", total: 3, place: (1, 10, 1), content: "123", more: &[] };
    let check = |chunk: &Chunk<'_>, status: u16| {
        let answer = post(&site, &chunk.form());
        assert_eq!(answer.status, status, "{}: {}", chunk.name, answer.text());
    };
    check(&Chunk { name: ".hidden.txt", ..good }, 400);
    check(&Chunk { name: "a.exe", ..good }, 415);
    check(&Chunk { total: 101, place: (1, 101, 1), ..good }, 413);
    check(&Chunk { content: "1234", ..good }, 400);
    check(&Chunk { content: "12", ..good }, 400);
    check(&Chunk { place: (2, 10, 1), ..good }, 400);
    check(&Chunk { place: (1, 10, 5), ..good }, 400);
    let form = good.form();
    assert_eq!(post(&site, &form.replace("resumableTotalSize", "other")).status, 400);
    assert_eq!(post(&site, &form.replace("name=\"file\"", "name=\"other\"")).status, 400);
    assert_eq!(post(&site, &form[..form.len() / 2]).status, 400);
    let endless = format!("--{BOUNDARY}\r\nContent-Disposition: {}", "x".repeat(2 << 20));
    assert_eq!(post(&site, &endless).status, 400);
    let many = (0..100).map(|_| ("a", "b")).collect::<Vec<_>>();
    check(&Chunk { more: &many, ..good }, 400);
    let long = "x".repeat(70_000);
    check(&Chunk { more: &[("a", &long)], ..good }, 400);
    assert_eq!(site.ask("POST /up", "Content-Length: 0\r\n").status, 400);
    assert_eq!(site.ask("DELETE /up", "").status, 405);
    assert!(names(&site.directory.path().join("unfinished")).is_empty(), "nothing is left of them");
    check(&Chunk { name: "b.md", ..good }, 200);
    check(&good, 200);
}

#[test]
fn nobody_makes_the_nodes_own_files() {
    let site = site(&json!({}));
    let good = Chunk { name: "a.txt", total: 3, place: (1, 10, 1), content: "123", more: &[] };
    let status = |name: &str| post_to(&site, "/node", &Chunk { name, ..good }.form()).status;
    for name in ["config.yaml", "key.priv", "key.pub", "node.log", "../key.priv"] {
        assert_eq!(status(name), 400, "{name}");
        assert!(!site.directory.path().join(name).exists(), "{name}");
    }
    assert_eq!((status("config.json"), status("a.txt")), (400, 200));
}

#[test]
fn progress_is_published() {
    let site = site(&json!({}));
    let opened = site.post("/lp/open", r#"{"protocols": ["wamp.2.json"]}"#);
    let told: Value = serde_json::from_slice(&opened.body).expect("JSON");
    let path = format!("/lp/{}", told["transport"].as_str().expect("an id"));
    let send = |body: &str| assert_eq!(site.post(&format!("{path}/send"), body).status, 204);
    let receive = || -> Value {
        let received = site.post(&format!("{path}/receive"), "");
        serde_json::from_slice(&received.body).unwrap_or_default()
    };
    send(r#"[1,"realm1",{"roles":{"subscriber":{}}}]"#);
    let session = receive()[1].as_u64().expect("a session").to_string();
    send(r#"[32,1,{},"com.rest.progress"]"#);
    assert_eq!(receive()[0], 33);
    let more =
        [("on_progress", "com.rest.progress"), ("session", session.as_str()), ("finish_extra", "done")];
    for (place, content) in [((1, 2, 2), "12"), ((2, 2, 2), "34")] {
        let chunk = Chunk { name: "a", total: 4, place, content, more: &more };
        assert_eq!(post(&site, &chunk.form()).status, 200);
    }
    let mut seen = Vec::new();
    assert!(wait_until(|| {
        let event = receive();
        seen.push(event[4][0].clone());
        seen.len() == 3
    }));
    let told: Vec<_> =
        seen.iter().map(|event| [&event["status"], &event["remaining"], &event["progress"]]).collect();
    assert_eq!(told[0], [&json!("started"), &json!(4), &json!(0.0)]);
    assert_eq!(told[1], [&json!("progress"), &json!(2), &json!(0.5)]);
    assert_eq!(told[2], [&json!("finished"), &json!(0), &json!(1.0)]);
    assert_eq!((&seen[2]["finish_extra"], &seen[2]["name"]), (&json!("done"), &json!("a")));
}
