use super::*;
use parking_lot::Mutex as Lock;

/// A password with its lease, or what is wrong.
type Said = Result<(String, Option<Lease>), SourceError>;

/// A provider that says what the test says, and counts who asks.
#[derive(Debug, Default)]
struct Scripted {
    says: Lock<Option<Said>>,
    asked: AtomicU64,
    renewals: Lock<Vec<Duration>>,
    renewed: Lock<Vec<String>>,
    revoked: Lock<Vec<String>>,
    /// Why it revokes nothing, or nothing but what another lease is called.
    cannot_revoke: Lock<Option<SourceError>>,
    cannot_revoke_this: Lock<Option<&'static str>>,
    gone: Lock<Option<&'static str>>,
    era: AtomicU64,
    gate: tokio::sync::Mutex<()>,
    revoking: tokio::sync::Mutex<()>,
}

impl Scripted {
    fn says(&self, password: &str) {
        *self.says.lock() = Some(Ok((password.to_owned(), None)));
    }
    fn leases(&self, id: &str, seconds: u64) {
        let era = self.era.load(Ordering::Relaxed);
        let lease = Lease { id: id.to_owned(), length: Duration::from_secs(seconds), renewable: true, era };
        *self.says.lock() = Some(Ok((format!("pw-{id}"), Some(lease))));
    }
    fn fails(&self, e: SourceError) {
        *self.says.lock() = Some(Err(e));
    }
    fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn fetch(&self, _path: &str) -> Result<Fetched, SourceError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let _open = self.gate.lock().await;
        let (password, lease) = self.says.lock().clone().unwrap()?;
        let fields = [("password".to_owned(), Secret::new(password)), ("username".to_owned(), Secret::new("u".into()))];
        Ok(Fetched { content: Content::Fields(fields.into()), lease, good_for: None })
    }
    async fn renew(&self, lease: &Lease) -> Result<Duration, SourceError> {
        self.renewed.lock().push(lease.id.clone());
        self.renewals.lock().pop().ok_or_else(|| SourceError::new("at its longest".into()))
    }
    async fn is_gone(&self, lease: &Lease) -> bool {
        *self.gone.lock() == Some(lease.id.as_str())
    }
    async fn revoke(&self, lease: &str) -> Result<(), SourceError> {
        let _open = self.revoking.lock().await;
        if *self.cannot_revoke_this.lock() == Some(lease) {
            return Err(SourceError::new("it may not".into()));
        }
        if let Some(e) = self.cannot_revoke.lock().clone() {
            return Err(e);
        }
        self.revoked.lock().push(lease.to_owned());
        Ok(())
    }
    fn era(&self) -> u64 {
        self.era.load(Ordering::Relaxed)
    }
}

fn source(last_good: u64) -> (Arc<Scripted>, Arc<Source>) {
    let scripted = Arc::new(Scripted::default());
    let rules = Rules { fresh: Duration::from_secs(60), last_good: Duration::from_secs(last_good) };
    (Arc::clone(&scripted), Source::new(scripted, "a/b", None, rules))
}

fn named(password: &str) -> Login {
    Login { user: Some("u".into()), password: Secret::new(password.into()), in_use: InUse::default() }
}

/// A log-in that an upstream accepts.
async fn word(s: &Arc<Source>, now: Instant) -> Result<String, String> {
    let login = s.login_at(Asked::at(now)).await.map_err(|e| e.to_string())?;
    login.in_use.worked();
    Ok(login.password.expose().clone())
}

fn shown(login: Option<&Login>) -> Option<&str> {
    login.map(|l| l.password.expose().as_str())
}

/// What is done each second, with all that comes of it, until nothing more does.
async fn tend(p: &Scripted, s: &Arc<Source>, now: Instant) {
    loop {
        let before = (p.revoked.lock().len(), p.renewed.lock().len());
        s.tend_at(Asked::at(now)).await;
        s.renewing.done().await;
        s.giving_back.done().await;
        if before == (p.revoked.lock().len(), p.renewed.lock().len()) {
            return;
        }
    }
}

