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
    for work in [
        Work::Apply(0, vec![change(ChangeKind::Created, &two)]),
        Work::Rewrite(1, vec![one.clone()]),
        Work::Apply(1, vec![change(ChangeKind::Created, &two), change(ChangeKind::Deleted, &one)]),
    ] {
        sender.send(work).expect("taken");
    }
    let first = Work::Apply(0, vec![change(ChangeKind::Created, &one)]);
    let (count, all) = gathered(first, &receiver);
    assert_eq!(count, 4);
    assert!(matches!(&all[&0], Work::Apply(0, changes) if changes.len() == 2));
    assert!(matches!(&all[&1], Work::Rewrite(1, records) if *records == [two]));
}

#[test]
fn a_store_that_has_failed_is_written_anew_until_that_works() {
    let (sender, receiver) = mpsc::channel();
    let has_failed = Arc::new(AtomicBool::new(false));
    let writer =
        Writer { has_failed: has_failed.clone(), is_behind: false, retry_ns: 0, appended: 0, held: 0 };
    let pending = Arc::new(AtomicUsize::new(0));
    let mut keeper = CookieKeeper {
        writers: BTreeMap::from([(0, writer)]),
        work: Some(sender),
        pending: pending.clone(),
        ..CookieKeeper::default()
    };
    let mut core = Control::new(0, Arc::default(), crossring_router::limits::Limits::default(), 1);
    let mut look = |at_ns: u64, changes: Vec<Change>| {
        if !changes.is_empty() {
            keeper.keep_changes(0, changes, &core);
        }
        keeper.keep(Now { monotonic_ns: at_ns, unix_ms: 0 }, &mut core);
        let work: Vec<Work> = receiver.try_iter().collect();
        pending.store(0, Ordering::Relaxed);
        (work.len(), work.iter().all(|it| matches!(it, Work::Rewrite(..))), keeper.deadline())
    };
    let created = || vec![change(ChangeKind::Created, &record("one", "joe"))];
    assert_eq!(look(1, created()), (1, false, Some(1 + RETRY_NS)));
    has_failed.store(true, Ordering::Relaxed);
    assert_eq!(look(2, created()), (1, true, Some(2 + RETRY_NS)));
    has_failed.store(true, Ordering::Relaxed);
    assert_eq!(look(3, created()), (0, true, Some(3 + RETRY_NS)), "not more often");
    assert_eq!(look(2 + RETRY_NS, Vec::new()), (1, true, Some(2 + 2 * RETRY_NS)));
    assert_eq!(look(3 + RETRY_NS, Vec::new()).2, None, "it worked");
    assert_eq!(look(4 + RETRY_NS, created()), (1, false, Some(4 + 2 * RETRY_NS)));
}

/// A store on a disk that is full for a while.
struct Full(u32, Sender<&'static str>);

impl Full {
    fn does(&mut self, what: &'static str) -> io::Result<()> {
        let is_full = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        self.1.send(what).map_err(io::Error::other)?;
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl CookieStore for Full {
    fn apply(&mut self, _: &[Change]) -> io::Result<()> {
        self.does("apply")
    }

    fn rewrite(&mut self, _: &[CookieRecord]) -> io::Result<()> {
        self.does("rewrite")
    }
}

#[test]
fn changes_are_not_appended_to_a_store_that_has_failed() {
    let (sender, receiver) = mpsc::channel();
    let has_failed = Arc::new(AtomicBool::new(false));
    let store = Box::new(Full(2, sender));
    let mut opened = Opened { path: "store".into(), store, has_failed: has_failed.clone(), trouble: None };
    let mut done = |work: Work| {
        opened.work(&work);
        (receiver.try_iter().collect::<Vec<_>>(), has_failed.swap(false, Ordering::Relaxed))
    };
    assert_eq!(done(Work::Apply(0, Vec::new())), (vec!["apply"], true));
    assert_eq!(done(Work::Apply(0, Vec::new())), (Vec::new(), false));
    assert_eq!(done(Work::Rewrite(0, Vec::new())), (vec!["rewrite"], true));
    assert_eq!(done(Work::Rewrite(0, Vec::new())), (vec!["rewrite"], false));
    assert_eq!(done(Work::Apply(0, Vec::new())), (vec!["apply"], false));
}
