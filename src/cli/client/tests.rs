//! What the command lines of the client commands mean.

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: ClientCommand,
}

fn parse(line: &[&str]) -> Result<ClientCommand, clap::Error> {
    Line::try_parse_from([&["x"], line].concat()).map(|line| line.command)
}

#[test]
fn arguments_are_json_or_text() {
    let line =
        ["pub", "com.topic", "1", "-2", "hello", "[true]", "--kwargs", "{\"a\":null}", "--acknowledge"];
    let Ok(ClientCommand::Pub(publish)) = parse(&line) else { panic!("a publication") };
    let args: Vec<_> = publish.payload.args.iter().map(|argument| argument.0.to_string()).collect();
    assert_eq!(args, ["1", "-2", "\"hello\"", "[true]"]);
    assert_eq!(publish.payload.kwargs.map(|kwargs| kwargs.0.len()), Some(1));
    assert!(publish.acknowledge && publish.count == 1);
    assert!(parse(&["call", "p", "--kwargs", "[]"]).is_err());
}

#[test]
fn a_ticket_needs_an_authid_and_is_not_shown() {
    assert!(parse(&["call", "p", "--authmethod", "ticket", "--ticket", "s3cret"]).is_err());
    let line =
        ["sub", "t", "--authmethod", "ticket", "--authid", "joe", "--ticket", "s3cret", "--match", "prefix"];
    let command = parse(&line).expect("valid");
    assert!(!format!("{command:?}").contains("s3cret"));
    assert_eq!(command.connection().ticket.as_ref().map(|ticket| ticket.0.expose()), Some("s3cret"));
}

#[test]
fn lists_are_absent_or_what_they_say() {
    let Ok(ClientCommand::Pub(it)) = parse(&["pub", "t", "--exclude-me", "false"]) else { panic!("valid") };
    let options = it.publishing().options;
    assert!(!options.exclude_me && options.extra.is_none());
    let line = ["pub", "t", "--eligible", "1,2", "--eligible", "3", "--exclude-authrole", "a,b", "--retain"];
    let Ok(ClientCommand::Pub(it)) = parse(&line) else { panic!("valid") };
    let extra = it.publishing().options.extra.expect("lists");
    let eligible = extra.eligible.map(|ids| ids.iter().map(|id| id.get()).collect::<Vec<_>>());
    assert_eq!(eligible, Some(vec![1, 2, 3]));
    assert_eq!(extra.exclude_authrole, Some(vec!["a".into(), "b".into()]));
    assert_eq!(extra.exclude, None);
    for wrong in [["--eligible", "0"], ["--exclude", "x"], ["--exclude-me", "perhaps"]] {
        assert!(parse(&[&["pub", "t"], &wrong[..]].concat()).is_err(), "{wrong:?}");
    }
}

#[test]
fn options_of_calls_need_each_other() {
    let line = ["call", "p", "--call-timeout", "250", "--cancel-after", "9", "--mode", "skip", "--progress"];
    let Ok(ClientCommand::Call(it)) = parse(&line) else { panic!("valid") };
    let calling = it.calling();
    assert_eq!((calling.options.timeout_ms, calling.options.receive_progress), (250, true));
    assert_eq!(calling.cancel, Some((Duration::from_millis(9), crossring_codec::message::CancelMode::Skip)));
    for wrong in [
        &["--mode", "kill"][..],
        &["--runmode", "partition"],
        &["--ppt-serializer", "json"],
        &["--stream", "--count", "2"],
        &["--call-timeout", "0"],
    ] {
        assert!(parse(&[&["call", "p"], wrong].concat()).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_callee_has_one_kind_of_answer() {
    let line =
        ["register", "p", "--concurrency", "3", "--force-reregister", "--error", "a.b", "--delay", "5"];
    let Ok(ClientCommand::Register(it)) = parse(&line) else { panic!("valid") };
    let registering = it.registering();
    assert_eq!((registering.options.concurrency, registering.options.force_reregister), (Some(3), true));
    assert!(matches!(registering.answer, commands::Answer::Error(uri) if uri == "a.b"));
    assert!(parse(&["register", "p", "--error", "a.b", "--result", "1"]).is_err());
    assert!(parse(&["register", "p", "--concurrency", "0"]).is_err());
}
