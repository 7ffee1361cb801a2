use super::*;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::path::Path;

fn at(n: u64) -> Timestamp {
    Timestamp::from_secs(n)
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

async fn keeper(dir: &Path) -> Keeper {
    let key = MasterKey::from_file(&dir.join("secrets.key"), true).unwrap();
    Keeper::new(Store::open(dir, at(0)).await.unwrap(), key)
}

#[tokio::test]
async fn a_secret_comes_back_to_the_gateway_and_is_nowhere_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let k = keeper(dir.path()).await;
    assert!(k.open("orders").await.unwrap().is_none());
    let first = k.put("orders", &secret("correct horse battery"), "sso/anna", at(1)).await.unwrap();
    let second = k.put("orders", &secret("staple of the stable"), "sso/ben", at(2)).await.unwrap();
    assert_eq!((first.version, second.version, second.updated_by.as_str()), (1, 2, "sso/ben"));
    assert_eq!(k.open("orders").await.unwrap().unwrap().expose(), "staple of the stable");
    assert_eq!(k.list().await.unwrap(), [second]);
    k.store.close().await;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for word in ["horse battery", "of the stable"] {
            assert!(!bytes.windows(word.len()).any(|w| w == word.as_bytes()));
        }
    }
    // Another process with the same key opens it; one with another key says so.
    let again = keeper(dir.path()).await;
    assert_eq!(again.open("orders").await.unwrap().unwrap().expose(), "staple of the stable");
    let other = MasterKey::parse("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "test").unwrap();
    let other = Keeper::new(again.store.clone(), other);
    let said = other.open("orders").await.unwrap_err().to_string();
    assert!(said.contains("under key") && said.contains(again.keys.load().current().id()), "{said}");
    assert!(again.forget("orders").await.unwrap() && !again.forget("orders").await.unwrap());
}

#[tokio::test]
async fn what_was_moved_or_changed_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let k = keeper(dir.path()).await;
    k.put("a", &secret("of a"), "x", at(1)).await.unwrap();
    k.put("b", &secret("of b"), "x", at(1)).await.unwrap();
    let a = k.store.secret("a").await.unwrap().unwrap();
    let b = k.store.secret("b").await.unwrap().unwrap();
    // b's in a's place; a's first as its second; a bit turned.
    for wrong in [
        SealedSecret { name: "a".into(), version: 2, ..b },
        SealedSecret { version: 2, ..a.clone() },
        SealedSecret { version: 2, sealed: a.sealed.iter().map(|b| b ^ 1).collect(), ..a.clone() },
        SealedSecret { version: 2, sealed: Vec::new(), ..a.clone() },
    ] {
        k.store.forget_secret("a").await.unwrap();
        k.store.put_secret(&SealedSecret { version: 1, ..a.clone() }).await.unwrap();
        k.store.put_secret(&wrong).await.unwrap();
        assert!(matches!(k.open("a").await, Err(SecretError::Changed(_))));
    }
}

#[tokio::test]
async fn odd_names_and_sizes_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let k = keeper(dir.path()).await;
    for name in ["", "a b", "../x", "a/b", "é", &"a".repeat(101)] {
        assert!(matches!(k.put(name, &secret("x"), "x", at(1)).await, Err(SecretError::Name)), "{name}");
    }
    for text in [String::new(), "x".repeat(MAX_SECRET + 1)] {
        assert!(matches!(k.put("a", &secret(&text), "x", at(1)).await, Err(SecretError::Size)));
    }
    for n in 1..3 {
        let written = k.put("a", &secret(&"x".repeat(MAX_SECRET)), "x", at(n)).await.unwrap();
        assert_eq!(written.version, i64::try_from(n).unwrap());
    }
}

#[test]
fn keys_come_from_files_and_programs_and_show_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k");
    assert!(MasterKey::from_file(&path, false).is_err());
    let made = MasterKey::from_file(&path, true).unwrap();
    assert_eq!(MasterKey::from_file(&path, false).unwrap().id(), made.id());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!format!("{made:?}").contains(&text));
    let printed = MasterKey::from_program("cat", &[path.display().to_string()]).unwrap();
    assert_eq!(printed.id(), made.id());
    assert!(MasterKey::from_program("false", &[]).is_err());
    for bad in ["", "short", &"A".repeat(43), "not base64 at all!"] {
        std::fs::write(&path, bad).unwrap();
        let said = MasterKey::from_file(&path, true).unwrap_err().to_string();
        assert!(said.contains("32 bytes"), "{said}");
    }
}

fn key(n: u8) -> MasterKey {
    MasterKey::parse(&STANDARD.encode([n; 32]), "test").unwrap()
}

async fn all_open(dir: &Path, keys: Keyring) {
    let k = Keeper::new(Store::open(dir, at(0)).await.unwrap(), keys);
    for n in 0..8 {
        assert_eq!(k.open(&format!("s{n}")).await.unwrap().unwrap().expose(), &format!("word {n}"));
    }
    k.store.close().await;
}

#[tokio::test]
async fn another_key_takes_over_and_wherever_it_is_cut_off_both_keys_open_all() {
    use std::{future::Future as _, pin::pin, task::Poll};
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (key(1), key(2));
    let k = Keeper::new(Store::open(dir.path(), at(0)).await.unwrap(), old.clone());
    for n in 0..8 {
        k.put(&format!("s{n}"), &secret(&format!("word {n}")), "x", at(1)).await.unwrap();
    }
    k.store.close().await;
    let both = || Keyring::new(new.clone(), vec![old.clone()]);
    // Without the old one nothing is touched.
    let k = Keeper::new(Store::open(dir.path(), at(0)).await.unwrap(), old.clone());
    let said = k.rewrap(new.clone().into()).await.unwrap_err().to_string();
    assert!(said.contains("old_keys"), "{said}");
    assert_eq!(k.open("s0").await.unwrap().unwrap().expose(), "word 0", "the old one is still in force");
    k.store.close().await;
    // Given up at each of its steps, by somebody who then has both keys.
    let (mut steps, mut mixed) = (1, false);
    loop {
        let k = Keeper::new(Store::open(dir.path(), at(0)).await.unwrap(), old.clone());
        let mut polls = 0;
        let done = {
            let mut work = pin!(k.rewrap(both()));
            std::future::poll_fn(|c| match work.as_mut().poll(c) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if polls == steps => Poll::Ready(None),
                Poll::Pending => {
                    polls += 1;
                    Poll::Pending
                }
            })
            .await
        };
        let under: Vec<_> = k.store.secrets().await.unwrap().into_iter().map(|s| s.wrapped_by).collect();
        mixed |= under.iter().any(|u| u == old.id()) && under.iter().any(|u| u == new.id());
        k.store.close().await;
        all_open(dir.path(), both()).await;
        if let Some(done) = done {
            assert_eq!(done.unwrap().key, new.id());
            break;
        }
        steps += 1;
    }
    assert!(mixed, "it was cut off in the middle at least once");
    all_open(dir.path(), new.clone().into()).await;
    let k = Keeper::new(Store::open(dir.path(), at(0)).await.unwrap(), new.clone());
    let again = k.rewrap(both()).await.unwrap();
    assert_eq!((again.rewrapped, again.secrets), (0, 8));
    let known = k.list().await.unwrap();
    assert!(known.iter().all(|s| s.version == 1 && s.updated == at(1)), "it is no change of a secret");
}