#[tokio::test]
async fn what_was_said_is_used_for_a_while_and_a_refusal_ends_that() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    p.says("one");
    assert_eq!((word(&s, now).await, word(&s, now).await, p.asked()), (Ok("one".into()), Ok("one".into()), 1));
    p.says("two");
    assert_eq!(word(&s, now).await.unwrap(), "one", "it is still fresh");
    let newer = s.refused_at(&named("one"), Asked::at(now)).await.unwrap();
    assert_eq!((newer.password.expose().as_str(), s.generation()), ("two", 1));
    let stale = named("one");
    assert_eq!(
        s.refused_at(&stale, Asked::at(now)).await.unwrap().password.expose(),
        "two",
        "another session was told before"
    );
    assert_eq!(p.asked(), 2);
    // The one that is there is wrong, too: the source is asked once, and not by each who tries.
    now += Duration::from_secs(3);
    for _ in 0..5 {
        assert!(s.refused_at(&newer, Asked::at(now)).await.is_none());
    }
    assert_eq!(p.asked(), 3);
    now += Duration::from_secs(61);
    p.says("three");
    assert_eq!(word(&s, now).await.unwrap(), "three");
    now += Duration::from_secs(61);
    p.says("four");
    s.tend_at(Asked::at(now)).await;
    assert_eq!((p.asked(), s.generation()), (5, 3), "a change is noticed though nobody logs in");
}

#[tokio::test]
async fn a_source_that_is_away_refuses_or_the_last_good_value_goes_on_for_its_time() {
    let mut now = Instant::now();
    let away = || SourceError::away("it is away".into());
    let (p, s) = source(0);
    p.says("one");
    word(&s, now).await.unwrap();
    p.fails(away());
    now += Duration::from_secs(61);
    for _ in 0..5 {
        assert_eq!(word(&s, now).await.unwrap_err(), "it is away");
    }
    assert_eq!(p.asked(), 2, "those who wait hear the same");
    let (p, s) = source(600);
    p.says("one");
    word(&s, now).await.unwrap();
    p.fails(away());
    now += Duration::from_secs(61);
    assert_eq!(word(&s, now).await.unwrap(), "one");
    // What the source itself takes away is gone at once.
    p.fails(SourceError::new("there is nothing".into()));
    now += Duration::from_secs(20);
    assert_eq!(word(&s, now).await.unwrap_err(), "there is nothing");
    p.fails(away());
    now += Duration::from_secs(700);
    assert_eq!(word(&s, now).await.unwrap_err(), "it is away", "too long ago");
    // What the upstream refused is not good.
    let (p, s) = source(600);
    p.says("one");
    let login = s.login_at(Asked::at(now)).await.unwrap();
    p.fails(away());
    assert!(s.refused_at(&login, Asked::at(now)).await.is_none());
    assert_eq!(word(&s, now).await.unwrap_err(), "it is away");
}

#[tokio::test]
async fn leases_are_renewed_while_they_can_be_and_revoked_at_the_end() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    p.leases("l1", 100);
    assert_eq!(word(&s, now).await.unwrap(), "pw-l1");
    p.leases("l2", 100);
    p.renewals.lock().extend([Duration::from_secs(40), Duration::from_secs(100)]);
    now += Duration::from_secs(49);
    tend(&p, &s, now).await;
    assert_eq!(p.renewals.lock().len(), 2, "not yet");
    now += Duration::from_secs(2);
    tend(&p, &s, now).await;
    now += Duration::from_secs(60);
    assert_eq!(word(&s, now).await.unwrap(), "pw-l1", "110 s after it was given for 100");
    tend(&p, &s, now).await;
    assert!(p.renewals.lock().is_empty());
    // It was renewed for 40 s only: it is near its end, and the next log-in after its margin has a new one.
    now += Duration::from_secs(20);
    let next = s.login_at(Asked::at(now)).await.unwrap();
    tend(&p, &s, now).await;
    assert_eq!((next.password.expose().as_str(), s.generation()), ("pw-l2", 0), "nobody was accepted with it yet");
    next.in_use.worked();
    tend(&p, &s, now).await;
    assert_eq!(s.generation(), 1);
    // Our own log-in ended, and so did what it was given.
    p.era.fetch_add(1, Ordering::Relaxed);
    p.leases("l3", 100);
    assert_eq!(word(&s, now).await.unwrap(), "pw-l3");
    s.close().await;
    assert_eq!(*p.revoked.lock(), ["l1", "l2", "l3"]);
}

