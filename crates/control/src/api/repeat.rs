//! Requests that a caller sends again because the answer was lost: `Idempotency-Key`, for every POST of the interface.
//!
//! The first answer is kept, if the request succeeded, and given again for the same key of the same caller. It is kept in
//! memory: answers hold secrets that must not be written down. A restart forgets them.
//!
//! INVARIANT: an answer is given again to who may still have what it took to be answered so, and to nobody else.
use super::{ApiState, MAX_POLICIES, now};
use crate::{
    problem::Problem,
    rights::{Asker, Need, Needs},
};
use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use doorward_model::Timestamp;
use doorward_signin::{By, Caller};
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// Answers that are kept of one owner, whatever keys they come with; the oldest goes first.
const MOST_OF_ONE: usize = 100;
/// Answers that are kept in all.
const MOST: usize = 5_000;
/// The longest key, in bytes.
const LONGEST: usize = 128;
/// Bytes of answers that are kept of one owner; the oldest goes first. No answer to a POST is longer, but a back-test's,
/// which makes nothing.
const MOST_BYTES_OF_ONE: usize = 8 << 20;
/// Bytes of answers that are kept in all: what comes then is given once.
const MOST_BYTES: usize = 64 << 20;

/// Whose key, and which.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Name {
    /// Whose share of the room it takes. Whoever has many API keys has no more of it.
    owner: String,
    /// Whose answer it is: a principal with all who had a hand in it, or one API key.
    whose: String,
    /// The `Idempotency-Key`.
    key: String,
}

struct Kept {
    request: [u8; 32],
    since: Timestamp,
    /// None while the first one is under way.
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    needs: Vec<Need>,
}

/// Answers that may be given again.
#[derive(Default)]
pub(crate) struct Repeats(Mutex<HashMap<Name, Kept>>);

/// What there is for a key.
enum Found {
    Nothing,
    UnderWay,
    Other,
    Answer(Answer),
}

impl Repeats {
    /// Takes a key for a request, unless there is something for it.
    fn begin(&self, name: &Name, request: [u8; 32], now: Timestamp) -> Result<Found, Problem> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, k| now.since(k.since) < KEPT);
        if let Some(known) = kept.get(name) {
            return Ok(match &known.answer {
                _ if known.request != request => Found::Other,
                None => Found::UnderWay,
                Some(answer) => Found::Answer(answer.clone()),
            });
        }
        let of_one = |name: &Name| kept.keys().filter(|k| k.owner == name.owner).count();
        if of_one(name) >= MOST_OF_ONE {
            let done = kept.iter().filter(|(k, v)| k.owner == name.owner && v.answer.is_some());
            let Some(oldest) = done.min_by_key(|(_, v)| v.since).map(|(k, _)| k.clone()) else {
                return Err(Problem::busy("too many of your requests with an `Idempotency-Key` are under way"));
            };
            kept.remove(&oldest);
        }
        if kept.len() >= MOST {
            return Err(Problem::busy("too many answers are kept for `Idempotency-Key`: send it without one"));
        }
        kept.insert(name.clone(), Kept { request, since: now, answer: None });
        Ok(Found::Nothing)
    }

    fn end(&self, name: &Name, answer: Option<Answer>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |k: &Kept| k.answer.as_ref().map_or(0, |a| a.body.len());
        let answer = answer.filter(|a| a.body.len() <= MOST_BYTES_OF_ONE);
        if let Some(answer) = &answer {
            while kept.iter().filter(|(k, _)| k.owner == name.owner).map(|(_, v)| bytes(v)).sum::<usize>()
                + answer.body.len()
                > MOST_BYTES_OF_ONE
            {
                let theirs = kept.iter().filter(|(k, v)| k.owner == name.owner && bytes(v) > 0);
                let Some(oldest) = theirs.min_by_key(|(_, v)| v.since).map(|(k, _)| k.clone()) else { break };
                kept.remove(&oldest);
            }
        }
        let all: usize = kept.values().map(bytes).sum();
        let answer = answer.filter(|a| all + a.body.len() <= MOST_BYTES);
        match (answer, kept.get_mut(name)) {
            (Some(answer), Some(known)) => known.answer = Some(answer),
            // What failed may be tried again with the same key.
            (None, _) => drop(kept.remove(name)),
            (Some(_), None) => {}
        }
    }
}

