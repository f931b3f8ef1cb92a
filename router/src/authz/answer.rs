//! What an authorizer's answer means (Crossbar.io's forms), and the texts of refusals.

use crossring_codec::uri::well_known;
use crossring_codec::value::Value;

use super::{Action, Decision, Ruling};
use crate::inquiry::{Answer, type_name};

/// Reads an answer to a question about `action` on `uri`. `is_over`: it comes when its time is over, so an error is the router's
/// own about an authorizer that has been silent, whatever its URI (authorizers may say `wamp.error.timeout` themselves).
pub(crate) fn read(answer: &Answer, action: Action, uri: &str, is_over: bool) -> Ruling {
    let said = match answer {
        Answer::Result(arguments, _) => read_result(arguments.first().unwrap_or(&Value::Null)),
        Answer::Error(error, arguments) => Err(describe(error, arguments)),
    };
    match said {
        Ok(Said { allow, disclose, cache }) => {
            let allow = if allow { action.alone() } else { Decision::default().allow };
            let (disclose_caller, disclose_publisher) = (disclose, disclose);
            let decision = Decision { allow, disclose_caller, disclose_publisher, ..Decision::default() };
            if cache { Ruling::Lasting(decision) } else { Ruling::Once(decision) }
        }
        Err(reason) => {
            let text = describe_failure(action, uri, &reason);
            Ruling::Failed { text, is_silence: is_over && matches!(answer, Answer::Error(..)) }
        }
    }
}

/// The authorizer has not answered in time.
pub(crate) fn silence(action: Action, uri: &str) -> Ruling {
    Ruling::Failed { text: describe_failure(action, uri, well_known::TIMEOUT), is_silence: true }
}

/// There is no decision, because of `reason`.
pub(crate) fn failed(action: Action, uri: &str, reason: &str) -> Ruling {
    Ruling::Failed { text: describe_failure(action, uri, reason), is_silence: false }
}

fn describe_failure(action: Action, uri: &str, reason: &str) -> Box<str> {
    let doing = match action {
        Action::Call => "calling procedure",
        Action::Register => "registering procedure",
        Action::Publish => "publishing to topic URI",
        Action::Subscribe => "subscribing to topic URI",
    };
    format!("failed to authorize session for {doing} '{uri}': {reason}").into()
}

/// Whether a procedure wants three arguments, as in old versions of Crossbar.io: without the options.
pub(crate) fn wants_no_options(answer: &Answer) -> bool {
    let Answer::Error(_, arguments) = answer else { return false };
    arguments.iter().filter_map(Value::as_str).any(|text| text.contains("takes exactly 4 arguments"))
}

#[derive(Default)]
struct Said {
    allow: bool,
    disclose: bool,
    cache: bool,
}

fn read_result(result: &Value) -> Result<Said, String> {
    let entries = match result {
        Value::Bool(allow) => return Ok(Said { allow: *allow, ..Said::default() }),
        Value::Dict(entries) => entries,
        other => return Err(format!("Authorizer returned unknown type '{}'", type_name(other))),
    };
    let known = ["allow", "cache", "disclose", "validate", "meta"];
    if let Some((key, _)) = entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        return Err(format!("Authorizer returned unknown key '{key}'"));
    }
    let allow = flag(result, "allow")?.ok_or("Authorizer must have 'allow' in returned dict")?;
    let disclose = flag(result, "disclose")?.unwrap_or_default();
    let cache = flag(result, "cache")?.unwrap_or_default();
    for key in ["validate", "meta"] {
        if !matches!(result.get(key), None | Some(Value::Null | Value::Dict(_))) {
            return Err(format!("Authorizer must have dict for '{key}' (if present and not null)"));
        }
    }
    Ok(Said { allow, disclose, cache })
}

fn flag(result: &Value, key: &str) -> Result<Option<bool>, String> {
    match result.get(key) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(format!("Authorizer must have bool for '{key}'")),
    }
}