/// Logs in under a new lease, which takes the place of the one before.
async fn next(p: &Scripted, s: &Arc<Source>, n: u64, now: Instant) -> Login {
    p.era.fetch_add(1, Ordering::Relaxed);
    p.leases(&format!("l{n}"), 3600);
    s.login_at(Asked::at(now)).await.unwrap()
}

#[tokio::test]
async fn an_old_lease_is_revoked_once_nobody_uses_it_and_none_is_forgotten() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    let kept = next(&p, &s, 0, now).await;
    let copy = kept.clone();
    for n in 1..200 {
        next(&p, &s, n, now).await;
    }
    tend(&p, &s, now).await;
    let first: Vec<_> = (1..199).map(|n| format!("l{n}")).collect();
    assert_eq!(*p.revoked.lock(), first, "but for the one that is used, and the newest");
    drop(kept);
    tend(&p, &s, now).await;
    assert_eq!(p.revoked.lock().len(), 198, "a copy is used as well");
    drop(copy);
    tend(&p, &s, now).await;
    assert_eq!(p.revoked.lock().last().unwrap(), "l0");
    // Beyond the bound the oldest go, whoever uses them.
    p.revoked.lock().clear();
    let mut used = Vec::new();
    for n in 200..270 {
        used.push(next(&p, &s, n, now).await);
    }
    tend(&p, &s, now).await;
    let beyond: Vec<_> = (199..205).map(|n| format!("l{n}")).collect();
    assert_eq!(*p.revoked.lock(), beyond, "64 old ones are left, and the newest");
    // What has ended by itself is revoked as well, used or not: clocks differ.
    p.renewals.lock().push(Duration::from_secs(7200));
    now += Duration::from_secs(3600);
    tend(&p, &s, now).await;
    assert_eq!(p.revoked.lock().len(), 6 + 64);
    drop(used);
    s.close().await;
    let revoked = std::mem::take(&mut *p.revoked.lock());
    assert_eq!((revoked.last().unwrap().as_str(), revoked.len()), ("l269", 6 + 64 + 1));
    assert!(s.not_given_back().is_empty());
}

#[tokio::test]
async fn a_lease_that_is_not_revoked_is_tried_again_and_named() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    next(&p, &s, 0, now).await;
    next(&p, &s, 1, now).await;
    *p.cannot_revoke.lock() = Some(SourceError::away("it is away".into()));
    tend(&p, &s, now).await;
    *p.cannot_revoke.lock() = None;
    tend(&p, &s, now).await;
    assert!(p.revoked.lock().is_empty(), "not each second");
    now += Duration::from_secs(11);
    tend(&p, &s, now).await;
    assert_eq!(*p.revoked.lock(), ["l0"]);
    *p.cannot_revoke.lock() = Some(SourceError::new("it may not".into()));
    s.close().await;
    assert_eq!(s.not_given_back(), [leases::digest_of("l1")]);
    assert_eq!(leases::digest_of("l1").len(), 16);
}

