use super::*;

fn login(authid: &str, authmethod: &str) -> CookieLogin {
    CookieLogin {
        realm: "realm1".into(),
        authid: authid.into(),
        authrole: "member".into(),
        authmethod: authmethod.into(),
        authextra: vec![("a".to_owned(), Value::from(1_u64))],
    }
}

fn table(values: &[&str]) -> CookieTable {
    let mut table = CookieTable::default();
    for value in values {
        table.issue(1_000, Secret::new(*value), 10);
    }
    table
}

fn kinds(table: &mut CookieTable) -> Vec<(ChangeKind, String)> {
    let changes = table.take_changes();
    changes.into_iter().map(|(kind, record)| (kind, record.value.expose().to_owned())).collect()
}

#[test]
fn values_have_the_length_asked_for_and_differ() {
    let entropy = Secret::new("entropy");
    let mut generator = CookieGenerator::new(0, &entropy);
    let values: BTreeSet<String> = (0..100).map(|_| generator.generate(24).expose().to_owned()).collect();
    assert_eq!(values.len(), 100);
    assert!(values.iter().all(|value| value.len() == 24));
    let other = CookieGenerator::new(1, &entropy).generate(24);
    assert!(!values.contains(other.expose()), "shards must not give out the same values");
    let again = CookieGenerator::new(0, &Secret::new("other")).generate(24);
    assert!(!values.contains(again.expose()));
}

#[test]
fn a_cookie_is_known_until_it_expires() {
    let table = table(&["a"]);
    assert!(table.is_known(10_999, "a") && !table.is_known(11_000, "a") && !table.is_known(1_000, "b"));
}

#[test]
fn only_what_somebody_has_logged_in_with_is_kept() {
    let mut table = table(&["a", "b"]);
    assert_eq!(kinds(&mut table), []);
    table.set_login(2_000, "a", Some(login("joe", "ticket")));
    table.set_login(2_500, "a", Some(login("joe", "ticket")));
    table.set_login(3_000, "a", None);
    table.set_login(3_000, "nobody", Some(login("joe", "ticket")));
    let own = || "a".to_owned();
    assert_eq!(kinds(&mut table), [(ChangeKind::Created, own()), (ChangeKind::Modified, own())]);
    assert_eq!(table.login(3_000, "a"), None);
    assert_eq!(table.kept().count(), 1);
    table.delete("a");
    table.delete("b");
    assert_eq!(kinds(&mut table), [(ChangeKind::Deleted, own())]);
}

#[test]
fn a_login_ends_with_its_cookie() {
    let mut table = table(&["a"]);
    table.set_login(2_000, "a", Some(login("joe", "ticket")));
    assert_eq!(table.login(2_000, "a").map(|login| &*login.authid), Some("joe"));
    assert_eq!(table.login(11_000, "a"), None);
    table.issue(11_000, Secret::new("b"), 10);
    assert_eq!(table.kept().count(), 0);
    assert_eq!(kinds(&mut table).last(), Some(&(ChangeKind::Deleted, "a".to_owned())));
}

#[test]
fn a_login_that_is_too_long_is_not_kept() {
    let mut table = table(&["a"]);
    let mut long = login("joe", "ticket");
    long.authextra.push(("x".to_owned(), Value::String("x".repeat(LOGIN_SIZE_MAX))));
    table.set_login(2_000, "a", Some(long));
    assert_eq!((table.login(2_000, "a"), table.kept().count()), (None, 0));
}

#[test]
fn who_has_not_logged_in_gives_way_first() {
    let mut table = table(&["a", "b"]);
    table.set_login(2_000, "a", Some(login("joe", "ticket")));
    for index in 0..TRACKED_MAX {
        table.issue(3_000, Secret::new(format!("n{index}")), 10);
    }
    assert_eq!(table.cookies.len(), TRACKED_MAX + 1);
    assert!(table.is_known(3_000, "a") && !table.is_known(3_000, "b"));
}

#[test]
fn sessions_are_told_when_the_cookie_is_deleted() {
    let session = SessionId::from_random(1 << 20);
    let mut table = table(&["a"]);
    table.session_joined("a", session);
    table.set_login(2_000, "a", Some(login("joe", "ticket")));
    assert_eq!(table.delete("a"), BTreeSet::from([session]));
    assert_eq!(table.delete("a"), BTreeSet::new());
}

#[test]
fn records_are_crossbars_lines() {
    let record = CookieRecord {
        value: Secret::new("ab+/"),
        created_unix_ms: 1_000,
        modified_unix_ms: Some(2_000),
        max_age_s: 10,
        login: Some(login("joe", "ticket")),
    };
    let line = write_record(ChangeKind::Modified, &record, 5_000);
    assert_eq!(
        line,
        "{\"cbtid\":\"ab+/\",\"status\":\"modified\",\"created\":\"1970-01-01T00:00:01.000Z\",\
         \"modified\":\"1970-01-01T00:00:02.000Z\",\"deleted\":null,\"max_age\":10,\"authid\":\"joe\",\
         \"authrole\":\"member\",\"authmethod\":\"ticket\",\"authrealm\":\"realm1\",\"authextra\":{\"a\":1}}\n"
    );
    assert_eq!(read_records(&line), (vec![record.clone()], 0));
    let deleted = write_record(ChangeKind::Deleted, &record, 5_000);
    assert!(deleted.contains("\"deleted\":\"1970-01-01T00:00:05.000Z\""), "{deleted}");
    assert_eq!(read_records(&(line.clone() + &deleted)), (vec![], 0));
    assert_eq!(read_records(&(deleted + &line)), (vec![record], 0));
}

#[test]
fn a_line_cut_short_is_left_out() {
    let text =
        "{\"cbtid\":\"a\",\"created\":\"2026-01-02T03:04:05.678Z\",\"max_age\":604800}\n{\"cbtid\":\"b";
    let (records, bad) = read_records(text);
    assert_eq!((records.len(), bad), (1, 1));
    assert_eq!(records[0].login, None);
}

#[test]
fn values_are_not_shown() {
    let mut table = table(&["a-secret-value"]);
    table.set_login(2_000, "a-secret-value", Some(login("joe", "ticket")));
    assert!(!format!("{table:?}").contains("a-secret-value"));
}
