//! `nodeinfo`: what this node is, for people and for programs.

use hyper::StatusCode;
use hyper::header;
use serde_json::json;

use super::{is_read, method_not_allowed, with_type};
use crate::web::{NodeFacts, Request, Response};

/// What is told.
#[derive(Debug)]
pub(crate) struct NodeInfo {
    pub(crate) facts: NodeFacts,
}

impl NodeInfo {
    pub(super) fn answer(&self, request: &Request) -> Response {
        if !is_read(request) {
            return method_not_allowed("GET, HEAD");
        }
        if wants_json(request) {
            return with_type(StatusCode::OK, "application/json; charset=utf-8", self.document());
        }
        with_type(StatusCode::OK, "text/html; charset=utf-8", self.page())
    }

    fn entries(&self) -> [(&'static str, String); 6] {
        [
            ("software", concat!("crossring ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("node", self.facts.name.clone()),
            ("started", self.facts.started.clone()),
            ("process", std::process::id().to_string()),
            ("shards", self.facts.shards.to_string()),
            ("public key", self.facts.public_key.clone().unwrap_or_else(|| "none".to_owned())),
        ]
    }

    fn document(&self) -> String {
        json!({
            "software": "crossring",
            "version": env!("CARGO_PKG_VERSION"),
            "node": self.facts.name,
            "started": self.facts.started,
            "pid": std::process::id(),
            "shards": self.facts.shards,
            "public_key": self.facts.public_key,
        })
        .to_string()
    }

    fn page(&self) -> String {
        let row =
            |(name, value): (&str, String)| format!("<tr><th>{name}</th><td>{}</td></tr>", escape(&value));
        let rows: String = self.entries().into_iter().map(row).collect();
        format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>crossring</title><style>\
             body{{font-family:sans-serif;margin:3em}}th{{text-align:left;padding-right:2em}}</style></head>\
             <body><h1>crossring</h1><table>{rows}</table></body></html>"
        )
    }
}

fn wants_json(request: &Request) -> bool {
    let accepted = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let asks = accepted
        .is_some_and(|accepted| accepted.contains("application/json") && !accepted.contains("text/html"));
    asks || request.uri().path().ends_with(".json")
}

/// Text for a page.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