/// What a caller brings about at an upstream does not take away what others are logged in with, however often.
#[tokio::test]
async fn a_lease_that_is_refused_stays_in_use_until_another_one_was_accepted() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    p.leases("l1", 36_000);
    let first = s.login_at(Asked::at(now)).await.unwrap();
    first.in_use.worked();
    p.leases("l2", 36_000);
    let second = s.refused_at(&first, Asked::at(now)).await;
    assert_eq!(shown(second.as_ref()), Some("pw-l2"));
    // Others go on with the first; whoever is refused meanwhile tries the same second one.
    assert_eq!(word(&s, now).await.unwrap(), "pw-l1");
    assert_eq!(shown(s.refused_at(&first, Asked::at(now)).await.as_ref()), Some("pw-l2"));
    tend(&p, &s, now).await;
    assert_eq!((s.generation(), p.asked(), p.revoked.lock().len()), (0, 2, 0));
    // It is not accepted either: it is given back, and nobody has lost anything.
    assert!(s.refused_at(&second.unwrap(), Asked::at(now)).await.is_none());
    p.leases("l3", 36_000);
    for _ in 0..60 {
        now += Duration::from_millis(2_900);
        assert!(s.refused_at(&first, Asked::at(now)).await.is_none(), "at a pace");
    }
    tend(&p, &s, now).await;
    assert_eq!((s.generation(), p.asked(), p.revoked.lock().as_slice()), (0, 2, ["l2".to_owned()].as_slice()));
    assert_eq!(word(&s, now).await.unwrap(), "pw-l1");
    // After that time, one more; this one is accepted, and takes the place of the first.
    now += Duration::from_secs(10);
    let third = s.refused_at(&first, Asked::at(now)).await.unwrap();
    third.in_use.worked();
    tend(&p, &s, now).await;
    assert_eq!((word(&s, now).await.unwrap(), s.generation()), ("pw-l3".into(), 1));
    assert_eq!(shown(s.refused_at(&first, Asked::at(now)).await.as_ref()), Some("pw-l3"), "it was told before");
    assert_eq!(p.revoked.lock().len(), 1, "the first is used");
    drop(first);
    tend(&p, &s, now).await;
    assert_eq!(*p.revoked.lock(), ["l2", "l1"]);
    // The pace gets slower, and begins anew after a calm time.
    p.leases("l4", 36_000);
    now += Duration::from_secs(300);
    assert!(s.refused_at(&third, Asked::at(now)).await.is_none());
    now += Duration::from_secs(61);
    assert_eq!(shown(s.refused_at(&third, Asked::at(now)).await.as_ref()), Some("pw-l4"));
    assert_eq!(p.asked(), 4);
}

#[tokio::test]
async fn a_lease_that_its_source_says_is_gone_is_replaced_at_once() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    p.leases("l1", 3600);
    let mut login = s.login_at(Asked::at(now)).await.unwrap();
    for (gone, id) in [("l1", "l2"), ("l2", "l3"), ("l3", "l4")] {
        *p.gone.lock() = Some(gone);
        p.leases(id, 3600);
        now += Duration::from_secs(2);
        login = s.refused_at(&login, Asked::at(now)).await.unwrap();
        assert_eq!(
            (word(&s, now).await.unwrap(), shown(Some(&login))),
            (format!("pw-{id}"), Some(&*format!("pw-{id}")))
        );
    }
    tend(&p, &s, now).await;
    assert_eq!(s.generation(), 3, "each was accepted");
}

/// One that was made in another's place, and that nobody logged in with, is not kept for ever.
#[tokio::test]
async fn what_nobody_logged_in_with_takes_nobodys_place_and_is_given_back() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    p.leases("l1", 3600);
    let first = s.login_at(Asked::at(now)).await.unwrap();
    p.leases("l2", 3600);
    drop(s.refused_at(&first, Asked::at(now)).await.unwrap());
    now += Duration::from_secs(61);
    tend(&p, &s, now).await;
    assert_eq!(
        (word(&s, now).await.unwrap(), p.revoked.lock().as_slice()),
        ("pw-l1".into(), ["l2".to_owned()].as_slice())
    );
    assert_eq!(s.generation(), 0);
}

#[tokio::test]
async fn an_old_lease_is_renewed_for_as_long_as_a_session_uses_it() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    p.leases("l1", 100);
    let first = s.login_at(Asked::at(now)).await.unwrap();
    p.leases("l2", 100);
    s.refused_at(&first, Asked::at(now)).await.unwrap().in_use.worked();
    let in_an_hour = vec![Duration::from_secs(100); 200];
    *p.renewals.lock() = in_an_hour;
    for _ in 0..60 {
        now += Duration::from_secs(60);
        tend(&p, &s, now).await;
    }
    let renewed = |id: &str| p.renewed.lock().iter().filter(|r| *r == id).count();
    assert_eq!((renewed("l1"), renewed("l2"), p.revoked.lock().len()), (60, 60, 0), "{:?}", p.renewed.lock());
    drop(first);
    now += Duration::from_secs(60);
    tend(&p, &s, now).await;
    assert_eq!((renewed("l1"), p.revoked.lock().as_slice()), (60, ["l1".to_owned()].as_slice()));
}

