use crossring_router::config::Secret;
use crossring_router::cookies::CookieLogin;

use super::*;

fn record(value: &str, authid: &str) -> CookieRecord {
    CookieRecord {
        value: Secret::new(value),
        created_unix_ms: 1_000,
        modified_unix_ms: None,
        max_age_s: 10,
        login: Some(CookieLogin {
            realm: "realm1".into(),
            authid: authid.into(),
            authrole: "member".into(),
            authmethod: "ticket".into(),
            authextra: Vec::new(),
        }),
    }
}

fn change(kind: ChangeKind, record: &CookieRecord) -> Change {
    Change { kind, record: record.clone(), unix_ms: 2_000 }
}

fn read(config: &CookieStoreConfig) -> Read {
    open_store(config).expect("can be opened").expect("not in memory").1
}

/// What every store on disk has to do.
fn check(config: &CookieStoreConfig, purging: &CookieStoreConfig) {
    let (one, two, three) = (record("one", "joe"), record("two", "joe"), record("three", "ann"));
    let mut first = read(config);
    assert_eq!(first.records, []);
    let changes = [change(ChangeKind::Created, &one), change(ChangeKind::Created, &two)];
    first.store.apply(&changes).expect("written");
    first.store.apply(&[change(ChangeKind::Deleted, &one)]).expect("written");
    drop(first);
    let mut second = read(config);
    assert_eq!(second.records, std::slice::from_ref(&two));
    second.store.rewrite(&[three.clone(), two.clone()]).expect("written");
    second.store.apply(&[change(ChangeKind::Modified, &record("two", "jim"))]).expect("written");
    drop(second);
    let mut found = read(config).records;
    found.sort_by(|one, other| one.value.expose().cmp(other.value.expose()));
    assert_eq!(found, [three, record("two", "jim")]);
    assert_eq!(read(purging).records, []);
    assert_eq!(read(config).records, []);
}

#[test]
fn files_keep_cookies() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cookies.json");
    let config = |purge_on_startup| CookieStoreConfig::File { path: path.clone(), purge_on_startup };
    check(&config(false), &config(true));
}

#[test]
fn databases_keep_cookies() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cookies");
    let config = |purge_on_startup, is_readonly| CookieStoreConfig::Database {
        path: path.clone(),
        purge_on_startup,
        is_readonly,
    };
    check(&config(false, false), &config(true, false));
    let one = record("one", "joe");
    read(&config(false, false)).store.apply(&[change(ChangeKind::Created, &one)]).expect("written");
    let mut readonly = read(&config(false, true));
    readonly.store.apply(&[change(ChangeKind::Deleted, &one)]).expect("left out");
    drop(readonly);
    assert_eq!(read(&config(false, false)).records, [one]);
}

#[test]
fn a_file_is_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("cookies.json");
    std::fs::write(&path, "").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("set");
    let mut read = read(&CookieStoreConfig::File { path: path.clone(), purge_on_startup: false });
    read.store.rewrite(&[record("one", "joe")]).expect("written");
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_waits_for_a_store_is_done_at_once() {
    let (sender, receiver) = mpsc::channel();
    let (one, two) = (record("one", "joe"), record("two", "joe"));
    let pending = AtomicUsize::new(4);
    for work in [
        Work::Apply(0, vec![change(ChangeKind::Created, &two)]),
        Work::Rewrite(1, vec![one.clone()]),
        Work::Apply(1, vec![change(ChangeKind::Created, &two), change(ChangeKind::Deleted, &one)]),
    ] {
        sender.send(work).expect("taken");
    }
    let first = Work::Apply(0, vec![change(ChangeKind::Created, &one)]);
    let all = gathered(first, &receiver, &pending);
    assert_eq!(pending.load(Ordering::Relaxed), 0);
    assert!(matches!(&all[&0], Work::Apply(0, changes) if changes.len() == 2));
    assert!(matches!(&all[&1], Work::Rewrite(1, records) if *records == [two]));
}
