//! Lists by pages: a cursor that says nothing to whoever holds it, a limit, what is shown of what there is.
use crate::problem::Problem;
use axum::{
    extract::{Query, rejection::QueryRejection},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};
use std::future::Future;

/// Entries of a page at most, and where nothing is said.
pub(crate) const MOST: u32 = 100;
/// Times that the source is asked to fill one page of somebody who may see little of it.
const MOST_LOOKS: usize = 10;
/// The longest text that is looked for, in characters.
const LONGEST_TEXT: usize = 300;
/// The longest cursor, in characters.
const LONGEST_CURSOR: usize = 2_048;

/// What a query has to be.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    query.map(|Query(q)| q).map_err(|e| Problem::new(StatusCode::BAD_REQUEST, e.body_text()))
}

/// A text that is looked for; none where it is empty.
///
/// # Errors
/// 400 where it is longer than [`LONGEST_TEXT`]: databases bound patterns, too.
pub(crate) fn text(given: Option<String>) -> Result<Option<String>, Problem> {
    match given.filter(|t| !t.is_empty()) {
        Some(text) if text.chars().count() > LONGEST_TEXT => {
            let why = format!("a text that is looked for has at most {LONGEST_TEXT} characters");
            Err(Problem::new(StatusCode::BAD_REQUEST, why))
        }
        text => Ok(text),
    }
}

/// Which page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<K> {
    /// The list that it is of: a cursor is good for no other.
    list: &'static str,
    /// The last entry of the page before.
    pub(crate) after: Option<K>,
    pub(crate) limit: u32,
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// The page that a query asks for.
    ///
    /// # Errors
    /// 400 where the cursor is not one of this list, or the limit is not from 1 to 100.
    pub(crate) fn of(list: &'static str, cursor: Option<&str>, limit: Option<u32>) -> Result<Self, Problem> {
        let wrong = |why: &str| Problem::new(StatusCode::BAD_REQUEST, why);
        let limit = limit.unwrap_or(MOST);
        if !(1..=MOST).contains(&limit) {
            return Err(wrong("`limit` has to be from 1 to 100"));
        }
        let read = |cursor: &str| -> Option<K> {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok().filter(|_| cursor.len() <= LONGEST_CURSOR)?;
            let (of, key): (String, K) = serde_json::from_slice(&bytes).ok()?;
            (of == list).then_some(key)
        };
        let after = match cursor {
            None => None,
            Some(cursor) => {
                Some(read(cursor).ok_or_else(|| wrong("`cursor` is not the `next` of a page of this list"))?)
            }
        };
        Ok(Self { list, after, limit })
    }

    /// The cursor for what comes behind an entry.
    pub(crate) fn next(&self, key: &K) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(self.list, key)).unwrap_or_default())
    }

    fn wanted(&self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// A page of a list that is all there, in the order of its keys.
    pub(crate) fn cut<T>(&self, all: impl IntoIterator<Item = T>, key: impl Fn(&T) -> K) -> (Vec<T>, Option<String>)
    where
        K: Ord,
    {
        let mut all: Vec<T> = all.into_iter().collect();
        all.sort_by_key(&key);
        let behind = all.into_iter().filter(|item| self.after.as_ref().is_none_or(|after| key(item) > *after));
        let mut page: Vec<T> = behind.take(self.wanted().saturating_add(1)).collect();
        let more = page.len() > self.wanted();
        page.truncate(self.wanted());
        let next = page.last().filter(|_| more).map(|last| self.next(&key(last)));
        (page, next)
    }

    /// A page of a list that is asked for piece by piece. `fetch` gives up to so many entries behind a key; `show` makes of
    /// an entry what this caller may see of it, if anything. What is not shown counts for nothing as far as the page looks;
    /// where it looks no further, a page has fewer entries than asked for, and yet a next.
    ///
    /// # Errors
    /// Those of `fetch`.
    pub(crate) async fn fill<T, V, F>(
        &self,
        fetch: impl Fn(Option<K>, u32) -> F,
        key: impl Fn(&T) -> K,
        mut show: impl FnMut(T) -> Option<V>,
    ) -> Result<(Vec<V>, Option<String>), Problem>
    where
        K: Clone,
        F: Future<Output = Result<Vec<T>, Problem>>,
    {
        let mut page = Vec::new();
        let (mut after, mut last_shown) = (self.after.clone(), None);
        for _ in 0..MOST_LOOKS {
            let found = fetch(after.clone(), MOST).await?;
            let last = found.len() < usize::try_from(MOST).unwrap_or(usize::MAX);
            for item in found {
                let at = key(&item);
                after = Some(at.clone());
                // What is not shown says nothing, not even that there is more.
                let Some(shown) = show(item) else { continue };
                if page.len() == self.wanted() {
                    return Ok((page, last_shown.as_ref().map(|key| self.next(key))));
                }
                page.push(shown);
                last_shown = Some(at);
            }
            if last {
                return Ok((page, None));
            }
        }
        Ok((page, after.as_ref().map(|key| self.next(key))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(cursor: Option<&str>, limit: u32) -> Page<u32> {
        Page::of("things", cursor, Some(limit)).unwrap()
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let all: Vec<u32> = (0..250).rev().collect();
        let mut seen = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let (items, next) = page(cursor.as_deref(), 7).cut(all.clone(), |n| *n);
            seen.extend(items);
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_page_is_filled_past_what_is_not_shown() {
        let fetch = |after: Option<u32>, most: u32| async move {
            let from = after.map_or(0, |a| a + 1);
            Ok((from..350).take(most.try_into().unwrap()).collect())
        };
        let (mut seen, mut cursor): (Vec<u32>, Option<String>) = Default::default();
        for _ in 0..100 {
            let shown = |n: u32| (n % 50 == 49).then_some(n);
            let (items, next) = page(cursor.as_deref(), 2).fill(fetch, |n| *n, shown).await.unwrap();
            assert!(items.len() <= 2);
            seen.extend(items);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, [49, 99, 149, 199, 249, 299, 349]);
    }

    #[tokio::test]
    async fn what_is_not_shown_makes_no_next() {
        let all = |_: Option<u32>, _: u32| async { Ok((0..20).collect()) };
        let (items, next) = page(None, 2).fill(all, |n| *n, |n| (n < 2).then_some(n)).await.unwrap();
        assert_eq!((items, next), (vec![0, 1], None));
        let (items, next) = page(None, 2).fill(all, |n| *n, |n| [0, 5, 9].contains(&n).then_some(n)).await.unwrap();
        assert_eq!((items, next), (vec![0, 5], Some(page(None, 2).next(&5))));
    }

    #[test]
    fn a_cursor_of_another_list_or_of_somebodys_making_is_refused() {
        let other: Page<u32> = Page::of("others", None, None).unwrap();
        for bad in ["", "!", "bm90IGpzb24", &other.next(&7), &URL_SAFE_NO_PAD.encode(r#"["things","x"]"#)] {
            assert!(Page::<u32>::of("things", Some(bad), None).is_err(), "{bad}");
        }
        let long = format!("[\"things\",{}7]", " ".repeat(4_000));
        assert!(Page::<u32>::of("things", Some(&URL_SAFE_NO_PAD.encode(long)), None).is_err());
        assert_eq!(page(Some(&page(None, 1).next(&7)), 1).after, Some(7));
        for bad in [0, 101, u32::MAX] {
            assert!(Page::<u32>::of("things", None, Some(bad)).is_err(), "{bad}");
        }
    }
}