/// A source that takes its time to revoke delays no renewal, of what is in use and of what others took the place of.
#[tokio::test(start_paused = true)]
async fn renewing_does_not_wait_for_what_is_given_back() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    let used = next(&p, &s, 0, now).await;
    for n in 1..40 {
        next(&p, &s, n, now).await;
    }
    p.renewals.lock().extend([Duration::from_secs(3600), Duration::from_secs(3600)]);
    let shut = p.revoking.lock().await;
    now += Duration::from_secs(1800);
    for _ in 0..3 {
        s.tend_at(Asked::at(now)).await;
    }
    s.renewing.done().await;
    let mut renewed = p.renewed.lock().clone();
    renewed.sort();
    assert_eq!(renewed, ["l0", "l39"]);
    assert_eq!((s.leases.has_failed(), p.revoked.lock().len()), (false, 0), "nobody waited for it");
    drop(shut);
    s.giving_back.done().await;
    assert_eq!(p.revoked.lock().len(), 16, "some at a time");
    tend(&p, &s, now).await;
    assert_eq!(p.revoked.lock().len(), 38);
    drop(used);
}

#[tokio::test]
async fn a_lease_that_is_never_revoked_keeps_none_of_the_others() {
    let mut now = Instant::now();
    let (p, s) = source(0);
    for n in 0..3 {
        next(&p, &s, n, now).await;
    }
    *p.cannot_revoke_this.lock() = Some("l0");
    tend(&p, &s, now).await;
    now += Duration::from_secs(11);
    tend(&p, &s, now).await;
    assert_eq!(*p.revoked.lock(), ["l1"]);
    assert_eq!(s.not_given_back(), [leases::digest_of("l0")]);
}

#[tokio::test]
async fn a_credential_without_the_field_that_is_wanted_is_given_back() {
    let now = Instant::now();
    let p = Arc::new(Scripted::default());
    let rules = Rules { fresh: Duration::from_secs(60), last_good: Duration::ZERO };
    let s = Source::new(Arc::clone(&p) as _, "a/b", Some("token"), rules);
    p.leases("l1", 100);
    assert!(word(&s, now).await.unwrap_err().contains("has no field `token`"));
    tend(&p, &s, now).await;
    assert_eq!(*p.revoked.lock(), ["l1"]);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_comes_too_late_for_who_asked_is_the_next_ones_or_given_back() {
    let now = Instant::now();
    for (ends, is_static) in [(false, false), (true, false), (false, true)] {
        let (p, s) = source(0);
        p.leases("l1", 100);
        if is_static {
            p.says("as it was then");
        }
        let shut = p.gate.lock().await;
        let said = word(&s, now).await.unwrap_err();
        assert!(said.contains("did not answer in time"), "{said}");
        drop(shut);
        if ends {
            s.close().await;
            assert_eq!((p.asked(), p.revoked.lock().as_slice()), (1, ["l1".to_owned()].as_slice()));
            continue;
        }
        if is_static {
            while !s.state.lock().await.pending.as_ref().unwrap().answer.is_finished() {
                tokio::task::yield_now().await;
            }
            p.says("as it is now");
        }
        let later = now + Duration::from_secs(30);
        let expected = if is_static { ("as it is now".to_owned(), 2) } else { ("pw-l1".to_owned(), 1) };
        assert_eq!((word(&s, later).await.unwrap(), p.asked()), expected);
    }
}

#[tokio::test]
async fn a_credential_that_was_made_for_somebody_who_left_is_kept() {
    let now = Instant::now();
    let (p, s) = source(0);
    p.leases("l1", 100);
    let shut = p.gate.lock().await;
    let one = Arc::clone(&s);
    let waiting = tokio::spawn(async move { one.login_at(Asked::at(now)).await });
    while p.asked() == 0 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    drop(shut);
    assert_eq!((word(&s, now).await.unwrap(), p.asked()), ("pw-l1".into(), 1));
}

#[tokio::test]
async fn all_who_wait_for_a_source_hear_its_one_answer() {
    for fails in [true, false] {
        let p = Arc::new(Scripted::default());
        let rules = Rules { fresh: Duration::ZERO, last_good: Duration::ZERO };
        let s = Source::new(Arc::clone(&p) as _, "a/b", None, rules);
        if fails {
            p.fails(SourceError::away("it is away".into()))
        } else {
            p.says("one")
        }
        let shut = p.gate.lock().await;
        let ask = |asked: Asked| {
            let s = Arc::clone(&s);
            tokio::spawn(async move { s.login_at(asked).await.is_ok() })
        };
        // A busy machine: the first has asked long before it is let run.
        let at = Instant::now().checked_sub(Duration::from_millis(200)).unwrap();
        let waiting: Vec<_> = (0..20).map(|_| ask(Asked { at, by_clock: at })).collect();
        while p.asked() == 0 {
            tokio::task::yield_now().await;
        }
        // Whoever comes later than the first, and before its answer.
        let late = ask(Asked::now());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        drop(shut);
        for asked in waiting.into_iter().chain([late]) {
            assert_eq!(asked.await.unwrap(), !fails);
        }
        assert_eq!(p.asked(), 1);
    }
}

#[test]
fn what_is_logged_in_with_is_picked_and_never_empty() {
    let fields = |all: &[(&str, &str)]| {
        Content::Fields(all.iter().map(|(n, v)| ((*n).to_owned(), Secret::new((*v).to_owned()))).collect())
    };
    let both = fields(&[("username", "app\n"), ("password", "p\n"), ("other", "o"), ("blank", "\n")]);
    let login = pick(&both, None, "a").unwrap();
    assert_eq!((login.user.as_deref(), login.password.expose().as_str()), (Some("app"), "p"));
    let login = pick(&both, Some("other"), "a").unwrap();
    assert_eq!((login.user, login.password.expose().as_str()), (None, "o"));
    for (content, field, says) in [
        (&both, Some("blank"), "empty"),
        (&both, Some("none"), "has no field `none`"),
        (&fields(&[("token", "t")]), None, "say which `field`"),
        (&Content::Text(Secret::new("t".into())), Some("x"), "one text"),
        (&Content::Text(Secret::new("\n".into())), None, "empty"),
    ] {
        let said = pick(content, field, "a").unwrap_err().to_string();
        assert!(said.contains(says), "{said}");
    }
}

/// A server on loopback that answers each request with these bytes, and counts them.
async fn answering(answer: String) -> (String, Arc<AtomicU64>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            if socket.read(&mut head).await.is_ok_and(|n| n > 0) {
                counted.fetch_add(1, Ordering::Relaxed);
                let _gone = socket.write_all(answer.as_bytes()).await;
            }
        }
    });
    (format!("http://{address}"), count)
}