/// Gives a key back where the request comes to no end.
struct Begun {
    state: ApiState,
    name: Name,
    answer: Option<Answer>,
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.state.records.repeats.end(&self.name, self.answer.take());
    }
}

/// The key that a request has.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let wrong = || {
        let why = "`Idempotency-Key` has to be one word of 1 to 128 visible ASCII characters";
        Problem::new(StatusCode::BAD_REQUEST, why)
    };
    let text = value.to_str().map_err(|_| wrong())?;
    let good = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if values.next().is_some() || !good { Err(wrong()) } else { Ok(Some(text.to_owned())) }
}

/// Before every endpoint that is asked with POST, once it is known who asks.
pub(crate) async fn repeat(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    match key(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => {
            once(state, key, request, next).await.unwrap_or_else(axum::response::IntoResponse::into_response)
        }
        Err(problem) => problem.into_response(),
    }
}

async fn once(state: ApiState, key: String, request: Request, next: Next) -> Result<Response, Problem> {
    let caller = request.extensions().get::<Arc<Caller>>().ok_or_else(Problem::unauthorized)?;
    let whose = match &caller.by {
        By::Key { id, .. } => format!("key {id}"),
        // With all who had a hand in it: another chain is another caller. No identifier holds a control character.
        By::Token | By::Session { .. } => caller.principal.chain().join("\0"),
    };
    let name = Name { owner: caller.principal.id(), whose, key };
    let (mut head, body) = request.into_parts();
    // The most that any endpoint takes: each says by itself what is too long for it.
    let body = to_bytes(body, MAX_POLICIES).await;
    let body = body.map_err(|_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off"))?;
    let mut digest = Sha256::new();
    let kind = head.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    for part in [head.uri.to_string().as_bytes(), kind, &body] {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    match state.records.repeats.begin(&name, digest.finalize().into(), now())? {
        Found::Nothing => {}
        Found::UnderWay => {
            let why = "the first request with this `Idempotency-Key` is still under way";
            return Err(Problem::new(StatusCode::CONFLICT, why));
        }
        Found::Other => {
            let why = "this `Idempotency-Key` was used for another request: take another for this one";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, why));
        }
        Found::Answer(answer) => {
            let asker = Asker::of(&head.extensions, &state)?;
            for need in &answer.needs {
                asker.may_again(&state, need).await?;
            }
            let mut response = Response::new(Body::from(answer.body));
            *response.status_mut() = answer.status;
            response.headers_mut().extend(answer.headers);
            response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
            return Ok(response);
        }
    }
    let needs = Needs::default();
    head.extensions.insert(needs.clone());
    let begun = Begun { state, name, answer: None };
    // In a task of its own: a caller who hangs up and asks again must not have it done twice.
    let task = tokio::spawn(answered(begun, needs, next, Request::from_parts(head, Body::from(body))));
    task.await.map_err(|e| Problem::unavailable(&e))?
}