/// An ERROR as text: its URI, and what it says in words.
fn describe(error: &str, arguments: &[Value]) -> String {
    let words: Vec<&str> = arguments.iter().filter_map(Value::as_str).collect();
    let words = words.join(" ");
    let words = words.get(..words.floor_char_boundary(TEXT_SIZE_MAX)).unwrap_or_default();
    if words.is_empty() { error.to_owned() } else { format!("{error}: {words}") }
}

/// Octets of an authorizer's own words that are passed on.
const TEXT_SIZE_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn dict(entries: &[(&str, Value)]) -> Value {
        Value::Dict(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    }

    fn ruling(result: Value) -> Ruling {
        read(&Answer::Result(vec![result], Vec::new()), Action::Publish, "com.x", false)
    }

    fn decision(allow: bool, disclose: bool) -> Decision {
        Decision {
            allow: if allow { Action::Publish.alone() } else { Decision::default().allow },
            disclose_caller: disclose,
            disclose_publisher: disclose,
            refuse_disclose_me: false,
        }
    }

    #[test]
    fn yes_and_no_in_both_forms() {
        assert_eq!(ruling(true.into()), Ruling::Once(decision(true, false)));
        assert_eq!(ruling(false.into()), Ruling::Once(decision(false, false)));
        assert_eq!(ruling(dict(&[("allow", true.into())])), Ruling::Once(decision(true, false)));
        let full = dict(&[
            ("allow", true.into()),
            ("disclose", true.into()),
            ("cache", true.into()),
            ("validate", Value::Null),
            ("meta", dict(&[])),
        ]);
        assert_eq!(ruling(full), Ruling::Lasting(decision(true, true)));
        let no = dict(&[("allow", false.into()), ("cache", true.into())]);
        assert_eq!(ruling(no), Ruling::Lasting(decision(false, false)));
    }

    #[test]
    fn what_is_no_decision() {
        let cases = [
            (dict(&[("allow", true.into()), ("why", 1.into())]), "Authorizer returned unknown key 'why'"),
            (dict(&[("cache", true.into())]), "Authorizer must have 'allow' in returned dict"),
            (dict(&[("allow", 1.into())]), "Authorizer must have bool for 'allow'"),
            (
                dict(&[("allow", true.into()), ("cache", Value::Null)]),
                "Authorizer must have bool for 'cache'",
            ),
            (
                dict(&[("allow", true.into()), ("validate", true.into())]),
                "Authorizer must have dict for 'validate' (if present and not null)",
            ),
            ("yes".into(), "Authorizer returned unknown type 'str'"),
            (Value::Null, "Authorizer returned unknown type 'NoneType'"),
        ];
        for (result, reason) in cases {
            let text = format!("failed to authorize session for publishing to topic URI 'com.x': {reason}");
            assert_eq!(ruling(result), Ruling::Failed { text: text.into(), is_silence: false });
        }
    }

    #[test]
    fn silence_is_told_by_the_time_and_not_by_the_error() {
        let said = Answer::Error(well_known::TIMEOUT.into(), Vec::new());
        for is_over in [false, true] {
            let ruling = read(&said, Action::Call, "com.x", is_over);
            assert!(matches!(ruling, Ruling::Failed { is_silence, .. } if is_silence == is_over));
        }
        let nonsense = Answer::Result(vec![7.into()], Vec::new());
        let ruling = read(&nonsense, Action::Call, "com.x", true);
        assert!(matches!(ruling, Ruling::Failed { is_silence: false, .. }));
    }

    #[test]
    fn errors_are_told_in_words() {
        let error = Answer::Error("com.error".into(), vec!["is".into(), 7.into(), "ill".into()]);
        let Ruling::Failed { text, .. } = read(&error, Action::Call, "com.x", false) else {
            panic!("a decision")
        };
        assert_eq!(&*text, "failed to authorize session for calling procedure 'com.x': com.error: is ill");
        assert!(!wants_no_options(&error));
        let old = "authorize() takes exactly 4 arguments (5 given)";
        assert!(wants_no_options(&Answer::Error("wamp.error.runtime_error".into(), vec![old.into()])));
    }
}