async fn asked(address: &str) -> String {
    let auth = VaultAuth::Token(Given::Text(Secret::new("hvs.token".into())));
    let settings = VaultSettings { address: address.to_owned(), namespace: None, auth, tls: SourceTls::default() };
    Vault::new(settings).unwrap().fetch("secret/data/a").await.unwrap_err().to_string()
}

#[tokio::test]
async fn whatever_a_source_answers_is_bounded_not_followed_and_not_shown() {
    let (elsewhere, visits) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".into()).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere}/v1/secret/data/a\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    );
    let (address, _) = answering(redirect).await;
    let said = asked(&address).await;
    assert!(said.contains("answered 307") && visits.load(Ordering::Relaxed) == 0, "{said}");
    let body = "x".repeat((1 << 20) + 1);
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    assert!(asked(&answering(long).await.0).await.contains("more than 1048576 bytes"));
    let answer = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    for (status, body, says) in [
        ("200 OK", "the-secret-itself", "was not understood"),
        ("200 OK", r#"{"data":"the-secret-itself"}"#, "was not understood"),
        ("200 OK", r#"{"data":{"data":null,"x":"the-secret-itself"}}"#, ""),
        ("400 Bad Request", r#"{"errors":["the-secret-itself"]}"#, "answered 400"),
        ("500 Oops", r#"{"errors":["the-secret-itself"]}"#, "answered 500"),
        ("503 Sealed", "the-secret-itself", "is sealed"),
    ] {
        let (address, _) = answering(answer(status, body)).await;
        let auth = VaultAuth::Token(Given::Text(Secret::new("hvs.token".into())));
        let settings = VaultSettings { address, namespace: None, auth, tls: SourceTls::default() };
        let rules = Rules { fresh: Duration::ZERO, last_good: Duration::ZERO };
        let source = Source::new(Arc::new(Vault::new(settings).unwrap()), "secret/data/a", None, rules);
        let said = source.login().await.unwrap_err().to_string();
        assert!(said.contains(says) && !said.contains("the-secret-itself") && !said.contains("hvs."), "{said}");
    }
}