/// Answers a request, and keeps the answer if it succeeded.
async fn answered(mut begun: Begun, needs: Needs, next: Next, request: Request) -> Result<Response, Problem> {
    let response = next.run(request).await;
    if !response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|e| Problem::unavailable(&e))?;
    let kept = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];
    let headers = kept.into_iter().filter_map(|n| head.headers.get(&n).map(|v| (n, v.clone()))).collect();
    begun.answer = Some(Answer { status: head.status, headers, body: body.clone(), needs: needs.taken() });
    Ok(Response::from_parts(head, Body::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(owner: &str, whose: &str, key: usize) -> Name {
        Name { owner: owner.into(), whose: whose.into(), key: key.to_string() }
    }

    fn answer() -> Answer {
        Answer { status: StatusCode::CREATED, headers: Vec::new(), body: Bytes::from_static(b"x"), needs: Vec::new() }
    }

    #[test]
    fn an_answer_is_kept_for_a_day_and_bounded() {
        let repeats = Repeats::default();
        let at = Timestamp::from_secs;
        let name = |n: usize| named("corp/ada", "corp/ada", n);
        assert!(matches!(repeats.begin(&name(0), [0; 32], at(0)), Ok(Found::Nothing)));
        assert!(matches!(repeats.begin(&name(0), [0; 32], at(1)), Ok(Found::UnderWay)));
        assert!(matches!(repeats.begin(&name(0), [1; 32], at(1)), Ok(Found::Other)));
        repeats.end(&name(0), Some(answer()));
        assert!(matches!(repeats.begin(&name(0), [0; 32], at(86_399)), Ok(Found::Answer(_))));
        assert!(matches!(repeats.begin(&name(0), [0; 32], at(86_400)), Ok(Found::Nothing)), "forgotten after a day");
        repeats.end(&name(0), None);
        for n in 0..MOST_OF_ONE * 2 {
            assert!(matches!(repeats.begin(&name(n), [0; 32], at(90_000 + n as u64)), Ok(Found::Nothing)));
            repeats.end(&name(n), Some(answer()));
        }
        assert_eq!(repeats.0.lock().unwrap().len(), MOST_OF_ONE);
        for n in 1_000..1_000 + MOST_OF_ONE {
            assert!(repeats.begin(&name(n), [0; 32], at(91_000)).is_ok());
        }
        assert!(repeats.begin(&name(5_000), [0; 32], at(91_000)).is_err(), "all of them are under way");
        assert!(repeats.begin(&named("corp/bob", "corp/bob", 1), [0; 32], at(91_000)).is_ok(), "others go on");
    }

    /// A hundred API keys with a hundred answers each would leave room for nobody.
    #[test]
    fn whoever_has_many_keys_takes_no_more_room() {
        let repeats = Repeats::default();
        let at = Timestamp::from_secs;
        for key in 0..100 {
            for n in 0..100 {
                let name = named("corp/ada", &format!("key {key}"), n);
                let now = at(u64::try_from(key * 100 + n).unwrap());
                assert!(matches!(repeats.begin(&name, [0; 32], now), Ok(Found::Nothing)), "each key's is its own");
                repeats.end(&name, Some(answer()));
            }
        }
        assert_eq!(repeats.0.lock().unwrap().len(), MOST_OF_ONE);
        assert!(repeats.begin(&named("corp/bob", "corp/bob", 1), [0; 32], at(10_000)).is_ok(), "others go on");
    }

    #[test]
    fn long_answers_push_out_their_callers_own_alone() {
        let repeats = Repeats::default();
        let long = || Answer { body: vec![0; 3 << 20].into(), ..answer() };
        let name = |who: &str, n: u64| named(who, who, n.try_into().unwrap());
        let begin = |name: &Name, secs: u64| repeats.begin(name, [0; 32], Timestamp::from_secs(secs)).unwrap();
        assert!(matches!(begin(&name("bob", 0), 0), Found::Nothing));
        repeats.end(&name("bob", 0), Some(long()));
        for n in 1..=3 {
            assert!(matches!(begin(&name("ada", n), n), Found::Nothing));
            repeats.end(&name("ada", n), Some(long()));
        }
        assert!(matches!(begin(&name("ada", 1), 9), Found::Nothing), "the oldest was pushed out");
        assert!(matches!(begin(&name("ada", 3), 9), Found::Answer(_)));
        assert!(matches!(begin(&name("bob", 0), 9), Found::Answer(_)));
    }
}
