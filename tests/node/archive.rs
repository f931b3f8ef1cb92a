//! Files out of a ZIP archive.

use std::io::{Cursor, Write};

use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::web::Site;

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (number, (name, content)) in files.iter().enumerate() {
        let methods = [CompressionMethod::Deflated, CompressionMethod::Stored];
        let options = SimpleFileOptions::default().compression_method(methods[number % 2]);
        writer.start_file(*name, options).expect("a file");
        writer.write_all(content).expect("content");
    }
    writer.finish().expect("an archive").into_inner()
}

#[test]
fn files_are_served_out_of_an_archive() {
    let large: Vec<u8> = (0..1_000_000_u32).map(|index| (index % 251) as u8).collect();
    let octets = archive(&[
        ("dist/index.html", b"<p>index"),
        ("dist/js/app.js", b"let a;"),
        ("dist/large.bin", &large),
        ("dist/large.odd", &large),
        ("dist/404.html", b"<p>nothing"),
        ("secret.txt", b"secret"),
    ]);
    let paths = json!({
        "/": {
            "type": "archive", "archive": "a.zip", "object_prefix": "dist", "default_object": "index.html",
            "mime_types": {".odd": "text/odd"},
        },
        "kept": {
            "type": "archive", "archive": "a.zip", "object_prefix": "dist", "cache": true,
            "options": {"default_file": "404.html"},
        },
    });
    let site = Site::start(&paths, &json!({}), |directory| {
        std::fs::write(directory.join("a.zip"), &octets).expect("a file");
    });
    let index = site.ask("GET /", "");
    assert_eq!((index.status, index.text().as_str()), (200, "<p>index"));
    assert_eq!(index.field("content-type"), Some("text/html; charset=utf-8"));
    let tag = format!("If-None-Match: {}\r\n", index.field("etag").expect("a tag"));
    assert_eq!(site.ask("GET /", &tag).status, 304);
    for path in ["/large.bin", "/large.odd"] {
        let whole = site.ask(&format!("GET {path}"), "");
        assert!(whole.status == 200 && whole.body == large, "{path}: {} octets", whole.body.len());
    }
    let head = site.ask("HEAD /large.odd", "");
    assert_eq!(
        (head.field("content-length"), head.field("content-type")),
        (Some("1000000"), Some("text/odd"))
    );
    for _ in 0..2 {
        assert_eq!(site.ask("GET /kept/js/app.js", "").text(), "let a;");
    }
    let fallback = site.ask("GET /kept/none", "");
    assert_eq!((fallback.status, fallback.text().as_str()), (200, "<p>nothing"));
    for nothing in
        ["/none", "/js", "/js/", "/../secret.txt", "/%2e%2e/secret.txt", "/dist/index.html", "/\\secret.txt"]
    {
        assert_eq!(site.ask(&format!("GET {nothing}"), "").status, 404, "{nothing}");
    }
    assert_eq!(site.ask("POST /", "Content-Length: 0\r\n").status, 405);
}
